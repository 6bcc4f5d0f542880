//! The client's request body, as it comes: nginx reads it into one buffer and waits until that is used up, so that a
//! fast client fills neither memory nor disk.

use ngx::ffi::*;

use crate::flags;
use crate::nginx::{self, status};

/// Pieces that have come and are not yet used up.
pub struct Body {
    r: *mut ngx_http_request_t,
    first: *mut ngx_chain_t,
}

impl Body {
    /// Of a request whose body nginx reads without buffering.
    pub fn new(r: *mut ngx_http_request_t) -> Self {
        Self { r, first: core::ptr::null_mut() }
    }

    /// The next bytes; empty when none are there now: look at [`is_over`]. `Err` is the status to end with.
    ///
    /// # Safety
    /// The request must be live and its body being read.
    pub unsafe fn peek(&mut self) -> Result<&[u8], ngx_int_t> {
        // SAFETY: nginx keeps the buffers until they are used up, and links them in the request's pool.
        unsafe {
            loop {
                while let Some(link) = self.first.as_mut() {
                    let buffer = &*link.buf;
                    if buffer.pos != buffer.last && !buffer.pos.is_null() {
                        return Ok(nginx::between(buffer.pos, buffer.last));
                    }
                    if buffer.in_file() != 0 && buffer.file_pos < buffer.file_last {
                        nginx::log_request(NGX_LOG_ALERT, self.r, "the request body is in a file");
                        return Err(status(NGX_HTTP_INTERNAL_SERVER_ERROR));
                    }
                    let used = self.first;
                    self.first = link.next;
                    // `ngx_free_chain`
                    (*used).next = (*(*self.r).pool).chain;
                    (*(*self.r).pool).chain = used;
                }
                let Some(body) = (*self.r).request_body.as_mut() else { return Ok(&[]) };
                if body.bufs.is_null() {
                    if flags::reading_body(self.r) == 0 {
                        return Ok(&[]);
                    }
                    let rc = ngx_http_read_unbuffered_request_body(self.r);
                    if rc >= status(NGX_HTTP_SPECIAL_RESPONSE) {
                        return Err(rc);
                    }
                    if body.bufs.is_null() {
                        return Ok(&[]);
                    }
                }
                self.first = body.bufs;
                body.bufs = core::ptr::null_mut();
            }
        }
    }

    /// Bytes of the last `peek` are used up.
    ///
    /// # Safety
    /// The request must be live, and `count` not more than what `peek` gave.
    pub unsafe fn consume(&mut self, count: usize) {
        // SAFETY: as promised by the caller.
        unsafe {
            if let Some(link) = self.first.as_mut() {
                (*link.buf).pos = (*link.buf).pos.add(count);
            }
        }
    }
}

/// Whether nothing more will come, after [`Body::peek`] gave nothing.
///
/// # Safety
/// `r` must be live.
pub unsafe fn is_over(r: *mut ngx_http_request_t) -> bool {
    // SAFETY: as promised by the caller.
    unsafe { flags::reading_body(r) == 0 }
}

/// Whether the client of a request, whose body has been read, has left.
///
/// # Safety
/// `r` must be live.
pub unsafe fn client_left(r: *mut ngx_http_request_t) -> bool {
    // SAFETY: the connection of a live request is open.
    unsafe {
        let c = &*(*r).connection;
        if c.error() != 0 || (*c.read).eof() != 0 || (*c.read).pending_eof() != 0 {
            return true;
        }
        // A stream of HTTP/2 shares its socket with others.
        if !(*r).stream.is_null() {
            return false;
        }
        let mut byte = [0_u8; 1];
        libc::recv(c.fd, byte.as_mut_ptr().cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) == 0
    }
}
