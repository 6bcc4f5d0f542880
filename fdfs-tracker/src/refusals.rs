//! Counts of refused requests with their reasons.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use fdfs_core::cluster::Refusal;

/// Number of refusals per command, status and reason.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: Mutex<BTreeMap<(u8, u8, &'static str), u64>>,
}

impl Refusals {
    /// Counts one. The first of its kind is logged for everybody, the others for those who ask for details.
    pub fn count(&self, cmd: u8, refusal: Refusal, peer: SocketAddr) {
        let key = (cmd, refusal.status.0, refusal.why);
        let first = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(key).or_default();
            *count += 1;
            *count == 1
        };
        if first {
            tracing::info!(%peer, cmd, status = refusal.status.0, "request refused: {}", refusal.why);
        } else {
            tracing::debug!(%peer, cmd, status = refusal.status.0, "request refused: {}", refusal.why);
        }
    }

    /// All counts, by command, status and reason.
    #[cfg_attr(feature = "sim", allow(dead_code))]
    pub fn all(&self) -> BTreeMap<(u8, u8, &'static str), u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes the counts to the log.
    pub fn dump(&self) {
        for ((cmd, status, why), count) in &*self.counts.lock().unwrap_or_else(PoisonError::into_inner) {
            tracing::info!(cmd, status, count, "requests refused: {why}");
        }
    }
}
