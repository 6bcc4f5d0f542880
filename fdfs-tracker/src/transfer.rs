//! The data files for another tracker (tracker 7.6, served side).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::service::Shared;

/// Most bytes of a file in one answer.
pub const PIECE: usize = 8173;
/// The change log among the files.
pub const CHANGELOG: u8 = 3;
/// How long the files that were made for one reader are new enough for another.
const FRESH: Duration = Duration::from_secs(1);

/// The four files as one tracker reads them from another.
#[derive(Debug)]
pub struct SysFiles {
    made: [Bytes; 3],
    /// [`crate::owner::State::saves`] of what they show.
    saves: u64,
    /// Bytes of the change log, which is read from the disk piece by piece.
    log_size: u64,
}

/// The files that were made last.
#[derive(Debug, Default)]
pub struct Latest(Mutex<Option<(Instant, Arc<SysFiles>)>>);

impl SysFiles {
    /// The files as they would be saved now; counters and times may be a moment old.
    pub fn of(shared: &Shared) -> Arc<Self> {
        let view = shared.owner.view();
        let mut latest = shared.sys_files.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |at: &Instant, files: &Self| at.elapsed() < FRESH && files.saves == view.saves;
        if let Some((_, files)) = latest.as_ref().filter(|(at, files)| same(at, files)) {
            return Arc::clone(files);
        }
        let files = view.cluster.to_files(shared.rules().ids.is_some());
        let made = Arc::new(Self {
            made: [files.groups, files.servers, files.synced].map(Bytes::from),
            saves: view.saves,
            log_size: shared.dir.changelog_size(),
        });
        *latest = Some((Instant::now(), Arc::clone(&made)));
        made
    }

    /// Size of a file, and the next bytes from `offset` on.
    pub fn piece(&self, shared: &Shared, index: u8, offset: i64) -> Option<(i64, Bytes)> {
        let start = u64::try_from(offset).ok()?;
        if index == CHANGELOG {
            let most = self.log_size.checked_sub(start)?.min(PIECE as u64);
            let piece = shared.dir.changelog(start, most).unwrap_or_default();
            return Some((i64::try_from(self.log_size).ok()?, piece.into()));
        }
        let file = self.made.get(usize::from(index))?;
        let start = usize::try_from(start).ok().filter(|start| *start <= file.len())?;
        let piece = file.slice(start..file.len().min(start + PIECE));
        Some((i64::try_from(file.len()).ok()?, piece))
    }
}
