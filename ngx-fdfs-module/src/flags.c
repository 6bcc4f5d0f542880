/* Bits of a request. Released bindgen misplaces them for nginx 1.29.3 and later, where they share a word with another
 * field (nginx-module 11.3); the C compiler knows where they are. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#define GET(field)                                                             \
    unsigned fdfs_##field(const ngx_http_request_t *r) { return r->field; }
#define SET(field)                                                             \
    void fdfs_set_##field(ngx_http_request_t *r, unsigned value)               \
    { r->field = value; }

GET(buffered)
GET(cached)
GET(header_only)
GET(reading_body)
SET(allow_ranges)
SET(disable_not_modified)
SET(header_only)
SET(request_body_in_file_only)
SET(request_body_in_single_buf)
SET(request_body_no_buffering)
SET(single_range)

unsigned fdfs_content_needed(const ngx_http_request_t *r)
{
    return r->main_filter_need_in_memory | r->filter_need_in_memory | r->filter_need_temporary | r->chunked;
}

void fdfs_hold(ngx_http_request_t *r) { r->main->count++; }
