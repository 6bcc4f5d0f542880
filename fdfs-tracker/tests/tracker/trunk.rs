//! The leader elects trunk servers: scripted storages tell the size of their trunk binlogs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};

use fdfs_core::settings::Secs;
use fdfs_core::wire::report::Brief;
use fdfs_core::wire::{Header, Status, cmd};

use crate::support::{Client, Running, named, until};

/// A storage's own port: answers 31 with a size (-1: not at all) and 32, and counts the latter.
#[derive(Clone)]
struct Storage {
    addr: SocketAddr,
    size: Arc<AtomicI64>,
    marks_deleted: Arc<AtomicU32>,
}

impl Storage {
    fn listen(ip: &str, port: u16, size: i64) -> Self {
        let listener = TcpListener::bind((ip, port)).unwrap();
        let addr = listener.local_addr().unwrap();
        let me = Self { addr, size: Arc::new(AtomicI64::new(size)), marks_deleted: Arc::default() };
        let storage = me.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut head = [0; Header::SIZE];
                if stream.read_exact(&mut head).is_err() {
                    continue;
                }
                let command = Header::decode(&head).cmd;
                let size = storage.size.load(SeqCst);
                let (status, body) = match command {
                    cmd::TRUNK_GET_BINLOG_SIZE if size < 0 => (Status::IO, vec![]),
                    cmd::TRUNK_GET_BINLOG_SIZE => (Status::OK, size.to_be_bytes().to_vec()),
                    cmd::TRUNK_DELETE_BINLOG_MARKS => {
                        storage.marks_deleted.fetch_add(1, SeqCst);
                        (Status::OK, vec![])
                    }
                    other => panic!("command {other}"),
                };
                let head = Header { len: body.len() as i64, cmd: cmd::RESPONSE, status: status.0 }.encode();
                drop(stream.write_all(&[&head[..], &body].concat()));
            }
        });
        me
    }

    fn join(&self, tracker: &Running) -> Client {
        let mut client = Client::from(tracker.addr, &self.addr.ip().to_string());
        let port = self.addr.port();
        client
            .join(&[tracker.addr], "group1", |head| {
                (head.port, head.init_flag, head.status) = (i64::from(port).into(), 0, 5)
            })
            .unwrap();
        assert_eq!(client.disk(1), 0);
        client
    }
}

/// Beats until the news name a trunk server, or that there is none.
fn told(client: &mut Client) -> String {
    until("news of a trunk server", || {
        let brief = client.beat().trunk_server?;
        Some(if brief == Brief::NONE { "none".into() } else { brief.id.as_str().to_owned() })
    })
}

#[test]
fn the_largest_trunk_binlog_wins_and_a_lost_server_is_replaced() {
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), |conf| {
        conf.use_trunk_file = true;
        conf.check_active_interval = Secs(1);
    });
    // The first one alone, with a binlog that it cannot tell.
    let one = Storage::listen("127.0.0.21", 0, -1);
    let port = one.addr.port();
    let (two, three) = (Storage::listen("127.0.0.22", port, 900), Storage::listen("127.0.0.23", port, 50));
    let mut joined = [&one, &two, &three].map(|storage| storage.join(&tracker));
    let mut query = tracker.client();
    let refused = query.call(cmd::SET_TRUNK_SERVER, &named("group1", b""));
    assert_eq!(refused.0, 2, "the first candidate does not tell: nobody is elected");
    one.size.store(10, SeqCst);
    // The second has more than the others: not the last that has more than the first.
    until("the second is trunk server", || {
        joined.iter_mut().for_each(|member| drop(member.beat()));
        (query.call(cmd::SET_TRUNK_SERVER, &named("group1", b"")) == (0, b"127.0.0.22\0".to_vec()))
            .then_some(())
    });
    assert_eq!(two.marks_deleted.load(SeqCst), 0, "there was none before");

    // It goes away; after two intervals the next one takes over, and deletes the marks of an earlier time.
    let [mut first, second, mut third] = joined;
    drop(second);
    let mut now = String::new();
    until("the third is trunk server", || {
        drop(first.beat());
        if let Some(brief) = third.beat().trunk_server {
            now = brief.id.as_str().to_owned();
        }
        (now == "127.0.0.23").then_some(())
    });
    assert_eq!(three.marks_deleted.load(SeqCst), 1);

    // Nobody else is left: there is none, and the storages are told.
    one.size.store(-1, SeqCst);
    drop(third);
    until("there is none", || (told(&mut first) == "none").then_some(()));
    let text =
        || std::fs::read_to_string(base.path().join("logs/trunk_server_change.log")).unwrap_or_default();
    let log = until("three lines", || Some(text()).filter(|text| text.lines().count() >= 3));
    let changes: Vec<&str> = log.lines().map(|line| line.split_once("] ").unwrap().1).collect();
    assert_eq!(
        changes,
        [
            format!("group1  -  =>  127.0.0.22:{port}"),
            format!("group1  127.0.0.22:{port}  =>  127.0.0.23:{port}"),
            format!("group1  127.0.0.23:{port}  =>  -"),
        ]
    );
}
