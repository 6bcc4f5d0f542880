//! How a request that changed files ends.

use core::ffi::CStr;

use fdfs_core::http::work::{Stored, stored_json};
use ngx::ffi::*;

use crate::flags;
use crate::nginx::{self, ERROR, OK, status};

/// The end of a request.
pub enum Finish {
    /// With this status; nginx makes the answer.
    Status(ngx_int_t),
    /// 204.
    Deleted,
    /// This status, with headers that are there already and nothing else.
    Empty(u32),
    /// 201 and what was stored.
    Stored(Vec<Stored>),
}

impl Finish {
    /// Answers; the request may be gone afterwards.
    ///
    /// # Safety
    /// `r` must be live, held by a reference that this gives back, and its header not yet sent.
    pub unsafe fn apply(self, r: *mut ngx_http_request_t) {
        // SAFETY: as promised by the caller.
        unsafe {
            let rc = match self {
                Self::Status(rc) => rc,
                Self::Deleted => empty(r, NGX_HTTP_NO_CONTENT),
                Self::Empty(code) => empty(r, code),
                Self::Stored(files) => stored(r, &files),
            };
            ngx_http_finalize_request(r, rc);
        }
    }
}

/// # Safety
/// `r` must be live and its header not yet sent.
unsafe fn empty(r: *mut ngx_http_request_t, code: u32) -> ngx_int_t {
    // SAFETY: as promised by the caller.
    unsafe {
        (*r).headers_out.status = code as ngx_uint_t;
        if code != NGX_HTTP_NO_CONTENT {
            (*r).headers_out.content_length_n = 0;
        }
        flags::set_header_only(r, 1);
        ngx_http_send_header(r)
    }
}

/// # Safety
/// `r` must be live and its header not yet sent.
unsafe fn stored(r: *mut ngx_http_request_t, files: &[Stored]) -> ngx_int_t {
    // SAFETY: as promised by the caller.
    unsafe {
        // A list has no one place.
        if let [file] = files
            && nginx::push_header(r, c"Location", file.url.as_bytes()).is_null()
        {
            return status(NGX_HTTP_INTERNAL_SERVER_ERROR);
        }
        send(r, NGX_HTTP_CREATED, c"application/json", &stored_json(files))
    }
}

/// Answers with a text.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn send(r: *mut ngx_http_request_t, code: u32, kind: &'static CStr, text: &[u8]) -> ngx_int_t {
    // SAFETY: as promised by the caller; the buffer lives in the request's pool.
    unsafe {
        let Some(text) = nginx::copy((*r).pool, text) else {
            return status(NGX_HTTP_INTERNAL_SERVER_ERROR);
        };
        let out = &mut (*r).headers_out;
        out.status = code as ngx_uint_t;
        out.content_length_n = text.len as i64;
        out.content_type = nginx::constant(kind);
        out.content_type_len = out.content_type.len;
        let rc = ngx_http_send_header(r);
        if rc == ERROR || rc > OK || flags::header_only(r) != 0 {
            return rc;
        }
        let buffer = nginx::zeroed::<ngx_buf_t>((*r).pool);
        let link = ngx_alloc_chain_link((*r).pool);
        if buffer.is_null() || link.is_null() {
            return ERROR;
        }
        (*buffer).pos = text.data;
        (*buffer).last = text.data.add(text.len);
        (*buffer).set_memory(1);
        (*buffer).set_last_buf(u32::from(core::ptr::eq(r, (*r).main)));
        (*buffer).set_last_in_chain(1);
        (*link).buf = buffer;
        (*link).next = core::ptr::null_mut();
        ngx_http_output_filter(r, link)
    }
}
