//! A storage small enough to be told how to misbehave.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fdfs_core::wire::storage::{Download, FileInfo, GroupAndName};
use fdfs_core::wire::{AddrWidth, Header, Status, Text, cmd};

/// What a member does instead of answering truly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    Command,
    Negative,
    Huge,
    Refusal,
    ErrorWithBody,
    Garbage,
    HalfHeader,
    Close,
    Short,
    Long,
    CutBody,
    TooMuch,
    Frozen,
}

impl Lie {
    /// All but [`Lie::Frozen`], which only time ends.
    pub const ALL: [Self; 12] = [
        Self::Command,
        Self::Negative,
        Self::Huge,
        Self::Refusal,
        Self::ErrorWithBody,
        Self::Garbage,
        Self::HalfHeader,
        Self::Close,
        Self::Short,
        Self::Long,
        Self::CutBody,
        Self::TooMuch,
    ];
}

/// A listening member; its threads end with the test process.
pub struct Member {
    pub addr: SocketAddr,
    state: Arc<State>,
}

/// Content and time of last change, s.
type File = (Vec<u8>, i64);

#[derive(Default)]
struct State {
    files: Mutex<HashMap<Vec<u8>, File>>,
    lie: Mutex<Option<Lie>>,
    /// Requests that are answered truly before that.
    true_until: AtomicUsize,
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Member {
    pub fn start(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&shared);
                std::thread::spawn(move || while state.serve(&stream).is_some() {});
            }
        });
        Self { addr, state }
    }

    pub fn store(&self, name: &str, content: &[u8]) {
        self.store_at(name, content, 7);
    }

    /// The same with a time of last change, s.
    pub fn store_at(&self, name: &str, content: &[u8], mtime: i64) {
        let file = (content.to_vec(), mtime);
        self.state.files.lock().unwrap().insert(name.as_bytes().to_vec(), file);
    }

    pub fn tell(&self, lie: Option<Lie>) {
        *self.state.lie.lock().unwrap() = lie;
    }

    /// Lies after `count` more true answers.
    pub fn tell_after(&self, count: usize, lie: Lie) {
        self.state.true_until.store(self.requests() + count, Ordering::SeqCst);
        self.tell(Some(lie));
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl State {
    /// One request; `None` closes the connection.
    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        let mut head = [0; Header::SIZE];
        stream.read_exact(&mut head).ok()?;
        let head = Header::decode(&head);
        let mut body = vec![0; usize::try_from(head.len).ok()?];
        stream.read_exact(&mut body).ok()?;
        let before = self.requests.fetch_add(1, Ordering::SeqCst);
        let honest = before < self.true_until.load(Ordering::SeqCst);
        let lie = self.lie.lock().unwrap().filter(|_| !honest);
        let raw = |len: i64, cmd: u8, status: u8| Header { len, cmd, status }.encode();
        match lie {
            Some(Lie::Command) => return stream.write_all(&raw(0, cmd::DOWNLOAD_FILE, 0)).ok(),
            Some(Lie::Negative) => return stream.write_all(&raw(-7, cmd::RESPONSE, 0)).ok(),
            Some(Lie::Huge) => return stream.write_all(&raw(i64::MAX, cmd::RESPONSE, 0)).ok(),
            Some(Lie::Refusal) => {
                stream.write_all(&raw(0, cmd::RESPONSE, 22)).ok()?;
                return None;
            }
            Some(Lie::ErrorWithBody) => {
                return stream.write_all(&[&raw(3, cmd::RESPONSE, 2)[..], b"abc"].concat()).ok();
            }
            Some(Lie::Garbage) => {
                stream.write_all(&[0x5A; 300]).ok()?;
                return None;
            }
            Some(Lie::HalfHeader) => {
                stream.write_all(&[0; 3]).ok()?;
                return None;
            }
            Some(Lie::Close) => return None,
            Some(Lie::Frozen) => std::thread::sleep(Duration::from_secs(60)),
            _ => {}
        }
        self.answer(stream, head.cmd, &body, lie)
    }

    fn answer(&self, mut stream: &TcpStream, command: u8, body: &[u8], lie: Option<Lie>) -> Option<()> {
        let files = self.files.lock().unwrap();
        let mut out = Vec::new();
        if command == cmd::QUERY_FILE_INFO {
            match files.get(GroupAndName::parse(body).ok()?.name) {
                Some((file, mtime)) => {
                    out.extend(Header::success(40).encode());
                    let (size, mtime) = (file.len() as u64, *mtime);
                    let info = FileInfo { size, mtime, crc32: 0, source_ip: Text::EMPTY };
                    info.put(&mut out, AddrWidth::V4);
                }
                None => out.extend(Header::answer(Status::NOENT).encode()),
            }
            return stream.write_all(&out).ok();
        }
        let ask = Download::parse(body).ok()?;
        let Some((file, _)) = files.get(ask.file.name) else {
            return stream.write_all(&Header::answer(Status::NOENT).encode()).ok();
        };
        let from = ask.offset as usize;
        let to = if ask.count == 0 { file.len() } else { from + ask.count as usize };
        let mut part = file[from..to].to_vec();
        match lie {
            Some(Lie::Short) => part.truncate(part.len() - 1),
            Some(Lie::Long) => part.push(b'y'),
            _ => {}
        }
        out.extend(Header::success(part.len() as u64).encode());
        match lie {
            Some(Lie::CutBody) => {
                out.extend(&part[..part.len() / 2]);
                stream.write_all(&out).ok()?;
                return None;
            }
            Some(Lie::TooMuch) => part.extend(b"EXTRA"),
            _ => {}
        }
        out.extend(part);
        stream.write_all(&out).ok()
    }
}
