//! What is in the folders of a store path, for `fdfs_verify`.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BufMut;
use fdfs_core::fileid::{FileName, StorePath};
use fdfs_core::ident::GroupName;
use fdfs_core::wire::Header;
use fdfs_net::Conn;
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::disk::{self, Use};
use crate::service::{Answer, Body, Refused};
use crate::storage::Storage;

/// A thread of the store path looks for about this long before others have their turn.
const TURN: Duration = Duration::from_millis(10);
/// Bytes of content that it reads in one turn.
const STEP: u64 = 4 << 20;

/// INVENTORY (204): group 16, store path 1, first directory 1, deep 1. The answer has, for each file: length of its name 1, kind 1 (`f`,
/// `l`), size 8, mtime 8, crc 4, true name. The crc is that of the content where the name does not tell it and `deep` asks for it, else 0.
pub(crate) async fn inventory(
    storage: &Arc<Storage>,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let request = body.whole(conn, &head).await?;
    let wrong = || Refused::invalid("19 bytes: group, store path, directory, deep");
    let (group, rest) = request.split_at_checked(16).ok_or_else(wrong)?;
    let &[path, high, deep] = rest else { return Err(wrong()) };
    if GroupName::from_field(group).ok() != Some(storage.identity.group) {
        return Err(Refused::invalid("another group"));
    }
    let path = StorePath::new(path, storage.paths.count()).ok_or_else(wrong)?;
    let dir = storage.paths.dir(path);
    let lows = storage.settings.subdir_count_per_path;
    let mut look = Look { path, high, low: 0, names: Vec::new(), answer: Vec::new(), unread: Vec::new() };
    while !look.names.is_empty() || look.low < lows {
        let on = Arc::clone(storage);
        let work = move |_: &Arc<disk::Dir>| look.turn(&on, lows, deep != 0).map(|()| look);
        let done = storage.paths.hand_over(dir, Use::Read, work).await;
        look = done.map_err(|error| {
            Refused::io("read", format!("directory {high:02X} of M{path:02X}", path = path.byte()), &error)
        })?;
    }
    for (name, at) in std::mem::take(&mut look.unread) {
        // 0 when it cannot be read: it is then reported as different.
        let crc = crc_of(storage, &name).await.unwrap_or(0);
        look.answer[at..at + 4].copy_from_slice(&crc.to_be_bytes());
    }
    conn.reply(&look.answer);
    Ok(())
}

/// How far an inventory is.
struct Look {
    path: StorePath,
    high: u8,
    /// The next folder.
    low: u16,
    /// Files of the one before that were not looked at yet.
    names: Vec<FileName>,
    answer: Vec<u8>,
    /// Files whose content is to be read, and where in the answer their crc goes.
    unread: Vec<(FileName, usize)>,
}

impl Look {
    fn turn(&mut self, storage: &Storage, lows: u16, deep: bool) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < TURN {
            match self.names.pop() {
                Some(name) => self.file(storage, &name, deep),
                None if self.low < lows => {
                    self.folder(storage)?;
                    self.low += 1;
                }
                None => break,
            }
        }
        Ok(())
    }

    fn folder(&mut self, storage: &Storage) -> io::Result<()> {
        let at = format!("{:02X}/{:02X}", self.high, self.low);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match rustix::fs::openat(storage.paths.data(self.path), &at, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            done => done?,
        };
        let mut buffer = [MaybeUninit::uninit(); 32 << 10];
        let mut entries = RawDir::new(folder.as_fd(), &mut buffer);
        let mut logic = format!("M{:02X}/{at}/", self.path.byte()).into_bytes();
        let prefix = logic.len();
        while let Some(entry) = entries.next() {
            logic.truncate(prefix);
            logic.extend_from_slice(entry?.file_name().to_bytes());
            self.names.extend(FileName::parse(&logic, storage.paths.count()));
        }
        Ok(())
    }

    fn file(&mut self, storage: &Storage, name: &FileName, deep: bool) {
        // Deleted meanwhile, or unreadable: it is not there then.
        let Ok(meta) = disk::lstat(&storage.paths, name) else { return };
        let kind = match (disk::is_file(&meta), disk::is_link(&meta)) {
            (true, _) => b'f',
            (_, true) => b'l',
            _ => return,
        };
        self.answer.put_u8(u8::try_from(name.true_name().len()).unwrap_or(0));
        self.answer.put_u8(kind);
        self.answer.put_u64(disk::size(&meta));
        self.answer.put_i64(meta.st_mtime);
        if deep && kind == b'f' && !name.describes_content() {
            self.unread.push((*name, self.answer.len()));
        }
        self.answer.put_u32(0);
        self.answer.put_slice(name.true_name());
    }
}

async fn crc_of(storage: &Storage, name: &FileName) -> io::Result<u32> {
    let dir = storage.paths.dir(name.path());
    let file = Arc::new(File::from(storage.paths.open_file(name).await?));
    let (mut crc, mut at) = (crc32fast::Hasher::new(), 0);
    loop {
        let from = Arc::clone(&file);
        let before = at;
        let read = move |_: &Arc<disk::Dir>| {
            let mut buffer = vec![0; 256 << 10];
            let (mut crc, mut at) = (crc, before);
            while at < before + STEP {
                let got = from.read_at(&mut buffer, at)?;
                if got == 0 {
                    break;
                }
                crc.update(&buffer[..got]);
                at += got as u64;
            }
            Ok((crc, at))
        };
        (crc, at) = storage.paths.hand_over(dir, Use::Read, read).await?;
        if at < before + STEP {
            return Ok(crc.finalize());
        }
    }
}
