//! Answers that wait until other members have the change too: `min_copies`, or what a client asks for on its connection.
//!
//! A change counts as with a member when that member has confirmed all records of its files up to it; what else it does
//! not have, or refuses, holds up nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use fdfs_core::binlog::Window;
use fdfs_core::fileid::FileName;
use fdfs_core::ident::StorageStatus;
use fdfs_core::settings::{OnTimeout, StorageSettings};
use fdfs_core::wire::{MinCopies, Status};
use tokio::time::{Instant, timeout_at};

use crate::service::Refused;
use crate::storage::Storage;

/// How the waits ended.
#[derive(Default)]
pub struct Copies {
    /// With enough copies.
    pub reached: AtomicU64,
    /// With fewer.
    pub short: AtomicU64,
    /// The last one did.
    is_short: AtomicBool,
}

/// What the changes of a connection wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    copies: usize,
    wait: Duration,
    on_timeout: OnTimeout,
}

impl Wish {
    /// What is configured; `None`: nothing is waited for.
    pub fn configured(settings: &StorageSettings) -> Option<Self> {
        Self::asked(settings, MinCopies::new(0, Duration::ZERO, None))
    }

    /// What a client asks for.
    pub fn asked(settings: &StorageSettings, asked: MinCopies) -> Option<Self> {
        let copies = asked.copies().unwrap_or(settings.min_copies);
        let wait = asked.wait().unwrap_or_else(|| settings.min_copies_timeout.duration());
        let on_timeout = asked.on_timeout().unwrap_or(settings.min_copies_on_timeout);
        (copies > 1).then(|| Self { copies: usize::try_from(copies).unwrap_or(usize::MAX), wait, on_timeout })
    }
}

impl Storage {
    /// Returns when so many members have all changes of `files` that are logged and visible now, or when they do not in
    /// time and that is good enough.
    pub(crate) async fn wait_copies(
        &self,
        wish: Wish,
        files: impl IntoIterator<Item = FileName>,
    ) -> Result<(), Refused> {
        let end = Instant::now() + wish.wait;
        let keys = files.into_iter().map(|file| Window::key(&file.logic())).collect();
        let missing = self.missing(wish, keys, end).await;
        let short = missing > 0;
        let count = if short { &self.copies.short } else { &self.copies.reached };
        count.fetch_add(1, Relaxed);
        if self.copies.is_short.swap(short, Relaxed) != short {
            match short {
                true => tracing::warn!(
                    wanted = wish.copies,
                    have = wish.copies - missing,
                    "changes are answered with fewer copies than wanted: see which members lag"
                ),
                false => tracing::info!(wanted = wish.copies, "changes have as many copies as wanted again"),
            }
        }
        match (short, wish.on_timeout) {
            (true, OnTimeout::Fail) => {
                let (have, wanted) = (wish.copies - missing, wish.copies);
                let why = format!("{have} of {wanted} members have the change, which stays");
                Err(Refused::new(Status::TIMEDOUT, why))
            }
            _ => Ok(()),
        }
    }

    /// Copies that are missing when the time is over, or earlier: when members that are not active would be needed, nobody
    /// waits for them.
    async fn missing(&self, wish: Wish, keys: Arc<[u64]>, end: Instant) -> usize {
        let mut missing = wish.copies - 1;
        let members = self.members.list();
        let active: Vec<_> = members
            .iter()
            .filter(|member| member.status == StorageStatus::Active && member.id != self.identity.id)
            .map(|member| member.id)
            .collect();
        // Even when it will not be enough: those that have it are counted.
        let last = if active.len() < missing { Instant::now() } else { end };
        let mut told = self.peers.ask(&keys, self.binlog.settled(), |peer| active.contains(peer));
        while missing > 0 {
            match timeout_at(last, told.recv()).await {
                Ok(Some(())) => missing -= 1,
                Ok(None) | Err(_) => break,
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fdfs_core::settings::Millis;

    #[test]
    fn a_client_may_ask_for_more_and_for_less() {
        let settings = StorageSettings::default();
        assert_eq!(Wish::configured(&settings), None);
        let asked = MinCopies::new(2, Duration::ZERO, Some(OnTimeout::Fail));
        let wait = Duration::from_secs(1);
        let wish = Wish { copies: 2, wait, on_timeout: OnTimeout::Fail };
        assert_eq!(Wish::asked(&settings, asked), Some(wish));
        let settings = StorageSettings { min_copies: 3, min_copies_timeout: Millis(50), ..settings };
        let wait = Duration::from_millis(50);
        let wish = Wish { copies: 3, wait, on_timeout: OnTimeout::Ok };
        assert_eq!(Wish::configured(&settings), Some(wish));
        assert_eq!(Wish::asked(&settings, MinCopies::new(1, Duration::ZERO, None)), None);
    }
}
