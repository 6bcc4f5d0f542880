//! What a storage tells a Prometheus (counters of storage 15, and what operators ask).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use fdfs_core::fileid::StorePath;
use fdfs_core::wire::list::stat;
use fdfs_net::metrics::{Labels, Page, Requests, Traffic};

use crate::storage::{Storage, now};
use crate::sync::Lag;

const PREFIX: &str = "fdfs_storage";
const MIB: u64 = 1 << 20;

/// Pairs of total and success of storage 15.
const OPERATIONS: [(&str, usize); 13] = [
    ("upload", stat::UPLOAD),
    ("append", stat::APPEND),
    ("modify", stat::MODIFY),
    ("truncate", stat::TRUNCATE),
    ("download", stat::DOWNLOAD),
    ("delete", stat::DELETE),
    ("set_metadata", stat::SET_META),
    ("get_metadata", stat::GET_META),
    ("create_link", stat::CREATE_LINK),
    ("delete_link", stat::DELETE_LINK),
    ("file_open", stat::FILE_OPEN),
    ("file_read", stat::FILE_READ),
    ("file_write", stat::FILE_WRITE),
];
const BYTES: [(&str, usize); 6] = [
    ("upload", stat::UPLOAD_BYTES),
    ("append", stat::APPEND_BYTES),
    ("modify", stat::MODIFY_BYTES),
    ("download", stat::DOWNLOAD_BYTES),
    ("sync_in", stat::SYNC_IN_BYTES),
    ("sync_out", stat::SYNC_OUT_BYTES),
];

/// What the page is written from.
pub fn page(
    storage: &Arc<Storage>,
    traffic: Arc<Traffic>,
    requests: Arc<Requests>,
) -> impl Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static {
    let storage = Arc::clone(storage);
    move |page| {
        page.gauges(
            "fdfs_storage_info",
            "1; who this storage is.",
            [(
                vec![
                    ("group", storage.identity.group.to_string()),
                    ("storage", storage.identity.id.to_string()),
                ] as Labels,
                1,
            )],
        )?;
        page.gauge("fdfs_storage_start_time_seconds", "Start, Unix time.", storage.started)?;
        counters(page, &storage)?;
        paths(page, &storage)?;
        replication(page, &storage)?;
        copies(page, &storage)?;
        scrub(page, &storage)?;
        traffic.write(page, PREFIX)?;
        requests.write(page, PREFIX)?;
        storage.stages.as_ref().map_or(Ok(()), |stages| stages.write(page))
    }
}

fn counters(page: &mut Page<'_>, storage: &Storage) -> fmt::Result {
    let sums = storage.stat.sums();
    let value = |at: usize| sums.get(at).and_then(|sum| u64::try_from(*sum).ok()).unwrap_or(0);
    let rows = |all: &'static [(&'static str, usize)]| {
        all.iter().flat_map(move |(name, at)| {
            let row = |result: &str, n: u64| {
                (vec![("operation", (*name).to_owned()), ("result", result.to_owned())] as Labels, n)
            };
            [row("success", value(at + 1)), row("failure", value(*at).saturating_sub(value(at + 1)))]
        })
    };
    page.counters(
        "fdfs_storage_operations_total",
        "Operations since the data directory was made, as in storage_stat.dat.",
        rows(&OPERATIONS),
    )?;
    page.counters("fdfs_storage_bytes_total", "Bytes of operations, likewise.", rows(&BYTES))?;
    let time = |at: usize| sums.get(at).copied().unwrap_or(0);
    page.gauge(
        "fdfs_storage_last_source_update_seconds",
        "Last change by a client, Unix time.",
        time(stat::LAST_SOURCE_UPDATE),
    )?;
    page.gauge(
        "fdfs_storage_last_sync_update_seconds",
        "Last change by another member, Unix time.",
        time(stat::LAST_SYNC_UPDATE),
    )
}

fn paths(page: &mut Page<'_>, storage: &Storage) -> fmt::Result {
    let each = |of: &dyn Fn(StorePath) -> i64| -> Vec<(Labels, i64)> {
        let label = |path| vec![("path", storage.paths.base(path).display().to_string())];
        storage.paths.indexes().map(|path| (label(path), of(path))).collect()
    };
    let bytes = |mib: u64| signed(mib.saturating_mul(MIB));
    page.gauges(
        "fdfs_storage_path_size_bytes",
        "Size of the file system of a store path.",
        each(&|path| bytes(storage.paths.space(path).total_mib)),
    )?;
    page.gauges(
        "fdfs_storage_path_free_bytes",
        "Free space there.",
        each(&|path| bytes(storage.paths.space(path).free_mib)),
    )?;
    page.gauges(
        "fdfs_storage_path_takes_files",
        "1: new files may go there.",
        each(&|path| storage.paths.dir(path).takes_files().into()),
    )?;
    let conditions = storage.paths.indexes().map(|path| {
        let labels = vec![
            ("path", storage.paths.base(path).display().to_string()),
            ("condition", storage.paths.condition(path).word().to_owned()),
        ];
        (labels, 1)
    });
    page.gauges("fdfs_storage_path_condition", "1 for the condition that its disk is in.", conditions)
}

fn replication(page: &mut Page<'_>, storage: &Storage) -> fmt::Result {
    let lags = storage.lags();
    let each = |of: &dyn Fn(&Lag) -> i64| -> Vec<(Labels, i64)> {
        lags.iter().map(|(peer, lag)| (vec![("peer", peer.to_string())], of(lag))).collect()
    };
    let now = now();
    page.gauges(
        "fdfs_storage_peer_connected",
        "1: changes flow to this member.",
        each(&|lag| lag.connected.into()),
    )?;
    page.gauges(
        "fdfs_storage_peer_full_copy",
        "1: it gets its first, full copy.",
        each(&|lag| lag.full_copy.into()),
    )?;
    page.gauges(
        "fdfs_storage_peer_lag_records",
        "Records of the log that it does not have.",
        each(&|lag| signed(lag.records)),
    )?;
    page.gauges(
        "fdfs_storage_peer_lag_log_bytes",
        "Bytes of the log that it does not have.",
        each(&|lag| signed(lag.log_bytes)),
    )?;
    page.gauges(
        "fdfs_storage_peer_unconfirmed_bytes",
        "Bytes of content that were sent and are not confirmed.",
        each(&|lag| signed(lag.content_bytes)),
    )?;
    page.gauges(
        "fdfs_storage_peer_lag_seconds",
        "Age of the oldest change that it does not have.",
        each(&|lag| lag.oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0))),
    )?;
    page.gauges(
        "fdfs_storage_peer_set_aside",
        "Changes that it refused and that are tried again.",
        each(&|lag| i64::try_from(lag.aside).unwrap_or(i64::MAX)),
    )?;
    let arrived = storage.synced.times().into_iter();
    page.gauges(
        "fdfs_storage_source_synced_seconds",
        "Everything of this member up to this Unix time is here.",
        arrived.map(|(source, time)| (vec![("source", source.to_string())] as Labels, time)),
    )
}

fn copies(page: &mut Page<'_>, storage: &Storage) -> fmt::Result {
    let row = |result: &str, n: u64| (vec![("result", result.to_owned())] as Labels, n);
    let all = &storage.copies;
    page.counters(
        "fdfs_storage_min_copies_answers_total",
        "Answers that waited for other members: with as many copies as wanted, or with fewer.",
        [row("reached", all.reached.load(Relaxed)), row("short", all.short.load(Relaxed))],
    )
}

fn scrub(page: &mut Page<'_>, storage: &Storage) -> fmt::Result {
    let all = &storage.scrubbed;
    page.counter("fdfs_storage_scrub_files_total", "Files that the scrub read.", all.files.load(Relaxed))?;
    page.counter(
        "fdfs_storage_scrub_damaged_total",
        "Damaged files that it found.",
        all.damaged.load(Relaxed),
    )?;
    page.counter(
        "fdfs_storage_scrub_healed_total",
        "Of those, replaced by a good copy at once.",
        all.healed.load(Relaxed),
    )
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
