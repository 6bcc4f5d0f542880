//! Content on its way from a storage to the client, and what is put around it: the frame of several ranges, the
//! head of a part of an FLV file.

use core::ffi::c_void;

use fdfs_core::http::{FLV_HEAD, Multipart};
use fdfs_core::wire::Header;
use ngx::ffi::*;

use crate::guard::guard;
use crate::nginx::{self, ERROR, OK};
use crate::remote::{self, Context};
use crate::splice;

/// Bytes of the header before each part.
const HEAD: i64 = Header::SIZE as i64;

/// What [`Context`] keeps about the content.
#[derive(Default)]
pub struct Around {
    /// Content that the first answer of the storage brings, bytes.
    pub body: u64,
    /// [`FLV_HEAD`] goes first.
    pub flv_head: bool,
    /// Several ranges.
    pub frame: Option<Multipart>,
    /// CRC32 of what has come, and of the file: a file that is not the one of its id is not kept.
    pub check: Option<(crc32fast::Hasher, u32)>,
    /// Index of the range under way.
    at: usize,
    /// The header of a later range comes next.
    expects_head: bool,
}

impl Around {
    /// Content of this many bytes and nothing else.
    pub fn plain(body: u64) -> Self {
        Self { body, ..Self::default() }
    }
}

pub unsafe extern "C" fn init(data: *mut c_void) -> ngx_int_t {
    // SAFETY: `data` is the request that `remote::start` set; its upstream has a pipe.
    guard(ERROR, || unsafe {
        let r = data.cast::<ngx_http_request_t>();
        let Some(context) = nginx::context::<Context>(r) else { return ERROR };
        let around = &context.around;
        let upstream = &mut *(*r).upstream;
        upstream.length = i64::try_from(around.body).unwrap_or(0);
        (*upstream.pipe).length = upstream.length;
        let before = match (&around.frame, around.flv_head) {
            (Some(frame), _) => frame.before(0),
            (None, true) => FLV_HEAD.to_vec(),
            (None, false) => return OK,
        };
        if add(&mut *upstream.pipe, &before) { OK } else { ERROR }
    })
}

pub unsafe extern "C" fn filter(pipe: *mut ngx_event_pipe_t, buffer: *mut ngx_buf_t) -> ngx_int_t {
    // SAFETY: nginx passes its pipe, whose `input_ctx` is the live request, and a buffer it just filled.
    guard(ERROR, || unsafe {
        let r = (*pipe).input_ctx.cast::<ngx_http_request_t>();
        let Some(context) = nginx::context::<Context>(r) else { return ERROR };
        let (pipe, buffer) = (&mut *pipe, &mut *buffer);
        if context.around.expects_head && !take_head(r, context, pipe, buffer) {
            return ERROR;
        }
        if buffer.pos == buffer.last {
            return ngx_event_pipe_add_free_buf(pipe, buffer);
        }
        let wanted = pipe.length;
        let came = buffer.last.offset_from(buffer.pos) as i64;
        if let Some((crc, _)) = &mut context.around.check {
            let content = nginx::between(buffer.pos, buffer.last);
            let ours = usize::try_from(wanted).unwrap_or(0).min(content.len());
            crc.update(content.get(..ours).unwrap_or_default());
        }
        let rc = ngx_event_pipe_copy_input_filter(pipe, buffer);
        if rc != OK || wanted < 0 || came < wanted {
            if rc == OK && context.around.frame.is_none() {
                splice::take_over(r, context, pipe);
            }
            return rc;
        }
        let upstream = &mut *(*r).upstream;
        match context.fetch.next_part() {
            Some(_) if came > wanted => {
                nginx::log_request(NGX_LOG_ERR, r, "storage not believed: more than the range asked for");
                ERROR
            }
            Some(request) => next_range(context, pipe, upstream, &request),
            None => {
                if let Some((crc, want)) = context.around.check.take()
                    && crc.finalize() != want
                {
                    nginx::log_request(NGX_LOG_WARN, r, "not kept: the content has another crc than its id");
                    upstream.set_cacheable(0);
                }
                // More than announced: nginx cuts it, and the connection is not used again.
                upstream.set_keepalive(u32::from(came == wanted));
                pipe.set_upstream_done(1);
                let around = &context.around;
                let end = around.frame.as_ref().is_none_or(|frame| add(pipe, &frame.before(around.at + 1)));
                if end { OK } else { ERROR }
            }
        }
    })
}

/// # Safety
/// Pipe and upstream must be those of the live request of `context`.
unsafe fn next_range(
    context: &mut Context,
    pipe: &mut ngx_event_pipe_t,
    upstream: &ngx_http_upstream_t,
    request: &[u8],
) -> ngx_int_t {
    let around = &mut context.around;
    around.at += 1;
    around.expects_head = true;
    // nginx calls the filter when as much has come: the header is then there as a whole.
    pipe.length = HEAD;
    // SAFETY: as promised by the caller.
    unsafe {
        let framed = around.frame.as_ref().is_some_and(|frame| add(pipe, &frame.before(around.at)));
        if framed && remote::send(upstream.peer.connection, request) { OK } else { ERROR }
    }
}

/// Reads the header before a later range; false when the storage is not believed.
///
/// # Safety
/// All must belong to the live request `r`; the buffer holds `pos..last`.
unsafe fn take_head(
    r: *mut ngx_http_request_t,
    context: &mut Context,
    pipe: &mut ngx_event_pipe_t,
    buffer: &mut ngx_buf_t,
) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        let fault = match nginx::between(buffer.pos, buffer.last).first_chunk() {
            Some(head) => match context.fetch.part_head(head) {
                Ok(length) => {
                    buffer.pos = buffer.pos.add(Header::SIZE);
                    pipe.length = i64::try_from(length).unwrap_or(0);
                    context.around.expects_head = false;
                    return true;
                }
                Err(fault) => fault.to_string(),
            },
            None => "half a header".to_owned(),
        };
        nginx::log_request(NGX_LOG_ERR, r, &format!("storage not believed: {fault}"));
        false
    }
}

/// Puts bytes of our own behind what has come; false when there is no memory.
///
/// # Safety
/// The pipe must be live.
unsafe fn add(pipe: &mut ngx_event_pipe_t, bytes: &[u8]) -> bool {
    // SAFETY: buffer and link are new, in the pipe's pool; `last_in` is valid while `in_` is not null.
    unsafe {
        let buffer = ngx_create_temp_buf(pipe.pool, bytes.len());
        let link = ngx_alloc_chain_link(pipe.pool);
        if buffer.is_null() || link.is_null() {
            return false;
        }
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), (*buffer).last, bytes.len());
        (*buffer).last = (*buffer).last.add(bytes.len());
        (*link).buf = buffer;
        (*link).next = core::ptr::null_mut();
        if pipe.in_.is_null() {
            pipe.in_ = link;
        } else {
            *pipe.last_in = link;
        }
        pipe.last_in = &raw mut (*link).next;
        true
    }
}
