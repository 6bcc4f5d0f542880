//! A file system in memory that hangs or fails when it is told to.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, WriteFlags,
};

/// What calls do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behave {
    Well,
    /// None comes back.
    Hang,
    /// A rename does not come back.
    HangOnRename,
    /// All fail with EIO.
    Fail,
}

/// It mounted; unmounted when dropped.
pub struct Mounted {
    gate: Arc<Gate>,
    session: Option<BackgroundSession>,
    dir: tempfile::TempDir,
}

impl Mounted {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gate = Arc::new(Gate { state: Mutex::new(Behave::Well), changed: Condvar::new() });
        let fs = Fs { gate: Arc::clone(&gate), tree: Mutex::new(Tree::new()) };
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("hanging".into())];
        let session = fuser::spawn_mount(fs, dir.path(), &config);
        let session = session.unwrap_or_else(|error| panic!("this test needs root and /dev/fuse: {error}"));
        Self { gate, session: Some(session), dir }
    }

    pub fn at(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub fn behave(&self, how: Behave) {
        *self.gate.state.lock().unwrap() = how;
        self.gate.changed.notify_all();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.behave(Behave::Well);
        drop(self.session.take());
        // Who still has it open keeps it from going at once.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.dir.path()).output();
    }
}

struct Gate {
    state: Mutex<Behave>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self, rename: bool) -> Result<(), Errno> {
        let hangs = |how: &mut Behave| *how == Behave::Hang || (rename && *how == Behave::HangOnRename);
        let how = self.changed.wait_while(self.state.lock().unwrap(), hangs).unwrap();
        if *how == Behave::Fail { Err(Errno::EIO) } else { Ok(()) }
    }
}

struct Fs {
    gate: Arc<Gate>,
    tree: Mutex<Tree>,
}

enum Node {
    File(Vec<u8>),
    Folder(BTreeMap<OsString, u64>),
}

struct Tree {
    nodes: BTreeMap<u64, Node>,
}

const TTL: Duration = Duration::ZERO;

impl Tree {
    fn new() -> Self {
        Self { nodes: BTreeMap::from([(1, Node::Folder(BTreeMap::new()))]) }
    }

    fn attr(&self, ino: u64) -> Result<FileAttr, Errno> {
        let (kind, size, perm) = match self.nodes.get(&ino).ok_or(Errno::ENOENT)? {
            Node::File(content) => (FileType::RegularFile, content.len() as u64, 0o644),
            Node::Folder(_) => (FileType::Directory, 0, 0o755),
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let (atime, mtime, ctime, crtime) = (time, time, time, time);
        let (uid, gid, rdev, flags, nlink, blksize) = (0, 0, 0, 0, 1, 4096);
        let (ino, blocks) = (INodeNo(ino), size.div_ceil(512));
        Ok(FileAttr {
            ino,
            size,
            blocks,
            atime,
            mtime,
            ctime,
            crtime,
            kind,
            perm,
            nlink,
            uid,
            gid,
            rdev,
            blksize,
            flags,
        })
    }

    fn folder(&mut self, ino: INodeNo) -> Result<&mut BTreeMap<OsString, u64>, Errno> {
        match self.nodes.get_mut(&ino.0) {
            Some(Node::Folder(entries)) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn file(&mut self, ino: INodeNo) -> Result<&mut Vec<u8>, Errno> {
        match self.nodes.get_mut(&ino.0) {
            Some(Node::File(content)) => Ok(content),
            _ => Err(Errno::EISDIR),
        }
    }

    fn find(&mut self, parent: INodeNo, name: &OsStr) -> Result<u64, Errno> {
        self.folder(parent)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn add(&mut self, parent: INodeNo, name: &OsStr, node: Node) -> Result<FileAttr, Errno> {
        if self.find(parent, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        let ino = self.nodes.last_key_value().map_or(2, |(last, _)| last + 1);
        self.folder(parent)?.insert(name.to_owned(), ino);
        self.nodes.insert(ino, node);
        self.attr(ino)
    }
}

impl Fs {
    fn at<T>(&self, work: impl FnOnce(&mut Tree) -> Result<T, Errno>) -> Result<T, Errno> {
        self.gate.pass(false)?;
        work(&mut self.tree.lock().unwrap())
    }
}

/// Answers with a value or the error.
macro_rules! answer {
    ($reply:ident, $done:expr, $ok:expr) => {
        match $done {
            Ok(done) => $ok(done),
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for Fs {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let done = self.at(|tree| tree.find(parent, name).and_then(|ino| tree.attr(ino)));
        answer!(reply, done, |attr: FileAttr| reply.entry(&TTL, &attr, Generation(0)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.at(|tree| tree.attr(ino.0)), |attr: FileAttr| reply.attr(&TTL, &attr));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<fuser::TimeOrNow>,
        _: Option<fuser::TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let done = self.at(|tree| {
            if let Some(size) = size {
                tree.file(ino)?.resize(size as usize, 0);
            }
            tree.attr(ino.0)
        });
        answer!(reply, done, |attr: FileAttr| reply.attr(&TTL, &attr));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let done = self.at(|tree| tree.add(parent, name, Node::Folder(BTreeMap::new())));
        answer!(reply, done, |attr: FileAttr| reply.entry(&TTL, &attr, Generation(0)));
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let done = self.at(|tree| tree.add(parent, name, Node::File(Vec::new())));
        answer!(reply, done, |attr: FileAttr| {
            reply.created(&TTL, &attr, Generation(0), FileHandle(0), FopenFlags::empty())
        });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        // Its content stays for those who have it open.
        let done = self.at(|tree| tree.folder(parent)?.remove(name).map(drop).ok_or(Errno::ENOENT));
        answer!(reply, done, |()| reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        from: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = self.gate.pass(true).and_then(|()| {
            let mut tree = self.tree.lock().unwrap();
            let ino = tree.find(from, name)?;
            if flags.contains(RenameFlags::RENAME_NOREPLACE) && tree.find(to, new).is_ok() {
                return Err(Errno::EEXIST);
            }
            tree.folder(to)?.insert(new.to_owned(), ino);
            tree.folder(from)?.remove(name);
            Ok(())
        });
        answer!(reply, done, |()| reply.ok());
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        answer!(reply, self.at(|_| Ok(())), |()| reply.opened(FileHandle(0), FopenFlags::empty()));
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let done = self.at(|tree| {
            let content = tree.file(ino)?;
            let start = content.len().min(offset as usize);
            let end = content.len().min(start + size as usize);
            Ok(content[start..end].to_vec())
        });
        answer!(reply, done, |bytes: Vec<u8>| reply.data(&bytes));
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let done = self.at(|tree| {
            let content = tree.file(ino)?;
            let end = offset as usize + data.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[offset as usize..end].copy_from_slice(data);
            Ok(data.len() as u32)
        });
        answer!(reply, done, |written| reply.written(written));
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.at(|_| Ok(())), |()| reply.ok());
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let done = self.at(|tree| {
            let entries: Vec<_> = tree.folder(ino)?.iter().map(|(name, ino)| (name.clone(), *ino)).collect();
            let kind = |ino: u64| tree.attr(ino).map(|attr| attr.kind);
            entries
                .into_iter()
                .map(|(name, ino)| Ok((name, ino, kind(ino)?)))
                .collect::<Result<Vec<_>, Errno>>()
        });
        answer!(reply, done, |entries: Vec<(OsString, u64, FileType)>| {
            for (at, (name, ino, kind)) in entries.into_iter().enumerate().skip(offset as usize) {
                if reply.add(INodeNo(ino), at as u64 + 1, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        answer!(reply, self.at(|_| Ok(())), |()| {
            reply.statfs(1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096)
        });
    }
}
