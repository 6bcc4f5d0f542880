//! The scrub: all files, one after the other, at a limited rate.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fdfs_core::fileid::{FileName, StorePath};
use fdfs_core::wire::Status;
use fdfs_net::CancellationToken;

use super::heal::quarantined;
use super::{Verdict, check, heal, quarantine};
use crate::storage::Storage;
use crate::sync::Rate;

/// While it is off, nothing wakes it but a change of that.
const OFF: Duration = Duration::from_secs(24 * 3600);
/// Between two looks for a good copy.
const AGAIN: Duration = Duration::from_secs(2);

/// What a round found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub files: u64,
    pub damaged: u64,
    pub healed: u64,
}

/// What all rounds since the start found.
#[derive(Debug, Default)]
pub struct Scrubbed {
    /// Files that were read.
    pub files: AtomicU64,
    /// Damaged ones.
    pub damaged: AtomicU64,
    /// Of those, replaced by a good copy at once.
    pub healed: AtomicU64,
}

/// Rounds until `stop`, while a rate is configured. Blocks.
pub(crate) fn run(storage: &Arc<Storage>, stop: &CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let schedule = || **storage.schedule.load();
    // At most this time, less if other times or rates come into force; `false` at the end of the daemon.
    let wait = |time: Duration| {
        runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => false,
                () = storage.rescheduled.notified() => true,
                () = tokio::time::sleep(time) => true,
            }
        })
    };
    loop {
        while schedule().scrub_bandwidth == 0 {
            if !wait(OFF) {
                return Ok(());
            }
        }
        pending(storage, &runtime);
        let began = Instant::now();
        let mut rate = runtime.block_on(async { Rate::new(schedule().scrub_bandwidth) });
        let mut found = Found::default();
        for path in storage.paths.indexes() {
            let mut pace = |bytes: u64| {
                while schedule().scrub_bandwidth == 0 {
                    if !wait(OFF) {
                        return false;
                    }
                }
                let time = runtime.block_on(async {
                    rate.set(schedule().scrub_bandwidth);
                    rate.take(bytes)
                });
                !stop.is_cancelled() && (time.is_zero() || wait(time))
            };
            let mut act = |name: &FileName| damaged(storage, &runtime, name);
            round(storage, path, &mut pace, &mut act, &mut found);
        }
        if stop.is_cancelled() {
            return Ok(());
        }
        tracing::info!(?found, seconds = began.elapsed().as_secs(), "scrub: all files were read");
        // Without a good copy somewhere now, there may be one later.
        while pending(storage, &runtime) > 0 && began.elapsed() < schedule().scrub_period {
            if !wait(AGAIN) {
                return Ok(());
            }
        }
        loop {
            let left = schedule().scrub_period.saturating_sub(began.elapsed());
            if left.is_zero() || schedule().scrub_bandwidth == 0 {
                break;
            }
            if !wait(left) {
                return Ok(());
            }
        }
        if !wait(AGAIN.min(schedule().scrub_period)) {
            return Ok(());
        }
    }
}

/// Files that were taken out of the tree and are not there again; fetches what it can.
fn pending(storage: &Arc<Storage>, runtime: &tokio::runtime::Runtime) -> usize {
    let mut left = 0;
    for path in storage.paths.indexes() {
        let left_before = quarantined(storage, path);
        left += left_before
            .iter()
            .filter(|name| {
                let done = runtime.block_on(heal(storage, name, None, false));
                !matches!(done, Ok(Status::OK | Status::EXIST))
            })
            .count();
    }
    left
}

/// All files of a store path.
fn round(
    storage: &Storage,
    path: StorePath,
    pace: &mut impl FnMut(u64) -> bool,
    damaged: &mut impl FnMut(&FileName) -> bool,
    found: &mut Found,
) {
    let count = storage.settings.subdir_count_per_path;
    for dir in (0..count).flat_map(|high| (0..count).map(move |low| (high, low))) {
        let at = storage.paths.base(path).join(format!("data/{:02X}/{:02X}", dir.0, dir.1));
        let Ok(entries) = std::fs::read_dir(at) else { continue };
        for entry in entries.flatten() {
            let file = entry.file_name();
            let logic = [
                format!("M{:02X}/{:02X}/{:02X}/", path.byte(), dir.0, dir.1).as_bytes(),
                file.as_encoded_bytes(),
            ]
            .concat();
            let Ok(name) = FileName::parse(&logic, storage.paths.count()) else { continue };
            // A small file costs more than its bytes.
            if !pace(4096) {
                return;
            }
            found.files += 1;
            storage.scrubbed.files.fetch_add(1, Relaxed);
            let mut act = |name: &FileName| {
                let healed = u64::from(damaged(name));
                (found.damaged, found.healed) = (found.damaged + 1, found.healed + healed);
                storage.scrubbed.damaged.fetch_add(1, Relaxed);
                storage.scrubbed.healed.fetch_add(healed, Relaxed);
            };
            match check(storage, &name, &mut *pace) {
                Ok(Verdict::Damaged) => act(&name),
                Ok(_) => {}
                // Deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::error!(%name, %error, "scrub: cannot be read");
                    act(&name);
                }
            }
        }
    }
}

/// A damaged file is not served any more, whether a good copy is found or not.
fn damaged(storage: &Arc<Storage>, runtime: &tokio::runtime::Runtime, name: &FileName) -> bool {
    tracing::error!(%name, "scrub: the content is not what the name says: it is kept aside, and fetched again");
    if let Err(error) = quarantine(storage, name) {
        tracing::error!(%name, %error, "scrub: cannot be kept aside");
        return false;
    }
    match runtime.block_on(heal(storage, name, None, false)) {
        Ok(Status::OK | Status::EXIST) => true,
        Ok(status) => {
            tracing::error!(%name, "scrub: no other member has a good copy: {}", status.text());
            false
        }
        Err(error) => {
            tracing::error!(%name, %error, "scrub: the good copy cannot be fetched");
            false
        }
    }
}
