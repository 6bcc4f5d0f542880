//! Requests of a worker that started a moment ago: they wait, bounded, for the first list of members.

use core::ffi::c_void;
use std::cell::RefCell;

use fdfs_core::http::Wanted;
use ngx::ffi::*;

use crate::guard::guard;
use crate::nginx::{self, status};
use crate::remote::{self, Start};

/// Longest wait, ms.
const WAIT_MS: ngx_msec_t = 2000;

struct Parked {
    r: *mut ngx_http_request_t,
    file: Wanted,
    here: u32,
    timer: ngx_event_t,
}

thread_local! {
    static PARKED: RefCell<Vec<*mut Parked>> = const { RefCell::new(Vec::new()) };
}

/// Puts a request aside. It goes on with [`wake_all`] or gets 503 when the time is over.
///
/// # Safety
/// `r` must be live and held by one more reference, which this takes over.
pub unsafe fn park(r: *mut ngx_http_request_t, file: Wanted, here: u32) {
    // SAFETY: the request is live; the timer lives in its pool and the cleanup stops it.
    unsafe {
        let timer: ngx_event_t = core::mem::zeroed();
        let parked = nginx::keep((*r).pool, Parked { r, file, here, timer });
        let cleanup = ngx_http_cleanup_add(r, 0);
        if parked.is_null() || cleanup.is_null() {
            ngx_http_finalize_request(r, status(NGX_HTTP_INTERNAL_SERVER_ERROR));
            return;
        }
        (*cleanup).data = parked.cast();
        (*cleanup).handler = Some(abandon);
        let timer = &mut (*parked).timer;
        timer.data = (*r).connection.cast();
        timer.log = (*(*r).connection).log;
        timer.handler = Some(expired);
        timer.set_cancelable(0);
        ngx_add_timer(timer, WAIT_MS);
        // A client that leaves is noticed meanwhile.
        (*r).read_event_handler = Some(ngx_http_test_reading);
        (*r).write_event_handler = Some(ngx_http_request_empty_handler);
        PARKED.with_borrow_mut(|all| all.push(parked));
    }
}

/// Lets every parked request go on.
pub fn wake_all() {
    for parked in PARKED.take() {
        // SAFETY: entries are removed before their request ends. `take` above emptied the list, and going on
        // with one request does not end another one.
        unsafe { go_on(parked, false) };
    }
}

/// # Safety
/// `parked` must belong to a live request.
unsafe fn go_on(parked: *mut Parked, late: bool) {
    // SAFETY: as promised by the caller; after the last line nothing of the request is touched.
    unsafe {
        let parked = &mut *parked;
        stop_timer(parked);
        let (r, connection) = (parked.r, (*parked.r).connection);
        (*r).read_event_handler = Some(ngx_http_block_reading);
        let start = match remote::start(r, &parked.file, parked.here) {
            Start::Wait if late => remote::without_members(r, &parked.file, "no tracker has answered yet"),
            start => start,
        };
        match start {
            Start::Finished(rc) => ngx_http_finalize_request(r, rc),
            Start::Upstream => ngx_http_upstream_init(r),
            Start::Wait => {
                let (file, here) = (parked.file, parked.here);
                park(r, file, here);
            }
        }
        ngx_http_run_posted_requests(connection);
    }
}

unsafe extern "C" fn expired(event: *mut ngx_event_t) {
    guard((), || {
        let find = |all: &mut Vec<*mut Parked>| {
            // SAFETY: entries are removed before their request ends; only the timer's address is taken.
            let at = all.iter().position(|one| unsafe { core::ptr::eq(&raw const (**one).timer, event) })?;
            Some(all.swap_remove(at))
        };
        if let Some(parked) = PARKED.with_borrow_mut(find) {
            // SAFETY: it was in the list, so its request is live.
            unsafe { go_on(parked, true) };
        }
    });
}

/// The request ends, for whatever reason.
unsafe extern "C" fn abandon(data: *mut c_void) {
    guard((), || {
        let parked = data.cast::<Parked>();
        PARKED.with_borrow_mut(|all| all.retain(|one| *one != parked));
        // SAFETY: the request's pool, which holds the entry, is destroyed after its cleanups.
        unsafe { stop_timer(&mut *parked) };
    });
}

/// # Safety
/// The timer must have been set up by `park`.
unsafe fn stop_timer(parked: &mut Parked) {
    if parked.timer.timer_set() != 0 {
        // SAFETY: armed, as tested.
        unsafe { ngx_del_timer(&mut parked.timer) };
    }
}
