//! `fdfs_monitor`: the cluster as text (protocol 8.2).

use std::fmt::Write;
use std::net::SocketAddr;

use fdfs_core::ident::{GroupName, ReadWrite, StorageId, StorageStatus};
use fdfs_core::wire::Status;
use fdfs_core::wire::list::{GroupRecord, StatBlock, StorageRecord, stat};

use serde_json::{Value, json};

use super::format::{local_time, mib, words};
use super::{Ended, failure, with_client};
use crate::client::Client;
use crate::error::ClientError;

pub(super) const USAGE: &str = "[config_file] [-h tracker_host[:port]] [list [group_name]]\n\
       fdfs_monitor [config_file] delete <group_name> [storage_id]\n\
       fdfs_monitor [config_file] set_trunk_server <group_name> [storage_id]";
const DEFAULT_CONF: &str = "/etc/fdfs/client.conf";

/// What is asked.
#[derive(Debug, PartialEq)]
enum Command {
    List(Option<GroupName>),
    Delete(GroupName, Option<StorageId>),
    SetTrunkServer(GroupName, Option<StorageId>),
}

#[derive(Debug, PartialEq)]
struct Wish<'a> {
    conf: &'a str,
    tracker: Option<&'a str>,
    command: Command,
}

pub(super) fn run(args: &[String]) -> Ended {
    let wish = match parse(args) {
        Ok(wish) => wish,
        Err(ended) => return ended,
    };
    let done = with_client("list groups", wish.conf, async |client| {
        if let Some(tracker) = wish.tracker
            && !client.pin(tracker)
        {
            return Ok(Ended::Failed(format!("tracker server: {tracker} not exists!"), 2));
        }
        match &wish.command {
            Command::List(group) => Ok(Ended::Said(describe(client, *group).await?, Value::Null)),
            Command::Delete(group, id) => Ok(delete(client, *group, *id).await),
            Command::SetTrunkServer(group, id) => Ok(set_trunk_server(client, *group, *id).await),
        }
    });
    match done {
        Ok(ended) | Err(ended) => ended,
    }
}

fn parse(args: &[String]) -> Result<Wish<'_>, Ended> {
    let (mut tracker, mut words) = (None, Vec::new());
    let mut rest = args.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        match arg.strip_prefix("-h") {
            Some("") => tracker = Some(rest.next().ok_or(Ended::Usage)?),
            Some(host) => tracker = Some(host),
            None => words.push(arg),
        }
    }
    let is_command = |word: &str| matches!(word, "list" | "delete" | "set_trunk_server");
    let (conf, words) = match words.split_first() {
        Some((first, others)) if !is_command(first) => (*first, others),
        _ => (DEFAULT_CONF, &words[..]),
    };
    let group = |text: &str| {
        let why = || Ended::Failed("expected a group name of 1 to 16 letters and digits".into(), 22);
        text.parse::<GroupName>().map_err(|_| why())
    };
    let id = |text: &str| {
        let why = || Ended::Failed("expected a storage id of 1 to 15 characters".into(), 22);
        StorageId::new(text.as_bytes()).map_err(|_| why())
    };
    let command = match words {
        [] | ["list"] => Command::List(None),
        ["list", name] => Command::List(Some(group(name)?)),
        ["delete", name] => Command::Delete(group(name)?, None),
        ["delete", name, storage] => Command::Delete(group(name)?, Some(id(storage)?)),
        ["set_trunk_server", name] => Command::SetTrunkServer(group(name)?, None),
        ["set_trunk_server", name, storage] => Command::SetTrunkServer(group(name)?, Some(id(storage)?)),
        [command, ..] => {
            if !is_command(command) {
                eprintln!("Invalid command {command}");
            }
            return Err(Ended::Usage);
        }
    };
    Ok(Wish { conf, tracker, command })
}

/// Tells every tracker; one that could not be told is named, and the exit code is that of its error.
async fn delete(client: &Client, group: GroupName, id: Option<StorageId>) -> Ended {
    let what = match id {
        Some(id) => format!("delete storage server {group}::{id}"),
        None => format!("delete group: {group}"),
    };
    let mut failed = Vec::new();
    for &tracker in client.trackers() {
        if let Err(error) = client.delete_member(tracker, group, id).await {
            failed.push(error);
        }
    }
    let trackers = client.trackers();
    let text = head(trackers, 0);
    // One that had learned it from another tracker already is content.
    let happened = failed.len() < trackers.len();
    failed.retain(|error| !(happened && matches!(error.status(), Status::NOENT | Status::ALREADY)));
    let Some(first) = failed.first() else {
        return Ended::Said(format!("{text}{what} success\n"), json!({ "done": what }));
    };
    let (line, code) = failure(&what, first);
    let said = if happened { format!("{text}{what} success\n") } else { format!("{text}{line}\n") };
    let lines = failed.iter().map(ToString::to_string).collect();
    Ended::Partly(said, json!({ "error": line, "error_no": code }), lines, code)
}

async fn set_trunk_server(client: &Client, group: GroupName, id: Option<StorageId>) -> Ended {
    let text = head(client.trackers(), 0);
    let what = match id {
        Some(id) => format!("set trunk server {group}::{id}"),
        None => format!("set trunk server {group}::"),
    };
    match client.set_trunk_server(group, id).await {
        Ok(new) => {
            let text = format!("{text}{what} success, new trunk server: {new}\n");
            Ended::Said(text, json!({ "trunk_server": new }))
        }
        Err(error) => {
            let (line, code) = failure(&what, &error);
            let said = format!("{text}{line}\n");
            Ended::Partly(said, json!({ "error": line, "error_no": code }), vec![error.to_string()], code)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<'a>(args: &'a [String]) -> Wish<'a> {
        let Ok(wish) = parse(args) else { panic!("{args:?}") };
        wish
    }

    #[test]
    fn every_form_of_the_arguments() {
        let args = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let group: GroupName = "group1".parse().unwrap();
        let id = StorageId::new(b"100001").unwrap();
        let all = [
            ("", DEFAULT_CONF, None, Command::List(None)),
            ("c.conf", "c.conf", None, Command::List(None)),
            ("list group1", DEFAULT_CONF, None, Command::List(Some(group))),
            ("c.conf -h 10.0.0.1 list", "c.conf", Some("10.0.0.1"), Command::List(None)),
            ("-h10.0.0.1:22122 c.conf", "c.conf", Some("10.0.0.1:22122"), Command::List(None)),
            ("c.conf delete group1 100001", "c.conf", None, Command::Delete(group, Some(id))),
            ("c.conf delete group1", "c.conf", None, Command::Delete(group, None)),
            ("set_trunk_server group1", DEFAULT_CONF, None, Command::SetTrunkServer(group, None)),
        ];
        for (text, conf, tracker, command) in all {
            assert_eq!(parsed(&args(text)), Wish { conf, tracker, command }, "{text}");
        }
        for text in ["c.conf frobnicate", "c.conf delete", "-h", "set_trunk_server", "c.conf list a b"] {
            assert!(matches!(parse(&args(text)), Err(Ended::Usage)), "{text}");
        }
        assert!(matches!(parse(&args("c.conf list ../x")), Err(Ended::Failed(_, 22))));
    }
}
