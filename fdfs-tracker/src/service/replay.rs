//! The recorded exchanges of existing trackers, asked again of this one, which is brought to the same state by what the
//! recorded storages told: peers have their recorded addresses, only the sockets are missing.
//!
//! Equal to the last byte, but for what [`settled`] takes out: clocks, counters, space, turns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use fdfs_core::cluster::Leader;
use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::wire::cluster_stat::{StorageStat, TrackerStat, VolumeStat};
use fdfs_core::wire::list::{GroupRecord, StatBlock, StorageRecord};
use fdfs_core::wire::peer::TrunkPair;
use fdfs_core::wire::report::{Brief, Changes, JoinHead, StatusReport};
use fdfs_core::wire::{AddrWidth as Width, IpField, Text, cmd};
use serde_json::Value;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::*;
use crate::{Ready, Start};

const TRACKERS: [(&str, &str); 2] = [("tracker1", "10.66.0.11"), ("tracker2", "10.66.0.12")];
const STORAGES: [(&str, &str, &str, &str); 3] = [
    ("storage11", "10.66.0.21", "group1", "100001"),
    ("storage12", "10.66.0.22", "group1", "100002"),
    ("storage21", "10.66.0.31", "group2", "100003"),
];
/// Answered otherwise on purpose (`docs/compatibility.md`).
const OTHERWISE: [(&str, &str); 15] = [
    ("ping-leader-by-stranger", "an empty ping, as before 6.15.5, is no wrong length"),
    ("err-server-id-unknown", "a request without a port"),
    ("err-status-unknown", "a request without a port"),
    ("storage-status-ip-15", "requests without a port, as before 6.16, are answered"),
    ("storage-status-ip-16", "the same"),
    ("storage-status-ip-45", "the same"),
    ("storage-status-ip-46", "the same"),
    ("storage-status-ip-var", "the same"),
    ("server-id-ip-15", "the same"),
    ("server-id-ip-16", "the same"),
    ("server-id-ip-45", "the same"),
    ("server-id-ip-46", "the same"),
    ("server-id-ip-var", "the same"),
    ("storage-ids-from-0", "the request of versions before 6.11 is answered"),
    ("err-length-huge", "no body that long is read: a matter of the connection"),
];

/// What depends on requests that were left out of the recording: set, tracker, stream and position.
const HISTORY: [(&str, &str, u64, u64, &str); 7] = [
    ("multi", "tracker2", 11, 0, "the tracker was still reading the files of the other one"),
    ("multi", "tracker2", 38, 1, "a storage of the second group had joined by then"),
    ("multi", "tracker1", 10, 0, "the tracker was still reading the files of the other one"),
    ("ids-trunk", "tracker2", 42, 0, "it had been told the source by then"),
    ("ids-trunk", "tracker1", 9, 0, "the tracker was still reading the files of the other one"),
    ("ids-trunk", "tracker1", 25, 1, "the source was active by then"),
    ("ids-trunk", "tracker1", 7, 9, "a ping had told the trunk server by then"),
];

fn vectors() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let dir = std::env::var_os("FDFS_VECTORS").map_or_else(beside, PathBuf::from);
    if !dir.is_dir() {
        eprintln!("recordings are absent ({}): this test checked nothing", dir.display());
    }
    dir.is_dir().then_some(dir)
}

fn lines(path: PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn message(line: &Value, key: &str) -> Vec<u8> {
    let hex = line[key].as_str().unwrap_or_default();
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A tracker without its sockets.
struct Replayed {
    shared: Arc<Shared>,
    ready: Ready,
    me: SocketAddr,
    use_ids: bool,
    sessions: HashMap<u64, Session>,
    join: Vec<u8>,
}

impl Replayed {
    fn new(base: &Path, set: &Path, ip: &str, use_ids: bool, recorded: &[Value]) -> Self {
        let text = std::fs::read_to_string(set.join("conf/t1/tracker.conf")).unwrap();
        let ids = std::fs::read(set.join("conf/t1/storage_ids.conf")).unwrap();
        std::fs::write(base.join("storage_ids.conf"), ids).unwrap();
        let path = base.join("tracker.conf");
        std::fs::write(&path, text.replace("/data/fastdfs/tracker", base.to_str().unwrap())).unwrap();
        let (mut conf, _) = TrackerSettings::load(&path).unwrap();
        (conf.bind_addr, conf.port) = ("127.0.0.1".into(), 0);
        let mut ready = Start::new(conf).unwrap().bind().unwrap();
        let shared = Arc::get_mut(ready.shared_mut()).unwrap();
        shared.port = 22122;
        // The other tracker is none that could be asked for its files.
        shared.fetched.never();
        let shared = Arc::clone(ready.shared_mut());
        let join =
            recorded.iter().find(|line| line["cmd"] == 81).map(|line| message(line, "request").split_off(10));
        let me = SocketAddr::new(ip.parse().unwrap(), 22122);
        Self { shared, ready, me, use_ids, sessions: HashMap::new(), join: join.unwrap() }
    }

    /// An answer as the connection would write it.
    async fn ask(&mut self, stream: u64, from: &str, command: u8, body: &[u8]) -> (u8, Vec<u8>) {
        let peer = SocketAddr::new(from.parse().unwrap(), 40_000);
        let local = self.me;
        let session = self.sessions.entry(stream).or_insert_with(|| Session {
            peer,
            local,
            joined: None,
            follower: None,
            leader_chg: 0,
            trunk_chg: 0,
            files: None,
        });
        let request = Request { shared: &self.shared, cmd: command, body: Bytes::copy_from_slice(body) };
        let mut out = BytesMut::new();
        let done = match answer_from_view(session, &request, &mut out) {
            Some(done) => done.map_err(Stop::Refused),
            None => answer_by_owner(session, &request, &mut out).await,
        };
        match done {
            Ok(()) => (0, out.to_vec()),
            Err(Stop::Refused(refusal)) => (refusal.status.0, Vec::new()),
            Err(Stop::Conn(error)) => panic!("{error}"),
        }
    }

    /// The JOIN of a storage: the recorded one of the first, with its own group and id.
    async fn join(&mut self, stream: u64, (_, ip, group, id): (&str, &str, &str, &str)) {
        let mut body = self.join.clone();
        let head = JoinHead::mut_from_prefix(&mut body).unwrap().0;
        head.group = Text::cut(group.as_bytes());
        head.id = if self.use_ids { Text::cut(id.as_bytes()) } else { Text::EMPTY };
        head.tracker_ip = IpField::of(self.me.ip());
        let (status, _) = self.ask(stream, ip, cmd::STORAGE_JOIN, &body).await;
        assert_eq!(status, 0, "JOIN of {ip}");
    }

    fn id(&self, (_, ip, _, id): (&str, &str, &str, &str)) -> Text<16> {
        Text::cut(if self.use_ids { id } else { ip }.as_bytes())
    }

    /// What was left out of the recording as a repetition: in the end every member is active, and has everything.
    async fn make_active(&mut self, space: &[u8]) {
        let members = STORAGES.map(|storage| (storage, self.id(storage)));
        for (stream, (storage, id)) in (1_000..).zip(members) {
            let ip = storage.1;
            self.join(stream, storage).await;
            let source = if ip == "10.66.0.22" { members[0].1 } else { Text::EMPTY };
            let notice = [source.raw().as_slice(), &1_795_333_965_i64.to_be_bytes()].concat();
            assert_eq!(self.ask(stream, ip, cmd::SYNC_NOTIFY, &notice).await.0, 0, "notice of {ip}");
            let brief = Brief { status: 5, port: 23000.into(), id, ip: IpField::of(ip.parse().unwrap()) };
            let report = StatusReport { group: Text::cut(storage.2.as_bytes()), brief };
            assert_eq!(self.ask(stream, ip, cmd::REPORT_STATUS, report.as_bytes()).await.0, 0);
            assert_eq!(self.ask(stream, ip, cmd::REPORT_DISK_USAGE, space).await.0, 0, "space of {ip}");
        }
        for (stream, other) in [(1_000, members[1].1), (1_001, members[0].1)] {
            let all = [other.raw().as_slice(), &i32::MAX.to_be_bytes()].concat();
            assert_eq!(self.ask(stream, "10.66.0.21", cmd::SYNC_REPORT, &all).await.0, 0);
        }
    }

    /// What the election of trunk servers had found, which asked storages.
    async fn trunk_servers(&self, pairs: &[u8]) {
        let pairs = <[TrunkPair]>::ref_from_bytes(pairs).unwrap().to_vec();
        let change = move |state: &mut State, out: &mut fdfs_core::cluster::Effects| {
            for pair in &pairs {
                let group = GroupName::from_field(pair.group.raw()).unwrap();
                let id = StorageId::from_field(pair.trunk_server.raw()).unwrap();
                // A group whose first JOIN was left out comes later.
                let _ = state.cluster.set_trunk_server(&group, id, out);
                state.trunk_chg += 1;
            }
        };
        self.shared.owner.apply(change).await.unwrap();
    }

    /// The second tracker led, at all times that are replayed.
    async fn elected(&self) {
        let second = SocketAddr::new(TRACKERS[1].1.parse().unwrap(), 22122);
        let leader = if self.me == second { Leader::Myself } else { Leader::Other(second) };
        let change =
            move |state: &mut State, _: &mut fdfs_core::cluster::Effects| state.trackers.set_leader(leader);
        self.shared.owner.apply(change).await.unwrap();
    }
}

/// An answer without what depends on the clock, on counters, on the disks and on whose turn it is, nor what existing
/// trackers leave behind the end of a text.
fn settled(command: u8, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    match command {
        cmd::LIST_ONE_GROUP | cmd::LIST_ALL_GROUPS => {
            for record in <[GroupRecord]>::mut_from_bytes(&mut body).unwrap() {
                for field in [
                    &mut record.total_mb,
                    &mut record.free_mb,
                    &mut record.reserved_mb,
                    &mut record.trunk_free_mb,
                    &mut record.current_write_server,
                    &mut record.current_trunk_file_id,
                ] {
                    field.set(0);
                }
            }
        }
        cmd::LIST_STORAGE => {
            let width = if body.len().is_multiple_of(517) { Width::V6 } else { Width::V4 };
            let records = StorageRecord::parse_list(&body).unwrap();
            body.clear();
            for mut record in records {
                let tail = &mut record.tail;
                tail.stat = StatBlock::default();
                tail.is_trunk_server = 0;
                for field in [
                    &mut tail.join_time,
                    &mut tail.up_time,
                    &mut tail.total_mb,
                    &mut tail.free_mb,
                    &mut tail.reserved_mb,
                    &mut tail.current_write_path,
                ] {
                    field.set(0);
                }
                record.put(&mut body, width);
            }
        }
        cmd::TRACKER_GET_STATUS => body[1..].fill(0),
        cmd::TRACKER_CLUSTER_STAT => {
            for record in <[TrackerStat]>::mut_from_bytes(&mut body[1..]).unwrap() {
                let (host, is_leader) = (Text::cut(record.host.bytes()), record.is_leader);
                *record = TrackerStat::new_zeroed();
                (record.host, record.is_leader) = (host, is_leader);
            }
        }
        cmd::STORAGE_CLUSTER_STAT => {
            for record in <[StorageStat]>::mut_from_bytes(&mut body[6..]).unwrap() {
                record.id = Text::cut(record.id.bytes());
                record.host = Text::cut(record.host.bytes());
                record.connections = Default::default();
                record.is_trunk_server = 0;
                record.up_time.set(0);
                record.last_heartbeat.set(0);
            }
        }
        cmd::STORAGE_VOLUMN_STAT => {
            for record in <[VolumeStat]>::mut_from_bytes(&mut body[5..]).unwrap() {
                record.name = Text::cut(record.name.bytes());
                for field in [
                    &mut record.total_mb,
                    &mut record.free_mb,
                    &mut record.reserved_mb,
                    &mut record.available_mb,
                    &mut record.trunk_free_mb,
                ] {
                    field.set(0);
                }
            }
        }
        // Whose turn it is: group, address and store path, of the same length.
        cmd::QUERY_STORE_WITHOUT_GROUP_ONE
        | cmd::QUERY_STORE_WITH_GROUP_ONE
        | cmd::QUERY_STORE_WITHOUT_GROUP_ALL => {
            body.fill(0);
        }
        cmd::QUERY_STORE_WITH_GROUP_ALL => *body.last_mut().unwrap() = 0,
        cmd::QUERY_FETCH_ONE | cmd::QUERY_UPDATE => body[16..].fill(0),
        // Files with counters in them; what they hold is checked where they are read.
        cmd::TRACKER_GET_ONE_SYS_FILE => body.clear(),
        // What the source is copied up to is a time.
        cmd::SYNC_DEST_REQ | cmd::SYNC_SRC_REQ if body.len() == 24 => body[16..].fill(0),
        // The first tracker had read the files of the second before; here it has not.
        cmd::STORAGE_JOIN => body[0] = 0,
        _ => {}
    }
    body
}

/// Whether an answer is the recorded one. News to storages are who leads, which is told here once more when a follower
/// joins, and who is a member, with the statuses of that moment.
fn same(command: u8, got: &[u8], recorded: &[u8]) -> bool {
    if !matches!(command, cmd::STORAGE_BEAT | cmd::REPORT_DISK_USAGE | cmd::SYNC_REPORT) {
        return settled(command, got) == settled(command, recorded);
    }
    let [got, recorded] = [got, recorded].map(|body| Changes::parse(body).unwrap());
    let leader = |news: &Changes| news.leader.map(|leader| (leader.ip.ip(), leader.port.get()));
    recorded.leader.is_none() || leader(&got) == leader(&recorded)
}

async fn replay(set: &Path, use_ids: bool, (name, ip): (&str, &str)) -> usize {
    let set_name = set.file_name().unwrap().to_string_lossy().into_owned();
    let recorded = lines(set.join("servers.jsonl"));
    let base = tempfile::tempdir().unwrap();
    let mut tracker = Replayed::new(base.path(), set, ip, use_ids, &recorded);
    let (mut compared, mut wrong) = (0, Vec::new());
    let space = recorded
        .iter()
        .find(|line| line["cmd"] == 84)
        .map(|line| message(line, "request").split_off(10))
        .unwrap();
    let tools_from = recorded.iter().find(|line| line["from"] == "tool").unwrap()["time"].as_f64().unwrap();
    let mine = |line: &&Value| line["to"] == *name && !line["status"].is_null();
    let (early, late): (Vec<&Value>, Vec<&Value>) =
        recorded.iter().filter(mine).partition(|line| line["time"].as_f64().unwrap() < tools_from);
    for line in early {
        let (from, stream) = (line["from"].as_str().unwrap(), line["stream"].as_u64().unwrap());
        let storage = STORAGES.iter().find(|storage| storage.0 == from);
        let peer = storage.map_or(TRACKERS[usize::from(name == "tracker1")].1, |storage| storage.1);
        let command = u8::try_from(line["cmd"].as_u64().unwrap()).unwrap();
        let new = !tracker.sessions.contains_key(&stream);
        if let Some(storage) = storage.filter(|_| new && line["index"] != 0) {
            tracker.join(stream, *storage).await;
        }
        let body = message(line, "request").split_off(10);
        let expected = message(line, "response").split_off(10);
        let news = matches!(command, cmd::STORAGE_BEAT | cmd::REPORT_DISK_USAGE | cmd::SYNC_REPORT)
            && expected != [0];
        if name == "tracker2" && (news || command == cmd::TRACKER_JOIN_LEADER) {
            tracker.elected().await;
        }
        if command == cmd::TRACKER_PING_LEADER {
            tracker.trunk_servers(&expected).await;
        }
        let (status, got) = tracker.ask(stream, peer, command, &body).await;
        let place = (stream, line["index"].as_u64().unwrap());
        if HISTORY.iter().any(|at| (at.0, at.1, (at.2, at.3)) == (&*set_name, name, place)) {
            continue;
        }
        compared += 1;
        let equal = u64::from(status) == line["status"].as_u64().unwrap()
            && (status != 0 || same(command, &got, &expected));
        if !equal {
            wrong.push(format!("{set_name} {name} from {from}: command {command}, stream {stream} {}: {status} {got:02x?}, recorded {} {expected:02x?}", line["index"], line["status"]));
        }
    }
    tracker.make_active(&space).await;
    tracker.elected().await;
    let clients = lines(set.join("client.jsonl"));
    let asked =
        clients.iter().filter(|line| line["server"] == format!("{ip}:22122") && !line["status"].is_null());
    let tools = late.into_iter().filter(|line| line["from"] == "tool");
    for line in asked.chain(tools) {
        let what = line["name"].as_str().unwrap_or("tool").to_owned();
        if OTHERWISE.iter().any(|(name, _)| what.ends_with(name)) {
            continue;
        }
        let command = u8::try_from(line["cmd"].as_u64().unwrap()).unwrap();
        let peer = if what == "tool" { "10.66.0.3" } else { "10.66.0.2" };
        let body = message(line, "request").split_off(10);
        let expected = message(line, "response").split_off(10);
        let (status, got) = match command {
            // Answered before a command is looked up.
            cmd::ACTIVE_TEST => continue,
            _ => tracker.ask(9_999, peer, command, &body).await,
        };
        compared += 1;
        let equal = u64::from(status) == line["status"].as_u64().unwrap()
            && (status != 0 || same(command, &got, &expected));
        if !equal {
            wrong.push(format!(
                "{set_name} {name} {what}: command {command}: {status} {:?}, recorded {} {:?}",
                String::from_utf8_lossy(&got),
                line["status"],
                String::from_utf8_lossy(&expected)
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    drop(tracker.shared);
    drop(tracker.ready);
    compared
}

#[test]
fn every_recorded_exchange() {
    let Some(dir) = vectors() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut compared = 0;
    for (set, use_ids) in [("plain", false), ("ids-trunk", true), ("multi", true)] {
        for tracker in TRACKERS {
            compared += runtime.block_on(replay(&dir.join(set), use_ids, tracker));
        }
    }
    assert!(compared > 400, "only {compared} exchanges were found");
}
