//! Idle connections to storages, kept per worker.

use std::cell::RefCell;
use std::net::SocketAddr;

use ngx::ffi::*;

use crate::guard::guard;
use crate::nginx::{self, OK};

/// Idle connections of a worker; the oldest makes room.
const IDLE_MAX: usize = 64;
/// Longest idle time, ms.
const IDLE_MS: ngx_msec_t = 60_000;

struct Idle {
    connection: *mut ngx_connection_t,
    addr: SocketAddr,
}

thread_local! {
    static IDLE: RefCell<Vec<Idle>> = const { RefCell::new(Vec::new()) };
}

/// The idle connection to `addr` that was used last.
///
/// # Safety
/// `log` must live as long as the connection is in use.
pub unsafe fn take(addr: SocketAddr, log: *mut ngx_log_t) -> Option<*mut ngx_connection_t> {
    let connection = IDLE.with_borrow_mut(|idle| {
        let at = idle.iter().rposition(|one| one.addr == addr)?;
        Some(idle.remove(at).connection)
    })?;
    // SAFETY: connections in the list are open; their handlers remove them before they close.
    unsafe {
        let c = &mut *connection;
        c.set_idle(0);
        c.sent = 0;
        c.data = core::ptr::null_mut();
        set_log(c, log);
        if (*c.read).timer_set() != 0 {
            ngx_del_timer(c.read);
        }
    }
    Some(connection)
}

/// Keeps the connection of a finished exchange when it can carry another one.
///
/// # Safety
/// Only from the balancer's `free`, with nginx's own structures.
pub unsafe fn offer(pc: &mut ngx_peer_connection_t, upstream: &ngx_http_upstream_t, addr: SocketAddr) {
    // SAFETY: `pc.connection` is null or open, with both events and a pool of its own.
    unsafe {
        let Some(c) = pc.connection.as_mut() else { return };
        let (read, write) = (&mut *c.read, &mut *c.write);
        let broken = read.eof() | read.error() | read.timedout() | write.error() | write.timedout();
        let used_up = upstream.keepalive() == 0 || upstream.request_body_sent() == 0;
        if broken != 0 || used_up || c.pool.is_null() || ngx_terminate != 0 || ngx_exiting != 0 {
            return;
        }
        if ngx_handle_read_event(read, 0) != OK {
            return;
        }
        make_room();
        pc.connection = core::ptr::null_mut();
        read.set_delayed(0);
        ngx_add_timer(read, IDLE_MS);
        if write.timer_set() != 0 {
            ngx_del_timer(write);
        }
        write.handler = Some(ignore);
        read.handler = Some(idle);
        c.data = (&raw mut *c).cast();
        c.set_idle(1);
        set_log(c, nginx::cycle_log());
        let ready = read.ready() != 0;
        IDLE.with_borrow_mut(|idle| idle.push(Idle { connection: c, addr }));
        if ready {
            look(c);
        }
    }
}

/// Closes all, at the end of the worker.
pub fn close_all() {
    for one in IDLE.take() {
        // SAFETY: connections in the list are open.
        unsafe { close(one.connection) };
    }
}

fn make_room() {
    let oldest = IDLE.with_borrow_mut(|idle| (idle.len() >= IDLE_MAX).then(|| idle.remove(0)));
    if let Some(oldest) = oldest {
        // SAFETY: as above.
        unsafe { close(oldest.connection) };
    }
}

unsafe extern "C" fn ignore(_: *mut ngx_event_t) {}

unsafe extern "C" fn idle(event: *mut ngx_event_t) {
    // SAFETY: nginx passes the event of a connection that `offer` stored.
    guard((), || unsafe { look((*event).data.cast()) });
}

/// Something happened to an idle connection: stay only when there is nothing to read.
///
/// # Safety
/// `connection` must be in the list.
unsafe fn look(connection: *mut ngx_connection_t) {
    // SAFETY: open, as it is in the list.
    unsafe {
        let c = &mut *connection;
        if c.close() == 0 && (*c.read).timedout() == 0 {
            let mut byte = [0_u8; 1];
            let got = libc::recv(c.fd, byte.as_mut_ptr().cast(), 1, libc::MSG_PEEK);
            if got == -1 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock {
                (*c.read).set_ready(0);
                if ngx_handle_read_event(c.read, 0) == OK {
                    return;
                }
            }
        }
        IDLE.with_borrow_mut(|idle| idle.retain(|one| one.connection != connection));
        close(connection);
    }
}

/// # Safety
/// `connection` must be open, in no list, and have its own pool.
unsafe fn close(connection: *mut ngx_connection_t) {
    // SAFETY: as promised by the caller.
    unsafe {
        let pool = (*connection).pool;
        ngx_close_connection(connection);
        if !pool.is_null() {
            ngx_destroy_pool(pool);
        }
    }
}

/// # Safety
/// `c` must be open and have a pool.
unsafe fn set_log(c: &mut ngx_connection_t, log: *mut ngx_log_t) {
    // SAFETY: as promised by the caller.
    unsafe {
        c.log = log;
        (*c.read).log = log;
        (*c.write).log = log;
        (*c.pool).log = log;
    }
}
