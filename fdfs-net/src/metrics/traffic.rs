//! What became of connections.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::page::Page;

/// Counts connections. Written when one begins or ends, never by a request.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Open now.
    pub(crate) open: AtomicUsize,
    /// Most that were open at once.
    pub(crate) peak: AtomicUsize,
    /// Taken.
    pub(crate) accepted: AtomicU64,
    /// Refused: not in `allow_hosts`.
    pub(crate) not_allowed: AtomicU64,
    /// Refused: `max_connections` were open.
    pub(crate) full: AtomicU64,
    /// Failed calls of accept(2), for want of descriptors for example.
    pub(crate) failed: AtomicU64,
    /// Closed while idle to make room.
    pub(crate) reaped: AtomicU64,
    /// Given up: silent for too long, or a header that makes no sense.
    pub(crate) given_up: AtomicU64,
}

impl Traffic {
    pub(crate) fn enter(&self) {
        self.accepted.fetch_add(1, Relaxed);
        self.peak.fetch_max(self.open.fetch_add(1, Relaxed) + 1, Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// Writes `{prefix}_connections…`.
    pub fn write(&self, page: &mut Page<'_>, prefix: &str) -> fmt::Result {
        let number = |of: &AtomicUsize| i64::try_from(of.load(Relaxed)).unwrap_or(i64::MAX);
        page.gauge(&format!("{prefix}_connections"), "Open connections.", number(&self.open))?;
        page.gauge(&format!("{prefix}_connections_peak"), "Most connections at once.", number(&self.peak))?;
        let total = format!("{prefix}_connections_accepted_total");
        page.counter(&total, "Connections that were taken.", self.accepted.load(Relaxed))?;
        let row = |reason: &str, of: &AtomicU64| (vec![("reason", reason.to_owned())], of.load(Relaxed));
        page.counters(
            &format!("{prefix}_connections_refused_total"),
            "Connections that were not taken.",
            [
                row("allow_hosts", &self.not_allowed),
                row("max_connections", &self.full),
                row("accept failed", &self.failed),
            ],
        )?;
        page.counters(
            &format!("{prefix}_connections_ended_total"),
            "Connections that the daemon ended: idle ones to make room, and those that were given up.",
            [row("idle", &self.reaped), row("given up", &self.given_up)],
        )
    }
}
