//! `storage_servers_new.dat`.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use super::sections::Section;
use crate::cluster::join::configured;
use crate::cluster::{Cluster, Group, Rules, Storage};
use crate::ident::{GroupName, StorageId, StorageStatus};
use crate::wire::Text;
use crate::wire::list::stat;

/// Saved counters in file order: name and index; of pairs the name of the part behind `total_` and `success_`.
const PAIRS: [(&str, usize); 16] = [
    ("upload_count", stat::UPLOAD),
    ("append_count", stat::APPEND),
    ("set_meta_count", stat::SET_META),
    ("delete_count", stat::DELETE),
    ("download_count", stat::DOWNLOAD),
    ("get_meta_count", stat::GET_META),
    ("create_link_count", stat::CREATE_LINK),
    ("delete_link_count", stat::DELETE_LINK),
    ("upload_bytes", stat::UPLOAD_BYTES),
    ("append_bytes", stat::APPEND_BYTES),
    ("download_bytes", stat::DOWNLOAD_BYTES),
    ("sync_in_bytes", stat::SYNC_IN_BYTES),
    ("sync_out_bytes", stat::SYNC_OUT_BYTES),
    ("file_open_count", stat::FILE_OPEN),
    ("file_read_count", stat::FILE_READ),
    ("file_write_count", stat::FILE_WRITE),
];
const SINGLES: [(&str, usize); 4] = [
    ("last_source_update", stat::LAST_SOURCE_UPDATE),
    ("last_sync_update", stat::LAST_SYNC_UPDATE),
    ("last_synced_timestamp", stat::LAST_SYNCED),
    ("last_heart_beat_time", stat::LAST_HEART_BEAT),
];

pub(super) fn encode(cluster: &Cluster, use_ids: bool) -> String {
    let mut out = String::new();
    let members = cluster.groups().flat_map(|group| group.in_join_order().map(move |member| (group, member)));
    let mut count = 0;
    for (group, member) in members.filter(|(_, member)| !member.is_gone()) {
        count += 1;
        put(&mut out, count, group, member, use_ids);
    }
    let _ = write!(out, "\n[Global]\n\tstorage_count={count}\n");
    out
}

fn put(out: &mut String, number: usize, group: &Group, member: &Storage, use_ids: bool) {
    let ip = member.ip();
    let addr = std::net::SocketAddr::new(ip, member.port);
    let _ = write!(out, "# storage: {addr}\n[Storage{number:03}]\n");
    if use_ids {
        let _ = writeln!(out, "\tid={}", member.id);
    }
    let source = member.source.map_or(String::new(), |id| id.to_string());
    let _ = write!(
        out,
        "\tgroup_name={}\n\tip_addr={ip}\n\tstatus={}\n\tversion={}\n\tjoin_time={}\n\tstorage_port={}\n\
         \tsync_src_server={source}\n\tsync_until_timestamp={}\n\ttotal_mb={}\n\tfree_mb={}\n\
         \tchangelog_offset={}\n\tstore_path_count={}\n\tsubdir_count_per_path={}\n\tupload_priority={}\n",
        group.name,
        member.status.wire(),
        member.version.as_str(),
        member.join_time,
        member.port,
        member.sync_until,
        member.total_mb,
        member.free_mb,
        member.changelog_offset,
        member.path_count,
        member.subdir_count,
        member.upload_priority,
    );
    let counters = &member.stat.counters;
    for (name, at) in PAIRS {
        let _ = write!(out, "\ttotal_{name}={}\n\tsuccess_{name}={}\n", counters[at], counters[at + 1]);
    }
    for (name, at) in SINGLES {
        let _ = writeln!(out, "\t{name}={}", counters[at]);
    }
    out.push('\n');
}

pub(super) fn decode(cluster: &mut Cluster, rules: &Rules, text: &str, wrong: &mut Vec<String>) {
    for section in Section::all(text, "Storage") {
        if let Err(why) = decode_one(cluster, rules, &section) {
            wrong.push(format!("{}: section {}: {why}", super::SERVERS_FILE, section.name));
        }
    }
    for group in cluster.groups.values_mut().map(Arc::make_mut) {
        for (id, source) in group.forget_unknown_sources() {
            wrong.push(format!("{}: sync source {source} of {id} is unknown", super::SERVERS_FILE));
        }
        group.refresh();
    }
}

fn decode_one(cluster: &mut Cluster, rules: &Rules, section: &Section<'_>) -> Result<(), &'static str> {
    let name = section.text("group_name").parse::<GroupName>().map_err(|_| "no group name")?;
    let ip = section.text("ip_addr").parse::<IpAddr>().map_err(|_| "no address")?;
    let port = u16::try_from(section.number("storage_port")).unwrap_or(0);
    let id = identity(rules, section.text("id"), ip, port)?;
    let group = cluster.groups.entry(name).or_insert_with(|| Arc::new(Group::new(name)));
    if group.at(&id).is_some() {
        return Err("named twice");
    }
    let (mut ips, rw) = configured(rules, &id);
    if ips.is_empty() {
        ips.push(ip);
    }
    let mut member = Storage::new(id, ips, rw);
    member.current_ip = member.ips.iter().position(|own| *own == ip).unwrap_or(0);
    member.status = match section.text("status").parse().ok().map(StorageStatus::from_wire) {
        Some(Ok(status)) if status <= StorageStatus::Syncing => status,
        _ => StorageStatus::Offline,
    };
    let count = |key| usize::try_from(section.number(key)).unwrap_or(0).min(256);
    // Cut first: a value that ends with a space would be read back without it.
    let version: Text<8> = Text::cut(section.text("version").as_bytes());
    member.version = Text::cut(version.bytes().trim_ascii_end());
    member.join_time = section.number("join_time");
    member.port = port;
    member.source = match section.text("sync_src_server") {
        "" => None,
        text => Some(reference(rules, text, port)?),
    };
    member.sync_until = section.number("sync_until_timestamp");
    member.total_mb = section.number("total_mb");
    member.free_mb = section.number("free_mb");
    member.changelog_offset =
        u64::try_from(section.number("changelog_offset")).unwrap_or(0).min(cluster.changelog_size);
    member.path_count = count("store_path_count");
    member.subdir_count = section.number("subdir_count_per_path");
    member.upload_priority = section.number("upload_priority");
    for (name, at) in PAIRS {
        member.stat.counters[at] = section.number(&format!("total_{name}")).into();
        member.stat.counters[at + 1] = section.number(&format!("success_{name}")).into();
    }
    for (name, at) in SINGLES {
        member.stat.counters[at] = section.number(name).into();
    }
    let group = cluster.group_mut(&name).ok_or("unknown group")?;
    group.add(member);
    Ok(())
}

/// The id of a record; without ids in use its address.
fn identity(rules: &Rules, id: &str, ip: IpAddr, port: u16) -> Result<StorageId, &'static str> {
    if rules.ids.is_none() {
        return ip.to_string().parse().map_err(|_| "its address cannot be an id");
    }
    match id {
        "" => reference(rules, &ip.to_string(), port),
        id => id.parse().map_err(|_| "bad id"),
    }
}

/// A member's id as written; in files from before ids were in use its address.
pub(super) fn reference(rules: &Rules, text: &str, port: u16) -> Result<StorageId, &'static str> {
    let converted = rules.ids.as_ref().zip(text.parse().ok()).map(|(ids, ip)| ids.by_addr(ip, port));
    match converted {
        Some(Some(entry)) => Ok(entry.id),
        Some(None) => Err("address is not in storage_ids.conf"),
        None => text.parse().map_err(|_| "bad id"),
    }
}
