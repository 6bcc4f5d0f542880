//! The conversations with trackers: recorded answers of existing ones, to which this storage says what the existing one said; and
//! trackers that believe something else of it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fdfs_core::ident::{StorageId, StorageStatus};
use fdfs_core::settings::StorageSettings;
use fdfs_core::wire::list::StorageRecord;
use fdfs_core::wire::report::{Brief, Changes, JoinAnswer, JoinHead, StatusReport, SyncedFrom};
use fdfs_core::wire::{AddrWidth, IpField, Text, cmd};
use fdfs_net::{CancellationToken, Part};
use fdfs_storage::link::{Bootstrap, Calls};
use fdfs_storage::{link, sync};
use serde_json::Value;
use zerocopy::{FromBytes, IntoBytes};

use crate::recorded::{bytes, servers, vectors};
use crate::support::{Member, existing, until};

/// The recorded cluster.
const TRACKERS: [(&str, &str); 2] = [("tracker1", "10.66.0.11:22122"), ("tracker2", "10.66.0.12:22122")];
const STORAGES: [(&str, &str, &str); 3] = [
    ("storage11", "100001", "10.66.0.21"),
    ("storage12", "100002", "10.66.0.22"),
    ("storage21", "100003", "10.66.0.31"),
];

/// Status and body.
type Answer = (u8, Vec<u8>);

/// A request of the existing storage, and what came back.
#[derive(Debug, Clone)]
struct Exchange {
    tracker: usize,
    cmd: u8,
    request: Vec<u8>,
    answer: Answer,
    /// Before the trackers were stopped and started.
    early: bool,
}

/// What this storage does not ask, and why.
fn unasked(with_ids: bool, exchange: &Exchange) -> Option<&'static str> {
    Some(match exchange.cmd {
        cmd::FETCH_TRUNK_FID | cmd::REPORT_TRUNK_FID | cmd::REPORT_TRUNK_FREE => {
            "no trunk files are made here"
        }
        cmd::CHANGELOG_REQ if with_ids => "with storage ids no address of a member is its name",
        cmd::CHANGE_STATUS if exchange.request == [StorageStatus::Active.wire()] => {
            "what is in service already becomes active by a beat"
        }
        cmd::QUIT => "a conversation ends with its connection",
        _ => return None,
    })
}

/// One storage of a recorded set, its trackers, and who stands where here.
struct World {
    with_ids: bool,
    own: Vec<Exchange>,
    /// Of all storages: what was left out as a repetition is answered like that.
    all: Vec<Exchange>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Answers that are still to come, by tracker and command, with their places in the recording.
    queues: HashMap<(usize, u8), VecDeque<(usize, Answer)>>,
    /// Requests so far.
    asked: Vec<(usize, u8, Vec<u8>)>,
    /// A member of the last news has no files yet, and this storage is to say that it brings them.
    waiting: bool,
    /// What each tracker takes this storage for.
    statuses: [u8; 2],
    trackers: Vec<SocketAddr>,
    /// Questions for the source of old files that were refused.
    refused: usize,
    /// Where the members are.
    members: HashMap<String, SocketAddr>,
}

impl World {
    fn new(lines: &[Value], with_ids: bool, name: &str) -> Self {
        let tools = lines.iter().find(|line| line["from"] == "tool").unwrap()["time"].as_f64().unwrap();
        let exchange = |line: &Value| {
            let tracker = TRACKERS.iter().position(|(name, _)| line["to"] == *name)?;
            let body = |key: &str| bytes(line[key].as_str().unwrap()).split_off(10);
            Some(Exchange {
                tracker,
                cmd: line["cmd"].as_u64().unwrap() as u8,
                request: body("request"),
                answer: (line["status"].as_u64()? as u8, body("response")),
                early: line["time"].as_f64().unwrap() < tools,
            })
        };
        let of = |from: &str| -> Vec<Exchange> {
            lines.iter().filter(|line| line["from"] == from).filter_map(exchange).collect()
        };
        let mut own = of(name);
        let waiting = StorageStatus::WaitSync.wire();
        let reports = own.iter().any(|exchange| exchange.cmd == cmd::REPORT_STATUS);
        if reports && !own.iter().any(|one| members(one).iter().any(|member| member.status == waiting)) {
            // That the new member waits for files was told as well, but left out as a repetition.
            let at = own.iter().position(|exchange| members(exchange).len() == 2).unwrap();
            let mut before = own[at].clone();
            let mut changes = Changes::parse(&before.answer.1).unwrap();
            changes.members.as_mut().unwrap()[1].status = waiting;
            before.answer.1.clear();
            changes.put(&mut before.answer.1);
            own.insert(at, before);
        }
        let all = STORAGES.iter().flat_map(|(name, ..)| of(name)).collect();
        let world = Self { with_ids, own, all, state: Mutex::default() };
        world.tell(true);
        world
    }

    /// From now on the trackers have these answers too.
    fn tell(&self, early: bool) {
        let mut state = self.state.lock().unwrap();
        for (place, exchange) in self.own.iter().enumerate().filter(|(_, one)| one.early == early) {
            let queue = state.queues.entry((exchange.tracker, exchange.cmd)).or_default();
            queue.push_back((place, exchange.answer.clone()));
        }
    }

    /// The id of a member of the set.
    fn id(&self, (_, id, ip): (&str, &str, &str)) -> String {
        if self.with_ids { id } else { ip }.to_owned()
    }

    fn storage(&self, id: &str) -> (&'static str, &'static str, &'static str) {
        *STORAGES.iter().find(|storage| self.id(**storage) == id).unwrap()
    }

    /// What a tracker answers.
    fn answer(&self, tracker: usize, name: &str, request: &[u8]) -> Answer {
        let (command, body) = (request[8], &request[10..]);
        let mut state = self.state.lock().unwrap();
        state.asked.push((tracker, command, body.to_vec()));
        // A new member waits until its source has reported.
        state.waiting &= command != cmd::REPORT_STATUS;
        // News keep their order.
        let place = |command| Some(state.queues.get(&(tracker, command))?.front()?.0);
        let report_first = place(cmd::SYNC_REPORT).is_some_and(|at| place(cmd::STORAGE_BEAT) > Some(at));
        let waits = command == cmd::STORAGE_BEAT && (state.waiting || report_first);
        let next = state.queues.get_mut(&(tracker, command)).filter(|_| !waits).and_then(VecDeque::pop_front);
        let next = next.map(|(_, answer)| answer);
        let like = |of: &[Exchange]| {
            of.iter().find(|exchange| exchange.cmd == command).map(|exchange| exchange.answer.clone())
        };
        let storage = *STORAGES.iter().find(|storage| storage.0 == name).unwrap();
        let (status, body) = match command {
            // Asked by this storage alone.
            cmd::GET_SERVER_ID => (0, storage.1.as_bytes().to_vec()),
            cmd::LIST_STORAGE => {
                let mut record = StorageRecord::parse_list(&[0; 517]).unwrap()[0];
                record.head.status = state.statuses[tracker];
                let mut out = Vec::new();
                record.put(&mut out, AddrWidth::V6);
                (0, out)
            }
            // A tracker that has no other member in service yet.
            cmd::SYNC_DEST_REQ => next.unwrap_or((2, Vec::new())),
            cmd::GET_MY_IP => (0, storage.2.as_bytes().to_vec()),
            cmd::STORAGE_BEAT | cmd::REPORT_DISK_USAGE | cmd::SYNC_REPORT => next.unwrap_or((0, vec![0])),
            _ => next.or_else(|| like(&self.own)).or_else(|| like(&self.all)).unwrap_or_default(),
        };
        match command {
            cmd::STORAGE_JOIN => state.statuses[tracker] = body[0],
            cmd::CHANGE_STATUS => state.statuses[tracker] = request[10],
            cmd::SYNC_DEST_REQ if status != 0 => state.refused += 1,
            cmd::SYNC_DEST_REQ => {
                let now = if body.is_empty() { StorageStatus::Online } else { StorageStatus::WaitSync };
                state.statuses[tracker] = now.wire();
            }
            _ => {}
        }
        let news = matches!(command, cmd::STORAGE_BEAT | cmd::REPORT_DISK_USAGE | cmd::SYNC_REPORT);
        if news { (status, self.moved(&mut state, tracker, &body, name)) } else { (status, body) }
    }

    /// News with the addresses of here.
    fn moved(&self, state: &mut State, tracker: usize, body: &[u8], name: &str) -> Vec<u8> {
        let reports = self.own.iter().any(|exchange| exchange.cmd == cmd::REPORT_STATUS);
        let mut changes = Changes::parse(body).unwrap();
        if let Some(leader) = &mut changes.leader {
            let recorded = SocketAddr::new(leader.ip.ip().unwrap(), leader.port.get() as u16).to_string();
            let at = TRACKERS.iter().position(|(_, addr)| *addr == recorded).unwrap();
            place(leader, state.trackers[at]);
        }
        for member in changes.members.iter_mut().flatten() {
            let other = self.storage(member.id.as_str()).0 != name;
            state.waiting |= reports && other && member.status == StorageStatus::WaitSync.wire();
            if !other {
                state.statuses[tracker] = member.status;
            }
            place(member, state.members[member.id.as_str()]);
        }
        let mut out = Vec::new();
        changes.put(&mut out);
        out
    }

    /// A request with the recorded addresses and the values that depend on clocks, disks and counters: as `like` has them.
    fn as_recorded(&self, command: u8, body: &[u8], like: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        let brief = |brief: &mut Brief| {
            let ip = self.storage(brief.id.as_str()).2;
            place(brief, SocketAddr::new(ip.parse().unwrap(), 23000));
        };
        match command {
            cmd::STORAGE_JOIN => {
                let (theirs, _) = JoinHead::ref_from_prefix(like).unwrap();
                let (ours, lines) = JoinHead::mut_from_prefix(&mut body).unwrap();
                (ours.join_time, ours.up_time) = (theirs.join_time, theirs.up_time);
                ours.tracker_ip = theirs.tracker_ip;
                let mut lines = String::from_utf8(lines.to_vec()).unwrap();
                for (at, addr) in self.state.lock().unwrap().trackers.iter().enumerate() {
                    lines = lines.replace(&addr.to_string(), TRACKERS[at].1);
                }
                body = [ours.as_bytes(), lines.as_bytes()].concat();
            }
            // Counters and space.
            cmd::STORAGE_BEAT | cmd::REPORT_DISK_USAGE if body.len() == like.len() => body = like.to_vec(),
            // The existing storage leaves the port out.
            cmd::REPORT_STATUS => {
                let ours = &mut StatusReport::mut_from_bytes(&mut body).unwrap().brief;
                brief(ours);
                ours.port = StatusReport::parse(like).unwrap().brief.port;
            }
            cmd::REPLICA_CHG => {
                <[Brief]>::mut_from_bytes(&mut body).unwrap().iter_mut().for_each(brief);
            }
            // Sources of which nothing has arrived are left out.
            cmd::SYNC_REPORT => {
                let mut entries = <[SyncedFrom]>::ref_from_bytes(&body).unwrap().iter().peekable();
                let filled = <[SyncedFrom]>::ref_from_bytes(like).unwrap().iter().map(|theirs| {
                    let ours = entries.next_if(|ours| ours.source_id == theirs.source_id);
                    ours.copied().unwrap_or(SyncedFrom { timestamp: 0.into(), ..*theirs })
                });
                let filled: Vec<SyncedFrom> = filled.collect();
                body = filled.as_bytes().to_vec();
            }
            _ => {}
        }
        body
    }

    /// Recorded requests that were not made here.
    fn missing(&self, early: bool) -> Vec<&Exchange> {
        let asked = self.state.lock().unwrap().asked.clone();
        let made = |exchange: &&Exchange| {
            // One of the trackers is asked for the source of old files, and which one is a matter of chance.
            let anywhere =
                matches!(exchange.cmd, cmd::SYNC_DEST_REQ | cmd::SYNC_SRC_REQ | cmd::PARAMETER_REQ)
                    || matches!(exchange.cmd, cmd::FETCH_STORAGE_IDS | cmd::GET_MY_IP);
            asked.iter().any(|(tracker, command, body)| {
                (anywhere || *tracker == exchange.tracker)
                    && *command == exchange.cmd
                    && self.as_recorded(*command, body, &exchange.request) == exchange.request
            })
        };
        let wanted =
            self.own.iter().filter(|one| one.early == early && unasked(self.with_ids, one).is_none());
        wanted.filter(|exchange| !made(exchange)).collect()
    }

    fn joins(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|(_, command, _)| *command == cmd::STORAGE_JOIN).count()
    }

    /// Whether the trackers have told all the news.
    fn told(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.queues.iter().all(|((_, command), queue)| *command != cmd::STORAGE_BEAT || queue.is_empty())
    }

    /// Up to when others' changes had arrived at the existing storage, as it has reported.
    fn arrived(&self) -> Vec<SyncedFrom> {
        let reports = self.own.iter().filter(|exchange| exchange.cmd == cmd::SYNC_REPORT);
        let entries =
            reports.flat_map(|exchange| <[SyncedFrom]>::ref_from_bytes(&exchange.request).unwrap().to_vec());
        entries.filter(|entry| entry.timestamp.get() > 0).collect()
    }

    fn has_news(&self, early: bool) -> bool {
        let mut beats = self.own.iter().filter(|one| one.early == early && one.cmd == cmd::STORAGE_BEAT);
        beats.any(|beat| beat.answer.1.len() > 1)
    }
}

/// The members that the news in an answer name.
fn members(exchange: &Exchange) -> Vec<Brief> {
    match exchange.cmd {
        cmd::STORAGE_BEAT => Changes::parse(&exchange.answer.1).unwrap().members.unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// What is waited for.
struct Missing<'a>(&'a World, &'a str, bool);

impl std::fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "requests of {}:", self.1)?;
        self.0.missing(self.2).iter().try_for_each(|exchange| {
            write!(f, " {} to tracker {} {:02x?}", exchange.cmd, exchange.tracker, exchange.request)
        })
    }
}

fn place(brief: &mut Brief, addr: SocketAddr) {
    brief.ip = IpField::of(addr.ip());
    brief.port = i32::from(addr.port()).into();
}

/// The conversations with trackers, and replication, until dropped.
struct Linked {
    calls: Calls,
    stop: CancellationToken,
    parts: Vec<Part<()>>,
}

impl Linked {
    fn start(member: &Member, trackers: &[SocketAddr]) -> Self {
        let trackers: Vec<_> = trackers.iter().map(|addr| vec![*addr]).collect();
        let calls = Calls::new(&member.storage, &trackers);
        let stop = CancellationToken::new();
        let started = || (Arc::clone(&member.storage), calls.clone(), stop.clone());
        let ((storage, mine, stopped), other) = (started(), started());
        let parts = [
            Part::start("cluster".into(), move || async move { link::run(&storage, mine, &stopped).await }),
            Part::start("sync".into(), move || async move { sync::run(&other.0, &other.1, &other.2).await }),
        ];
        Self { calls, stop, parts: parts.into_iter().map(Result::unwrap).collect() }
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.stop.cancel();
        for part in self.parts.drain(..) {
            let ended = part.join();
            assert!(ended.is_some() || std::thread::panicking());
        }
    }
}

/// The settings of a recorded storage, in `dir`, with these trackers.
fn settings(dir: &Path, conf: &Path, trackers: &[SocketAddr]) -> StorageSettings {
    let text = std::fs::read_to_string(conf).unwrap();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("tracker_server") && !line.starts_with("bind_addr"))
        .map(|line| line.replace("/data/fastdfs", dir.to_str().unwrap()))
        .collect();
    lines.extend(trackers.iter().map(|addr| format!("tracker_server = {addr}")));
    let path = dir.join("storage.conf");
    std::fs::write(&path, lines.join("\n")).unwrap();
    for folder in ["storage/data", "path1"] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    StorageSettings::load(&path).unwrap().0
}

/// One storage with recorded answers from its start to the other leader. Answers how many requests were compared.
fn replay(vectors: &Path, set: &str, name: &'static str) -> usize {
    let at = format!("{set} {name}");
    let with_ids = set != "plain";
    let world = Arc::new(World::new(&servers(vectors, set), with_ids, name));
    let trackers: Vec<SocketAddr> = (0..2)
        .map(|tracker| {
            let world = Arc::clone(&world);
            existing(move |_, request| world.answer(tracker, name, request))
        })
        .collect();
    world.state.lock().unwrap().trackers.clone_from(&trackers);
    let dir = tempfile::tempdir().unwrap();
    let conf = if name == "storage21" { "s21" } else { "s11" };
    let settings =
        settings(dir.path(), &vectors.join(set).join("conf").join(conf).join("storage.conf"), &trackers);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (addrs, _) = link::resolve(&settings);
    let found = runtime
        .block_on(Bootstrap::ask(&settings, &addrs, 1, None))
        .unwrap_or_else(|error| panic!("{at}: {error}"));
    let me = *STORAGES.iter().find(|storage| storage.0 == name).unwrap();
    assert_eq!(found.identity.id.as_str(), world.id(me), "{at}");
    let member = Member::start_as(settings, found.identity, found.params);
    let peer = Member::start(dir.path(), 9);
    for storage in STORAGES {
        let addr = if storage.0 == name { member.addr } else { peer.addr };
        world.state.lock().unwrap().members.insert(world.id(storage), addr);
    }
    let linked = Linked::start(&member, &trackers);
    let arrived = world.arrived();
    let mut noted = 0;
    until(Missing(&world, name, true), || {
        let left = world.missing(true);
        // They come last, each after the one before is reported.
        let reports = left.iter().filter(|exchange| exchange.cmd == cmd::SYNC_REPORT).count();
        let later = [cmd::STORAGE_BEAT, cmd::SYNC_REPORT, cmd::REPLICA_CHG];
        let others = left.iter().filter(|exchange| !later.contains(&exchange.cmd)).count();
        if noted + reports == arrived.len() && reports > 0 && others == 0 {
            let source = StorageId::from_field(arrived[noted].source_id.raw()).unwrap().unwrap();
            member.storage.synced.note(&source, arrived[noted].timestamp.get().into());
            noted += 1;
        }
        left.is_empty()
    });
    until(format!("{at}: the news"), || world.told());
    if world.has_news(true) {
        assert_eq!(linked.calls.leader(), Some(trackers[1]), "{at}");
        assert!(member.storage.members.get(&member.storage.identity.id).is_some(), "{at}");
    }
    world.tell(false);
    until(Missing(&world, name, false), || world.missing(false).is_empty() && world.told());
    if world.has_news(false) {
        until(format!("{at}: the other leader"), || linked.calls.leader() == Some(trackers[0]));
    }
    // Refused, the source is asked for on another connection; nothing else ends a conversation.
    assert!(world.joins() <= 2 + world.state.lock().unwrap().refused, "{at}");
    drop(linked);
    world.own.iter().filter(|one| unasked(with_ids, one).is_none()).count()
}

#[test]
fn recorded_conversations_with_trackers() {
    let Some(dir) = vectors() else { return };
    let sets = ["plain", "ids-trunk", "multi"];
    let all = sets.into_iter().flat_map(|set| STORAGES.map(|(name, ..)| (set, name)));
    let running: Vec<_> = all
        .map(|(set, name)| {
            let dir = dir.clone();
            std::thread::spawn(move || replay(&dir, set, name))
        })
        .collect();
    let compared: usize = running.into_iter().map(|thread| thread.join().unwrap()).sum();
    println!("{compared} requests to trackers");
    assert!(compared > 100, "{compared}");
}

/// What a leader and a follower believe of one storage.
#[derive(Clone, Copy)]
struct Beliefs {
    /// The leader told it so with its news,
    told: StorageStatus,
    /// and knows by now.
    leader: StorageStatus,
    /// The follower answered its join so,
    joined: StorageStatus,
    /// and knows by now; `None`: nothing.
    follower: Option<StorageStatus>,
}

/// A request: tracker, connection, command, body.
type Said = (usize, usize, u8, Vec<u8>);

/// What a storage said to a leader and to a follower that believe this of it.
fn said(beliefs: Beliefs) -> Vec<Said> {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(dir.path(), 1);
    member.storage.update_init(|init| init.sync_old_done = true).unwrap();
    let me = member.storage.identity.id;
    let asked: Arc<Mutex<Vec<Said>>> = Arc::default();
    let (now, led): (Arc<Mutex<Beliefs>>, Arc<Mutex<Option<SocketAddr>>>) =
        (Arc::new(Mutex::new(beliefs)), Arc::default());
    let trackers: Vec<SocketAddr> = (0..2)
        .map(|tracker| {
            let (asked, now, led, addr) =
                (Arc::clone(&asked), Arc::clone(&now), Arc::clone(&led), member.addr);
            existing(move |connection, request| {
                let (command, body) = (request[8], &request[10..]);
                asked.lock().unwrap().push((tracker, connection, command, body.to_vec()));
                let mut now = now.lock().unwrap();
                let mut brief = Brief { id: me.field(), ..Brief::NONE };
                match command {
                    cmd::STORAGE_JOIN => {
                        let status = if tracker == 0 { now.told } else { now.joined };
                        (0, JoinAnswer { status: status.wire(), source_id: Text::EMPTY }.as_bytes().to_vec())
                    }
                    cmd::STORAGE_BEAT if tracker == 0 => {
                        let mut leader = Brief::NONE;
                        place(&mut leader, led.lock().unwrap().unwrap());
                        place(&mut brief, addr);
                        brief.status = now.told.wire();
                        let news = Changes {
                            leader: Some(leader),
                            members: Some(vec![brief]),
                            ..Changes::default()
                        };
                        let mut out = Vec::new();
                        news.put(&mut out);
                        (0, out)
                    }
                    cmd::LIST_STORAGE => match if tracker == 0 { Some(now.leader) } else { now.follower } {
                        None => (2, Vec::new()),
                        Some(status) => {
                            let mut record = StorageRecord::parse_list(&[0; 487]).unwrap()[0];
                            record.head.status = status.wire();
                            let mut out = Vec::new();
                            record.put(&mut out, AddrWidth::V4);
                            (0, out)
                        }
                    },
                    cmd::CHANGE_STATUS => {
                        let told = StorageStatus::from_wire(body[0]).unwrap();
                        let stays = told < StorageStatus::Offline;
                        now.follower = Some(if stays { told } else { StorageStatus::Offline });
                        (0, Vec::new())
                    }
                    cmd::STORAGE_BEAT | cmd::REPORT_DISK_USAGE => (0, vec![0]),
                    _ => (0, Vec::new()),
                }
            })
        })
        .collect();
    *led.lock().unwrap() = Some(trackers[0]);
    let linked = Linked::start(&member, &trackers);
    let count = |tracker: usize, command: u8| {
        asked.lock().unwrap().iter().filter(|one| (one.0, one.2) == (tracker, command)).count()
    };
    // A beat after all that is to be said: they come every second.
    until("some beats", || count(0, cmd::STORAGE_BEAT) >= 3 && count(1, cmd::STORAGE_BEAT) >= 5);
    drop(linked);
    let asked = asked.lock().unwrap();
    asked.clone()
}

/// Bodies of what was said to the follower.
fn to_follower(said: &[Said], command: u8) -> Vec<Vec<u8>> {
    said.iter().filter(|one| (one.0, one.2) == (1, command)).map(|one| one.3.clone()).collect()
}

#[test]
fn a_follower_is_not_told_what_it_knows() {
    use StorageStatus::{Active, Offline, Syncing, WaitSync};
    for beliefs in [
        // The source has told it since the join that its copy is complete.
        Beliefs { told: Active, leader: Active, joined: WaitSync, follower: Some(Offline) },
        // The leader knows that too, and has not told it yet.
        Beliefs { told: Syncing, leader: Active, joined: WaitSync, follower: Some(Offline) },
    ] {
        let said = said(beliefs);
        assert_eq!(to_follower(&said, cmd::CHANGE_STATUS), Vec::<Vec<u8>>::new());
        assert_eq!(to_follower(&said, cmd::STORAGE_JOIN).len(), 1);
    }
}

#[test]
fn a_follower_is_told_once_and_beaten_at_once() {
    use StorageStatus::{Active, Syncing};
    let said = said(Beliefs { told: Active, leader: Active, joined: Syncing, follower: Some(Syncing) });
    assert_eq!(to_follower(&said, cmd::CHANGE_STATUS), [[Active.wire()]]);
    assert_eq!(to_follower(&said, cmd::STORAGE_JOIN).len(), 1, "the connection stays");
    let told = said.iter().position(|one| one.2 == cmd::CHANGE_STATUS).unwrap();
    let next = said[told + 1..].iter().find(|one| one.0 == 1 && one.2 != cmd::REPORT_DISK_USAGE).unwrap();
    assert_eq!((next.1, next.2), (said[told].1, cmd::STORAGE_BEAT), "a beat makes it active again");
}

#[test]
fn a_follower_that_has_forgotten_is_joined_again() {
    use StorageStatus::{Active, Syncing};
    let said = said(Beliefs { told: Active, leader: Active, joined: Syncing, follower: None });
    assert!(to_follower(&said, cmd::STORAGE_JOIN).len() > 1);
    assert_eq!(to_follower(&said, cmd::CHANGE_STATUS), Vec::<Vec<u8>>::new());
}
