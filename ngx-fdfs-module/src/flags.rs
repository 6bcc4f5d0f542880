//! Bits of a request, read and written by C (`flags.c`). All functions want a live request.

use core::ffi::c_uint;

use ngx::ffi::ngx_http_request_t;

unsafe extern "C" {
    #[link_name = "fdfs_buffered"]
    pub fn buffered(r: *const ngx_http_request_t) -> c_uint;
    /// Some filter has to see the content in memory, or to put chunks around it.
    #[link_name = "fdfs_content_needed"]
    pub fn content_needed(r: *const ngx_http_request_t) -> c_uint;
    #[link_name = "fdfs_cached"]
    pub fn cached(r: *const ngx_http_request_t) -> c_uint;
    #[link_name = "fdfs_header_only"]
    pub fn header_only(r: *const ngx_http_request_t) -> c_uint;
    #[link_name = "fdfs_reading_body"]
    pub fn reading_body(r: *const ngx_http_request_t) -> c_uint;
    #[link_name = "fdfs_set_allow_ranges"]
    pub fn set_allow_ranges(r: *mut ngx_http_request_t, value: c_uint);
    #[link_name = "fdfs_set_disable_not_modified"]
    pub fn set_disable_not_modified(r: *mut ngx_http_request_t, value: c_uint);
    #[link_name = "fdfs_set_header_only"]
    pub fn set_header_only(r: *mut ngx_http_request_t, value: c_uint);
    #[link_name = "fdfs_set_request_body_in_file_only"]
    pub fn set_request_body_in_file_only(r: *mut ngx_http_request_t, value: c_uint);
    #[link_name = "fdfs_set_request_body_in_single_buf"]
    pub fn set_request_body_in_single_buf(r: *mut ngx_http_request_t, value: c_uint);
    #[link_name = "fdfs_set_request_body_no_buffering"]
    pub fn set_request_body_no_buffering(r: *mut ngx_http_request_t, value: c_uint);
    #[link_name = "fdfs_set_single_range"]
    pub fn set_single_range(r: *mut ngx_http_request_t, value: c_uint);
    /// The request outlives the phase that is under way.
    #[link_name = "fdfs_hold"]
    pub fn hold(r: *mut ngx_http_request_t);
}
