//! Large contents of a storage's answer go to the client inside the kernel, through a pipe: no copy to and from this process.
//!
//! nginx's own event pipe sends what came first, and ends the request whatever happens. Between these, its two handlers are ours.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, PipeReader, PipeWriter, Result, pipe};
use std::os::fd::{AsRawFd, RawFd};

use ngx::ffi::*;

use crate::guard::guard;
use crate::remote::Context;
use crate::{flags, nginx};

/// Bytes that have to be left for it to pay: a request's calls cost as much as copying some 100 KiB.
const LEAST: i64 = 256 * 1024;
/// Bytes a pipe may hold; with less than a page in each of its slots it holds fewer.
const HELD_MAX: usize = 1024 * 1024;
/// Bytes of one request before others have their turn.
const TURN: usize = 8 * 1024 * 1024;
/// Unused pipes that a worker keeps.
const KEPT: usize = 16;

type Pipe = (PipeReader, PipeWriter);

thread_local! {
    static FREE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A transfer under way.
pub struct Splice {
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
    read: ngx_http_upstream_handler_pt,
    write: ngx_http_event_handler_pt,
}

impl Drop for Splice {
    /// An empty pipe is used again.
    fn drop(&mut self) {
        if let Some(pipe) = self.pipe.take().filter(|_| self.held == 0) {
            FREE.with_borrow_mut(|free| {
                if free.len() < KEPT {
                    free.push(pipe);
                }
            });
        }
    }
}

/// An empty pipe; fails when the system has no room for one that is large enough.
fn take() -> Result<Pipe> {
    if let Some(pipe) = FREE.with_borrow_mut(Vec::pop) {
        return Ok(pipe);
    }
    let pipe = pipe()?;
    // SAFETY: touches nothing but the pipe.
    let size = unsafe { libc::fcntl(pipe.0.as_raw_fd(), libc::F_SETPIPE_SZ, HELD_MAX as libc::c_int) };
    if size < 0 { Err(Error::last_os_error()) } else { Ok(pipe) }
}

/// Moves at most `len` bytes; 0 is the end of `from`, `WouldBlock` what it says.
fn splice(from: RawFd, to: RawFd, len: usize) -> Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    loop {
        // SAFETY: without offsets no memory of this process is touched.
        let moved =
            unsafe { libc::splice(from, core::ptr::null_mut(), to, core::ptr::null_mut(), len, flags) };
        match usize::try_from(moved) {
            Ok(moved) => return Ok(moved),
            Err(_) if Error::last_os_error().kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Error::last_os_error()),
        }
    }
}

/// Takes over the rest of the content, when nobody on the way needs to see its bytes. For the input filter, with the first
/// bytes just added.
///
/// # Safety
/// `r` must be live, sending its content with the event pipe `p`, and `context` its own.
pub unsafe fn take_over(r: *mut ngx_http_request_t, context: &mut Context, p: &mut ngx_event_pipe_t) {
    // SAFETY: as promised by the caller: connections and upstream are there.
    unsafe {
        let c = &*(*r).connection;
        // `sendfile` is off where bytes are encrypted or framed, or somebody wants them copied.
        let plain =
            c.sendfile() != 0 && c.ssl.is_null() && (*r).http_version <= NGX_HTTP_VERSION_11 as ngx_uint_t;
        let alone = core::ptr::eq(r, (*r).main) && core::ptr::eq(c.data, r.cast());
        if context.splice.is_some()
            || p.length < LEAST
            || flags::content_needed(r) != 0
            || (*(*r).upstream).cacheable() != 0
            || !plain
            || !alone
            || (*r).limit_rate != 0
        {
            return;
        }
        let Ok(pipe) = take() else { return };
        let upstream = &mut *(*r).upstream;
        let (read, write) = (upstream.read_event_handler, (*r).write_event_handler);
        context.splice = Some(Splice { pipe: Some(pipe), held: 0, read, write });
        upstream.read_event_handler = Some(readable);
        (*r).write_event_handler = Some(writable);
        // The event pipe reads no more, and returns when it has sent what it can.
        let event = (*upstream.peer.connection).read;
        (*event).set_ready(0);
        ngx_post_event(event, &raw mut ngx_posted_events);
    }
}

unsafe extern "C" fn readable(r: *mut ngx_http_request_t, _: *mut ngx_http_upstream_t) {
    // SAFETY: nginx passes the live request whose handler this is.
    guard((), || unsafe {
        let read = (*(*(*r).upstream).peer.connection).read;
        if (*read).timedout() == 0 {
            (*read).set_ready(1);
        }
        go_on(r);
    });
}

unsafe extern "C" fn writable(r: *mut ngx_http_request_t) {
    // SAFETY: as above.
    guard((), || unsafe { go_on(r) });
}

/// Moves what can be moved. Nothing of the request may be touched afterwards.
///
/// # Safety
/// `r` must be live, and [`take_over`] done.
unsafe fn go_on(r: *mut ngx_http_request_t) {
    // SAFETY: as promised by the caller.
    unsafe {
        let Some(context) = nginx::context::<Context>(r) else { return };
        let Some(state) = &mut context.splice else { return };
        let upstream = (*r).upstream;
        let p = &mut *(*upstream).pipe;
        let (from, to) = (&mut *p.upstream, &mut *p.downstream);
        let timed_out = (*from.read).timedout() | (*to.write).timedout() != 0;
        if !timed_out && !state.step(r, p, from, to) {
            return;
        }
        // To the end: nginx's handlers know what each of the flags means for the request.
        (*upstream).read_event_handler = state.read;
        (*r).write_event_handler = state.write;
        let (read, write) = (state.read, state.write);
        if (*to.write).timedout() != 0 {
            if let Some(write) = write {
                write(r);
            }
        } else if let Some(read) = read {
            read(r, upstream);
        }
    }
}

impl Splice {
    /// True when the transfer is over, with the pipe's flags set.
    ///
    /// # Safety
    /// All must belong to the live request `r`.
    unsafe fn step(
        &mut self,
        r: *mut ngx_http_request_t,
        p: &mut ngx_event_pipe_t,
        from: &mut ngx_connection_t,
        to: &mut ngx_connection_t,
    ) -> bool {
        let Some((reader, writer)) = &self.pipe else { return false };
        // SAFETY: as promised by the caller.
        unsafe {
            let (read, write) = (&mut *from.read, &mut *to.write);
            let sent = |p: &ngx_event_pipe_t| {
                p.busy.is_null()
                    && p.in_.is_null()
                    && p.out.is_null()
                    && flags::buffered(r) == 0
                    && (*p.downstream).buffered() == 0
            };
            if !sent(p) {
                let ready = read.ready();
                read.set_ready(0);
                if ngx_event_pipe(p, 1) != nginx::OK {
                    p.set_upstream_error(1);
                    return true;
                }
                read.set_ready(ready);
                if p.downstream_error() != 0 {
                    return true;
                }
            }
            let mut moved = 0;
            while sent(p) {
                if self.held == 0 {
                    if p.length == 0 {
                        (*(*r).upstream).set_keepalive(1);
                        p.set_upstream_done(1);
                        return true;
                    }
                    if moved >= TURN {
                        ngx_post_event(read, &raw mut ngx_posted_next_events);
                        break;
                    }
                    if read.ready() == 0 {
                        break;
                    }
                    let len = usize::try_from(p.length).unwrap_or(0).min(HELD_MAX);
                    match splice(from.fd, writer.as_raw_fd(), len) {
                        Ok(0) => {
                            p.set_upstream_eof(1);
                            return true;
                        }
                        Ok(came) => {
                            self.held = came;
                            p.length -= came as i64;
                            p.read_length += came as i64;
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => read.set_ready(0),
                        Err(error) => {
                            nginx::log_request(NGX_LOG_ERR, r, &format!("splice from a storage: {error}"));
                            p.set_upstream_error(1);
                            return true;
                        }
                    }
                } else {
                    if write.ready() == 0 {
                        break;
                    }
                    match splice(reader.as_raw_fd(), to.fd, self.held) {
                        Ok(went) => {
                            self.held -= went;
                            moved += went;
                            to.sent += went as i64;
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => write.set_ready(0),
                        Err(error) => {
                            nginx::log_request(NGX_LOG_INFO, r, &format!("splice to the client: {error}"));
                            to.set_error(1);
                            read.set_ready(0);
                            p.set_downstream_error(1);
                            return true;
                        }
                    }
                }
            }
            // Who is waited for: the client when something is left for it, else the storage.
            let client = self.held > 0 || !sent(p);
            limit(read, !client, p.read_timeout);
            if write.delayed() == 0 {
                limit(write, client, p.send_timeout);
            }
            if ngx_handle_read_event(read, 0) != nginx::OK || ngx_handle_write_event(write, 0) != nginx::OK {
                p.set_upstream_error(1);
                return true;
            }
            false
        }
    }
}

/// Starts or ends the time limit of an event.
///
/// # Safety
/// The event must be that of an open connection.
unsafe fn limit(event: &mut ngx_event_t, wanted: bool, ms: ngx_msec_t) {
    // SAFETY: as promised by the caller.
    unsafe {
        if wanted {
            ngx_add_timer(event, ms);
        } else if event.timer_set() != 0 {
            ngx_del_timer(event);
        }
    }
}
