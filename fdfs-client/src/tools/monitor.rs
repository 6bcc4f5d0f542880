//! `fdfs_monitor`: the cluster as text (protocol 8.2).

use std::fmt::Write;
use std::net::SocketAddr;

use fdfs_core::ident::{GroupName, ReadWrite, StorageStatus};
use fdfs_core::wire::list::{GroupRecord, StatBlock, StorageRecord, stat};

use super::format::{local_time, mib, words};
use super::{Ended, with_client};
use crate::client::Client;
use crate::error::ClientError;

pub(super) const USAGE: &str = "[config_file] [list [group_name]]";
const DEFAULT_CONF: &str = "/etc/fdfs/client.conf";

pub(super) fn run(args: &[String]) -> Ended {
    let (conf, group) = match args {
        [] => (DEFAULT_CONF, None),
        [conf] => (conf.as_str(), None),
        [conf, list] if list == "list" => (conf.as_str(), None),
        [conf, list, group] if list == "list" => (conf.as_str(), Some(group.as_str())),
        [_, command, ..] => {
            eprintln!("Invalid command {command}");
            return Ended::Usage;
        }
    };
    let group = match group.map(str::parse::<GroupName>) {
        None => None,
        Some(Ok(group)) => Some(group),
        Some(Err(_)) => {
            return Ended::Failed("expected a group name of 1 to 16 letters and digits".into(), 22);
        }
    };
    match with_client("list groups", conf, async |client| describe(client, group).await) {
        Ok(text) => {
            print!("{text}");
            Ended::Done
        }
        Err(ended) => ended,
    }
}

async fn describe(client: &Client, only: Option<GroupName>) -> Result<String, ClientError> {
    let (tracker, groups) = client.groups().await?;
    let index = client.trackers().iter().position(|addr| *addr == tracker).unwrap_or(0);
    let mut text = head(client.trackers(), index);
    if only.is_none() {
        let _ = writeln!(text, "group count: {}\n", groups.len());
    }
    let mut found = only.is_none();
    for (n, record) in groups.iter().enumerate() {
        let Ok(name) = GroupName::new(record.name.bytes()) else { continue };
        match only {
            Some(only) if only != name => continue,
            Some(_) => found = true,
            None => {
                let _ = writeln!(text, "Group {}:", n + 1);
            }
        }
        let storages = client.storages(name).await?;
        group(&mut text, record);
        for (n, storage) in storages.iter().enumerate() {
            describe_storage(&mut text, n + 1, storage, &storages);
        }
        text.push('\n');
    }
    match (found, only) {
        (false, Some(group)) => {
            Err(ClientError::invalid("list groups", format!("there is no group {group}")))
        }
        _ => Ok(text),
    }
}

fn head(trackers: &[SocketAddr], index: usize) -> String {
    let tracker = trackers.get(index).map(ToString::to_string).unwrap_or_default();
    format!(
        "tracker server count={}, current server index={index}\n\ntracker server is {tracker}\n\n",
        trackers.len()
    )
}

fn group(text: &mut String, record: &GroupRecord) {
    let available = (record.free_mb.get() - record.reserved_mb.get()).max(0);
    let _ = writeln!(text, "group name = {}", record.name.as_str());
    let _ = writeln!(text, "disk total space     = {:>7}", mib(record.total_mb.get()));
    let _ = writeln!(text, "disk free space      = {:>7}", mib(record.free_mb.get()));
    let _ = writeln!(text, "disk reserved space  = {:>7}", mib(record.reserved_mb.get()));
    let _ = writeln!(text, "disk available space = {:>7}", mib(available));
    if record.current_trunk_file_id.get() >= 0 {
        let _ = writeln!(text, "trunk free space = {:>7}", mib(record.trunk_free_mb.get()));
    }
    let numbers = [
        ("storage server count", record.storage_count),
        ("readable server count", record.readable_count),
        ("writable server count", record.writable_count),
        ("storage server port", record.storage_port),
        ("store path count", record.store_path_count),
        ("subdir count per path", record.subdir_count),
        ("current write server index", record.current_write_server),
    ];
    for (name, number) in numbers {
        let _ = writeln!(text, "{name} = {number}");
    }
    text.push('\n');
}

/// Counters in the order of the output; total and success of each.
const COUNTS: [(&str, usize); 10] = [
    ("upload", stat::UPLOAD),
    ("append", stat::APPEND),
    ("modify", stat::MODIFY),
    ("truncate", stat::TRUNCATE),
    ("set_meta", stat::SET_META),
    ("delete", stat::DELETE),
    ("download", stat::DOWNLOAD),
    ("get_meta", stat::GET_META),
    ("create_link", stat::CREATE_LINK),
    ("delete_link", stat::DELETE_LINK),
];
const BYTES: [(&str, &str, usize); 6] = [
    ("total", "upload", stat::UPLOAD_BYTES),
    ("total", "append", stat::APPEND_BYTES),
    ("total", "modify", stat::MODIFY_BYTES),
    // Sic: scripts know it so.
    ("stotal", "download", stat::DOWNLOAD_BYTES),
    ("total", "sync_in", stat::SYNC_IN_BYTES),
    ("total", "sync_out", stat::SYNC_OUT_BYTES),
];
const FILES: [(&str, usize); 3] =
    [("file_open", stat::FILE_OPEN), ("file_read", stat::FILE_READ), ("file_write", stat::FILE_WRITE)];

fn describe_storage(text: &mut String, n: usize, storage: &StorageRecord, all: &[StorageRecord]) {
    let tail = &storage.tail;
    let status = StorageStatus::from_wire(storage.head.status).map_or("UNKNOWN", StorageStatus::name);
    let mode = ReadWrite::from_wire(storage.head.rw_mode).map_or("unknown", ReadWrite::name);
    let time = |secs: i64| if secs == 0 { String::new() } else { local_time(secs) };
    let counter = |at: usize| tail.stat.counters[at].get();
    let available = (tail.free_mb.get() - tail.reserved_mb.get()).max(0);
    let _ = writeln!(text, "\tStorage {n}:");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "\t\t{name} = {value}");
    };
    line("id", storage.head.id.as_str().to_owned());
    line("host", format!("{}:{}  {status}", storage.ip.as_str(), tail.port));
    line("read write mode", mode.to_owned());
    line("version", tail.version.as_str().to_owned());
    line("join time", local_time(tail.join_time.get()));
    line("up time", time(tail.up_time.get()));
    line("disk total space    ", format!("{:>7}", mib(tail.total_mb.get())));
    line("disk free space     ", format!("{:>7}", mib(tail.free_mb.get())));
    line("disk reserved space ", format!("{:>7}", mib(tail.reserved_mb.get())));
    line("disk available space", format!("{:>7}", mib(available)));
    line("upload priority", tail.upload_priority.to_string());
    line("store_path_count", tail.store_path_count.to_string());
    line("subdir_count_per_path", tail.subdir_count.to_string());
    line("current_write_path", tail.current_write_path.to_string());
    line("source storage id", tail.source_id.as_str().to_owned());
    line("if_trunk_server", tail.is_trunk_server.to_string());
    for (name, number) in ["alloc_count", "current_count", "max_count"].iter().zip(tail.stat.connections) {
        line(&format!("connection.{name}"), number.to_string());
    }
    for (name, at) in COUNTS {
        line(&format!("total_{name}_count"), counter(at).to_string());
        line(&format!("success_{name}_count"), counter(at + 1).to_string());
    }
    for (total, name, at) in BYTES {
        line(&format!("{total}_{name}_bytes"), counter(at).to_string());
        line(&format!("success_{name}_bytes"), counter(at + 1).to_string());
    }
    for (name, at) in FILES {
        line(&format!("total_{name}_count"), counter(at).to_string());
        line(&format!("success_{name}_count"), counter(at + 1).to_string());
    }
    line("last_heart_beat_time", local_time(counter(stat::LAST_HEART_BEAT)));
    line("last_source_update", local_time(counter(stat::LAST_SOURCE_UPDATE)));
    line("last_sync_update", local_time(counter(stat::LAST_SYNC_UPDATE)));
    let synced = counter(stat::LAST_SYNCED);
    let newest = all
        .iter()
        .filter(|other| other.head.id != storage.head.id)
        .map(|other| source_update(&other.tail.stat))
        .max()
        .unwrap_or(0);
    let remark = match (newest, synced) {
        (0, _) => String::new(),
        (_, 0) => "(never synced)".into(),
        _ => format!("({} delay)", words(newest - synced)),
    };
    line("last_synced_timestamp", format!("{} {remark}", local_time(synced)));
}

fn source_update(stat: &StatBlock) -> i64 {
    stat.counters[stat::LAST_SOURCE_UPDATE].get()
}
