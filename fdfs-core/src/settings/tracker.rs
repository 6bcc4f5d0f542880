//! `tracker.conf` (tracker 9.2).

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::addrs::{TRACKER_PORT, one_or_more};
use super::check::Check;
use super::log::{self, ERROR_LOG, LogSettings, OLD_LOG_KEYS};
use super::types::{
    AddrWidth, AddressFamily, FetchAllLayout, IdType, LogFormat, LogLevel, Reserve, Secs, Size, TimeOfDay,
    port, port_or_none,
};
use super::{Settings, StorageIds, Warning, WidthFor};
use crate::conf::{ConfError, GLOBAL, Ini, Rules};
use crate::ident::GroupName;

/// Smallest buffer of a connection.
const MIN_BUFFER: Size = Size(8192);
/// Largest value of a size in memory.
pub(super) const MAX_MEMORY: Size = Size(2 << 30);
const MIN_TRUNK_FILE: Size = Size(4 << 20);
const MAX_SLOT_MIN: Size = Size(64 << 10);

/// `tracker.conf`. After `load` every value is within its range.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct TrackerSettings {
    /// Default false: true makes the daemon exit at once with code 125.
    pub disabled: bool,
    /// One address, or an IPv4 and an IPv6 one with a comma; empty: all. The daemon listens there.
    pub bind_addr: String,
    /// Address for the inner network, with `outer_bind_addr` instead of `bind_addr`.
    pub inner_bind_addr: String,
    /// Address for the outer network.
    pub outer_bind_addr: String,
    /// Default 22122: TCP port.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// Port on the inner address, default `port`.
    #[serde(deserialize_with = "port_or_none")]
    pub inner_port: Option<u16>,
    /// Port on the outer address, default `port`.
    #[serde(deserialize_with = "port_or_none")]
    pub outer_port: Option<u16>,
    /// Default `auto`: `IPv4`, `IPv6` or `both`. IPv6 needs storage ids, in file ids too.
    pub address_family: AddressFamily,
    /// Default `auto`: 46 bytes per address in answers when a storage has an IPv6 address, else 16.
    pub response_ip_addr_size: AddrWidth,
    /// Other bytes per address for the clients of a network, `10.0.0.0/8 16` or `10.0.0.7 46`, repeatable; the longest prefix counts. New here.
    #[serde(deserialize_with = "one_or_more")]
    pub response_ip_addr_size_for: Vec<WidthFor>,
    /// Default `each_port`: layout of the list of all storages of a file, or `one_port` as before 6.16 and for the Java client. New here.
    pub fetch_all_layout: FetchAllLayout,
    /// Seconds, default 10: longest wait for a connection to another tracker.
    pub connect_timeout: Secs,
    /// Seconds, default 60: longest wait for one read or write.
    pub network_timeout: Secs,
    /// Default true: acknowledge received segments at once.
    pub tcp_quick_ack: bool,
    /// Folder of data and logs; required, created if its parent is there.
    pub base_path: String,
    /// Default 256: connections at one time; the limit of open files is raised to fit.
    pub max_connections: u32,
    /// Default 1: threads that accept connections.
    pub accept_threads: u32,
    /// Default 4: threads that serve connections.
    pub work_threads: u32,
    /// Bytes, default 256KB, 8KB to 2GB: longest request body.
    pub buff_size: Size,
    /// Bytes: first size of a connection's buffer. Only counts together with `max_buff_size`.
    pub min_buff_size: Option<Size>,
    /// Bytes: greatest size of a connection's buffer; see [`Self::max_package`].
    pub max_buff_size: Option<Size>,
    /// Default 0: group for an upload: 0 in turn, 1 `store_group`, 2 the one with most free space.
    pub store_lookup: u8,
    /// The group for uploads when `store_lookup` is 1, required then.
    #[serde(deserialize_with = "super::types::group_or_none")]
    pub store_group: Option<GroupName>,
    /// Default 0: storage for an upload: 0 in turn, 1 the first by address, 2 the first by priority.
    pub store_server: u8,
    /// Default 0: store path for an upload: 0 in turn, 2 the one with most free space.
    pub store_path: u8,
    /// Default 0: storage for a download: 0 in turn, 1 the source.
    pub download_server: u8,
    /// Default 1GB: space that uploads leave free, bytes (`1GB`) or a share of the disk (`20%`).
    pub reserved_storage_space: Reserve,
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
    /// Seconds, default 100: a storage that was silent for so long is offline.
    pub check_active_interval: Secs,
    /// Bytes, default 512KB, at least 64KB: stack of a thread. The existing daemons use 256KB.
    pub thread_stack_size: Size,
    /// Default true: storages may change their address.
    pub storage_ip_changed_auto_adjust: bool,
    /// Seconds, default 86400: age after which a file should be on every member of its group.
    pub storage_sync_file_max_delay: Secs,
    /// Seconds, default 300: longest time that the replication of one file should take.
    pub storage_sync_file_max_time: Secs,
    /// Default false: small files share container files.
    pub use_trunk_file: bool,
    /// Bytes, default 256, at most 64KB: smallest slot.
    pub slot_min_size: Size,
    /// Bytes, default an eighth and at most half of `trunk_file_size`: larger files have their own file.
    pub slot_max_size: Option<Size>,
    /// Bytes, default 64MB, at least 4MB: size of a container.
    pub trunk_file_size: Size,
    /// Bytes, default 0: slots start at multiples of this.
    pub trunk_alloc_alignment_size: u32,
    /// Default false: make containers before they are needed.
    pub trunk_create_file_advance: bool,
    /// Time of day, default 02:00: when that starts.
    pub trunk_create_file_time_base: TimeOfDay,
    /// Seconds, default 86400: how often.
    pub trunk_create_file_interval: Secs,
    /// Bytes, default 0: free space in containers that is aimed at.
    pub trunk_create_file_space_threshold: Size,
    /// Default false: check at start that free slots are free.
    pub trunk_init_check_occupying: bool,
    /// Default false: read the trunk binlog at start in place of the saved state.
    pub trunk_init_reload_from_binlog: bool,
    /// Default false: join neighbouring free slots.
    pub trunk_free_space_merge: bool,
    /// Default false: delete containers without content.
    pub delete_unused_trunk_files: bool,
    /// Seconds, default 0 = never: least time between two compressions of the trunk binlog.
    pub trunk_compress_binlog_min_interval: Secs,
    /// Seconds, default 0 = never: period of those compressions.
    pub trunk_compress_binlog_interval: Secs,
    /// Time of day, default 03:00: when that period starts.
    pub trunk_compress_binlog_time_base: TimeOfDay,
    /// Default 0 = none: old trunk binlogs that are kept.
    pub trunk_binlog_max_backups: u32,
    /// Default false: storages have numbers, from `storage_ids_filename`.
    pub use_storage_id: bool,
    /// `storage_ids.conf`, relative to the folder of this file; required with `use_storage_id`.
    pub storage_ids_filename: Option<String>,
    /// Default `ip`: what stands for the storage in new file ids.
    pub id_type_in_filename: IdType,
    /// Default true: believe the `server_id` a storage tells.
    pub trust_storage_server_id: bool,
    /// Default false: slave files are links.
    pub store_slave_file_use_link: bool,
    /// Default false: keep connections to other trackers.
    pub use_connection_pool: bool,
    /// Seconds, default 3600: an unused connection is closed after this time.
    pub connection_pool_max_idle_time: Secs,
    /// Keys about the log, also in a section `[error-log]`.
    #[serde(rename = "error-log")]
    pub error_log: LogSettings,
    /// [`Self::storage_ids_filename`] made relative to the working folder.
    #[serde(skip)]
    pub storage_ids_path: Option<PathBuf>,
}

impl Default for TrackerSettings {
    fn default() -> Self {
        Self {
            disabled: false,
            bind_addr: String::new(),
            inner_bind_addr: String::new(),
            outer_bind_addr: String::new(),
            port: TRACKER_PORT,
            inner_port: None,
            outer_port: None,
            address_family: AddressFamily::default(),
            response_ip_addr_size: AddrWidth::default(),
            response_ip_addr_size_for: Vec::new(),
            fetch_all_layout: FetchAllLayout::default(),
            connect_timeout: Secs(10),
            network_timeout: Secs(60),
            tcp_quick_ack: true,
            base_path: String::new(),
            max_connections: 256,
            accept_threads: 1,
            work_threads: 4,
            buff_size: Size(256 << 10),
            min_buff_size: None,
            max_buff_size: None,
            store_lookup: 0,
            store_group: None,
            store_server: 0,
            store_path: 0,
            download_server: 0,
            reserved_storage_space: Reserve::Bytes(1 << 30),
            log_level: LogLevel::default(),
            log_format: LogFormat::default(),
            run_by_group: String::new(),
            run_by_user: String::new(),
            allow_hosts: vec!["*".into()],
            metrics_port: 0,
            metrics_bind_addr: None,
            check_active_interval: Secs(100),
            thread_stack_size: Size(512 << 10),
            storage_ip_changed_auto_adjust: true,
            storage_sync_file_max_delay: Secs(86400),
            storage_sync_file_max_time: Secs(300),
            use_trunk_file: false,
            slot_min_size: Size(256),
            slot_max_size: None,
            trunk_file_size: Size(64 << 20),
            trunk_alloc_alignment_size: 0,
            trunk_create_file_advance: false,
            trunk_create_file_time_base: TimeOfDay::new(2, 0),
            trunk_create_file_interval: Secs(86400),
            trunk_create_file_space_threshold: Size(0),
            trunk_init_check_occupying: false,
            trunk_init_reload_from_binlog: false,
            trunk_free_space_merge: false,
            delete_unused_trunk_files: false,
            trunk_compress_binlog_min_interval: Secs(0),
            trunk_compress_binlog_interval: Secs(0),
            trunk_compress_binlog_time_base: TimeOfDay::new(3, 0),
            trunk_binlog_max_backups: 0,
            use_storage_id: false,
            storage_ids_filename: None,
            id_type_in_filename: IdType::default(),
            trust_storage_server_id: true,
            store_slave_file_use_link: false,
            use_connection_pool: false,
            connection_pool_max_idle_time: Secs(3600),
            error_log: LogSettings::default(),
            storage_ids_path: None,
        }
    }
}

impl TrackerSettings {
    /// Longest request body: the greater of `buff_size` and, when both bounds are given, `max_buff_size`.
    pub fn max_package(&self) -> usize {
        match (self.min_buff_size, self.max_buff_size) {
            (Some(_), Some(max)) => max.max(self.buff_size).bytes(),
            _ => self.buff_size.bytes(),
        }
    }

    /// Largest file that goes into a container.
    pub fn slot_max(&self) -> Size {
        self.slot_max_size.unwrap_or(Size(self.trunk_file_size.0 / 8))
    }

    /// The storages of `storage_ids_filename`; `None` when ids are not in use. A file without any is an error.
    pub fn storage_ids(&self) -> Result<Option<(StorageIds, Vec<Warning>)>, ConfError> {
        let Some(path) = self.storage_ids_path.as_ref().filter(|_| self.use_storage_id) else {
            return Ok(None);
        };
        let (ids, warnings) = StorageIds::load(path)?;
        Ok(Some((ids.required(path)?, warnings)))
    }
}

/// Keys that need no value any more, in both daemons.
pub(super) const OLD_KEYS: [(&str, &str); 3] = [
    ("use_io_uring", "the daemon chooses how to read and write by itself"),
    ("use_send_zc", "the daemon chooses how to read and write by itself"),
    ("http.", "the daemons have no web server any more"),
];

impl Settings for TrackerSettings {
    const RULES: Rules = Rules {
        nested: &[ERROR_LOG],
        known: |_, _| false,
        obsolete: &[
            OLD_KEYS[0],
            OLD_KEYS[1],
            OLD_KEYS[2],
            OLD_LOG_KEYS[0],
            OLD_LOG_KEYS[1],
            OLD_LOG_KEYS[2],
            OLD_LOG_KEYS[3],
            OLD_LOG_KEYS[4],
        ],
    };

    fn adopt(ini: &mut Ini) {
        log::adopt_old_keys(ini, &["error-log"]);
    }

    fn finish(&mut self, check: &mut Check<'_>) -> Result<(), ConfError> {
        let default = Self::default();
        check.folder("base_path", &mut self.base_path, "the folder for data and logs")?;
        check.zero_is_default("connect_timeout", &mut self.connect_timeout, default.connect_timeout);
        check.zero_is_default("network_timeout", &mut self.network_timeout, default.network_timeout);
        check.zero_is_default("max_connections", &mut self.max_connections, default.max_connections);
        check.zero_is_default(
            "check_active_interval",
            &mut self.check_active_interval,
            default.check_active_interval,
        );
        let delay = &mut self.storage_sync_file_max_delay;
        check.zero_is_default("storage_sync_file_max_delay", delay, default.storage_sync_file_max_delay);
        let time = &mut self.storage_sync_file_max_time;
        check.zero_is_default("storage_sync_file_max_time", time, default.storage_sync_file_max_time);
        check.positive("accept_threads", self.accept_threads, u32::MAX)?;
        check.positive("work_threads", self.work_threads, u32::MAX)?;
        check.clamp("buff_size", &mut self.buff_size, MIN_BUFFER, MAX_MEMORY);
        check.clamp("thread_stack_size", &mut self.thread_stack_size, Size(64 << 10), MAX_MEMORY);
        check.buffers(&mut self.min_buff_size, &mut self.max_buff_size, Size(4096));
        check.not_blank("allow_hosts", &self.allow_hosts)?;
        check.pool(self.connection_pool_max_idle_time)?;
        check.log("error-log", &mut self.error_log);
        self.finish_selection(check)?;
        self.finish_trunk(check)?;
        self.finish_ids(check)
    }
}

impl TrackerSettings {
    fn finish_selection(&mut self, check: &Check<'_>) -> Result<(), ConfError> {
        if self.store_lookup > 2 {
            return Err(check.bad(
                GLOBAL,
                "store_lookup",
                "0 (in turn), 1 (store_group) or 2 (most free space)",
            ));
        }
        if self.store_lookup == 1 && self.store_group.is_none() {
            return Err(check.bad(GLOBAL, "store_group", "the group for uploads, because store_lookup = 1"));
        }
        if self.store_server > 2 {
            return Err(check.bad(
                GLOBAL,
                "store_server",
                "0 (in turn), 1 (first by address) or 2 (by priority)",
            ));
        }
        if !matches!(self.store_path, 0 | 2) {
            return Err(check.bad(GLOBAL, "store_path", "0 (in turn) or 2 (most free space)"));
        }
        if self.download_server > 1 {
            return Err(check.bad(GLOBAL, "download_server", "0 (in turn) or 1 (the source)"));
        }
        // Slots are handed out by one storage, so that the choice must not go round.
        if self.use_trunk_file && self.store_server == 0 {
            self.store_server = 1;
        }
        Ok(())
    }

    fn finish_trunk(&mut self, check: &mut Check<'_>) -> Result<(), ConfError> {
        if self.slot_min_size.0 == 0 {
            return Err(check.bad(GLOBAL, "slot_min_size", "a size above 0 and up to 64KB"));
        }
        check.clamp("slot_min_size", &mut self.slot_min_size, Size(1), MAX_SLOT_MIN);
        let alignment = Size(u64::from(self.trunk_alloc_alignment_size));
        self.slot_min_size = self.slot_min_size.max(alignment);
        check.clamp("trunk_file_size", &mut self.trunk_file_size, MIN_TRUNK_FILE, Size(1 << 40));
        let half = Size(self.trunk_file_size.0 / 2);
        if let Some(slot_max) = &mut self.slot_max_size {
            if *slot_max <= self.slot_min_size {
                let expected = format!("a size above slot_min_size ({}), at most {half}", self.slot_min_size);
                return Err(check.bad(GLOBAL, "slot_max_size", expected));
            }
            check.clamp("slot_max_size", slot_max, Size(1), half);
        }
        Ok(())
    }

    fn finish_ids(&mut self, check: &Check<'_>) -> Result<(), ConfError> {
        if self.use_storage_id {
            check.ids_file(self.storage_ids_filename.as_deref())?;
        }
        self.storage_ids_path = self.storage_ids_filename.as_deref().map(|name| check.beside(name));
        let ids = self.use_storage_id && self.id_type_in_filename == IdType::Id;
        if matches!(self.address_family, AddressFamily::V6 | AddressFamily::Both) && !ids {
            let expected = "IPv4 or auto: IPv6 needs use_storage_id = true and id_type_in_filename = id";
            return Err(check.bad(GLOBAL, "address_family", expected));
        }
        Ok(())
    }
}

impl Check<'_> {
    /// `min_buff_size` and `max_buff_size`, which only count together.
    pub fn buffers(&mut self, min: &mut Option<Size>, max: &mut Option<Size>, least: Size) {
        match (min, max) {
            (Some(min), Some(max)) => {
                self.clamp("min_buff_size", min, least, MAX_MEMORY);
                self.clamp("max_buff_size", max, MIN_BUFFER.max(*min), MAX_MEMORY);
            }
            (Some(_), None) => self.warn(GLOBAL, "min_buff_size", "only counts together with max_buff_size"),
            (None, Some(_)) => self.warn(GLOBAL, "max_buff_size", "only counts together with min_buff_size"),
            (None, None) => {}
        }
    }
}
