//! The settings that the cluster rules depend on.

use std::net::IpAddr;
use std::sync::Arc;

use crate::settings::{FetchAllLayout, IdType, Reserve, StorageIds, TrackerSettings, WidthFor};
use crate::wire::AddrWidth;
use crate::wire::query::FetchAllForm;

/// Part of `tracker.conf` and `storage_ids.conf` that decides.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Group for uploads: 0 in turn, 1 `store_group`, 2 most free space.
    pub store_lookup: u8,
    /// Group of `store_lookup = 1`.
    pub store_group: Option<crate::ident::GroupName>,
    /// Member for uploads: 0 in turn, 1 first by id, 2 by priority.
    pub store_server: u8,
    /// Store path: 0 in turn, 2 most free space.
    pub store_path: u8,
    /// Member for downloads: 0 in turn, 1 the source.
    pub download_server: u8,
    /// Space that uploads leave free.
    pub reserve: Reserve,
    /// Age in seconds after which a file is on every member.
    pub sync_max_delay: i64,
    /// Seconds that the replication of one file should take at most.
    pub sync_max_time: i64,
    /// Trunk files are in use.
    pub use_trunk: bool,
    /// Intervals of that silence which a trunk server that started lately may take (tracker 7.5).
    pub trunk_patience: i64,
    /// Seconds of silence after which a member is offline.
    pub check_active: i64,
    /// The configured members, when ids are in use.
    pub ids: Option<Arc<StorageIds>>,
    /// Ids, not addresses, stand in file names.
    pub id_in_names: bool,
    /// Believe the id that a storage sends.
    pub trust_id: bool,
    /// Width of addresses in answers.
    pub width: AddrWidth,
    /// Other widths for clients of some networks.
    pub widths: Vec<WidthFor>,
    /// Layout of FETCH_ALL's answer.
    pub fetch_all: FetchAllForm,
}

impl Rules {
    /// Takes them out of the settings.
    pub fn new(conf: &TrackerSettings, ids: Option<StorageIds>) -> Self {
        let secs = |s: crate::settings::Secs| i64::try_from(s.0).unwrap_or(i64::MAX);
        let wide = match conf.response_ip_addr_size {
            crate::settings::AddrWidth::Wide => true,
            crate::settings::AddrWidth::Auto => ids.as_ref().is_some_and(StorageIds::has_ipv6),
        };
        Self {
            store_lookup: conf.store_lookup,
            store_group: conf.store_group,
            store_server: conf.store_server,
            store_path: conf.store_path,
            download_server: conf.download_server,
            reserve: conf.reserved_storage_space,
            sync_max_delay: secs(conf.storage_sync_file_max_delay),
            sync_max_time: secs(conf.storage_sync_file_max_time),
            use_trunk: conf.use_trunk_file,
            trunk_patience: (if conf.trunk_init_check_occupying { 5 } else { 3 })
                * (if conf.trunk_init_reload_from_binlog { 2 } else { 1 }),
            check_active: secs(conf.check_active_interval),
            ids: ids.map(Arc::new),
            id_in_names: conf.id_type_in_filename == IdType::Id,
            trust_id: conf.trust_storage_server_id,
            width: if wide { AddrWidth::V6 } else { AddrWidth::V4 },
            widths: conf.response_ip_addr_size_for.clone(),
            fetch_all: match conf.fetch_all_layout {
                FetchAllLayout::EachPort => FetchAllForm::EachPort,
                FetchAllLayout::OnePort => FetchAllForm::OnePort,
            },
        }
    }

    /// Width of addresses in answers to this client.
    pub fn width_for(&self, client: IpAddr) -> AddrWidth {
        WidthFor::find(&self.widths, client).unwrap_or(self.width)
    }

    /// Members may have different ports.
    pub(super) fn mixed_ports(&self) -> bool {
        self.ids.is_some() && self.id_in_names
    }
}
