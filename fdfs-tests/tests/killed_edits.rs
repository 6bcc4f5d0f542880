//! SIGKILL in the middle of changes of appender files: each change is there whole or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fdfs_core::wire::edit::{Append, Modify, Truncate};
use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, wait_for};

const KILLS: usize = 12;
const WRITERS: u64 = 4;
/// Far more time than all of it takes.
const LIMIT: Duration = Duration::from_secs(300);
/// Files do not grow beyond this many bytes.
const MOST: usize = 3 << 20;

/// One file, as its writer knows it.
struct Writer {
    addr: SocketAddr,
    name: String,
    /// All acknowledged changes made.
    content: Vec<u8>,
    random: u64,
}

enum Change {
    Append(Vec<u8>),
    Modify(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Append(data) => to.extend_from_slice(data),
            Self::Modify(at, data) => {
                to.resize(to.len().max(at + data.len()), 0);
                to[*at..at + data.len()].copy_from_slice(data);
            }
            Self::Truncate(size) => to.resize(*size, 0),
        }
    }

    fn request(&self, name: &str) -> (u8, Vec<u8>) {
        let (mut body, name) = (Vec::new(), name.as_bytes());
        match self {
            Self::Append(data) => {
                Append { size: data.len() as u64, name }.put(&mut body);
                (24, [body, data.clone()].concat())
            }
            Self::Modify(offset, data) => {
                Modify { offset: *offset as u64, size: data.len() as u64, name }.put(&mut body);
                (34, [body, data.clone()].concat())
            }
            Self::Truncate(size) => {
                Truncate { size: *size as u64, name }.put(&mut body);
                (36, body)
            }
        }
    }
}

impl Writer {
    fn random(&mut self, below: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % below.max(1)
    }

    fn next(&mut self) -> Change {
        let size = if self.random(8) == 0 { 300_000 + self.random(700_000) } else { 1 + self.random(20_000) };
        let seed = self.random;
        let data = |len| content(len, seed);
        match self.random(5) {
            _ if self.content.len() > MOST => Change::Truncate(self.random(1000)),
            0 => Change::Truncate(self.random(self.content.len() + 5000)),
            1 | 2 => Change::Modify(self.random(self.content.len() + 1), data(size)),
            _ => Change::Append(data(size)),
        }
    }

    fn write(&mut self, stop: &AtomicBool, changes: &AtomicUsize) {
        let mut under_way: Option<Change> = None;
        let end = Instant::now() + LIMIT;
        // A change whose answer was lost is looked after even when it is time to stop.
        while !stop.load(Relaxed) || under_way.is_some() {
            assert!(Instant::now() < end, "{}: still not done", self.name);
            let Some(mut storage) = connect(self.addr) else {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            // After a kill: the change that had no answer is there whole, or not at all.
            if let Some(change) = under_way.take() {
                let Ok(answer) = storage.ask(raw::DOWNLOAD, &raw::download(0, 0, "group1", &self.name))
                else {
                    under_way = Some(change);
                    continue;
                };
                assert_eq!(answer.status, 0);
                if answer.body != self.content {
                    change.apply(&mut self.content);
                    assert!(answer.body == self.content, "{}: neither before nor after a change", self.name);
                }
            }
            while !stop.load(Relaxed) {
                let change = self.next();
                let (command, body) = change.request(&self.name);
                match storage.ask(command, &body) {
                    Ok(answer) => {
                        assert_eq!(answer.status, 0, "{}: command {command}", self.name);
                        change.apply(&mut self.content);
                        changes.fetch_add(1, Relaxed);
                    }
                    Err(_) => {
                        under_way = Some(change);
                        break;
                    }
                }
            }
        }
    }
}

fn connect(addr: SocketAddr) -> Option<Raw> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    Some(Raw(stream))
}

#[test]
fn whole_or_not_at_all() {
    let mut cluster = Cluster::start("killed-edits", 1);
    let addr = cluster.members[0].addr;
    let (stop, changes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut writers: Vec<Writer> = (0..WRITERS)
        .map(|n| {
            let answer = Raw::connect(addr).ask(23, &raw::upload(0, "log", b"")).unwrap();
            assert_eq!(answer.status, 0);
            let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
            Writer { addr, name, content: Vec::new(), random: n + 1 }
        })
        .collect();
    std::thread::scope(|scope| {
        let (stop, changes) = (&stop, &changes);
        for writer in &mut writers {
            scope.spawn(move || {
                let done =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.write(stop, changes)));
                stop.store(true, Relaxed);
                done.unwrap();
            });
        }
        for kill in 0..KILLS {
            let before = changes.load(Relaxed);
            wait_for("changes are under way", Duration::from_secs(60), || {
                stop.load(Relaxed) || changes.load(Relaxed) > before + 20 + kill * 3
            });
            cluster.storage(0).kill();
            cluster.start_storage(0);
        }
        let before = changes.load(Relaxed);
        wait_for("changes after the last kill", Duration::from_secs(60), || {
            stop.load(Relaxed) || changes.load(Relaxed) > before + 40
        });
        stop.store(true, Relaxed);
    });
    println!("{} changes, {KILLS} kills", changes.load(Relaxed));
    for member in 0..2 {
        for writer in &writers {
            let path = cluster.members[member].base.join("data").join(&writer.name[4..]);
            wait_for("the member has the last content", Duration::from_secs(60), || {
                std::fs::read(&path).is_ok_and(|found| found == writer.content)
            });
        }
        let journal = cluster.members[member].base.join("data/.fdfs.edit");
        assert_eq!(std::fs::read_dir(journal).map_or(0, Iterator::count), 0, "a journal is left");
    }
}
