//! Whole files.

use std::io;
use std::sync::Arc;

use fdfs_core::binlog::Op;
use fdfs_core::fileid::{FileName, Kind};
use fdfs_core::wire::list::stat;
use fdfs_core::wire::sync::SyncCopy;
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::Conn;

use super::{in_time, is_deleted, log, note};
use crate::disk::{self, NewFile, Use};
use crate::service::{Answer, Body, Refused, Session, receive_content};
use crate::storage::Storage;
use crate::sync::Fence;

pub(super) async fn copy(
    storage: &Arc<Storage>,
    session: &Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let op = if head.cmd == cmd::SYNC_UPDATE_FILE { Op::Update } else { Op::Create };
    let offer = head.cmd == cmd::SYNC_OFFER_FILE;
    let fixed = body.take(conn, SyncCopy::HEAD).await?;
    let request = SyncCopy::parse(&fixed, head)?;
    let name = body.take(conn, usize::from(request.name_len)).await?;
    let name = storage.name(request.group, &name)?;
    let timestamp = i64::from(request.timestamp);
    let here = already_here(storage, &name, op, request.size, offer);
    if !request.has_content || here || is_deleted(storage, &name, timestamp) {
        body.discard(conn).await?;
        if !request.has_content {
            log(storage, timestamp, op, &name, None)?.settle();
        }
        note(storage, session, timestamp);
        conn.reply_status(Status::EXIST);
        return Ok(());
    }
    let how = How { op, offer, fence: session.fence.clone() };
    let done = write(storage, conn, body, &name, &request, how).await;
    storage.stat.count_bytes(stat::SYNC_IN_BYTES, request.size - body.left.min(request.size), done.is_ok());
    let status = done?;
    note(storage, session, timestamp);
    conn.reply_status(status);
    Ok(())
}

/// Only of a file whose name carries its crc does an equal size mean equal content. An offer is for those who have
/// nothing.
fn already_here(storage: &Storage, name: &FileName, op: Op, size: u64, offer: bool) -> bool {
    let found = || disk::lstat(&storage.paths, name);
    if offer {
        return found().is_ok();
    }
    op == Op::Create
        && name.describes_content()
        && found().is_ok_and(|found| disk::is_file(&found) && disk::size(&found) == size)
}

/// What is asked.
struct How {
    op: Op,
    /// Only if there is none.
    offer: bool,
    fence: Fence,
}

async fn write(
    storage: &Arc<Storage>,
    conn: &mut Conn,
    body: &mut Body,
    name: &FileName,
    request: &SyncCopy,
    how: How,
) -> Result<Status, Refused> {
    let failed = |error: io::Error| Refused::io("write the copy of", name, &error);
    let timestamp = i64::from(request.timestamp);
    let path = name.path();
    let mut file = storage.paths.run(path, Use::Write, NewFile::create_in).await.map_err(failed)?;
    let crc = receive_content(storage, conn, body, &mut file, None, None).await?;
    storage.stat.count(stat::FILE_WRITE, true);
    verify(name, how.op, request.size, crc)?;
    storage.durable.content(path).await.map_err(failed)?;
    let copied = *name;
    let work = move |storage: &Arc<Storage>| Ok(show(storage, file, &copied, timestamp, &how));
    let status = storage.on_path(path, Use::Write, work).await??;
    storage.durable.commit(path).await.map_err(failed)?;
    Ok(status)
}

/// Logs a copy and gives it its name.
fn show(
    storage: &Storage,
    mut file: NewFile,
    name: &FileName,
    timestamp: i64,
    how: &How,
) -> Result<Status, Refused> {
    let failed = |error: io::Error| Refused::io("write the copy of", name, &error);
    file.set_mtime(timestamp).map_err(failed)?;
    // A delete that arrives at this moment comes before or after this.
    let _alone = storage.lock_name(name);
    in_time(&how.fence)?;
    if is_deleted(storage, name, timestamp) {
        return Ok(Status::EXIST);
    }
    let pending = log(storage, timestamp, how.op, name, None)?;
    match file.publish(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if how.offer {
                return Ok(Status::EXIST);
            }
            file.replace(name).map_err(failed)?;
        }
        done => done.map_err(failed)?,
    }
    pending.settle();
    Ok(Status::OK)
}

/// What the name says of the content must be true.
fn verify(name: &FileName, op: Op, size: u64, crc: u32) -> Result<(), Refused> {
    let Some(blob) = name
        .blob()
        .filter(|blob| op == Op::Create && name.describes_content() && blob.kind() == Kind::Normal)
    else {
        return Ok(());
    };
    if (blob.size(), blob.crc32) == (size, crc) {
        return Ok(());
    }
    let text = format!(
        "the copy of {name} has {size} bytes and crc {crc:08X}, its name says {} and {:08X}: not kept",
        blob.size(),
        blob.crc32
    );
    Err(Refused::new(Status::IO, text))
}
