//! Changes under way, `data/.fdfs.edit/` of each store path: a file per change.
//!
//! ```text
//! content of the change | its binlog line | length of the line, 2 bytes big-endian | MAGIC
//! ```
//! A file gets its name when it is complete. It is removed before the change is answered, so what is there at start was
//! under way when the process ended, and nothing came after it for the same file.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::FileName;

use super::copy_range;
use crate::disk::{self, Dir, NewFile};
use crate::service::{Refused, complete_delete};
use crate::storage::Storage;

const FOLDER: &str = ".fdfs.edit";
const MAGIC: &[u8; 8] = b"fdfsEDIT";
/// Bytes behind the line.
const END: u64 = 10;
/// The part of the log in which a record of the last process is looked for, bytes.
const RECENT: u64 = 16 << 20;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A change that is written down.
pub(crate) struct Entry {
    dir: Arc<Dir>,
    name: String,
}

/// Writes a change down. `temp` holds the content already, or gets it from `content`.
pub(super) fn enter(temp: &mut NewFile, content: &[u8], record: &Record, sync: bool) -> io::Result<Entry> {
    let line = record.to_string();
    let len = u16::try_from(line.len()).map_err(|_| io::Error::other("a record that is too long"))?;
    let all = [content, line.as_bytes(), &len.to_be_bytes(), MAGIC].concat();
    temp.write_all(&all)?;
    if sync {
        temp.file().sync_data()?;
    }
    let name = format!("{FOLDER}/{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    temp.keep_as(FOLDER, &name)?;
    Ok(Entry { dir: Arc::clone(temp.dir()), name })
}

impl Entry {
    /// The change is made, or taken back.
    pub fn strike(self) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self.dir.data(), self.name, rustix::fs::AtFlags::empty())?)
    }
}

/// Completes what was under way when the last process ended; answers how many changes. Before anything else changes files.
pub fn replay(storage: &Storage) -> io::Result<usize> {
    let mut done = 0;
    for path in storage.paths.indexes() {
        let folder = storage.paths.base(path).join("data").join(FOLDER);
        for entry in entries(&folder)? {
            match complete(storage, &entry) {
                Ok(record) => {
                    tracing::warn!(change = record.trim_end(), "a change that was under way is completed");
                    done += 1;
                }
                // It can be completed when there is space, and not before.
                Err(error) if is_full(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(file = %entry.display(), %error, "a change that was under way is dropped");
                }
            }
            fs::remove_file(&entry)?;
        }
    }
    Ok(done)
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let list = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        list => list?,
    };
    let mut found = list.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

fn complete(storage: &Storage, entry: &Path) -> io::Result<String> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let mut from = File::open(entry)?;
    let (content, line) = read(&mut from)?;
    let record = Record::parse(line.trim_end().as_bytes()).map_err(|bad| invalid(&bad.to_string()))?;
    let parse = |name: &str| {
        FileName::parse(name.as_bytes(), storage.paths.count()).map_err(|bad| invalid(&bad.to_string()))
    };
    let name = parse(&record.name)?;
    let more = record.more.as_deref().unwrap_or_default();
    if record.op == Op::Delete {
        // It logs what it does.
        complete_delete(storage, &name).map_err(Refused::into_io)?;
        return Ok(line);
    }
    let logged = is_logged(storage, &line)?;
    if record.op == Op::Rename {
        let old = parse(more)?;
        let timestamp = record.timestamp;
        super::give_name(storage, &old, &name, timestamp, (!logged).then(|| record.clone()))?;
    } else {
        let (start, len) = more.split_once(' ').ok_or_else(|| invalid("no range"))?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| invalid("a range that is no number"));
        let (start, len) = (number(start)?, number(len)?);
        let size = disk::size(&disk::lstat(&storage.paths, &name)?);
        let file = super::open(storage, &name)?;
        let fits = match record.op {
            Op::Append | Op::Modify => size >= start && content == len,
            _ => record.op == Op::Truncate && (size == start || size == len),
        };
        if !fits {
            return Err(invalid("it does not fit the file"));
        }
        // First, so that without space for it nothing is changed.
        let pending = if logged { None } else { Some(storage.binlog.append(&record)?) };
        match record.op {
            Op::Truncate => file.set_len(len)?,
            _ => copy_range(&from, &file, start, len)?,
        }
        super::set_mtime(&file, record.timestamp)?;
        drop(pending);
    }
    Ok(line)
}

/// Length of the content, and the line behind it.
fn read(file: &mut File) -> io::Result<(u64, String)> {
    let torn = || io::Error::new(io::ErrorKind::InvalidData, "not a whole entry");
    let all = file.metadata()?.len();
    let end = all.checked_sub(END).ok_or_else(torn)?;
    let mut tail = [0; END as usize];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut tail)?;
    let (len, magic) = tail.split_at(2);
    let len = u64::from(u16::from_be_bytes([len[0], len[1]]));
    let content = end.checked_sub(len).filter(|_| magic == MAGIC).ok_or_else(torn)?;
    let mut line = vec![0; usize::try_from(len).unwrap_or_default()];
    file.seek(SeekFrom::Start(content))?;
    file.read_exact(&mut line)?;
    Ok((content, String::from_utf8(line).map_err(|_| torn())?))
}

/// Whether the last part of the log has this line.
fn is_logged(storage: &Storage, line: &str) -> io::Result<bool> {
    let end = storage.binlog.end();
    let sync = storage.data_dir().join("sync");
    for index in [Some(end.index), end.index.checked_sub(1)].into_iter().flatten() {
        let mut file = match File::open(sync.join(format!("binlog.{index:03}"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(RECENT)))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        if memchr::memmem::find(&text, line.as_bytes()).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
