//! Changes inside files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use fdfs_core::binlog::Op;
use fdfs_core::fileid::FileName;
use fdfs_core::wire::list::stat;
use fdfs_core::wire::sync::{SyncRange, SyncTruncate};
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::Conn;
use rustix::fs::{Mode, OFlags};
use tokio::sync::SemaphorePermit;

use super::{in_time, is_deleted, keep, log, make, note};
use crate::disk::{self, NewFile, Use};
use crate::edit::{self, copy_range};
use crate::service::{Answer, Body, Refused, Session, receive_content};
use crate::storage::Storage;
use crate::sync::Fence;

/// The data of a range, complete.
enum Data {
    /// In memory, and the room that is taken there.
    Small {
        bytes: Bytes,
        _room: SemaphorePermit<'static>,
    },
    Large(File, u64),
}

pub(super) async fn range(
    storage: &Arc<Storage>,
    session: &Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let op = if head.cmd == cmd::SYNC_APPEND_FILE { Op::Append } else { Op::Modify };
    let total = body.left;
    let fixed = body.take(conn, SyncRange::HEAD).await?;
    let request = SyncRange::parse(&fixed, total)?;
    let name = body.take(conn, usize::from(request.name_len)).await?;
    let name = storage.name(request.group, &name)?;
    let timestamp = i64::from(request.timestamp);
    let status = match place(storage, &name, op, request.start) {
        // What does not fit is read and forgotten; then it is seen whether the peer has to send the whole file.
        None => {
            body.discard(conn).await?;
            unfit(storage, &name, &request)
        }
        Some(()) => {
            let data = receive_data(storage, conn, body, &name, request.len).await?;
            let fence = session.fence.clone();
            match data {
                Data::Small { .. } => {
                    let work =
                        move |storage: &Arc<Storage>| apply(storage, &fence, &name, op, &request, &data);
                    make(storage, &name, work).await?
                }
                // Copying takes a while: other connections of this thread go on.
                Data::Large(..) => {
                    let on = Arc::clone(storage);
                    let work = move |_: &Arc<disk::Dir>| Ok(apply(&on, &fence, &name, op, &request, &data));
                    let done =
                        storage.paths.hand_over(storage.paths.dir(name.path()), Use::Write, work).await;
                    let status = done.map_err(|error| Refused::io("change", name, &error))??;
                    keep(storage, &name).await?;
                    status
                }
            }
        }
    };
    storage.stat.count_bytes(stat::SYNC_IN_BYTES, request.len, status == Status::OK);
    note(storage, session, timestamp);
    conn.reply_status(status);
    Ok(())
}

/// Whether the range fits to the file as it is (replication 9.2).
fn place(storage: &Storage, name: &FileName, op: Op, start: u64) -> Option<()> {
    let found = disk::lstat(&storage.paths, name).ok().filter(disk::is_file)?;
    let size = disk::size(&found);
    let fits = if op == Op::Append { size == start } else { size >= start };
    fits.then_some(())
}

fn unfit(storage: &Storage, name: &FileName, request: &SyncRange) -> Status {
    match disk::lstat(&storage.paths, name) {
        Ok(found) if !disk::is_file(&found) => Status::EXIST,
        Ok(found) if disk::size(&found) >= request.start + request.len => Status::EXIST,
        Err(_) if is_deleted(storage, name, i64::from(request.timestamp)) => Status::EXIST,
        _ => Status::NOENT,
    }
}

async fn receive_data(
    storage: &Arc<Storage>,
    conn: &mut Conn,
    body: &mut Body,
    name: &FileName,
    len: u64,
) -> Result<Data, Refused> {
    if let Some(room) = edit::room(len) {
        let len = usize::try_from(len).map_err(|_| Refused::invalid("length"))?;
        return Ok(Data::Small { bytes: body.take(conn, len).await?, _room: room });
    }
    let failed = |error: io::Error| Refused::io("write a range of", name, &error);
    let mut file = NewFile::create(&storage.paths, name.path()).map_err(failed)?;
    receive_content(storage, conn, body, &mut file, None, None).await?;
    let again = file.reopen().map_err(failed)?;
    Ok(Data::Large(again, len))
}

fn apply(
    storage: &Storage,
    fence: &Fence,
    name: &FileName,
    op: Op,
    request: &SyncRange,
    data: &Data,
) -> Result<Status, Refused> {
    let failed = |error: io::Error| Refused::io("change", name, &error);
    let _alone = storage.lock_name(name);
    in_time(fence)?;
    if place(storage, name, op, request.start).is_none() {
        return Ok(unfit(storage, name, request));
    }
    let file = open(storage, name).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let more = format!("{} {}", request.start, request.len);
    let pending = log(storage, i64::from(request.timestamp), op, name, Some(more))?;
    let written = match data {
        Data::Small { bytes, .. } => file.write_all_at(bytes, request.start),
        Data::Large(from, len) => copy_range(from, &file, request.start, *len),
    };
    storage.stat.count(stat::FILE_WRITE, written.is_ok());
    if let Err(error) = written {
        // What was appended is taken back; a range that was overwritten in part is sent again by the peer.
        let _ = file.set_len(size);
        return Err(failed(error));
    }
    set_mtime(&file, i64::from(request.timestamp)).map_err(failed)?;
    pending.settle();
    Ok(Status::OK)
}

pub(super) async fn truncate(
    storage: &Arc<Storage>,
    session: &Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let request = SyncTruncate::parse(&bytes)?;
    let name = storage.name(request.group, request.name)?;
    let timestamp = i64::from(request.timestamp);
    let (fence, sizes) = (session.fence.clone(), (request.old_size, request.new_size));
    let work = move |storage: &Arc<Storage>| cut(storage, &fence, &name, timestamp, sizes);
    let status = make(storage, &name, work).await?;
    if status == Status::OK {
        note(storage, session, timestamp);
    }
    conn.reply_status(status);
    Ok(())
}

fn cut(
    storage: &Storage,
    fence: &Fence,
    name: &FileName,
    timestamp: i64,
    (old_size, new_size): (u64, u64),
) -> Result<Status, Refused> {
    let failed = |error: io::Error| Refused::io("truncate", name, &error);
    let _alone = storage.lock_name(name);
    in_time(fence)?;
    match disk::lstat(&storage.paths, name) {
        Err(_) if is_deleted(storage, name, timestamp) => return Ok(Status::OK),
        Err(_) => return Ok(Status::NOENT),
        Ok(found) if !disk::is_file(&found) || disk::size(&found) != old_size => {
            return Ok(Status::EXIST);
        }
        Ok(_) => {}
    }
    let file = open(storage, name).map_err(failed)?;
    let more = format!("{old_size} {new_size}");
    let pending = log(storage, timestamp, Op::Truncate, name, Some(more))?;
    file.set_len(new_size).map_err(failed)?;
    set_mtime(&file, timestamp).map_err(failed)?;
    pending.settle();
    Ok(Status::OK)
}

fn open(storage: &Storage, name: &FileName) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(storage.paths.data(name.path()), name.true_name(), flags, Mode::empty())?.into())
}

fn set_mtime(file: &File, unix_secs: i64) -> io::Result<()> {
    let time = rustix::fs::Timespec { tv_sec: unix_secs, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::futimens(file, &times)?)
}
