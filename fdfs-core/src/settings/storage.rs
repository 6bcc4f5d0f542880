//! `storage.conf` (storage 2, replication 4).

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use super::Settings;
use super::addrs::{Addrs, STORAGE_PORT, one_or_more};
use super::check::Check;
use super::log::{self, ACCESS_LOG, AccessLogSettings, ERROR_LOG, LogSettings, OLD_LOG_KEYS};
use super::store_paths::{self, StorePathConf};
use super::tracker::{MAX_MEMORY, OLD_KEYS};
use super::types::{
    AddressFamily, Durability, LogFormat, LogLevel, Millis, OnTimeout, Secs, Size, SyncThreads, TimeOfDay,
    group_or_none, port, port_or_none,
};
use crate::conf::{ConfError, GLOBAL, Ini, Rules};
use crate::ident::GroupName;
use crate::wire::MinCopies;

const MIN_BUFFER: Size = Size(8192);

/// `storage.conf`. After `load` every value is within its range.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct StorageSettings {
    /// Default false: true makes the daemon exit at once with code 125.
    pub disabled: bool,
    /// The group this storage belongs to; not written: a tracker tells it.
    #[serde(deserialize_with = "group_or_none")]
    pub group_name: Option<GroupName>,
    /// One address, or an IPv4 and an IPv6 one with a comma; empty: all. The daemon listens there.
    pub bind_addr: String,
    /// Address for the inner network, with `outer_bind_addr` instead of `bind_addr`.
    pub inner_bind_addr: String,
    /// Address for the outer network.
    pub outer_bind_addr: String,
    /// Default true: connections to trackers and storages come from `bind_addr`.
    pub client_bind: bool,
    /// Default 23000: TCP port.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// Port on the inner address, default `port`.
    #[serde(deserialize_with = "port_or_none")]
    pub inner_port: Option<u16>,
    /// Port on the outer address, default `port`.
    #[serde(deserialize_with = "port_or_none")]
    pub outer_port: Option<u16>,
    /// Default `auto`: `IPv4`, `IPv6` or `both`.
    pub address_family: AddressFamily,
    /// Number of this storage in `storage_ids.conf`, when its address does not tell; empty: ask a tracker.
    pub server_id: Option<String>,
    /// Seconds, default 10: longest wait for a connection.
    pub connect_timeout: Secs,
    /// Seconds: longest wait for one read or write. See [`Self::peer_timeout`] and [`Self::client_timeout`].
    pub network_timeout: Option<Secs>,
    /// Default true: acknowledge received segments at once.
    pub tcp_quick_ack: bool,
    /// Seconds, default 30: period of the beats to the trackers.
    pub heart_beat_interval: Secs,
    /// Seconds, default 300: period of the reports of free space.
    pub stat_report_interval: Secs,
    /// Folder of data and logs; required, created if its parent is there.
    pub base_path: String,
    /// Default 256: connections at one time; the limit of open files is raised to fit.
    pub max_connections: u32,
    /// Bytes, default 256KB, 8KB to 2GB: buffer of a connection. Values below 65546, which the existing
    /// daemon refuses, are fine here.
    pub buff_size: Size,
    /// Bytes: first size of a connection's buffer. Only counts together with `max_buff_size`.
    pub min_buff_size: Option<Size>,
    /// Bytes: greatest size of a connection's buffer.
    pub max_buff_size: Option<Size>,
    /// Default 1: threads that accept connections.
    pub accept_threads: u32,
    /// Default 4: threads that serve connections.
    pub work_threads: u32,
    /// Default true: own threads for reading and writing, per store path.
    pub disk_rw_separated: bool,
    /// Default 1: reading threads per store path.
    pub disk_reader_threads: u32,
    /// Default 1: writing threads per store path.
    pub disk_writer_threads: u32,
    /// Bytes, default 512KB, at least 64KB: stack of a thread. The existing daemon has 256KB, with which it
    /// does not start.
    pub thread_stack_size: Size,
    /// Default 1, at most 256: replication streams per peer that are kept when idle.
    pub sync_min_threads: SyncThreads,
    /// Default `auto` = twice the store paths, at most 256: replication streams per peer.
    pub sync_max_threads: SyncThreads,
    /// Milliseconds, default 100: wait before the binlog is looked at again. Records of this daemon's own
    /// uploads do not wait.
    pub sync_wait_msec: Millis,
    /// Milliseconds, default 0: pause after each replicated batch.
    pub sync_interval: Millis,
    /// Bytes a second, default 0 = no limit: replication to each peer sends no more. New here.
    pub sync_max_bandwidth: Size,
    /// Bytes a second, default 0 = off: files are read again at this rate and compared with the crc in their names. New
    /// here.
    pub scrub_bandwidth: Size,
    /// Seconds, default 604800: a scrub begins this long after the one before. New here.
    pub scrub_interval: Secs,
    /// Time of day, default 00:00: start of the daily time for replication.
    pub sync_start_time: TimeOfDay,
    /// Time of day, default 23:59: its end. 00:00 to 23:59 means always.
    pub sync_end_time: TimeOfDay,
    /// Default 500: replicated files after which the mark is written.
    pub write_mark_file_freq: u32,
    /// Default 1: threads that rebuild a store path.
    pub disk_recovery_threads: u32,
    /// The trackers, 1 to 16; required.
    #[serde(deserialize_with = "one_or_more")]
    pub tracker_server: Vec<Addrs>,
    /// Default `info`: least urgent lines in the log.
    pub log_level: LogLevel,
    /// Default `classic`: layout of the log, or `json`. New here.
    pub log_format: LogFormat,
    /// Group to run as; empty: unchanged.
    pub run_by_group: String,
    /// User to run as; empty: unchanged.
    pub run_by_user: String,
    /// Who may connect, repeatable: `*` (default) for everybody, address, network, host name, `10.0.1.[1-15,20]`.
    #[serde(deserialize_with = "one_or_more")]
    pub allow_hosts: Vec<String>,
    /// Default 0 = none: port of the metrics, Prometheus text at `/metrics` over HTTP. New here.
    pub metrics_port: u16,
    /// Address for it, default that of `bind_addr`, or all. New here.
    #[serde(deserialize_with = "super::types::ip_or_none")]
    pub metrics_bind_addr: Option<IpAddr>,
    /// Default 256, 1 to 256: folders per level in each store path.
    pub subdir_count_per_path: u16,
    /// Default 1, 1 to 256: number of store paths; see [`Self::store_paths`].
    pub store_path_count: u32,
    /// Default 0: folder for a new file: 0 in turn, 1 by its name.
    pub file_distribute_path_mode: u8,
    /// Default 100: files in one folder before the next one is used.
    pub file_distribute_rotate_count: u32,
    /// Default `os`: what is acknowledged survives the end of the process; `group`: also a power cut, by flushes of the disk
    /// that uploads of the same milliseconds share. New here.
    pub durability: Durability,
    /// Default 1, 1 to 32: members, this one included, that have a change before it is answered. A client may ask for another
    /// number on its connection. New here.
    pub min_copies: u32,
    /// Milliseconds, default 1000, at most 600000: longest wait for them. When so many members are not active, there is none.
    /// New here.
    pub min_copies_timeout: Millis,
    /// Default `ok`: what is answered then; `fail` answers 110, and the change stays. New here.
    pub min_copies_on_timeout: OnTimeout,
    /// Seconds, default 60: longest time that binlog records wait in memory in the existing daemon.
    pub sync_binlog_buff_interval: Secs,
    /// Seconds, default 60: period at which counters are saved.
    pub sync_stat_file_interval: Secs,
    /// Default 10: smaller ones are preferred for uploads when `store_server` of the tracker is 2.
    pub upload_priority: i32,
    /// Up to 4 prefixes of network interfaces whose addresses are this machine's; empty: all.
    pub if_alias_prefix: String,
    /// Default false: an upload whose content is here already becomes a link to it. An index of this storage's own says what is
    /// here; FastDHT servers are not needed.
    pub check_file_duplicate: bool,
    /// Default `hash` (SHA-256), or `md5`: what finds equal content, which is then compared.
    pub file_signature_method: String,
    /// Prefix of this cluster's keys in FastDHT: accepted, not needed.
    pub key_namespace: String,
    /// Default false: keep connections to FastDHT servers: accepted, not needed.
    pub keep_alive: bool,
    /// Default false: replication skips a record that the peer finds invalid.
    pub file_sync_skip_invalid_record: bool,
    /// Default false: keep connections to other storages.
    pub use_connection_pool: bool,
    /// Seconds, default 3600: an unused connection is closed after this time.
    pub connection_pool_max_idle_time: Secs,
    /// Default false: compress old binlog files.
    pub compress_binlog: bool,
    /// Time of day, default 01:30: when.
    pub compress_binlog_time: TimeOfDay,
    /// Default true: refuse a store path that was made for another storage.
    pub check_store_path_mark: bool,
    /// Keys about the log, also in a section `[error-log]`.
    #[serde(rename = "error-log")]
    pub error_log: LogSettings,
    /// The section `[access-log]`.
    #[serde(rename = "access-log")]
    pub access_log: AccessLogSettings,
    /// `store_path0`, `store_path1`, … with `store_path0_readonly`, …; never empty after `load`.
    #[serde(skip)]
    pub store_paths: Vec<StorePathConf>,
    /// `group0`, `group1`, …: addresses of FastDHT servers, which nobody asks.
    #[serde(skip)]
    pub dht_groups: Vec<Vec<String>>,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self {
            disabled: false,
            group_name: None,
            bind_addr: String::new(),
            inner_bind_addr: String::new(),
            outer_bind_addr: String::new(),
            client_bind: true,
            port: STORAGE_PORT,
            inner_port: None,
            outer_port: None,
            address_family: AddressFamily::default(),
            server_id: None,
            connect_timeout: Secs(10),
            network_timeout: None,
            tcp_quick_ack: true,
            heart_beat_interval: Secs(30),
            stat_report_interval: Secs(300),
            base_path: String::new(),
            max_connections: 256,
            buff_size: Size(256 << 10),
            min_buff_size: None,
            max_buff_size: None,
            accept_threads: 1,
            work_threads: 4,
            disk_rw_separated: true,
            disk_reader_threads: 1,
            disk_writer_threads: 1,
            thread_stack_size: Size(512 << 10),
            sync_min_threads: SyncThreads(Some(1)),
            sync_max_threads: SyncThreads(None),
            sync_wait_msec: Millis(100),
            sync_interval: Millis(0),
            sync_max_bandwidth: Size(0),
            scrub_bandwidth: Size(0),
            scrub_interval: Secs(604_800),
            sync_start_time: TimeOfDay::new(0, 0),
            sync_end_time: TimeOfDay::new(23, 59),
            write_mark_file_freq: 500,
            disk_recovery_threads: 1,
            tracker_server: Vec::new(),
            log_level: LogLevel::default(),
            log_format: LogFormat::default(),
            run_by_group: String::new(),
            run_by_user: String::new(),
            allow_hosts: vec!["*".into()],
            metrics_port: 0,
            metrics_bind_addr: None,
            subdir_count_per_path: 256,
            store_path_count: 1,
            file_distribute_path_mode: 0,
            file_distribute_rotate_count: 100,
            durability: Durability::default(),
            min_copies: 1,
            min_copies_timeout: Millis(1000),
            min_copies_on_timeout: OnTimeout::default(),
            sync_binlog_buff_interval: Secs(60),
            sync_stat_file_interval: Secs(60),
            upload_priority: 10,
            if_alias_prefix: String::new(),
            check_file_duplicate: false,
            file_signature_method: "hash".into(),
            key_namespace: String::new(),
            keep_alive: false,
            file_sync_skip_invalid_record: false,
            use_connection_pool: false,
            connection_pool_max_idle_time: Secs(3600),
            compress_binlog: false,
            compress_binlog_time: TimeOfDay::new(1, 30),
            check_store_path_mark: true,
            error_log: LogSettings::default(),
            access_log: AccessLogSettings::default(),
            store_paths: Vec::new(),
            dht_groups: Vec::new(),
        }
    }
}

impl StorageSettings {
    /// Longest wait on connections that the daemon opens: `network_timeout`, default 30 s.
    pub fn peer_timeout(&self) -> Duration {
        self.network_timeout.map_or(Duration::from_secs(30), Secs::duration)
    }

    /// Longest wait on connections that it accepts: `network_timeout`, default 60 s.
    pub fn client_timeout(&self) -> Duration {
        self.network_timeout.map_or(Duration::from_secs(60), Secs::duration)
    }

    /// Buffer of a connection: the greater of `buff_size` and, when both bounds are given, `max_buff_size`.
    pub fn buffer(&self) -> usize {
        match (self.min_buff_size, self.max_buff_size) {
            (Some(_), Some(max)) => max.max(self.buff_size).bytes(),
            _ => self.buff_size.bytes(),
        }
    }

    /// Threads of a store path that read; without separation all threads do both.
    pub fn readers(&self) -> usize {
        self.disk_threads(self.disk_reader_threads)
    }

    /// Threads of a store path that write.
    pub fn writers(&self) -> usize {
        self.disk_threads(self.disk_writer_threads)
    }

    fn disk_threads(&self, own: u32) -> usize {
        let all = self.disk_reader_threads.saturating_add(self.disk_writer_threads);
        usize::try_from(if self.disk_rw_separated { own } else { all }).unwrap_or(usize::MAX).clamp(1, 256)
    }

    /// Replication streams per peer: when idle, and at most.
    pub fn sync_threads(&self) -> (u16, u16) {
        let min = self.sync_min_threads.0.unwrap_or(1).clamp(1, 256);
        (min, self.sync_max_threads.resolve(self.store_paths.len()).max(min))
    }

    /// Whether replication runs at all hours.
    pub fn sync_always(&self) -> bool {
        self.sync_start_time == TimeOfDay::new(0, 0) && self.sync_end_time == TimeOfDay::new(23, 59)
    }
}

impl Settings for StorageSettings {
    const RULES: Rules = Rules {
        nested: &[ERROR_LOG, ACCESS_LOG],
        known: |section, key| {
            let dht = || key == "group_count" || dht_index(key).is_some();
            section == GLOBAL && (store_paths::is_key(key) || dht())
        },
        obsolete: &[
            OLD_KEYS[0],
            OLD_KEYS[1],
            OLD_KEYS[2],
            OLD_LOG_KEYS[0],
            OLD_LOG_KEYS[1],
            OLD_LOG_KEYS[2],
            OLD_LOG_KEYS[3],
            OLD_LOG_KEYS[4],
            OLD_LOG_KEYS[5],
            OLD_LOG_KEYS[6],
            OLD_LOG_KEYS[7],
            OLD_LOG_KEYS[8],
            OLD_LOG_KEYS[9],
            OLD_LOG_KEYS[10],
            ("fsync_after_written_bytes", "it never had an effect"),
            ("disk_rw_direct", "it has had no effect for a long time"),
        ],
    };

    fn adopt(ini: &mut Ini) {
        log::adopt_old_keys(ini, &["error-log", "access-log"]);
    }

    fn finish(&mut self, check: &mut Check<'_>) -> Result<(), ConfError> {
        check.folder("base_path", &mut self.base_path, "the folder for data and logs")?;
        check.trackers(&self.tracker_server)?;
        self.store_paths = check.global_store_paths(self.store_path_count, &self.base_path)?;
        self.finish_identity(check)?;
        self.finish_zeros(check);
        self.finish_threads(check)?;
        let longest = Millis(MinCopies::LONGEST_MS.into());
        check.clamp("min_copies_timeout", &mut self.min_copies_timeout, Millis(0), longest);
        check.clamp("buff_size", &mut self.buff_size, MIN_BUFFER, MAX_MEMORY);
        check.clamp("thread_stack_size", &mut self.thread_stack_size, Size(64 << 10), MAX_MEMORY);
        check.buffers(&mut self.min_buff_size, &mut self.max_buff_size, MIN_BUFFER);
        check.not_blank("allow_hosts", &self.allow_hosts)?;
        check.pool(self.connection_pool_max_idle_time)?;
        check.log("error-log", &mut self.error_log);
        check.access_log(&mut self.access_log);
        if !(1..=256).contains(&self.subdir_count_per_path) {
            return Err(check.bad(GLOBAL, "subdir_count_per_path", "a whole number 1..256"));
        }
        self.finish_duplicates(check);
        Ok(())
    }
}

impl StorageSettings {
    fn finish_identity(&mut self, check: &Check<'_>) -> Result<(), ConfError> {
        if check.ini.get(GLOBAL, "group_name").is_some() && self.group_name.is_none() {
            return Err(check.bad(
                GLOBAL,
                "group_name",
                "a group name of 1 to 16 characters A-Z, a-z and 0-9",
            ));
        }
        let bad_id = |id: &String| {
            let number: u32 = id.parse().unwrap_or_default();
            id.starts_with(['0', '+']) || !(1..=16_777_215).contains(&number)
        };
        if self.server_id.as_ref().is_some_and(bad_id) {
            return Err(check.bad(
                GLOBAL,
                "server_id",
                "a number 1..16777215 without zeros in front, or nothing",
            ));
        }
        Ok(())
    }

    /// Values whose zero stands for the default.
    fn finish_zeros(&mut self, check: &mut Check<'_>) {
        let default = Self::default();
        check.zero_is_default("connect_timeout", &mut self.connect_timeout, default.connect_timeout);
        if self.network_timeout == Some(Secs(0)) {
            check.warn(GLOBAL, "network_timeout", "the default 30 is used");
            self.network_timeout = Some(Secs(30));
        }
        check.zero_is_default(
            "heart_beat_interval",
            &mut self.heart_beat_interval,
            default.heart_beat_interval,
        );
        check.zero_is_default(
            "stat_report_interval",
            &mut self.stat_report_interval,
            default.stat_report_interval,
        );
        check.zero_is_default("max_connections", &mut self.max_connections, default.max_connections);
        check.zero_is_default("sync_wait_msec", &mut self.sync_wait_msec, default.sync_wait_msec);
        check.zero_is_default(
            "write_mark_file_freq",
            &mut self.write_mark_file_freq,
            default.write_mark_file_freq,
        );
        let rotate = &mut self.file_distribute_rotate_count;
        check.zero_is_default("file_distribute_rotate_count", rotate, default.file_distribute_rotate_count);
        let binlog = &mut self.sync_binlog_buff_interval;
        check.zero_is_default("sync_binlog_buff_interval", binlog, default.sync_binlog_buff_interval);
        let stat = &mut self.sync_stat_file_interval;
        check.zero_is_default("sync_stat_file_interval", stat, default.sync_stat_file_interval);
    }

    fn finish_threads(&mut self, check: &Check<'_>) -> Result<(), ConfError> {
        check.positive("accept_threads", self.accept_threads, u32::MAX)?;
        check.positive("work_threads", self.work_threads, u32::MAX)?;
        check.positive("disk_recovery_threads", self.disk_recovery_threads, u32::MAX)?;
        check.positive("min_copies", self.min_copies, MinCopies::MOST)?;
        if self.disk_rw_separated {
            check.positive("disk_reader_threads", self.disk_reader_threads, u32::MAX)?;
            check.positive("disk_writer_threads", self.disk_writer_threads, u32::MAX)?;
        } else if self.disk_reader_threads == 0 && self.disk_writer_threads == 0 {
            let expected = "1 or more, or disk_reader_threads of 1 or more";
            return Err(check.bad(GLOBAL, "disk_writer_threads", expected));
        }
        Ok(())
    }

    /// FastDHT servers, which an existing configuration may name.
    fn finish_duplicates(&mut self, check: &Check<'_>) {
        let servers = (0..).map(|number| {
            check.ini.all(GLOBAL, &format!("group{number}")).map(|entry| entry.value.clone()).collect()
        });
        self.dht_groups = servers.take_while(|servers: &Vec<String>| !servers.is_empty()).collect();
    }
}

/// Number of a key `group0`, `group1`, …
fn dht_index(key: &str) -> Option<u32> {
    key.strip_prefix("group")?.parse().ok()
}

impl Check<'_> {
    /// Ranges of the keys of the access log.
    fn access_log(&mut self, log: &mut AccessLogSettings) {
        let mut file = log.file();
        self.log("access-log", &mut file);
        log.sync_log_buff_interval = file.sync_log_buff_interval;
        log.log_file_compress_days_before = file.log_file_compress_days_before;
        log.log_file_rotate_on_size = file.log_file_rotate_on_size;
    }
}
