//! `mod_fastdfs.conf`, for the nginx module (nginx-module 2).

use std::path::PathBuf;

use serde::Deserialize;

use super::Settings;
use super::addrs::{Addrs, STORAGE_PORT, one_or_more};
use super::check::Check;
use super::http::{HTTP, HttpSettings};
use super::store_paths::{self, StorePathConf};
use super::types::{LogLevel, ResponseMode, Secs, group_or_none, port};
use crate::conf::{ConfError, GLOBAL, Rules, read_section};
use crate::ident::GroupName;

/// Groups that one file may name.
const MAX_GROUPS: u32 = 1024;

/// `mod_fastdfs.conf`, with the `http.conf` that it includes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ModSettings {
    /// Seconds, default 10: longest wait for a connection to a tracker or a storage.
    pub connect_timeout: Secs,
    /// Seconds, default 30: longest wait for one read or write to them.
    pub network_timeout: Secs,
    /// Default of `store_path0`; required when `group_count` is 0 and `store_path0` is not written.
    pub base_path: String,
    /// Default false: `storage_sync_file_max_delay` and the storage ids come from the trackers.
    pub load_fdfs_parameters_from_tracker: bool,
    /// Seconds, default 86400: age after which a file should be on every member of its group.
    pub storage_sync_file_max_delay: Secs,
    /// Default false: file ids hold storage numbers of `storage_ids_filename`.
    pub use_storage_id: bool,
    /// `storage_ids.conf`, relative to the folder of this file.
    pub storage_ids_filename: Option<String>,
    /// The trackers, which know who else has a file; up to 16.
    #[serde(deserialize_with = "one_or_more")]
    pub tracker_server: Vec<Addrs>,
    /// Default 23000: port of this machine's storage daemon.
    #[serde(deserialize_with = "port")]
    pub storage_server_port: u16,
    /// Group of this machine; required when `group_count` is 0.
    #[serde(deserialize_with = "group_or_none")]
    pub group_name: Option<GroupName>,
    /// Default false: URLs are `/group1/M00/…` instead of `/M00/…`.
    pub url_have_group_name: bool,
    /// Default 0: number of sections `[group1]`, `[group2]`, …, one per group of this machine.
    pub group_count: u32,
    /// Default 1: number of store paths when `group_count` is 0.
    pub store_path_count: u32,
    /// Default `info`. nginx's own `error_log` decides what is written.
    pub log_level: LogLevel,
    /// Accepted and not needed: messages go to nginx's error log.
    pub log_filename: Option<String>,
    /// Default `proxy`: how a file that is elsewhere is answered.
    pub response_mode: ResponseMode,
    /// Up to 4 prefixes of network interfaces whose addresses are this machine's; empty: all.
    pub if_alias_prefix: String,
    /// Default false: `?start=` in URLs of FLV files.
    pub flv_support: bool,
    /// Default `flv`: extension of FLV files.
    pub flv_extension: String,
    /// Request header that replaces the token.
    pub anti_steal_bypass_header_name: Option<String>,
    /// What that header must hold.
    pub anti_steal_bypass_header_value: String,
    /// Keys that start with `http.`.
    pub http: HttpSettings,
    /// The groups of this machine: one, or as many as `group_count` says. Never empty after `load`.
    #[serde(skip)]
    pub groups: Vec<ModGroup>,
    /// [`Self::storage_ids_filename`] made relative to the working folder.
    #[serde(skip)]
    pub storage_ids_path: Option<PathBuf>,
}

/// One group of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModGroup {
    /// Its name.
    pub group_name: GroupName,
    /// Port of its storage daemon.
    pub storage_server_port: u16,
    /// Its store paths, by index.
    pub store_paths: Vec<StorePathConf>,
}

/// A section `[groupN]`.
#[derive(Deserialize)]
#[serde(default)]
struct GroupSection {
    #[serde(deserialize_with = "group_or_none")]
    group_name: Option<GroupName>,
    #[serde(deserialize_with = "port")]
    storage_server_port: u16,
    store_path_count: u32,
}

impl Default for GroupSection {
    fn default() -> Self {
        Self { group_name: None, storage_server_port: STORAGE_PORT, store_path_count: 1 }
    }
}

impl Default for ModSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Secs(10),
            network_timeout: Secs(30),
            base_path: String::new(),
            load_fdfs_parameters_from_tracker: false,
            storage_sync_file_max_delay: Secs(86400),
            use_storage_id: false,
            storage_ids_filename: None,
            tracker_server: Vec::new(),
            storage_server_port: STORAGE_PORT,
            group_name: None,
            url_have_group_name: false,
            group_count: 0,
            store_path_count: 1,
            log_level: LogLevel::default(),
            log_filename: None,
            response_mode: ResponseMode::default(),
            if_alias_prefix: String::new(),
            flv_support: false,
            flv_extension: "flv".into(),
            anti_steal_bypass_header_name: None,
            anti_steal_bypass_header_value: String::new(),
            http: HttpSettings::default(),
            groups: Vec::new(),
            storage_ids_path: None,
        }
    }
}

impl Settings for ModSettings {
    const RULES: Rules = Rules {
        nested: &[HTTP],
        known: |section, key| match section {
            GLOBAL => store_paths::is_key(key),
            _ => {
                let numbered =
                    section.strip_prefix("group").is_some_and(|number| number.parse::<u32>().is_ok());
                let field = matches!(key, "group_name" | "storage_server_port" | "store_path_count");
                numbered && (field || store_paths::is_key(key))
            }
        },
        obsolete: &[],
    };

    fn finish(&mut self, check: &mut Check<'_>) -> Result<(), ConfError> {
        let default = Self::default();
        check.zero_is_default("connect_timeout", &mut self.connect_timeout, default.connect_timeout);
        check.zero_is_default("network_timeout", &mut self.network_timeout, default.network_timeout);
        let delay = &mut self.storage_sync_file_max_delay;
        check.zero_is_default("storage_sync_file_max_delay", delay, default.storage_sync_file_max_delay);
        if self.load_fdfs_parameters_from_tracker || !self.tracker_server.is_empty() {
            check.trackers(&self.tracker_server)?;
        } else if self.use_storage_id {
            check.ids_file(self.storage_ids_filename.as_deref())?;
        }
        self.storage_ids_path = self.storage_ids_filename.as_deref().map(|name| check.beside(name));
        self.base_path = super::check::without_slash(&self.base_path);
        self.groups =
            if self.group_count == 0 { vec![self.own_group(check)?] } else { self.sections(check)? };
        check.http(&self.http)
    }
}

impl ModSettings {
    /// The group of the global keys.
    fn own_group(&self, check: &mut Check<'_>) -> Result<ModGroup, ConfError> {
        let Some(group_name) = self.group_name else {
            let expected =
                "the group of this machine's storage, or group_count = N and sections [group1] to [groupN]";
            return Err(check.bad(GLOBAL, "group_name", expected));
        };
        let first = Some(self.base_path.as_str()).filter(|path| !path.is_empty());
        let store_paths = check.store_paths(GLOBAL, self.store_path_count, first)?;
        Ok(ModGroup { group_name, storage_server_port: self.storage_server_port, store_paths })
    }

    /// The groups of `[group1]` to `[groupN]`.
    fn sections(&self, check: &mut Check<'_>) -> Result<Vec<ModGroup>, ConfError> {
        if self.group_count > MAX_GROUPS {
            return Err(check.bad(GLOBAL, "group_count", "a whole number 0..1024"));
        }
        if !self.url_have_group_name {
            let expected = "true, because group_count is not 0: only the URL can say which group is meant";
            return Err(check.bad(GLOBAL, "url_have_group_name", expected));
        }
        let mut groups: Vec<ModGroup> = Vec::new();
        for number in 1..=self.group_count {
            let section = format!("group{number}");
            if check.ini.section(&section).is_none() {
                let expected =
                    format!("sections [group1] to [group{}]; [{section}] is not there", self.group_count);
                return Err(check.bad(GLOBAL, "group_count", expected));
            }
            let found: GroupSection = read_section(check.ini, &section, check.warnings)?;
            let Some(group_name) = found.group_name else {
                return Err(check.bad(&section, "group_name", "the name of a group"));
            };
            if groups.iter().any(|other| other.group_name == group_name) {
                return Err(check.bad(&section, "group_name", "a group that no other section has"));
            }
            let store_paths = check.store_paths(&section, found.store_path_count, None)?;
            groups.push(ModGroup { group_name, storage_server_port: found.storage_server_port, store_paths });
        }
        Ok(groups)
    }
}
