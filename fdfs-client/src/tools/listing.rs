//! What `fdfs_monitor list` says: as text (protocol 8.2) and as JSON.

use std::fmt::Write;
use std::net::SocketAddr;

use fdfs_core::ident::{ReadWrite, StorageStatus};
use fdfs_core::wire::list::{GroupRecord, StatBlock, StorageRecord, stat};
use serde_json::{Map, Value, json};

use super::format::{local_time, mib, words};

/// The groups and their members, as one tracker knows them.
pub(super) struct Listing {
    /// The trackers of the config, and which of them told.
    pub trackers: Vec<SocketAddr>,
    pub index: usize,
    /// One group was asked for.
    pub only: bool,
    pub groups: Vec<(GroupRecord, Vec<StorageRecord>)>,
}

impl Listing {
    /// As the existing tool prints it.
    pub fn text(&self) -> String {
        let mut text = head(&self.trackers, self.index);
        if !self.only {
            let _ = writeln!(text, "group count: {}\n", self.groups.len());
        }
        for (n, (record, storages)) in self.groups.iter().enumerate() {
            if !self.only {
                let _ = writeln!(text, "Group {}:", n + 1);
            }
            group(&mut text, record, storages);
            for (n, storage) in storages.iter().enumerate() {
                describe_storage(&mut text, n + 1, storage, storages);
            }
            text.push('\n');
        }
        text
    }

    /// Sizes in MiB and bytes, times in Unix seconds; 0 is never.
    pub fn json(&self) -> Value {
        let groups = self.groups.iter().map(|(record, storages)| group_json(record, storages));
        json!({
            "tracker": self.trackers.get(self.index).map(ToString::to_string),
            "trackers": self.trackers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "groups": groups.collect::<Vec<_>>(),
        })
    }
}

fn group_json(record: &GroupRecord, storages: &[StorageRecord]) -> Value {
    let trunk = record.current_trunk_file_id.get();
    json!({
        "name": record.name.as_str(),
        "total_mb": record.total_mb.get(),
        "free_mb": record.free_mb.get(),
        "reserved_mb": record.reserved_mb.get(),
        "trunk_free_mb": record.trunk_free_mb.get(),
        "storage_count": record.storage_count.get(),
        "readable_count": record.readable_count.get(),
        "writable_count": record.writable_count.get(),
        "storage_port": record.storage_port.get(),
        "store_path_count": record.store_path_count.get(),
        "subdir_count_per_path": record.subdir_count.get(),
        "current_write_server": record.current_write_server.get(),
        "current_trunk_file_id": (trunk >= 0).then_some(trunk),
        "storages": storages.iter().map(storage_json).collect::<Vec<_>>(),
    })
}

fn storage_json(storage: &StorageRecord) -> Value {
    let tail = &storage.tail;
    let counter = |at: usize| tail.stat.counters[at].get();
    let pair = |at: usize| json!({ "total": counter(at), "success": counter(at + 1) });
    let counts = COUNTS.into_iter().chain(FILES).map(|(name, at)| (format!("{name}_count"), pair(at)));
    let bytes = BYTES.into_iter().map(|(_, name, at)| (format!("{name}_bytes"), pair(at)));
    let [allocated, current, most] = tail.stat.connections.map(zerocopy::byteorder::big_endian::I32::get);
    json!({
        "id": storage.head.id.as_str(),
        "ip": storage.ip.as_str(),
        "port": tail.port.get(),
        "status": StorageStatus::from_wire(storage.head.status).map_or("UNKNOWN", StorageStatus::name),
        "rw": ReadWrite::from_wire(storage.head.rw_mode).map_or("unknown", ReadWrite::name),
        "version": tail.version.as_str(),
        "join_time": tail.join_time.get(),
        "up_time": tail.up_time.get(),
        "total_mb": tail.total_mb.get(),
        "free_mb": tail.free_mb.get(),
        "reserved_mb": tail.reserved_mb.get(),
        "upload_priority": tail.upload_priority.get(),
        "store_path_count": tail.store_path_count.get(),
        "subdir_count_per_path": tail.subdir_count.get(),
        "current_write_path": tail.current_write_path.get(),
        "source": Some(tail.source_id.as_str()).filter(|id| !id.is_empty()),
        "is_trunk_server": tail.is_trunk_server != 0,
        "connections": { "allocated": allocated, "current": current, "max": most },
        "counters": counts.chain(bytes).collect::<Map<String, Value>>(),
        "last_heart_beat_time": counter(stat::LAST_HEART_BEAT),
        "last_source_update": counter(stat::LAST_SOURCE_UPDATE),
        "last_sync_update": counter(stat::LAST_SYNC_UPDATE),
        "last_synced_timestamp": counter(stat::LAST_SYNCED),
    })
}

/// The first lines of every output.
pub(super) fn head(trackers: &[SocketAddr], index: usize) -> String {
    let tracker = trackers.get(index).map(ToString::to_string).unwrap_or_default();
    format!(
        "tracker server count={}, current server index={index}\n\ntracker server is {tracker}\n\n",
        trackers.len()
    )
}

fn group(text: &mut String, record: &GroupRecord, storages: &[StorageRecord]) {
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
    let trunk = storages.iter().find(|storage| storage.tail.is_trunk_server != 0);
    if let Some(trunk) = trunk.filter(|_| record.current_trunk_file_id.get() >= 0) {
        let (id, ip) = (trunk.head.id.as_str(), trunk.ip.as_str());
        let _ = writeln!(text, "current trunk server = {id} ({ip})");
        let _ = writeln!(text, "current trunk file id = {}", record.current_trunk_file_id);
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
    use std::path::PathBuf;

    use super::*;

    /// Folder of the recordings: `FDFS_VECTORS`, or beside the project. Says so when it is absent.
    fn vectors() -> Option<PathBuf> {
        let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
        let dir = std::env::var_os("FDFS_VECTORS").map_or_else(beside, PathBuf::from);
        if !dir.is_dir() {
            eprintln!("recordings are absent ({}): this test checked nothing", dir.display());
        }
        dir.is_dir().then_some(dir)
    }

    fn body(line: &Value) -> Vec<u8> {
        let hex = line["response"].as_str().unwrap();
        (10..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    /// Dates become one word where the clock of the recording is not that of this machine.
    fn comparable(text: &str) -> String {
        if local_time(0) == "1970-01-01 00:00:00" {
            return text.to_owned();
        }
        let date =
            |word: &str| word.len() >= 8 && word.bytes().all(|b| b.is_ascii_digit() || b"-:".contains(&b));
        let line = |line: &str| {
            line.split(' ').map(|w| if date(w) { "DATE" } else { w }).collect::<Vec<_>>().join(" ")
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    /// What the existing tool was told, and what it printed: the same is printed here, byte for byte.
    #[test]
    fn recorded_answers_are_printed_as_recorded() {
        let Some(dir) = vectors() else { return };
        for (set, tracker) in [("plain", "tracker1"), ("ids-trunk", "tracker1"), ("multi", "tracker2")] {
            let recorded = std::fs::read_to_string(dir.join(set).join("servers.jsonl")).unwrap();
            let lines = recorded.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let told = lines.filter(|line| {
                let of_tool = line["from"] == "tool" && line["to"] == tracker && line["status"] == 0;
                of_tool && (line["cmd"] == 91 || line["cmd"] == 92)
            });
            let told: Vec<Vec<u8>> = told.map(|line| body(&line)).collect();
            let tools = std::fs::read_to_string(dir.join(set).join("tools.txt")).unwrap();
            let starts =
                ["$ fdfs_monitor /etc/fdfs/client.conf\n", "$ fdfs_monitor /etc/fdfs/client.conf list\n"];
            assert_eq!(told.len(), 6, "{set}: two runs, each with the groups and the members of two");
            for (answers, start) in told.chunks(3).zip(starts) {
                let storages = answers[1..].iter().map(|answer| StorageRecord::parse_list(answer).unwrap());
                let groups =
                    GroupRecord::parse_list(&answers[0]).unwrap().into_iter().zip(storages).collect();
                let trackers = ["10.66.0.11:22122", "10.66.0.12:22122"].map(|addr| addr.parse().unwrap());
                let index = usize::from(tracker == "tracker2");
                let listing = Listing { trackers: trackers.to_vec(), index, only: false, groups };
                let from = tools.find(start).unwrap() + start.len();
                let printed = &tools[from..from + tools[from..].find("exit status:").unwrap()];
                assert_eq!(comparable(listing.text().trim_end()), comparable(printed.trim_end()), "{set}");
                let json = listing.json();
                assert_eq!(json["groups"][0]["storages"][1]["status"], "ACTIVE");
                assert_eq!(json["groups"][1]["storages"][0]["counters"]["upload_count"]["total"], {
                    listing.groups[1].1[0].tail.stat.counters[stat::UPLOAD].get()
                });
            }
        }
    }
}
