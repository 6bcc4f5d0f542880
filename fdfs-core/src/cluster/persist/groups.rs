//! `storage_groups_new.dat`.

use std::fmt::Write;
use std::sync::Arc;

use super::sections::Section;
use crate::cluster::{Cluster, Group, GroupPort};
use crate::ident::{GroupName, StorageId};

pub(super) fn encode(cluster: &Cluster) -> String {
    let mut out = format!("[Global]\n\tgroup_count={}\n\n", cluster.groups.len());
    let id = |id: Option<StorageId>| id.map_or(String::new(), |id| id.to_string());
    for (group, number) in cluster.groups().zip(1..) {
        let name = group.name;
        let _ = write!(
            out,
            "# group: {name}\n[Group{number:03}]\n\tgroup_name={name}\n\tstorage_port={}\n\tstore_path_count={}\n\
             \tsubdir_count_per_path={}\n\tcurrent_trunk_file_id={}\n\ttrunk_server={}\n\tlast_trunk_server={}\n\n",
            group.port.number(),
            group.path_count,
            group.subdir_count,
            group.trunk_file_id,
            id(group.trunk_server),
            id(group.last_trunk_server),
        );
    }
    out
}

pub(super) fn decode(cluster: &mut Cluster, text: &str, wrong: &mut Vec<String>) {
    for section in Section::all(text, "Group") {
        let Ok(name) = section.text("group_name").parse::<GroupName>() else {
            wrong.push(format!("{}: section {} has no group name", super::GROUPS_FILE, section.name));
            continue;
        };
        let mut group = Group::new(name);
        group.port = GroupPort::from_number(section.number("storage_port"));
        group.path_count = usize::try_from(section.number("store_path_count")).unwrap_or(0).min(256);
        group.subdir_count = section.number("subdir_count_per_path").clamp(0, 256);
        group.trunk_file_id = section.number("current_trunk_file_id");
        group.trunk_server = section.text("trunk_server").parse().ok();
        group.last_trunk_server = section.text("last_trunk_server").parse().ok();
        // Members are told of a trunk server that was known before.
        group.trunk_chg = u32::from(group.trunk_server.is_some());
        cluster.groups.insert(name, Arc::new(group));
    }
}
