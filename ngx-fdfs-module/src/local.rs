//! A file on this machine, through nginx's own file machinery: ranges, conditions, sendfile, caches are nginx's.

use core::ptr;

use fdfs_core::http::{FLV_HEAD, FlvPart, Validators};
use ngx::ffi::*;

use crate::extras;
use crate::nginx::{self, ERROR, OK, status};

/// Outcome of looking for a file here.
pub enum Local {
    /// Answered; return this to nginx.
    Answered(ngx_int_t),
    /// Not usable here; this status if nobody else can be asked.
    Absent(u32),
}

/// Serves `path`, whose id says what is `known`, or the part of it that a player wants.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn serve(
    r: *mut ngx_http_request_t,
    path: &[u8],
    known: Option<Validators>,
    flv: Option<FlvPart>,
) -> Local {
    const FAILED: Local = Local::Answered(NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
    // SAFETY: the request and its pool are live; `open_file_info_t` is plain C, zero is its initial state.
    unsafe {
        let Some(mut name) = nginx::copy((*r).pool, path) else { return FAILED };
        let opened = match open(r, &mut name) {
            Ok(opened) => opened,
            Err(code) => return Local::Absent(code),
        };
        let size = opened.size as u64;
        let mtime = match known {
            Some(known) if known.size != size => {
                let text = format!("{} has {size} bytes, its id says {}", lossy(path), known.size);
                nginx::log_request(NGX_LOG_ERR, r, &text);
                return Local::Absent(NGX_HTTP_NOT_FOUND);
            }
            // Equal on every member, unlike the time of the file.
            Some(known) => known.mtime,
            None => opened.mtime,
        };
        let part = match flv.map(|flv| flv.resolve(size)) {
            None => 0..opened.size,
            Some(Some((first, last))) => first as i64..last as i64 + 1,
            Some(None) => return Local::Answered(status(NGX_HTTP_BAD_REQUEST)),
        };
        let mut length = part.end - part.start;
        let flv_head = flv.is_some_and(FlvPart::has_head);
        if flv_head {
            length += FLV_HEAD.len() as i64;
        }
        (*(*(*r).connection).log).action = c"sending response to client".as_ptr().cast_mut();
        (*r).headers_out.status = NGX_HTTP_OK as ngx_uint_t;
        (*r).headers_out.content_length_n = opened.size;
        (*r).headers_out.last_modified_time = mtime;
        if ngx_http_set_etag(r) != OK || ngx_http_set_content_type(r) != OK || !extras::attach(r) {
            return FAILED;
        }
        (*r).headers_out.content_length_n = length;
        (*r).set_allow_ranges(1);
        let buffer = nginx::zeroed::<ngx_buf_t>((*r).pool);
        let source = nginx::zeroed::<ngx_file_t>((*r).pool);
        if buffer.is_null() || source.is_null() {
            return FAILED;
        }
        let rc = ngx_http_send_header(r);
        // Without this check a 304 would be followed by a body.
        if rc == ERROR || rc > OK || (*r).header_only() != 0 {
            return Local::Answered(rc);
        }
        (*source).fd = opened.fd;
        (*source).name = name;
        (*source).log = (*(*r).connection).log;
        (*source).set_directio(opened.is_directio());
        (*buffer).file = source;
        (*buffer).file_pos = part.start;
        (*buffer).file_last = part.end;
        (*buffer).set_in_file(u32::from(size > 0));
        (*buffer).set_last_buf(u32::from(ptr::eq(r, (*r).main)));
        (*buffer).set_last_in_chain(1);
        (*buffer).set_sync(u32::from(size == 0 && !ptr::eq(r, (*r).main)));
        let mut chain = ngx_chain_t { buf: buffer, next: ptr::null_mut() };
        if !flv_head {
            return Local::Answered(ngx_http_output_filter(r, &mut chain));
        }
        let head = nginx::zeroed::<ngx_buf_t>((*r).pool);
        if head.is_null() {
            return Local::Answered(ERROR);
        }
        (*head).pos = FLV_HEAD.as_ptr().cast_mut();
        (*head).last = (*head).pos.add(FLV_HEAD.len());
        (*head).set_memory(1);
        let mut first = ngx_chain_t { buf: head, next: &mut chain };
        Local::Answered(ngx_http_output_filter(r, &mut first))
    }
}

/// Opens through nginx's cache of open files; the descriptor belongs to the request's pool. `Err` is a status.
///
/// # Safety
/// `r` must be live and `name` end with NUL.
unsafe fn open(r: *mut ngx_http_request_t, name: &mut ngx_str_t) -> Result<ngx_open_file_info_t, u32> {
    // SAFETY: as for `serve`.
    unsafe {
        let core = nginx::core_location(r);
        let mut info: ngx_open_file_info_t = core::mem::zeroed();
        info.read_ahead = core.read_ahead;
        info.directio = core.directio;
        info.valid = core.open_file_cache_valid;
        info.min_uses = core.open_file_cache_min_uses;
        info.set_errors(core.open_file_cache_errors as u32);
        info.set_events(core.open_file_cache_events as u32);
        if ngx_http_set_disable_symlinks(r, core, name, &mut info) != OK {
            return Err(NGX_HTTP_INTERNAL_SERVER_ERROR);
        }
        if ngx_open_cached_file(core.open_file_cache, name, &mut info, (*r).pool) == OK {
            return if info.is_file() != 0 { Ok(info) } else { Err(NGX_HTTP_NOT_FOUND) };
        }
        let code = match info.err {
            libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG => return Err(NGX_HTTP_NOT_FOUND),
            libc::EACCES | libc::EMLINK | libc::ELOOP => NGX_HTTP_FORBIDDEN,
            _ => NGX_HTTP_INTERNAL_SERVER_ERROR,
        };
        let error = std::io::Error::from_raw_os_error(info.err);
        let text = format!("cannot open {}: {error}", lossy(nginx::bytes(name)));
        nginx::log_request(NGX_LOG_ERR, r, &text);
        Err(code)
    }
}

fn lossy(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}
