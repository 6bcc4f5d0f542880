//! Who this storage is (storage 5).

use std::net::IpAddr;

use fdfs_core::fileid::Source;
use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::settings::{Reserve, StorageIds};

/// Fixed once a tracker has answered at start.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The group.
    pub group: GroupName,
    /// Id in the cluster: a number of `storage_ids.conf`, or the first address as text.
    pub id: StorageId,
    /// Addresses that the trackers know, one or two.
    pub ips: Vec<IpAddr>,
    /// Service port.
    pub port: u16,
    /// What stands for this storage in the names of its files.
    pub source: Source,
    /// Start of the process, s.
    pub up_time: i64,
}

/// What the trackers decide for all storages (command 75, storage 2.5).
#[derive(Debug, Clone)]
pub struct Params {
    /// Ids come from `storage_ids.conf`.
    pub use_storage_id: bool,
    /// File names carry the id, not the address.
    pub id_in_names: bool,
    /// `server_id` of a storage's file is believed.
    pub trust_server_id: bool,
    /// 2: new files go to the store path with the most free space; else in turn.
    pub store_path: u8,
    /// Space that uploads leave free.
    pub reserve: Reserve,
    /// Bytes of an address in answers: 46, else 16.
    pub wide_addresses: bool,
    /// Ask the trackers for changes of addresses.
    pub ip_changed_auto_adjust: bool,
    /// The storages by id, when ids are in use.
    pub ids: StorageIds,
}

impl Params {
    /// Reads the answer of a tracker: lines `key=value`. What is absent has the default of storage 2.5.
    pub fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let found = text.lines().filter_map(|line| line.split_once('=')).rfind(|(k, _)| k.trim() == key);
            found.map(|(_, value)| value.trim())
        };
        let flag = |key: &str| {
            value(key).is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
        };
        let reserve = value("reserved_storage_space").and_then(|text| text.replace(' ', "").parse().ok());
        Self {
            use_storage_id: flag("use_storage_id"),
            id_in_names: value("id_type_in_filename").is_some_and(|v| v.eq_ignore_ascii_case("id")),
            trust_server_id: flag("trust_storage_server_id"),
            store_path: value("store_path").and_then(|v| v.parse().ok()).unwrap_or(0),
            reserve: reserve.unwrap_or(Reserve::Bytes(1 << 30)),
            wide_addresses: value("response_ip_addr_size").is_none_or(|v| v == "46"),
            ip_changed_auto_adjust: flag("storage_ip_changed_auto_adjust"),
            ids: StorageIds::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_tracker() {
        let params = Params::parse(
            "use_storage_id=0\nid_type_in_filename=ip\nstore_path=2\nreserved_storage_space=20.00%\n\
             response_ip_addr_size=16\n",
        );
        assert_eq!((params.store_path, params.reserve), (2, Reserve::Percent(20.0)));
        assert!(!params.wide_addresses && !params.use_storage_id);
        assert_eq!(Params::parse("reserved_storage_space=1024MB\n").reserve, Reserve::Bytes(1 << 30));
    }
}
