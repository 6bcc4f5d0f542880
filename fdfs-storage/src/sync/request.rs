//! A record of the log as a request to a peer: what the file is now, not what it was (replication 7.4).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::FileName;
use fdfs_core::wire::sync::{SyncCopy, SyncDelete, SyncPair, SyncRange, SyncTruncate};
use fdfs_core::wire::{Header, Status, cmd};

use crate::disk;
use crate::storage::Storage;

/// Content up to this many bytes travels in the same write as its request; more by sendfile.
const SMALL: u64 = 16 << 10;

/// Which request a record becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The one of its operation.
    Ordinary,
    /// The file as a whole, as a new one if there is none (`SYNC_OFFER_FILE`).
    Offer,
    /// The file as a whole, in place of what the peer has: ranges do not fit there.
    Whole,
    /// Of a rename that went as a whole: the old name goes.
    RemoveOld,
}

/// How a record ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The peer has it.
    Confirmed,
    /// There is nothing to send any more: a later record says why.
    Stale,
    /// Send it in another way.
    Again(Way),
    /// The peer says no.
    Refused(Status),
    /// It cannot be sent from here.
    Unsendable(String),
    /// The connection ended before the answer.
    Lost,
}

/// A request, behind what `out` held before.
pub enum Request {
    /// All of it is in `out`.
    Ready {
        /// Bytes of content in it.
        content: u64,
    },
    /// These bytes of the file follow.
    File {
        /// The file.
        file: OwnedFd,
        /// First byte.
        start: u64,
        /// Bytes.
        len: u64,
    },
    /// Nothing is to be sent.
    Settled(Outcome),
}

/// Appends the request for `record` to `out`.
pub fn prepare(storage: &Storage, record: &Record, way: Way, out: &mut Vec<u8>) -> Request {
    let bad = |why: String| Request::Settled(Outcome::Unsendable(why));
    let name = match FileName::parse(record.name.as_bytes(), storage.paths.count()) {
        Ok(name) => name,
        Err(error) => return bad(error.to_string()),
    };
    let made = match (record.op, way) {
        (_, Way::RemoveOld) => remove_old(storage, record, out),
        (Op::Rename, Way::Ordinary) if !record.replica => rename(storage, record, &name, out),
        (Op::Create | Op::Rename, Way::Ordinary) => whole(storage, record, &name, cmd::SYNC_CREATE_FILE, out),
        (Op::Rename, Way::Whole) => whole(storage, record, &name, cmd::SYNC_CREATE_FILE, out),
        (Op::Create | Op::Rename | Op::Update, Way::Offer) => {
            whole(storage, record, &name, cmd::SYNC_OFFER_FILE, out)
        }
        (Op::Update, _) | (Op::Append | Op::Modify | Op::Truncate | Op::Create, Way::Whole) => {
            whole(storage, record, &name, cmd::SYNC_UPDATE_FILE, out)
        }
        (Op::Append | Op::Modify, _) => range(storage, record, &name, out),
        (Op::Truncate, _) => truncate(storage, record, &name, out),
        (Op::Delete, _) => delete(storage, record, &name, out),
        (Op::Link, _) => link(storage, record, &name, out),
    };
    match made {
        Ok(request) => request,
        // The new file is deleted already: of the rename remains that the old name goes.
        Err(error) if is_missing(&error) && record.op == Op::Rename && way != Way::RemoveOld => {
            Request::Settled(Outcome::Again(Way::RemoveOld))
        }
        Err(error) if is_missing(&error) => Request::Settled(Outcome::Stale),
        Err(error) => bad(format!("{name}: {error}")),
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// What an answer means.
pub fn judge(op: Op, way: Way, status: Status) -> Outcome {
    match (op, status) {
        (Op::Truncate, Status::EXIST | Status::NOENT) if way == Way::Ordinary => Outcome::Again(Way::Whole),
        (Op::Append | Op::Modify | Op::Rename, Status::NOENT) if way == Way::Ordinary => {
            Outcome::Again(Way::Whole)
        }
        (Op::Rename, Status::OK | Status::EXIST) if way == Way::Whole => Outcome::Again(Way::RemoveOld),
        (Op::Rename, Status::NOENT) if way == Way::RemoveOld => Outcome::Confirmed,
        (_, Status::OK) | (_, Status::EXIST) => Outcome::Confirmed,
        (Op::Delete | Op::Link, Status::NOENT) => Outcome::Confirmed,
        (_, status) => Outcome::Refused(status),
    }
}

/// The time of a record as it travels.
fn timestamp(record: &Record) -> i32 {
    i32::try_from(record.timestamp).unwrap_or(i32::MAX)
}

fn put_header(out: &mut Vec<u8>, command: u8, body: u64) {
    out.extend_from_slice(&Header::request(command, body).encode());
}

fn whole(
    storage: &Storage,
    record: &Record,
    name: &FileName,
    command: u8,
    out: &mut Vec<u8>,
) -> io::Result<Request> {
    // A link that took the file's name has a record of its own.
    let file = disk::open(&storage.paths, name)?;
    let meta = rustix::fs::fstat(&file)?;
    if !disk::is_file(&meta) {
        return Ok(Request::Settled(Outcome::Unsendable(format!("{name} is no regular file"))));
    }
    let size = disk::size(&meta);
    let logic = name.logic();
    put_header(out, command, SyncCopy::HEAD as u64 + logic.len() as u64 + size);
    SyncCopy::put(out, storage.identity.group, timestamp(record), logic.as_bytes(), size);
    content(file, 0, size, out)
}

/// The content of a request: small ones are read here.
fn content(file: OwnedFd, start: u64, len: u64, out: &mut Vec<u8>) -> io::Result<Request> {
    if len > SMALL {
        return Ok(Request::File { file, start, len });
    }
    let at = out.len();
    let len = usize::try_from(len).map_err(io::Error::other)?;
    out.resize(at + len, 0);
    let mut filled = 0;
    while filled < len {
        match rustix::io::pread(file.as_fd(), &mut out[at + filled..], start + filled as u64)? {
            0 => {
                let text = "the file became shorter while it was read";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            got => filled += got,
        }
    }
    Ok(Request::Ready { content: len as u64 })
}

fn range(storage: &Storage, record: &Record, name: &FileName, out: &mut Vec<u8>) -> io::Result<Request> {
    let Some((start, len)) = record.range() else {
        return Ok(Request::Settled(Outcome::Unsendable("a record without its range".into())));
    };
    let file = disk::open(&storage.paths, name)?;
    let size = disk::size(&rustix::fs::fstat(&file)?);
    if start.checked_add(len).is_none_or(|end| end > size) {
        // It became shorter since. What the peer makes of the truncation that follows depends on what it has now, so
        // it gets the file as it is.
        return Ok(Request::Settled(Outcome::Again(Way::Whole)));
    }
    let logic = name.logic();
    let command = if record.op == Op::Append { cmd::SYNC_APPEND_FILE } else { cmd::SYNC_MODIFY_FILE };
    put_header(out, command, SyncRange::HEAD as u64 + logic.len() as u64 + len);
    SyncRange::put(out, storage.identity.group, timestamp(record), logic.as_bytes(), start, len);
    content(file, start, len, out)
}

fn truncate(storage: &Storage, record: &Record, name: &FileName, out: &mut Vec<u8>) -> io::Result<Request> {
    let Some((old_size, new_size)) = record.range() else {
        return Ok(Request::Settled(Outcome::Unsendable("a record without its sizes".into())));
    };
    disk::lstat(&storage.paths, name)?;
    let logic = name.logic();
    let group = storage.identity.group;
    let request =
        SyncTruncate { old_size, new_size, timestamp: timestamp(record), group, name: logic.as_bytes() };
    put_header(out, cmd::SYNC_TRUNCATE_FILE, SyncRange::HEAD as u64 + logic.len() as u64);
    request.put(out);
    Ok(Request::Ready { content: 0 })
}

fn delete(storage: &Storage, record: &Record, name: &FileName, out: &mut Vec<u8>) -> io::Result<Request> {
    if disk::lstat(&storage.paths, name).is_ok() {
        return Ok(Request::Settled(Outcome::Stale));
    }
    let logic = name.logic();
    let group = storage.identity.group;
    put_header(out, cmd::SYNC_DELETE_FILE, 20 + logic.len() as u64);
    SyncDelete { timestamp: timestamp(record), group, name: logic.as_bytes() }.put(out);
    Ok(Request::Ready { content: 0 })
}

fn remove_old(storage: &Storage, record: &Record, out: &mut Vec<u8>) -> io::Result<Request> {
    let name = record.source().map(|old| FileName::parse(old.as_bytes(), storage.paths.count()));
    match name {
        Some(Ok(name)) => delete(storage, record, &name, out),
        _ => Ok(Request::Settled(Outcome::Confirmed)),
    }
}

fn link(storage: &Storage, record: &Record, name: &FileName, out: &mut Vec<u8>) -> io::Result<Request> {
    if !disk::is_link(&disk::lstat(&storage.paths, name)?) {
        return Ok(Request::Settled(Outcome::Stale));
    }
    let source = match record.source() {
        Some(source) => source.to_owned(),
        None => match disk::link_target(&storage.paths, name)? {
            Some(target) => target.logic(),
            None => {
                let text = format!("{name} points outside the store paths");
                return Ok(Request::Settled(Outcome::Unsendable(text)));
            }
        },
    };
    let pair = pair(storage, record, name.logic(), source);
    Ok(pair.put(cmd::SYNC_CREATE_LINK, out))
}

fn rename(storage: &Storage, record: &Record, name: &FileName, out: &mut Vec<u8>) -> io::Result<Request> {
    disk::lstat(&storage.paths, name)?;
    let Some(source) = record.source() else {
        return Ok(Request::Settled(Outcome::Unsendable("a record without the old name".into())));
    };
    let pair = pair(storage, record, name.logic(), source.to_owned());
    Ok(pair.put(cmd::SYNC_RENAME_FILE, out))
}

struct Pair<'a> {
    storage: &'a Storage,
    timestamp: i32,
    dest: String,
    source: String,
}

fn pair<'a>(storage: &'a Storage, record: &Record, dest: String, source: String) -> Pair<'a> {
    Pair { storage, timestamp: timestamp(record), dest, source }
}

impl Pair<'_> {
    fn put(&self, command: u8, out: &mut Vec<u8>) -> Request {
        put_header(out, command, 36 + self.dest.len() as u64 + self.source.len() as u64);
        SyncPair {
            timestamp: self.timestamp,
            group: self.storage.identity.group,
            dest: self.dest.as_bytes(),
            source: self.source.as_bytes(),
        }
        .put(out);
        Request::Ready { content: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        use Op::{Append, Create, Delete, Link, Modify, Rename, Truncate, Update};
        let rows = [
            (Create, Way::Ordinary, Status::OK, Outcome::Confirmed),
            (Create, Way::Offer, Status::EXIST, Outcome::Confirmed),
            (Create, Way::Ordinary, Status::NOENT, Outcome::Refused(Status::NOENT)),
            (Update, Way::Ordinary, Status::NOSPC, Outcome::Refused(Status::NOSPC)),
            (Append, Way::Ordinary, Status::EXIST, Outcome::Confirmed),
            (Append, Way::Ordinary, Status::NOENT, Outcome::Again(Way::Whole)),
            (Modify, Way::Ordinary, Status::NOENT, Outcome::Again(Way::Whole)),
            (Modify, Way::Whole, Status::NOENT, Outcome::Refused(Status::NOENT)),
            (Truncate, Way::Ordinary, Status::EXIST, Outcome::Again(Way::Whole)),
            (Truncate, Way::Ordinary, Status::NOENT, Outcome::Again(Way::Whole)),
            (Truncate, Way::Whole, Status::EXIST, Outcome::Confirmed),
            (Delete, Way::Ordinary, Status::NOENT, Outcome::Confirmed),
            (Link, Way::Ordinary, Status::NOENT, Outcome::Confirmed),
            (Rename, Way::Ordinary, Status::EXIST, Outcome::Confirmed),
            (Rename, Way::Ordinary, Status::NOENT, Outcome::Again(Way::Whole)),
            (Rename, Way::Whole, Status::OK, Outcome::Again(Way::RemoveOld)),
            (Rename, Way::RemoveOld, Status::NOENT, Outcome::Confirmed),
        ];
        for (op, way, status, outcome) in rows {
            assert_eq!(judge(op, way, status), outcome, "{op:?} {way:?} {status:?}");
        }
    }
}
