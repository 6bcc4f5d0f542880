//! `compress_binlog`: once a day, closed files of the replication log are compressed.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fdfs_net::CancellationToken;
use fdfs_net::log::local_time;

use crate::storage::Storage;

/// Between two looks for something to compress.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// What begins with the daemon comes first.
const FIRST: Duration = Duration::from_secs(1);

/// Runs until `stop`, while it is configured. Blocks.
///
/// A file is due when the daily time has passed since it was closed: a run that the daemon slept through is made up for.
pub(crate) fn run(storage: &Arc<Storage>, stop: &CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut wait = FIRST;
    loop {
        let stopped = runtime.block_on(async { tokio::time::timeout(wait, stop.cancelled()).await.is_ok() });
        if stopped {
            return Ok(());
        }
        wait = LOOK_EVERY;
        let Some(at) = storage.schedule.load().compress_at else { continue };
        let since = since(at.seconds(), local_time().second_of_day());
        let Some(closed_before) = SystemTime::now().checked_sub(since) else { continue };
        match storage.binlog.compress(needed(storage), closed_before, || stop.is_cancelled()) {
            Ok(done) if done.files > 0 => tracing::info!(
                files = done.files,
                bytes = done.before,
                compressed = done.after,
                "files of the replication log were compressed"
            ),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a file of the replication log cannot be compressed"),
        }
    }
}

/// The oldest file that a connected peer has not got past: reading it is quicker as it is.
fn needed(storage: &Storage) -> u32 {
    let lags = storage.peers.lags();
    let connected = lags.iter().filter(|(_, lag)| lag.connected);
    connected.map(|(_, lag)| lag.confirmed.index).min().unwrap_or(u32::MAX)
}

/// How long ago it was `at` last; both are seconds of the day.
fn since(at: u32, now: i32) -> Duration {
    const DAY: u32 = 24 * 3600;
    let now = u32::try_from(now).unwrap_or(0);
    Duration::from_secs(((now + DAY - at % DAY) % DAY).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daily_time_was_less_than_a_day_ago() {
        let hour = |hours: u32| hours * 3600;
        let now = |hours: u32| i32::try_from(hour(hours)).unwrap();
        assert_eq!(since(hour(1), now(3)), Duration::from_secs(7200));
        assert_eq!(since(hour(3), now(1)), Duration::from_secs(22 * 3600));
        assert_eq!(since(hour(3), now(3)), Duration::ZERO);
        assert_eq!(since(hour(24), now(3)), Duration::from_secs(3 * 3600));
    }
}
