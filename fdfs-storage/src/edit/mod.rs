//! Changes inside appender files: whole or not at all.
//!
//! The content of a change arrives completely before anything is touched. Then, with the file's lock held: the change is
//! written down in the journal of the store path, made, logged, and struck out of the journal. A process that is killed in
//! between finds it there at its next start and completes it ([`replay`]); a change that fails is taken back.

mod journal;
mod ranges;
mod room;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::FileName;
use fdfs_core::wire::Status;
use fdfs_core::wire::list::stat;
use rustix::fs::{FallocateFlags, Mode, OFlags};

use crate::disk::{self, NewFile};
use crate::service::{Refused, deleted, earliest_delete};
use crate::storage::{Storage, now};
pub(crate) use journal::Entry;
pub use journal::replay;
pub(crate) use ranges::copy_range;
pub(crate) use room::room;

/// What is written, complete.
pub enum Data {
    /// In memory.
    Small(Bytes),
    /// In a file without a name, and its length in bytes.
    Large(NewFile, u64),
}

/// A change that a client asked for.
pub enum Change {
    /// At the end.
    Append(Data),
    /// From this byte on, which is at most the size.
    Modify(u64, Data),
    /// To this length.
    Truncate(u64),
}

/// Range of a change and how long the file was: `start`, `len`, `old size`.
struct Plan {
    op: Op,
    start: u64,
    len: u64,
    size: u64,
}

impl Data {
    fn len(&self) -> u64 {
        match self {
            Self::Small(bytes) => bytes.len() as u64,
            Self::Large(_, len) => *len,
        }
    }
}

impl Change {
    /// Bytes that are written.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Append(data) | Self::Modify(_, data) => data.len(),
            Self::Truncate(_) => 0,
        }
    }

    /// Whether it is over in a moment on a disk that is quick.
    pub fn is_short(&self) -> bool {
        !matches!(self, Self::Append(Data::Large(..)) | Self::Modify(_, Data::Large(..)))
    }

    /// What it means for a file of `size` bytes; `None`: nothing.
    fn plan(&self, size: u64) -> Result<Option<Plan>, Refused> {
        let plan = match self {
            Self::Append(data) => Plan { op: Op::Append, start: size, len: data.len(), size },
            Self::Modify(start, _) if *start > size => {
                let why = format!("modify from byte {start} of a file of {size} bytes");
                return Err(Refused::invalid(why));
            }
            Self::Modify(start, data) => Plan { op: Op::Modify, start: *start, len: data.len(), size },
            // The record of a truncation holds the old and the new size.
            Self::Truncate(new) => Plan { op: Op::Truncate, start: size, len: *new, size },
        };
        let nothing = match plan.op {
            Op::Truncate => plan.len == size,
            _ => plan.len == 0,
        };
        Ok((!nothing).then_some(plan))
    }
}

/// An appender file that is there (storage 11.2).
pub fn check(storage: &Storage, name: &FileName) -> Result<u64, Refused> {
    let found = disk::lstat(&storage.paths, name).map_err(|error| Refused::io("stat", name, &error))?;
    if !disk::is_file(&found) || !name.is_appender() {
        return Err(Refused::invalid(format!("{name} is no appender file")));
    }
    Ok(disk::size(&found))
}

/// Makes a change.
pub fn apply(storage: &Storage, name: &FileName, change: Change) -> Result<(), Refused> {
    let failed = |error: io::Error| Refused::io("change", name, &error);
    let _alone = storage.lock_name(name);
    let size = check(storage, name)?;
    let Some(plan) = change.plan(size)? else { return Ok(()) };
    let file = open(storage, name).map_err(failed)?;
    let timestamp = now();
    let more = Some(format!("{} {}", plan.start, plan.len));
    let record = Record { timestamp, op: plan.op, replica: false, name: name.logic(), more };
    let (mut temp, small) = match change {
        Change::Append(Data::Large(file, _)) | Change::Modify(_, Data::Large(file, _)) => (file, None),
        Change::Append(Data::Small(bytes)) | Change::Modify(_, Data::Small(bytes)) => {
            (NewFile::create(&storage.paths, name.path()).map_err(failed)?, Some(bytes))
        }
        Change::Truncate(_) => (NewFile::create(&storage.paths, name.path()).map_err(failed)?, None),
    };
    if plan.op == Op::Modify {
        // Nothing is overwritten unless there is room for all of it.
        reserve(&file, plan.start, plan.len).map_err(failed)?;
    }
    let content = small.as_deref().unwrap_or_default();
    let entry = journal::enter(&mut temp, content, &record, storage.durable.waits()).map_err(failed)?;
    let done = (|| {
        match (plan.op, &small) {
            (Op::Truncate, _) => {}
            (_, Some(bytes)) => file.write_all_at(bytes, plan.start)?,
            (_, None) => copy_range(&temp.reopen()?, &file, plan.start, plan.len)?,
        }
        let pending = storage.binlog.append(&record)?;
        if plan.op == Op::Truncate {
            file.set_len(plan.len)?;
        }
        set_mtime(&file, timestamp)?;
        Ok(pending)
    })();
    storage.stat.count(stat::FILE_WRITE, done.is_ok());
    match (&done, plan.op) {
        (Ok(_), _) => {}
        // There was room: the disk itself fails.
        (Err(error), Op::Modify) => tracing::error!(file = %name, %error, "a range may be changed in part"),
        (Err(_), _) => file.set_len(plan.size).map_err(failed)?,
    }
    entry.strike().map_err(failed)?;
    done.map_err(failed)?.settle();
    storage.stat.at(stat::LAST_SOURCE_UPDATE, timestamp);
    Ok(())
}

/// Gives an appender file its ordinary name `new`, and its metadata too (storage 11.11).
pub fn rename(storage: &Storage, old: &FileName, new: &FileName, size: u64) -> Result<(), Refused> {
    let failed = |error: io::Error| Refused::io("rename", old, &error);
    let _alone = storage.lock_name(old);
    if check(storage, old)? != size {
        return Err(Refused::new(Status::BUSY, format!("{old} changed while its name was made")));
    }
    let timestamp = now();
    let more = Some(old.logic());
    let record = Record { timestamp, op: Op::Rename, replica: false, name: new.logic(), more };
    let mut temp = NewFile::create(&storage.paths, old.path()).map_err(failed)?;
    let entry = journal::enter(&mut temp, b"", &record, storage.durable.waits()).map_err(failed)?;
    let done = give_name(storage, old, new, timestamp, Some(record));
    entry.strike().map_err(failed)?;
    done.map_err(failed)?;
    storage.stat.at(stat::LAST_SOURCE_UPDATE, timestamp);
    Ok(())
}

/// Renames a file, if it has its old name still, and its metadata: those by two records that members of every kind
/// understand. All records are logged, or none and nothing is renamed.
fn give_name(
    storage: &Storage,
    old: &FileName,
    new: &FileName,
    timestamp: i64,
    record: Option<Record>,
) -> io::Result<()> {
    let is_there = |(old, _): &(FileName, FileName)| disk::lstat(&storage.paths, old).is_ok();
    let metadata = old.metadata().zip(new.metadata()).filter(is_there);
    let mut records: Vec<Record> = record.into_iter().collect();
    if let Some((old, new)) = &metadata {
        let (op, name) = (Op::Create, new.logic());
        records.push(Record { timestamp, op, replica: false, name, more: None });
        records.push(deleted(timestamp.max(earliest_delete(storage, old)), false, old));
    }
    let pending = match records.is_empty() {
        true => None,
        false => Some(storage.binlog.append_all(&records)?),
    };
    for (old, new) in [Some((*old, *new)).filter(is_there), metadata].into_iter().flatten() {
        disk::rename(&storage.paths, &old, &new)?;
    }
    if let Some((_, new)) = metadata {
        disk::set_mtime(&storage.paths, &new, timestamp)?;
    }
    drop(pending);
    Ok(())
}

/// Writes down that a file and what belongs to it are being deleted. `None` on a full disk, where deletes work too.
pub(crate) fn enter_delete(storage: &Storage, name: &FileName) -> Result<Option<Entry>, Refused> {
    let record = Record { timestamp: now(), op: Op::Delete, replica: false, name: name.logic(), more: None };
    let entered = NewFile::create(&storage.paths, name.path())
        .and_then(|mut temp| journal::enter(&mut temp, b"", &record, storage.durable.waits()));
    match entered {
        Ok(entry) => Ok(Some(entry)),
        Err(error) if journal::is_full(&error) => Ok(None),
        Err(error) => Err(Refused::io("delete", name, &error)),
    }
}

fn open(storage: &Storage, name: &FileName) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(storage.paths.data(name.path()), name.true_name(), flags, Mode::empty())?.into())
}

/// Room on the disk for a range; file systems that cannot say are believed.
fn reserve(file: &File, start: u64, len: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, start, len) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        done => Ok(done?),
    }
}

fn set_mtime(file: &File, unix_secs: i64) -> io::Result<()> {
    let time = rustix::fs::Timespec { tv_sec: unix_secs, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::futimens(file, &times)?)
}
