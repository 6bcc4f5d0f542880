//! `storage_groups.dat` and `storage_servers.dat` of old versions, comma separated (tracker 8): they become the sections of today.

use std::fmt::Write;

use super::Files;

/// Old file of the groups: name, port, and since the second form path count and subdirectory count.
pub const GROUPS_FILE: &str = "storage_groups.dat";
/// Old file of the members.
pub const SERVERS_FILE: &str = "storage_servers.dat";

/// Columns of [`GROUPS_FILE`].
const GROUP: [&str; 4] = ["group_name", "storage_port", "store_path_count", "subdir_count_per_path"];
/// Columns of [`SERVERS_FILE`]; the oldest files end after the 17th, later ones after the 18th, the 20th or the last. The ten
/// counters are taken in the order that they have in the later file, which had none for appended files.
const SERVER: [&str; 22] = [
    "group_name",
    "ip_addr",
    "status",
    "sync_src_server",
    "sync_until_timestamp",
    "total_upload_count",
    "success_upload_count",
    "total_set_meta_count",
    "success_set_meta_count",
    "total_delete_count",
    "success_delete_count",
    "total_download_count",
    "success_download_count",
    "total_get_meta_count",
    "success_get_meta_count",
    "last_source_update",
    "last_sync_update",
    "changelog_offset",
    "storage_port",
    "",
    "join_time",
    "version",
];

/// The old files as new ones, and what was wrong with them.
pub fn convert(groups: &str, servers: &str) -> (Files, Vec<String>) {
    let mut wrong = Vec::new();
    let groups = sections("Group", groups, &GROUP, &[2, 4], |line| {
        wrong.push(format!("{GROUPS_FILE}: line not understood: {line:?}"));
    });
    let servers = sections("Storage", servers, &SERVER, &[17, 18, 20, 22], |line| {
        wrong.push(format!("{SERVERS_FILE}: line not understood: {line:?}"));
    });
    (Files { groups, servers, synced: String::new() }, wrong)
}

fn sections(
    kind: &str,
    text: &str,
    columns: &[&str],
    widths: &[usize],
    mut wrong: impl FnMut(&str),
) -> String {
    let mut out = String::new();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (line, number) in lines.zip(1..) {
        let values: Vec<&str> = line.split(',').map(str::trim).collect();
        if !widths.contains(&values.len()) {
            wrong(line);
            continue;
        }
        let _ = writeln!(out, "[{kind}{number:03}]");
        for (column, value) in columns.iter().zip(values).filter(|(column, _)| !column.is_empty()) {
            let _ = writeln!(out, "\t{column}={value}");
        }
    }
    out
}
