//! `client.conf`, for the command-line tools and the library (protocol 7.1).

use std::path::PathBuf;

use serde::Deserialize;

use super::addrs::{Addrs, one_or_more};
use super::check::Check;
use super::http::{HTTP, HttpSettings};
use super::types::{ConnectFirstBy, LogLevel, Millis, OnTimeout, Secs};
use super::{Settings, check};
use crate::conf::{ConfError, GLOBAL, Rules};
use crate::wire::MinCopies;

/// `client.conf`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClientSettings {
    /// The trackers, 1 to 16; required.
    #[serde(deserialize_with = "one_or_more")]
    pub tracker_server: Vec<Addrs>,
    /// Seconds, default 10: longest wait for a connection.
    pub connect_timeout: Secs,
    /// Seconds, default 30: longest wait for one read or write.
    pub network_timeout: Secs,
    /// Default `/tmp`: folder for files of the tools.
    pub base_path: String,
    /// Default `info`: least urgent lines that the tools print.
    pub log_level: LogLevel,
    /// Default `tracker`: which address of a storage with two is tried first.
    pub connect_first_by: ConnectFirstBy,
    /// Default false: keep connections for the next request.
    pub use_connection_pool: bool,
    /// Seconds, default 3600: an unused connection is closed after this time.
    pub connection_pool_max_idle_time: Secs,
    /// Default 0 = as the storage is configured, at most 32: members that have a change before it counts as made. Other storages
    /// than this implementation's refuse the question. New here.
    pub min_copies: u32,
    /// Milliseconds, default 0 = as the storage is configured: longest wait for them. New here.
    pub min_copies_timeout: Millis,
    /// `ok` or `fail`: what counts when they do not have it then; not written: as the storage is configured. New here.
    pub min_copies_on_timeout: Option<OnTimeout>,
    /// Default false: `use_storage_id` and the ids come from a tracker.
    pub load_fdfs_parameters_from_tracker: bool,
    /// Default false: file ids hold storage numbers; the local value when it does not come from a tracker.
    pub use_storage_id: bool,
    /// `storage_ids.conf`, relative to the folder of this file; required when `use_storage_id` is true here.
    pub storage_ids_filename: Option<String>,
    /// Keys that start with `http.`: tokens for URLs that the tools print.
    pub http: HttpSettings,
    /// [`Self::storage_ids_filename`] made relative to the working folder.
    #[serde(skip)]
    pub storage_ids_path: Option<PathBuf>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            tracker_server: Vec::new(),
            connect_timeout: Secs(10),
            network_timeout: Secs(30),
            base_path: "/tmp".into(),
            log_level: LogLevel::default(),
            connect_first_by: ConnectFirstBy::default(),
            use_connection_pool: false,
            connection_pool_max_idle_time: Secs(3600),
            min_copies: 0,
            min_copies_timeout: Millis(0),
            min_copies_on_timeout: None,
            load_fdfs_parameters_from_tracker: false,
            use_storage_id: false,
            storage_ids_filename: None,
            http: HttpSettings::default(),
            storage_ids_path: None,
        }
    }
}

impl Settings for ClientSettings {
    const RULES: Rules = Rules {
        nested: &[HTTP],
        known: |_, _| false,
        obsolete: &[("http.tracker_server_port", "trackers have no web server any more")],
    };

    fn finish(&mut self, check: &mut Check<'_>) -> Result<(), ConfError> {
        let default = Self::default();
        check.trackers(&self.tracker_server)?;
        check.zero_is_default("connect_timeout", &mut self.connect_timeout, default.connect_timeout);
        check.zero_is_default("network_timeout", &mut self.network_timeout, default.network_timeout);
        check.folder("base_path", &mut self.base_path, "a folder")?;
        check.pool(self.connection_pool_max_idle_time)?;
        if self.min_copies > MinCopies::MOST {
            return Err(check.bad(GLOBAL, "min_copies", "a whole number 0..32"));
        }
        let longest = Millis(MinCopies::LONGEST_MS.into());
        check.clamp("min_copies_timeout", &mut self.min_copies_timeout, Millis(0), longest);
        if !self.load_fdfs_parameters_from_tracker && self.use_storage_id {
            check.ids_file(self.storage_ids_filename.as_deref())?;
        }
        self.storage_ids_path = self.storage_ids_filename.as_deref().map(|name| check.beside(name));
        check.http(&self.http)
    }
}

impl check::Check<'_> {
    /// `storage_ids_filename`, which `use_storage_id` needs.
    pub fn ids_file(&self, name: Option<&str>) -> Result<(), ConfError> {
        match name {
            Some(_) => Ok(()),
            None => Err(self.bad(
                GLOBAL,
                "storage_ids_filename",
                "the name of storage_ids.conf, because use_storage_id is true",
            )),
        }
    }
}
