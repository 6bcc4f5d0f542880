//! A client with files of its own, and what it knows of them.
//!
//! Each file has one writer. Its home, the member that it was uploaded to, makes all changes of it, but for a delete: that
//! may be asked of any member, as may links. Conflicting changes at two members have no order.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use fdfs_core::fileid::{FileName, Source, crc32, slave_name};
use fdfs_core::ident::{Extension, GroupName};
use fdfs_core::metadata::Metadata;
use fdfs_core::wire::Text;
use fdfs_core::wire::edit::{Append, CreateLink, Modify, Truncate, UploadSlave};

use super::random::Random;
use crate::content;
use crate::raw::{self, Answer, Raw};

const GROUP: &str = "group1";
/// A client that has this many files rather deletes some.
const MANY: usize = 40;
/// Appender files do not grow beyond this many bytes.
const LARGE: usize = 2 << 20;
/// Longest wait for an answer: more than any member stands still.
const LIMIT: Duration = Duration::from_secs(60);
const OK: u8 = 0;
const NOENT: u8 = 2;
const EXIST: u8 = 17;
const INVAL: u8 = 22;
const NOSPC: u8 = 28;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Normal,
    Appender,
    Slave,
    /// Made by create link (20).
    Link,
}

#[derive(Debug, Clone)]
pub struct File {
    pub kind: Kind,
    /// Index of the member that makes its changes.
    pub home: usize,
    pub content: Vec<u8>,
    pub metadata: Option<Metadata>,
    /// Of a link.
    pub target: Option<String>,
}

/// A change that had no answer.
#[derive(Debug)]
pub enum Doubt {
    /// A new file whose name is not known.
    New(File),
    Slave(String, File),
    /// The content after the change.
    Content(String, Vec<u8>),
    Regenerate(String),
    Delete(String),
    /// The metadata after the change.
    Metadata(String, Option<Metadata>),
}

impl Doubt {
    fn name(&self) -> Option<&String> {
        match self {
            Self::New(_) => None,
            Self::Slave(name, _)
            | Self::Content(name, _)
            | Self::Regenerate(name)
            | Self::Delete(name)
            | Self::Metadata(name, _) => Some(name),
        }
    }
}

/// A member as clients meet it.
pub struct Member {
    pub addr: SocketAddr,
    /// It may answer that there is no space; then nothing has changed.
    pub full: AtomicBool,
}

impl Member {
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, full: AtomicBool::new(false) }
    }
}

pub struct Client {
    number: usize,
    members: Arc<[Member]>,
    connections: Vec<Option<Raw>>,
    random: Random,
    pub files: BTreeMap<String, File>,
    /// Some names of files that are gone, each with the member that knows it.
    pub gone: Vec<(String, usize)>,
    /// Whoever is in one of them is left alone.
    pub doubts: Vec<Doubt>,
    pub counts: BTreeMap<&'static str, usize>,
}

type Action = fn(&mut Client) -> Result<(), Undone>;

/// There is no answer, or none that says what there is.
struct Undone;

impl Client {
    pub fn new(number: usize, members: &Arc<[Member]>, seed: u64) -> Self {
        Self {
            number,
            members: Arc::clone(members),
            connections: members.iter().map(|_| None).collect(),
            random: Random::new(seed),
            files: BTreeMap::new(),
            gone: Vec::new(),
            doubts: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Until it is told to stop.
    pub fn work(&mut self, ops: &AtomicUsize, stop: &AtomicBool) {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while !stop.load(Relaxed) {
                match self.step() {
                    Ok(()) => drop(ops.fetch_add(1, Relaxed)),
                    // Whoever is away is not asked without a pause.
                    Err(Undone) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        }));
        self.connections.fill_with(|| None);
        if let Err(panic) = done {
            stop.store(true, Relaxed);
            std::panic::resume_unwind(panic);
        }
    }

    fn step(&mut self) -> Result<(), Undone> {
        let choice = self.random.below(100);
        let delete = if self.files.len() > MANY { 45 } else { 8 };
        let (name, action): (_, Action) = match choice {
            _ if self.files.is_empty() => ("upload", Self::upload),
            n if n < delete => ("delete", Self::delete),
            n if n < 56 => match n % 4 {
                0 => ("slave", Self::slave),
                1 => ("create link", Self::link),
                _ => ("upload", Self::upload),
            },
            56..63 => ("append", Self::append),
            63..68 => ("modify", Self::modify),
            68..72 => ("truncate", Self::truncate),
            72..75 => ("regenerate", Self::regenerate),
            75..83 => ("set metadata", Self::set_metadata),
            83..86 => ("get metadata", Self::get_metadata),
            86..89 => ("file info", Self::info),
            89..91 => ("gone", Self::ask_for_gone),
            _ => ("download", Self::download),
        };
        action(self)?;
        *self.counts.entry(name).or_default() += 1;
        Ok(())
    }

    fn connection(&mut self, member: usize) -> Result<&mut Raw, Undone> {
        let connection = &mut self.connections[member];
        if connection.is_none() {
            let addr = &self.members[member].addr;
            let stream = TcpStream::connect_timeout(addr, Duration::from_secs(1)).map_err(|_| Undone)?;
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream.set_nodelay(true).unwrap();
            *connection = Some(Raw(stream));
        }
        connection.as_mut().ok_or(Undone)
    }

    /// Asks a member; without an answer `doubt` remains.
    fn ask(
        &mut self,
        member: usize,
        command: u8,
        body: &[u8],
        doubt: Option<Doubt>,
    ) -> Result<Answer, Undone> {
        let answer = self.connection(member)?.ask(command, body);
        // A storage may close a connection after a refusal.
        if !answer.as_ref().is_ok_and(|answer| answer.status != INVAL) {
            self.connections[member] = None;
        }
        let Ok(answer) = answer else {
            self.doubts.extend(doubt);
            *self.counts.entry("without an answer").or_default() += 1;
            return Err(Undone);
        };
        if answer.status == NOSPC && self.members[member].full.load(Relaxed) {
            *self.counts.entry("no space").or_default() += 1;
            return Err(Undone);
        }
        Ok(answer)
    }

    fn in_doubt(&self, name: &String) -> bool {
        self.doubts.iter().any(|doubt| doubt.name() == Some(name))
    }

    fn any_member(&mut self) -> usize {
        self.random.below(self.members.len())
    }

    fn new_content(&mut self) -> Vec<u8> {
        // Some content comes from several clients, and more than once.
        match self.random.one_in(3) {
            true => content([10, 3000, 70_000, 300_000][self.random.below(4)], 7),
            false => content(self.random.size(), self.random.number()),
        }
    }

    /// One of the files of this kind, none in doubt and no link to such a one.
    fn pick(&mut self, kinds: &[Kind]) -> Option<String> {
        let fitting = self.files.iter().filter(|(name, file)| {
            kinds.contains(&file.kind)
                && ![Some(*name), file.target.as_ref()].into_iter().flatten().any(|name| self.in_doubt(name))
        });
        let names: Vec<&String> = fitting.map(|(name, _)| name).collect();
        let at = self.random.below(names.len());
        names.get(at).map(|name| (*name).clone())
    }

    /// A file that is there with its content: no link whose target is gone.
    fn pick_readable(&mut self) -> Option<String> {
        let name = self.pick(&[Kind::Normal, Kind::Appender, Kind::Slave, Kind::Link])?;
        (self.content_of(&name).is_some() && self.is_sure(&name, self.files[&name].home)).then_some(name)
    }

    /// Whether this member has heard of everything that was done to a file, and to what it points to.
    fn is_sure(&self, name: &str, member: usize) -> bool {
        let file = &self.files[name];
        let target = file.target.as_ref().map(|target| self.files.get(target).map(|file| file.home));
        self.members.len() == 1 || (file.home == member && target.is_none_or(|home| home == Some(member)))
    }

    /// `None`: a link whose target is gone.
    pub fn content_of(&self, name: &str) -> Option<&Vec<u8>> {
        let file = &self.files[name];
        match &file.target {
            Some(target) => self.files.get(target).map(|file| &file.content),
            None => Some(&file.content),
        }
    }

    fn expect(&self, answer: &Answer, status: u8, what: &str, name: &str) {
        assert_eq!(answer.status, status, "client {}: {what} {name}", self.number);
    }

    fn upload(&mut self) -> Result<(), Undone> {
        let kind = if self.random.one_in(3) { Kind::Appender } else { Kind::Normal };
        let content = self.new_content();
        let ext = ["txt", "", "jpeg", "a.b"][self.random.below(4)];
        let home = self.any_member();
        let file = File { kind, home, content: content.clone(), metadata: None, target: None };
        let command = if kind == Kind::Appender { 23 } else { raw::UPLOAD };
        let body = raw::upload(0xFF, ext, &content);
        let answer = self.ask(home, command, &body, Some(Doubt::New(file.clone())))?;
        self.expect(&answer, OK, "upload", ext);
        let name = name_of(&answer.body);
        let parsed = FileName::parse(name.as_bytes(), 1).unwrap();
        if kind == Kind::Normal {
            let blob = parsed.blob().unwrap();
            assert_eq!((blob.size(), blob.crc32), (content.len() as u64, crc32(&content)), "{name}");
        }
        assert!(parsed.is_appender() == (kind == Kind::Appender) && self.is_of(&parsed, home), "{name}");
        self.add(name, file);
        Ok(())
    }

    /// Whether a generated name is one of this member.
    pub(super) fn is_of(&self, name: &FileName, member: usize) -> bool {
        let source = name.blob().map(|blob| blob.source);
        matches!(source, Some(Source::Ip(ip)) if self.members[member].addr.ip() == ip)
    }

    fn add(&mut self, name: String, file: File) {
        assert!(self.files.insert(name.clone(), file).is_none(), "{name} was given twice");
    }

    fn slave(&mut self) -> Result<(), Undone> {
        let Some(master) = self.pick(&[Kind::Normal, Kind::Appender]) else { return Ok(()) };
        let prefix = ["_small", "-big_1"][self.random.below(2)];
        let ext = Extension::new(b"png").unwrap();
        let parsed = FileName::parse(master.as_bytes(), 1).unwrap();
        let name = slave_name(&parsed, prefix.as_bytes(), ext).unwrap().logic();
        if self.in_doubt(&name) {
            return Ok(());
        }
        let home = self.files[&master].home;
        let content = self.new_content();
        let file = File { kind: Kind::Slave, home, content: content.clone(), metadata: None, target: None };
        let there = self.files.contains_key(&name);
        let doubt = (!there).then(|| Doubt::Slave(name.clone(), file.clone()));
        let mut body = Vec::new();
        let (prefix, master) = (Text::cut(prefix.as_bytes()), master.as_bytes());
        UploadSlave { size: content.len() as u64, prefix, ext, master }.put(&mut body);
        let answer = self.ask(home, 21, &[body, content].concat(), doubt)?;
        self.expect(&answer, if there { EXIST } else { OK }, "slave", &name);
        if !there {
            assert_eq!(name_of(&answer.body), name);
            self.made_slave(name, file);
        }
        Ok(())
    }

    pub(super) fn made_slave(&mut self, name: String, file: File) {
        self.gone.retain(|(gone, _)| *gone != name);
        self.add(name, file);
    }

    fn link(&mut self) -> Result<(), Undone> {
        let Some(source) = self.pick(&[Kind::Normal, Kind::Link]) else { return Ok(()) };
        let mut body = Vec::new();
        let request = CreateLink {
            group: GroupName::new(GROUP.as_bytes()).unwrap(),
            prefix: Text::EMPTY,
            ext: Extension::new(b"lnk").unwrap(),
            master: b"",
            source: source.as_bytes(),
            signature: b"0123456789012345",
        };
        request.put(&mut body);
        let (home, target) = (self.any_member(), Some(source.clone()));
        let file = File { kind: Kind::Link, home, content: Vec::new(), metadata: None, target };
        let answer = self.ask(home, 20, &body, Some(Doubt::New(file.clone())))?;
        if answer.status == NOENT && self.files[&source].home != home {
            return Ok(());
        }
        // An upload whose content was there is a link itself, and gets no links.
        if self.files[&source].kind == Kind::Link || answer.status == INVAL {
            self.expect(&answer, INVAL, "link to", &source);
            return Ok(());
        }
        self.expect(&answer, OK, "link to", &source);
        self.add(name_of(&answer.body), file);
        Ok(())
    }

    fn change(
        &mut self,
        what: &str,
        request: impl FnOnce(&mut Random, &[u8], &[u8]) -> (u8, Vec<u8>, Option<Vec<u8>>),
    ) -> Result<(), Undone> {
        // Sometimes a file that cannot be changed.
        let kinds: &[Kind] =
            if self.random.one_in(15) { &[Kind::Normal, Kind::Slave, Kind::Link] } else { &[Kind::Appender] };
        let Some(name) = self.pick(kinds) else { return Ok(()) };
        let file = &self.files[&name];
        let (home, kind) = (file.home, file.kind);
        let (command, body, after) = request(&mut self.random, name.as_bytes(), &file.content);
        let after = after.filter(|_| kind == Kind::Appender);
        let doubt = after.clone().map(|after| Doubt::Content(name.clone(), after));
        let answer = self.ask(home, command, &body, doubt)?;
        match after {
            Some(after) => {
                self.expect(&answer, OK, what, &name);
                if let Some(file) = self.files.get_mut(&name) {
                    file.content = after;
                }
            }
            None => self.expect(&answer, INVAL, what, &name),
        }
        Ok(())
    }

    fn append(&mut self) -> Result<(), Undone> {
        let data = self.new_content();
        self.change("append to", |_, name, old| {
            let mut body = Vec::new();
            Append { size: data.len() as u64, name }.put(&mut body);
            (24, [body, data.clone()].concat(), Some([old, &data].concat()))
        })
    }

    fn modify(&mut self) -> Result<(), Undone> {
        let data = self.new_content();
        self.change("modify", |random, name, old| {
            let offset = random.below(old.len() + 1) + if random.one_in(20) { old.len() + 1 } else { 0 };
            let mut body = Vec::new();
            Modify { offset: offset as u64, size: data.len() as u64, name }.put(&mut body);
            let after = (offset <= old.len()).then(|| {
                let mut after = old.to_vec();
                after.resize(old.len().max(offset + data.len()), 0);
                after[offset..offset + data.len()].copy_from_slice(&data);
                after
            });
            (34, [body, data.clone()].concat(), after)
        })
    }

    fn truncate(&mut self) -> Result<(), Undone> {
        self.change("truncate", |random, name, old| {
            let size = if old.len() > LARGE { 0 } else { random.below(old.len() + 3000) };
            let mut body = Vec::new();
            Truncate { size: size as u64, name }.put(&mut body);
            let mut after = old.to_vec();
            after.resize(size, 0);
            (36, body, Some(after))
        })
    }

    fn regenerate(&mut self) -> Result<(), Undone> {
        let Some(old) = self.pick(&[Kind::Appender]) else { return Ok(()) };
        let home = self.files[&old].home;
        let answer = self.ask(home, 38, old.as_bytes(), Some(Doubt::Regenerate(old.clone())))?;
        self.expect(&answer, OK, "regenerate", &old);
        self.renamed(&old, name_of(&answer.body));
        Ok(())
    }

    /// An appender file got an ordinary name; its metadata went along.
    pub(super) fn renamed(&mut self, old: &str, new: String) {
        let mut file = self.files.remove(old).unwrap();
        let blob = FileName::parse(new.as_bytes(), 1).unwrap().blob().unwrap();
        assert_eq!((blob.size(), blob.crc32), (file.content.len() as u64, crc32(&file.content)), "{new}");
        file.kind = Kind::Normal;
        self.gone.push((old.to_owned(), file.home));
        self.add(new, file);
    }

    fn delete(&mut self) -> Result<(), Undone> {
        let Some(name) = self.pick(&[Kind::Normal, Kind::Appender, Kind::Slave, Kind::Link]) else {
            return Ok(());
        };
        let File { home, kind, .. } = self.files[&name];
        // The name of a slave may be given again: its home knows in which order.
        let member = if kind == Kind::Slave { home } else { self.any_member() };
        let body = raw::file(GROUP, &name);
        let answer = self.ask(member, raw::DELETE, &body, Some(Doubt::Delete(name.clone())))?;
        if answer.status == NOENT && member != home {
            return Ok(());
        }
        self.expect(&answer, OK, "delete", &name);
        self.deleted(name, member);
        Ok(())
    }

    pub(super) fn deleted(&mut self, name: String, member: usize) {
        self.files.remove(&name);
        self.gone.push((name, member));
        if self.gone.len() > MANY {
            self.gone.remove(0);
        }
    }

    fn set_metadata(&mut self) -> Result<(), Undone> {
        let Some(name) = self.pick_readable() else { return Ok(()) };
        let count = self.random.below(5);
        let pairs = (0..count).map(|_| {
            let value = content(self.random.below(30), self.random.number());
            // Neither separator.
            let value = value.iter().map(|byte| byte | 0x20).collect();
            (format!("key{}", self.random.below(8)).into_bytes(), value)
        });
        let new = Metadata::of(pairs.collect::<Vec<_>>());
        let mode = [b'O', b'M'][self.random.below(2)];
        let old = self.files[&name].metadata.clone();
        let after = match (mode, old) {
            (b'O', _) => Some(new.clone()).filter(|new| !new.is_empty()),
            (_, Some(mut old)) => {
                old.merge(new.clone());
                Some(old)
            }
            (_, None) => Some(new.clone()).filter(|new| !new.is_empty()),
        };
        let (home, doubt) = (self.files[&name].home, Doubt::Metadata(name.clone(), after.clone()));
        let body = raw::set_metadata(mode, GROUP, &name, &new.encode());
        let answer = self.ask(home, raw::SET_METADATA, &body, Some(doubt))?;
        self.expect(&answer, OK, "set metadata of", &name);
        if let Some(file) = self.files.get_mut(&name) {
            file.metadata = after;
        }
        Ok(())
    }

    fn get_metadata(&mut self) -> Result<(), Undone> {
        let Some(name) = self.pick_readable() else { return Ok(()) };
        let answer = self.ask(self.files[&name].home, raw::GET_METADATA, &raw::file(GROUP, &name), None)?;
        match self.files[&name].metadata.clone() {
            Some(metadata) => {
                self.expect(&answer, OK, "get metadata of", &name);
                assert_eq!(answer.body, metadata.encode(), "metadata of {name}");
            }
            None => self.expect(&answer, NOENT, "get metadata of", &name),
        }
        Ok(())
    }

    fn info(&mut self) -> Result<(), Undone> {
        let Some(name) = self.pick_readable() else { return Ok(()) };
        let answer = self.ask(self.files[&name].home, raw::FILE_INFO, &raw::file(GROUP, &name), None)?;
        self.expect(&answer, OK, "info of", &name);
        let content = self.content_of(&name).unwrap();
        let number = |at: usize| u64::from_be_bytes(answer.body[at..at + 8].try_into().unwrap());
        assert_eq!(number(0), content.len() as u64, "size of {name}");
        if self.files[&name].kind != Kind::Link {
            assert_eq!(number(16) as u32, crc32(content), "crc of {name}");
        }
        Ok(())
    }

    /// From its home; what never changes from any member.
    fn download(&mut self) -> Result<(), Undone> {
        let Some(name) = self.pick(&[Kind::Normal, Kind::Appender, Kind::Slave, Kind::Link]) else {
            return Ok(());
        };
        let len = self.content_of(&name).map_or(0, Vec::len);
        let (offset, count) = match self.random.below(4) {
            0 => (self.random.below(len + 2), self.random.below(len + 100)),
            _ => (0, 0),
        };
        let body = raw::download(offset as u64, count as u64, GROUP, &name);
        let File { home, kind, .. } = self.files[&name];
        let member = if kind == Kind::Normal { self.any_member() } else { home };
        let answer = self.ask(member, raw::DOWNLOAD, &body, None)?;
        if answer.status == NOENT && !self.is_sure(&name, member) {
            return Ok(());
        }
        let Some(content) = self.content_of(&name).cloned() else {
            if self.is_sure(&name, member) {
                self.expect(&answer, NOENT, "download without its target", &name);
            }
            return Ok(());
        };
        if offset > len {
            self.expect(&answer, INVAL, "download behind the end of", &name);
            return Ok(());
        }
        self.expect(&answer, OK, "download", &name);
        let end = if count == 0 { len } else { len.min(offset + count) };
        assert!(
            answer.body == content[offset..end],
            "client {}: bytes {offset}..{end} of {name}",
            self.number
        );
        Ok(())
    }

    fn ask_for_gone(&mut self) -> Result<(), Undone> {
        let at = self.random.below(self.gone.len());
        let Some((name, member)) = self.gone.get(at).cloned() else { return Ok(()) };
        if self.in_doubt(&name) {
            return Ok(());
        }
        let body = raw::file(GROUP, &name);
        let (command, body) = match self.random.below(4) {
            0 => (raw::DELETE, body),
            1 => (raw::GET_METADATA, body),
            2 => (raw::SET_METADATA, raw::set_metadata(b'O', GROUP, &name, b"a\x02b")),
            _ => (raw::DOWNLOAD, raw::download(0, 0, GROUP, &name)),
        };
        let answer = self.ask(member, command, &body, None)?;
        self.expect(&answer, NOENT, "command on the deleted", &name);
        Ok(())
    }
}

fn name_of(body: &[u8]) -> String {
    assert_eq!(body[..16], raw::field(GROUP, 16));
    String::from_utf8(body[16..].to_vec()).unwrap()
}
