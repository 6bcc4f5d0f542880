//! Which storage an upstream request goes to next.

use core::ffi::c_void;
use std::net::SocketAddr;

use fdfs_core::http::Fault;
use ngx::ffi::*;

use crate::guard::guard;
use crate::nginx::{self, DONE, ERROR, OK};
use crate::remote::Context;
use crate::{keepalive, worker};

/// The storages of one request, in the order they are asked.
pub struct Candidates {
    list: Vec<Candidate>,
    at: usize,
    /// A cached connection turned out dead: the same storage again, over a new one.
    fresh: bool,
    /// A storage before this one could not be asked.
    failed: bool,
}

struct Candidate {
    addr: SocketAddr,
    raw: libc::sockaddr_storage,
    raw_len: libc::socklen_t,
    text: Box<[u8]>,
    name: ngx_str_t,
}

impl Candidates {
    /// Candidates in order.
    pub fn new(order: Vec<SocketAddr>) -> Self {
        let list = order.into_iter().map(Candidate::new).collect();
        Self { list, at: 0, fresh: false, failed: false }
    }

    /// Whether no storage is left and some could not be asked: then a missing file is not certain.
    pub fn is_last_and_doubtful(&self) -> bool {
        self.failed && self.at + 1 >= self.list.len()
    }
}

impl Candidate {
    fn new(addr: SocketAddr) -> Self {
        let (raw, raw_len) = raw(addr);
        let text: Box<[u8]> = addr.to_string().into_bytes().into();
        // The box does not move when the candidate does.
        let name = ngx_str_t { len: text.len(), data: text.as_ptr().cast_mut() };
        Self { addr, raw, raw_len, text, name }
    }
}

/// An address as the socket calls want it.
pub fn raw(addr: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: an address structure of all zero bytes is valid.
    let mut storage: libc::sockaddr_storage = unsafe { core::mem::zeroed() };
    let at = &raw mut storage;
    let len = match addr {
        SocketAddr::V4(addr) => {
            let value = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: addr.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(addr.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: `sockaddr_storage` is large and aligned enough for every address structure.
            unsafe { at.cast::<libc::sockaddr_in>().write(value) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(addr) => {
            let value = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: addr.port().to_be(),
                sin6_flowinfo: addr.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                sin6_scope_id: addr.scope_id(),
            };
            // SAFETY: as above.
            unsafe { at.cast::<libc::sockaddr_in6>().write(value) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, len as libc::socklen_t)
}

/// Called by nginx for every request before the first connection.
pub unsafe extern "C" fn init(r: *mut ngx_http_request_t, _: *mut ngx_http_upstream_srv_conf_t) -> ngx_int_t {
    // SAFETY: nginx passes the live request whose context `remote::start` has set.
    guard(ERROR, || unsafe {
        let Some(context) = nginx::context::<Context>(r) else { return ERROR };
        let peer = &mut (*(*r).upstream).peer;
        peer.tries = context.candidates.list.len();
        // Not the request: nginx forgets the contexts of a request that a filter refuses.
        peer.data = (&raw mut *context).cast();
        peer.get = Some(get);
        peer.free = Some(free);
        OK
    })
}

unsafe extern "C" fn get(pc: *mut ngx_peer_connection_t, data: *mut c_void) -> ngx_int_t {
    // SAFETY: `data` is the context of `init`, live as long as its request.
    guard(ERROR, || unsafe {
        let Some(context) = data.cast::<Context>().as_mut() else { return ERROR };
        let candidates = &mut context.candidates;
        let Some(candidate) = candidates.list.get_mut(candidates.at) else { return NGX_BUSY as ngx_int_t };
        let pc = &mut *pc;
        pc.sockaddr = (&raw mut candidate.raw).cast();
        pc.socklen = candidate.raw_len;
        debug_assert_eq!(candidate.text.len(), candidate.name.len);
        pc.name = &raw mut candidate.name;
        pc.set_cached(0);
        pc.connection = core::ptr::null_mut();
        if candidates.fresh {
            return OK;
        }
        match keepalive::take(candidate.addr, pc.log) {
            Some(connection) => {
                pc.connection = connection;
                pc.set_cached(1);
                DONE
            }
            None => OK,
        }
    })
}

unsafe extern "C" fn free(pc: *mut ngx_peer_connection_t, data: *mut c_void, state: ngx_uint_t) {
    // SAFETY: as for `get`.
    guard((), || unsafe {
        let Some(context) = data.cast::<Context>().as_mut() else { return };
        let pc = &mut *pc;
        let failed = state & NGX_PEER_FAILED as ngx_uint_t != 0;
        let next = state & NGX_PEER_NEXT as ngx_uint_t != 0;
        let candidates = &mut context.candidates;
        let addr = candidates.list.get(candidates.at).map(|candidate| candidate.addr);
        let timed_out = pc.connection.as_ref().is_some_and(|connection| {
            (*connection.read).timedout() != 0 || (*connection.write).timedout() != 0
        });
        // nginx gives one more try for a cached connection that the storage had closed meanwhile.
        let stale = failed && pc.cached() != 0 && !timed_out && context.fault.is_none() && !candidates.fresh;
        match addr {
            Some(addr) if failed && !stale => {
                candidates.failed = true;
                // A refusal speaks of this file only.
                if !matches!(context.fault, Some(Fault::Refused(_))) {
                    worker::with_health(|health| health.failed(addr, nginx::now_ms()));
                }
            }
            Some(addr) if !failed => worker::with_health(|health| health.answered(addr)),
            _ => {}
        }
        candidates.fresh = stale;
        if (failed || next) && !stale {
            candidates.at += 1;
        }
        pc.tries = pc.tries.saturating_sub(1);
        if let Some(addr) = addr.filter(|_| !failed) {
            keepalive::offer(pc, &*(*context.r).upstream, addr);
        }
    });
}
