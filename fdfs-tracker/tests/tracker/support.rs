//! A tracker in this process, and a scripted storage.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fdfs_core::settings::TrackerSettings;
use fdfs_core::wire::report::{Changes, JoinAnswer, JoinHead, SyncSource};
use fdfs_core::wire::{Header, IpField, Text, cmd};
use fdfs_net::CancellationToken;
use fdfs_tracker::{Start, StartError};
use zerocopy::{FromBytes, IntoBytes};

/// Longest wait for a condition.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Longest wait for a connection, and for an answer: on a busy machine the kernel may have to repeat a SYN twice.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tracker that stops, and has saved, when it is dropped.
pub struct Running {
    pub addr: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<Result<(), StartError>>>,
}

impl Running {
    pub fn start(base: &Path, change: impl FnOnce(&mut TrackerSettings)) -> Self {
        let mut conf = TrackerSettings {
            base_path: base.to_str().unwrap().into(),
            bind_addr: "127.0.0.1".into(),
            port: 0,
            work_threads: 2,
            ..TrackerSettings::default()
        };
        change(&mut conf);
        let ready = Start::new(conf).unwrap().bind().unwrap();
        let addr = ready.local_addrs()[0];
        let stop = CancellationToken::new();
        let token = stop.clone();
        let thread = Some(std::thread::spawn(move || ready.run(token)));
        Self { addr, stop, thread }
    }

    pub fn client(&self) -> Client {
        Client::from(self.addr, "127.0.0.1")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().unwrap().join().unwrap();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

/// A blocking connection.
pub struct Client {
    pub stream: TcpStream,
    pub tracker: SocketAddr,
}

impl Client {
    /// Connects from the local address `from`.
    pub fn from(tracker: SocketAddr, from: &str) -> Self {
        Self::try_from(tracker, from).unwrap()
    }

    pub fn try_from(tracker: SocketAddr, from: &str) -> std::io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        let local = SocketAddr::new(from.parse::<IpAddr>().unwrap(), 0);
        socket.bind(&local.into())?;
        socket.connect_timeout(&tracker.into(), PATIENCE)?;
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, tracker })
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next answer; `None` when the server closed.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; Header::SIZE];
        self.stream.read_exact(&mut head).ok()?;
        let head = Header::decode(&head);
        assert_eq!(head.cmd, cmd::RESPONSE);
        let mut body = vec![0; usize::try_from(head.len).unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        Some((head.status, body))
    }

    pub fn call(&mut self, command: u8, body: &[u8]) -> (u8, Vec<u8>) {
        self.try_call(command, body).expect("the tracker closed the connection")
    }

    pub fn try_call(&mut self, command: u8, body: &[u8]) -> Option<(u8, Vec<u8>)> {
        let head = Header::request(command, body.len() as u64).encode();
        self.stream.write_all(&[&head[..], body].concat()).ok()?;
        self.receive()
    }

    /// Joins; `change` may alter the fixed part.
    pub fn join(
        &mut self,
        trackers: &[SocketAddr],
        group: &str,
        change: impl FnOnce(&mut JoinHead),
    ) -> Result<JoinAnswer, u8> {
        match self.call(cmd::STORAGE_JOIN, &self.join_body(trackers, group, change)) {
            (0, body) => Ok(JoinAnswer::read_from_bytes(&body).unwrap()),
            (status, _) => Err(status),
        }
    }

    /// The body of a JOIN.
    pub fn join_body(
        &self,
        trackers: &[SocketAddr],
        group: &str,
        change: impl FnOnce(&mut JoinHead),
    ) -> Vec<u8> {
        let mut head = JoinHead {
            group: Text::cut(group.as_bytes()),
            port: 23000.into(),
            store_path_count: 1.into(),
            subdir_count: 4.into(),
            upload_priority: 10.into(),
            join_time: 1_700_000_000.into(),
            up_time: 1_700_000_000.into(),
            version: Text::cut(b"6.16.1"),
            init_flag: 1,
            status: -1,
            id: Text::EMPTY,
            tracker_ip: IpField::of(self.tracker.ip()),
            tracker_count: (trackers.len() as i64).into(),
        };
        change(&mut head);
        let lines: String = trackers.iter().map(|tracker| format!("{tracker}\n")).collect();
        [head.as_bytes(), lines.as_bytes()].concat()
    }

    /// A heart beat without counters, and the news.
    pub fn beat(&mut self) -> Changes {
        let (status, body) = self.call(cmd::STORAGE_BEAT, &[]);
        assert_eq!(status, 0);
        Changes::parse(&body).unwrap()
    }

    /// Reports `paths` paths with 100 GB free each.
    pub fn disk(&mut self, paths: usize) -> u8 {
        let path = [200_000i64.to_be_bytes(), 100_000i64.to_be_bytes()].concat();
        self.call(cmd::REPORT_DISK_USAGE, &path.repeat(paths)).0
    }

    pub fn source(&mut self) -> Result<Option<SyncSource>, u8> {
        match self.call(cmd::SYNC_DEST_REQ, &[]) {
            (0, body) if body.is_empty() => Ok(None),
            (0, body) => Ok(Some(SyncSource::read_from_bytes(&body).unwrap())),
            (status, _) => Err(status),
        }
    }
}

/// The body of a command that names a group.
pub fn named(group: &str, rest: &[u8]) -> Vec<u8> {
    [Text::<16>::cut(group.as_bytes()).raw(), rest].concat()
}

/// Waits until `found` finds something.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
