//! State of a worker process: what the trackers told, which storages failed. nginx's workers have one thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use fdfs_core::http::{Health, Peers};
use ngx::ffi::*;

use crate::guard::guard;
use crate::nginx::OK;
use crate::settings::SiteConf;
use crate::{conf, keepalive, parked, tracker};

thread_local! {
    static HEALTH: RefCell<Health> = RefCell::default();
    static PEERS: RefCell<HashMap<u64, Rc<Peers>>> = RefCell::default();
}

/// nginx starts a worker.
pub unsafe extern "C" fn start(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    guard((), || {
        for site in conf::sites_of(cycle) {
            if !site.trackers.is_empty() {
                tracker::watch(site);
            }
        }
    });
    // A worker without trackers still serves its own files.
    OK
}

/// nginx ends a worker.
pub unsafe extern "C" fn stop(_: *mut ngx_cycle_t) {
    guard((), || {
        tracker::close_all();
        keepalive::close_all();
    });
}

/// Uses the record of failures.
pub fn with_health<T>(body: impl FnOnce(&mut Health) -> T) -> T {
    HEALTH.with_borrow_mut(body)
}

/// What the trackers of `site` told last; `None` before the first answer.
pub fn peers(site: &SiteConf) -> Option<Rc<Peers>> {
    PEERS.with_borrow(|all| all.get(&site.number).cloned())
}

/// A tracker has answered.
pub fn set_peers(site: &SiteConf, peers: Peers) {
    let first = PEERS.with_borrow_mut(|all| all.insert(site.number, Rc::new(peers)).is_none());
    if first {
        parked::wake_all();
    }
}
