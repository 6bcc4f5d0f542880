//! What runs beside the requests: the trackers, replication, what is saved now and then.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fdfs_net::daemon::Refusal;
use fdfs_net::{CancellationToken, Part};
use tokio::time::Instant;

use crate::access::AccessLog;
use crate::lag::Watch;
use crate::link::{self, Calls, TrackerAddrs};
use crate::recovery;
use crate::storage::Storage;
use crate::sync;

/// Between two looks at what is to be saved.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts all of them.
pub fn start(
    storage: &Arc<Storage>,
    trackers: &[TrackerAddrs],
    stop: &CancellationToken,
) -> Result<Vec<Part<io::Result<()>>>, Refusal> {
    let calls = Calls::new(storage, trackers);
    let given = || (Arc::clone(storage), calls.clone(), stop.clone());
    let (cluster, sync, state) = (given(), given(), given());
    let parts = [
        Part::start("cluster".into(), move || async move {
            let (storage, calls, stop) = cluster;
            recovery::run(&storage, &calls, &stop).await?;
            link::run(&storage, calls, &stop).await;
            Ok(())
        }),
        Part::start("sync".into(), move || async move {
            let (storage, calls, stop) = sync;
            sync::run(&storage, &calls, &stop).await;
            Ok(())
        }),
        Part::start("state".into(), move || async move {
            let (storage, _, stop) = state;
            keep_stat(&storage, &stop).await;
            Ok(())
        }),
    ];
    let parts = parts.into_iter().collect::<io::Result<_>>();
    parts.map_err(|error| Refusal::io("cannot start a thread", &error))
}

/// Looks every second whether peers have fallen behind; brings the binlog to the disk every `sync_binlog_buff_interval`, and the
/// counters every `sync_stat_file_interval`, when they have changed.
async fn keep_stat(storage: &Storage, stop: &CancellationToken) {
    let every = storage.settings.sync_stat_file_interval.duration().max(Duration::from_secs(1));
    let mut last = storage.stat.sums();
    let mut saved = Instant::now();
    let binlog_every = storage.settings.sync_binlog_buff_interval.duration();
    let mut watch = Watch::default();
    let (mut synced, mut synced_at) = (storage.binlog.end(), Instant::now());
    while tokio::time::timeout(LOOK_EVERY, stop.cancelled()).await.is_err() {
        if let Some(Err(error)) = storage.access.as_ref().map(AccessLog::flush) {
            tracing::error!(%error, "the access log cannot be written");
        }
        watch.look(storage);
        let end = storage.binlog.end();
        if end != synced && synced_at.elapsed() >= binlog_every {
            (synced, synced_at) = (end, Instant::now());
            if let Err(error) = storage.binlog.sync() {
                tracing::error!(%error, "the binlog cannot be brought to the disk");
            }
        }
        if saved.elapsed() < every {
            continue;
        }
        saved = Instant::now();
        let sums = storage.stat.sums();
        if sums != last {
            last = sums;
            if let Err(error) = storage.save_stat() {
                tracing::error!("{error}");
            }
        }
    }
}
