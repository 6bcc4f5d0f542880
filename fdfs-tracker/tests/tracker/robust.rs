//! What must not change a tracker: packets that kill or freeze others (tracker 13), random frames, storms of
//! connections, no free descriptors. Real processes.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fdfs_core::wire::{Header, cmd};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::support::{Client, named, until};

struct Tracker {
    addr: SocketAddr,
    child: Child,
    _base: tempfile::TempDir,
}

impl Tracker {
    /// `files`: most open files of the process.
    fn start(host: &str, files: Option<u64>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let base = tempfile::tempdir().unwrap();
        let conf = base.path().join("tracker.conf");
        let text = format!("bind_addr = {host}\nport = {port}\nbase_path = {}\n", base.path().display());
        std::fs::write(&conf, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fdfs_trackerd"));
        command.arg("-N").arg(&conf).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(files) = files {
            let limit = move || {
                setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: Some(files) })?;
                Ok(())
            };
            // SAFETY: between fork and exec only setrlimit(2) is called, which is safe in a signal handler too.
            unsafe { command.pre_exec(limit) };
        }
        let child = command.spawn().unwrap();
        let addr = SocketAddr::new(host.parse().unwrap(), port);
        let tracker = Self { addr, child, _base: base };
        until("the tracker to serve", || Client::try_from(addr, "127.0.0.1").ok());
        tracker
    }

    fn client(&self) -> Client {
        Client::from(self.addr, "127.0.0.1")
    }

    fn member(&self, ip: &str) -> Client {
        let mut client = Client::from(self.addr, ip);
        client.join(&[self.addr], "group1", |head| (head.init_flag, head.status) = (0, 7)).unwrap();
        assert_eq!(client.disk(1), 0);
        client
    }

    /// Memory in use, KiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// What it knows, but for counters and times.
    fn knows(&self) -> Vec<(u8, Vec<u8>)> {
        let mut client = self.client();
        let (status, members) = client.call(cmd::LIST_STORAGE, &named("group1", &[]));
        let ids = members.chunks_exact(487).flat_map(|member| member[..34].to_vec()).collect();
        vec![
            client.call(cmd::LIST_ALL_GROUPS, &[]),
            (status, ids),
            client.call(cmd::QUERY_STORE_WITHOUT_GROUP_ONE, &[]),
            client.call(cmd::GET_LEADER, &[]),
        ]
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A member that is silent for `check_active_interval` would be offline in the end, however long that takes here.
fn stay(member: &mut Client, round: u32) {
    if round.is_multiple_of(500) {
        assert_eq!(member.call(cmd::STORAGE_BEAT, &[]).0, 0);
    }
}

/// Growth of memory that one of these tests may leave behind, KiB.
const GROWTH: u64 = 48 << 10;

fn as_before(tracker: &Tracker, before: &[(u8, Vec<u8>)], memory: u64, descriptors: usize) {
    assert_eq!(tracker.knows(), before);
    until("connections to be closed", || (tracker.descriptors() <= descriptors).then_some(()));
    let now = tracker.memory();
    assert!(now < memory + GROWTH, "{memory} KiB have become {now} KiB");
}

#[test]
fn packets_that_kill_or_freeze_others() {
    let tracker = Tracker::start("127.0.0.81", None);
    let mut member = tracker.member("127.0.0.82");
    let before = tracker.knows();
    // Nobody has joined on these connections.
    for (command, len) in [(cmd::SYNC_NOTIFY, 20), (cmd::SYNC_DEST_REQ, 0), (cmd::STORAGE_BEAT, 0)] {
        assert_ne!(tracker.client().call(command, &vec![0; len]).0, 0, "{command}");
    }
    let mut body = [named("group1", &[0; 1]), b"127.0.0.82".to_vec()].concat();
    body.resize(17 + 16, 0);
    assert_ne!(tracker.client().try_call(cmd::SYNC_DEST_QUERY, &body).map(|answer| answer.0), Some(0));
    // One that joins as a tracker is no storage.
    let mut other = tracker.client();
    assert_ne!(other.call(cmd::TRACKER_JOIN_LEADER, &[0; 24]).0, 0);
    assert_ne!(other.call(cmd::SYNC_NOTIFY, &[0; 20]).0, 0);
    // Whoever reads the system files holds nobody up, however long.
    let mut reader = tracker.client();
    assert_eq!(reader.call(cmd::TRACKER_GET_SYS_FILES_START, &[]).0, 0);
    let mut second = Client::from(tracker.addr, "127.0.0.83");
    second.join(&[tracker.addr], "group1", |head| (head.init_flag, head.status) = (0, 7)).unwrap();
    assert_eq!(member.call(cmd::STORAGE_BEAT, &[]).0, 0);
    assert_eq!(reader.call(cmd::TRACKER_GET_ONE_SYS_FILE, &[9; 9]).0, 22);
    assert_ne!(reader.call(cmd::TRACKER_GET_ONE_SYS_FILE, &[[0].as_slice(), &[0xff; 8]].concat()).0, 0);
    // More members than an answer of 8 KiB holds.
    let crowd: Vec<Client> = (0..30).map(|at| tracker.member(&format!("127.0.0.{}", 100 + at))).collect();
    let (status, list) = tracker.client().call(cmd::LIST_STORAGE, &named("group1", &[]));
    assert_eq!((status, list.len()), (0, 32 * 487));
    drop((crowd, second));
    // A first join with a foreign list is refused, and so is the second.
    let foreign: SocketAddr = "127.0.0.99:1".parse().unwrap();
    for _ in 0..2 {
        let mut stranger = Client::from(tracker.addr, "127.0.0.84");
        let body = stranger.join_body(&[foreign], "group9", |head| head.init_flag = 0);
        let refused = stranger.try_call(cmd::STORAGE_JOIN, &body).map(|answer| answer.0);
        assert!(refused.is_some(), "an answer, whatever it is");
    }
    assert_eq!(tracker.knows()[2].0, before[2].0);
    assert_eq!(member.call(cmd::STORAGE_BEAT, &[]).0, 0);
}

/// Numbers that look random, from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// Commands by which anybody may change the state, with a body that names something: not what is tested here.
const CHANGING: [u8; 4] =
    [cmd::DELETE_STORAGE, cmd::DELETE_GROUP, cmd::REPORT_STATUS, cmd::TRACKER_NOTIFY_RESELECT_LEADER];

#[test]
fn twenty_thousand_random_frames() {
    let tracker = Tracker::start("127.0.0.85", None);
    let mut member = tracker.member("127.0.0.86");
    let (before, memory, descriptors) = (tracker.knows(), tracker.memory(), tracker.descriptors());
    let seed = std::env::var("FDFS_FRAMES_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("seed {seed}");
    let mut random = Random(seed);
    let valid = tracker.client().join_body(&["127.0.0.99:1".parse().unwrap()], "group1", |head| {
        (head.init_flag, head.status) = (0, -1);
    });
    let mut client: Option<Client> = None;
    for round in 0..20_000 {
        stay(&mut member, round);
        let command = [random.next() as u8, 50 + random.below(62) as u8][random.below(2)];
        if CHANGING.contains(&command) {
            continue;
        }
        let size = [0, 1, 16, 32, 48, 145, 300][random.below(7)] + random.below(3);
        let mut body = match random.below(3) {
            0 => random.bytes(size),
            1 => named("group1", &random.bytes(size)),
            _ => valid.clone(),
        };
        for _ in 0..random.below(4) {
            let at = random.below(body.len().max(1));
            if let Some(byte) = body.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        let mut head = Header::request(command, body.len() as u64);
        match random.below(40) {
            0 => head.len = random.next().cast_signed(),
            1 => head.len += 1,
            _ => {}
        }
        let whole = head.len == body.len() as i64;
        let mut to = client.take().unwrap_or_else(|| tracker.client());
        use std::io::Write;
        let sent = to.stream.write_all(&[&head.encode()[..], &body].concat()).is_ok();
        // An answer, or the end of the connection: never silence.
        if whole && sent && to.receive().is_some() {
            client = Some(to);
        }
    }
    drop(client);
    let mut wanted = before.clone();
    // Frames that happen to be a valid join may add members, none may be lost.
    let now = tracker.knows();
    assert_eq!(now[3], wanted.remove(3));
    assert_eq!(now[2].0, 0, "a store server is still found");
    assert!(now[1].1.windows(10).any(|text| text == b"127.0.0.86"));
    until("connections to be closed", || (tracker.descriptors() <= descriptors).then_some(()));
    let grown = tracker.memory();
    assert!(grown < memory + GROWTH, "{memory} KiB have become {grown} KiB");
}

#[test]
fn ten_thousand_connections_come_and_go() {
    let tracker = Tracker::start("127.0.0.87", None);
    let mut member = tracker.member("127.0.0.88");
    let (before, memory, descriptors) = (tracker.knows(), tracker.memory(), tracker.descriptors());
    for round in 0..10_000 {
        stay(&mut member, round);
        let mut client = tracker.client();
        if round % 3 == 1 {
            client.send(&[0; 5]);
        }
        // A reset instead of an orderly end, also so that no port stays in use.
        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    as_before(&tracker, &before, memory, descriptors);
}

#[test]
fn no_free_descriptors_and_back() {
    let tracker = Tracker::start("127.0.0.89", Some(64));
    let mut member = tracker.member("127.0.0.90");
    let (before, memory, descriptors) = (tracker.knows(), tracker.memory(), tracker.descriptors());
    // The kernel completes them; the tracker can take only some.
    let crowd: Vec<Client> = (0..200).map(|_| tracker.client()).collect();
    // Idle ones are closed to make room: the member goes on, and newcomers get in sooner or later.
    until("an answer during the storm", || {
        let (status, _) =
            Client::try_from(tracker.addr, "127.0.0.1").ok()?.try_call(cmd::LIST_ALL_GROUPS, &[])?;
        (status == 0).then_some(())
    });
    let open = tracker.descriptors();
    // 64 of its own, and what it may have inherited above the limit from tests that run beside this one.
    assert!(open < 100, "the limit holds: {open}");
    drop(crowd);
    until("the crowd to be gone", || (tracker.descriptors() <= descriptors + 1).then_some(()));
    until("the member to be answered, on a new connection if need be", || {
        let done = member.try_call(cmd::STORAGE_BEAT, &[]).is_some_and(|(status, _)| status == 0);
        if !done {
            member = tracker.member("127.0.0.90");
        }
        done.then_some(())
    });
    until("the state before", || (tracker.knows() == before).then_some(()));
    as_before(&tracker, &before, memory, descriptors + 1);
}
