//! Limits of a server that change while it runs.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

use crate::allow::AllowHosts;

/// What was changed since the start; at first nothing.
#[derive(Default)]
pub struct Live {
    allow: RwLock<Option<AllowHosts>>,
    /// 0: as at the start.
    max_connections: AtomicUsize,
}

impl Live {
    /// From now on these may connect. Connections that are open stay.
    pub fn set_allow(&self, allow: AllowHosts) {
        *self.allow.write().unwrap_or_else(PoisonError::into_inner) = Some(allow);
    }

    /// From now on so many connections are taken.
    pub fn set_max_connections(&self, most: usize) {
        self.max_connections.store(most.max(1), Relaxed);
    }

    #[cfg_attr(feature = "sim", allow(dead_code))]
    pub(super) fn allows(&self, at_start: &AllowHosts, ip: IpAddr) -> bool {
        self.allow.read().unwrap_or_else(PoisonError::into_inner).as_ref().unwrap_or(at_start).allows(ip)
    }

    #[cfg_attr(feature = "sim", allow(dead_code))]
    pub(super) fn max_connections(&self, at_start: usize) -> usize {
        match self.max_connections.load(Relaxed) {
            0 => at_start,
            most => most,
        }
    }
}
