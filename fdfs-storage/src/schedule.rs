//! When work in the background runs, and how fast: what SIGHUP changes in a running storage.

use std::time::Duration;

use fdfs_core::settings::{StorageSettings, TimeOfDay};

/// Fields of [`StorageSettings`] that are part of it.
#[cfg_attr(feature = "sim", allow(dead_code))]
pub const KEYS: [&str; 8] = [
    "compress_binlog",
    "compress_binlog_time",
    "scrub_bandwidth",
    "scrub_interval",
    "sync_end_time",
    "sync_interval",
    "sync_max_bandwidth",
    "sync_start_time",
];

/// Times and rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Daily time at which files of the log are compressed; `None`: never.
    pub compress_at: Option<TimeOfDay>,
    /// Daily begin and end of replication; `None`: always.
    pub sync_times: Option<(TimeOfDay, TimeOfDay)>,
    /// Pause after each batch.
    pub sync_pause: Duration,
    /// Bytes a second to each peer; 0: no limit.
    pub sync_bandwidth: u64,
    /// Bytes a second of the scrub; 0: off.
    pub scrub_bandwidth: u64,
    /// From the begin of a scrub to that of the next.
    pub scrub_period: Duration,
}

impl Schedule {
    /// What the settings say.
    pub fn of(settings: &StorageSettings) -> Self {
        let times = (settings.sync_start_time, settings.sync_end_time);
        Self {
            compress_at: settings.compress_binlog.then_some(settings.compress_binlog_time),
            sync_times: Some(times).filter(|_| !settings.sync_always()),
            sync_pause: settings.sync_interval.duration(),
            sync_bandwidth: settings.sync_max_bandwidth.bytes() as u64,
            scrub_bandwidth: settings.scrub_bandwidth.0,
            scrub_period: settings.scrub_interval.duration().max(Duration::from_secs(1)),
        }
    }
}
