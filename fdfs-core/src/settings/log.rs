//! Keys about log files, which the sections `[error-log]` and `[access-log]` may set on their own.

use serde::Deserialize;

use super::check::Check;
use super::types::{Secs, Size, TimeOfDay, TimePrecision};
use crate::conf::{Entry, GLOBAL, Ini, Nested};

/// `[error-log]`, the daemon's own log; what the section does not say is taken from the global keys.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct LogSettings {
    /// Seconds, default 1: longest time that a line waits in memory.
    pub sync_log_buff_interval: Secs,
    /// Default true: a new file each day at `log_file_rotate_time`.
    pub log_file_rotate_everyday: bool,
    /// Time of day, default 00:00.
    pub log_file_rotate_time: TimeOfDay,
    /// Bytes, default 0 = never, at most 64 GB: a new file when this one is larger.
    pub log_file_rotate_on_size: Size,
    /// Default false: compress old files with gzip.
    pub log_file_compress_old: bool,
    /// Days, default 1: age of the files that are compressed.
    pub log_file_compress_days_before: u32,
    /// Days, default 15, 0 = for ever: older files are deleted.
    pub log_file_keep_days: u32,
    /// Time of day, default 01:30: when old files are deleted.
    pub log_file_delete_old_time: TimeOfDay,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            sync_log_buff_interval: Secs(1),
            log_file_rotate_everyday: true,
            log_file_rotate_time: TimeOfDay::new(0, 0),
            log_file_rotate_on_size: Size(0),
            log_file_compress_old: false,
            log_file_compress_days_before: 1,
            log_file_keep_days: 15,
            log_file_delete_old_time: TimeOfDay::new(1, 30),
        }
    }
}

/// `[access-log]`, a line per request; what the section does not say is taken from the global keys, except
/// `enabled` and `time_precision`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct AccessLogSettings {
    /// Default false: write the access log.
    pub enabled: bool,
    /// Unit of the times in it: `ms` (default) or `us`.
    pub time_precision: TimePrecision,
    /// As in [`LogSettings`].
    pub sync_log_buff_interval: Secs,
    /// As in [`LogSettings`].
    pub log_file_rotate_everyday: bool,
    /// As in [`LogSettings`].
    pub log_file_rotate_time: TimeOfDay,
    /// As in [`LogSettings`].
    pub log_file_rotate_on_size: Size,
    /// As in [`LogSettings`].
    pub log_file_compress_old: bool,
    /// As in [`LogSettings`].
    pub log_file_compress_days_before: u32,
    /// As in [`LogSettings`].
    pub log_file_keep_days: u32,
    /// As in [`LogSettings`].
    pub log_file_delete_old_time: TimeOfDay,
}

impl Default for AccessLogSettings {
    fn default() -> Self {
        let log = LogSettings::default();
        Self {
            enabled: false,
            time_precision: TimePrecision::default(),
            sync_log_buff_interval: log.sync_log_buff_interval,
            log_file_rotate_everyday: log.log_file_rotate_everyday,
            log_file_rotate_time: log.log_file_rotate_time,
            log_file_rotate_on_size: log.log_file_rotate_on_size,
            log_file_compress_old: log.log_file_compress_old,
            log_file_compress_days_before: log.log_file_compress_days_before,
            log_file_keep_days: log.log_file_keep_days,
            log_file_delete_old_time: log.log_file_delete_old_time,
        }
    }
}

impl AccessLogSettings {
    /// The keys that both logs have.
    pub fn file(&self) -> LogSettings {
        LogSettings {
            sync_log_buff_interval: self.sync_log_buff_interval,
            log_file_rotate_everyday: self.log_file_rotate_everyday,
            log_file_rotate_time: self.log_file_rotate_time,
            log_file_rotate_on_size: self.log_file_rotate_on_size,
            log_file_compress_old: self.log_file_compress_old,
            log_file_compress_days_before: self.log_file_compress_days_before,
            log_file_keep_days: self.log_file_keep_days,
            log_file_delete_old_time: self.log_file_delete_old_time,
        }
    }
}

/// Field name of [`LogSettings`] in the settings of a daemon.
pub(super) const ERROR_LOG: Nested = Nested::Section("error-log", &[]);
/// Field name of [`AccessLogSettings`].
pub(super) const ACCESS_LOG: Nested = Nested::Section("access-log", &["enabled", "time_precision"]);

/// Keys of versions before 6.14, and what they became (storage 2.4).
const OLD_KEYS: [(&str, &str, &str); 11] = [
    ("rotate_error_log", "error-log", "log_file_rotate_everyday"),
    ("error_log_rotate_time", "error-log", "log_file_rotate_time"),
    ("compress_old_error_log", "error-log", "log_file_compress_old"),
    ("compress_error_log_days_before", "error-log", "log_file_compress_days_before"),
    ("rotate_error_log_size", "error-log", "log_file_rotate_on_size"),
    ("use_access_log", "access-log", "enabled"),
    ("rotate_access_log", "access-log", "log_file_rotate_everyday"),
    ("access_log_rotate_time", "access-log", "log_file_rotate_time"),
    ("compress_old_access_log", "access-log", "log_file_compress_old"),
    ("compress_access_log_days_before", "access-log", "log_file_compress_days_before"),
    ("rotate_access_log_size", "access-log", "log_file_rotate_on_size"),
];

/// Copies the old keys to where the new ones stand, unless a new one is there already.
pub(super) fn adopt_old_keys(ini: &mut Ini, sections: &[&str]) {
    for (old, section, new) in OLD_KEYS {
        let taken = ini.get(section, new).is_some() || (new != "enabled" && ini.get(GLOBAL, new).is_some());
        let Some(entry) = ini.get(GLOBAL, old).cloned() else { continue };
        if taken || !sections.contains(&section) {
            continue;
        }
        let index = ini.open(section, entry.at.clone());
        ini.push(index, Entry { key: new.into(), ..entry });
    }
}

/// Notes about the old keys.
pub(super) const OLD_LOG_KEYS: [(&str, &str); 11] = [
    ("rotate_error_log", "log_file_rotate_everyday in [error-log] does the same; the old key still counts"),
    ("error_log_rotate_time", "log_file_rotate_time in [error-log] does the same; the old key still counts"),
    (
        "compress_old_error_log",
        "log_file_compress_old in [error-log] does the same; the old key still counts",
    ),
    (
        "compress_error_log_days_before",
        "log_file_compress_days_before in [error-log] does the same; the old key still counts",
    ),
    (
        "rotate_error_log_size",
        "log_file_rotate_on_size in [error-log] does the same; the old key still counts",
    ),
    ("use_access_log", "enabled in [access-log] does the same; the old key still counts"),
    ("rotate_access_log", "log_file_rotate_everyday in [access-log] does the same; the old key still counts"),
    (
        "access_log_rotate_time",
        "log_file_rotate_time in [access-log] does the same; the old key still counts",
    ),
    (
        "compress_old_access_log",
        "log_file_compress_old in [access-log] does the same; the old key still counts",
    ),
    (
        "compress_access_log_days_before",
        "log_file_compress_days_before in [access-log] does the same; the old key still counts",
    ),
    (
        "rotate_access_log_size",
        "log_file_rotate_on_size in [access-log] does the same; the old key still counts",
    ),
];

impl Check<'_> {
    /// Ranges of the log keys, which `section` or the global one holds.
    pub fn log(&mut self, section: &str, log: &mut LogSettings) {
        let place = |key: &str, check: &Self| {
            if check.ini.get(section, key).is_some() { section } else { GLOBAL }.to_owned()
        };
        if log.sync_log_buff_interval.0 == 0 {
            let section = place("sync_log_buff_interval", self);
            self.warn(&section, "sync_log_buff_interval", "1 is used instead");
            log.sync_log_buff_interval = Secs(1);
        }
        if log.log_file_compress_days_before == 0 {
            let section = place("log_file_compress_days_before", self);
            self.warn(&section, "log_file_compress_days_before", "1 is used instead");
            log.log_file_compress_days_before = 1;
        }
        const MAX_SIZE: u64 = 64 << 30;
        if log.log_file_rotate_on_size.0 > MAX_SIZE {
            let section = place("log_file_rotate_on_size", self);
            self.warn(&section, "log_file_rotate_on_size", "64GB is used instead");
            log.log_file_rotate_on_size = Size(MAX_SIZE);
        }
    }
}
