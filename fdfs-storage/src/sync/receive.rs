//! What peers send (replication 9). A copy appears under its name whole and verified, or not at all.

use std::io;
use std::sync::Arc;

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::{FileName, Kind};
use fdfs_core::ident::StorageId;
use fdfs_core::wire::list::stat;
use fdfs_core::wire::sync::{SyncCopy, SyncDelete};
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::Conn;

use crate::binlog::Pending;
use crate::disk::{self, NewFile};
use crate::service::{Answer, Body, Refused, Session, receive_content, unknown};
use crate::storage::{Storage, now};

/// Answers a command that is not a client's.
pub async fn receive(
    storage: &Arc<Storage>,
    session: &mut Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    match head.cmd {
        cmd::REPORT_SERVER_ID => server_id(session, conn, head, body).await,
        cmd::SYNC_CREATE_FILE => copy(storage, session, conn, head, body, Op::Create).await,
        cmd::SYNC_UPDATE_FILE => copy(storage, session, conn, head, body, Op::Update).await,
        cmd::SYNC_DELETE_FILE => delete(storage, session, conn, head, body).await,
        _ => Err(unknown(&head)),
    }
}

async fn server_id(session: &mut Session, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let id = match bytes.len() {
        16 => StorageId::from_field(&bytes).ok().flatten(),
        _ => None,
    };
    session.peer = Some(id.ok_or_else(|| Refused::invalid("a server id has 16 bytes"))?);
    conn.reply_status(Status::OK);
    Ok(())
}

async fn copy(
    storage: &Arc<Storage>,
    session: &Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
    op: Op,
) -> Answer {
    let fixed = body.take(conn, SyncCopy::HEAD).await?;
    let request = SyncCopy::parse(&fixed, head)?;
    let name = body.take(conn, usize::from(request.name_len)).await?;
    let name = storage.name(request.group, &name)?;
    let timestamp = i64::from(request.timestamp);
    if !request.has_content || already_here(storage, &name, op, request.size) {
        body.discard(conn).await?;
        log(storage, timestamp, op, &name)?.settle();
        note(storage, session, timestamp);
        conn.reply_status(Status::EXIST);
        return Ok(());
    }
    let done = write(storage, conn, body, &name, request.size, timestamp, op).await;
    storage.stat.count_bytes(stat::SYNC_IN_BYTES, request.size - body.left.min(request.size), done.is_ok());
    done?;
    note(storage, session, timestamp);
    conn.reply_status(Status::OK);
    Ok(())
}

/// Only of a file whose name carries its crc does an equal size mean equal content.
fn already_here(storage: &Storage, name: &FileName, op: Op, size: u64) -> bool {
    op == Op::Create
        && name.describes_content()
        && disk::lstat(&storage.paths, name)
            .is_ok_and(|found| disk::is_file(&found) && disk::size(&found) == size)
}

async fn write(
    storage: &Arc<Storage>,
    conn: &mut Conn,
    body: &mut Body,
    name: &FileName,
    size: u64,
    timestamp: i64,
    op: Op,
) -> Result<(), Refused> {
    let failed = |error: io::Error| Refused::io("write the copy of", name, &error);
    let mut file = NewFile::create(&storage.paths, name.path()).map_err(failed)?;
    let crc = receive_content(storage, conn, body, &mut file).await?;
    storage.stat.count(stat::FILE_WRITE, true);
    verify(name, op, size, crc)?;
    file.set_mtime(timestamp).map_err(failed)?;
    let pending = log(storage, timestamp, op, name)?;
    match file.publish(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => file.replace(name).map_err(failed)?,
        done => done.map_err(failed)?,
    }
    pending.settle();
    Ok(())
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

async fn delete(
    storage: &Arc<Storage>,
    session: &Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let request = SyncDelete::parse(&bytes)?;
    let name = storage.name(request.group, request.name)?;
    let timestamp = i64::from(request.timestamp);
    let found = disk::lstat(&storage.paths, &name).map_err(|error| Refused::io("stat", name, &error))?;
    if !disk::is_file(&found) && !disk::is_link(&found) {
        return Err(Refused::invalid(format!("{name} is no regular file")));
    }
    let pending = log(storage, timestamp, Op::Delete, &name)?;
    disk::remove(&storage.paths, &name).map_err(|error| Refused::io("delete", name, &error))?;
    pending.settle();
    note(storage, session, timestamp);
    conn.reply_status(Status::OK);
    Ok(())
}

fn log(storage: &Storage, timestamp: i64, op: Op, name: &FileName) -> Result<Pending, Refused> {
    let record = Record { timestamp, op, replica: true, name: name.logic(), more: None };
    storage.binlog.append(&record).map_err(|error| Refused::io("log", name, &error))
}

fn note(storage: &Storage, session: &Session, timestamp: i64) {
    storage.stat.at(stat::LAST_SYNC_UPDATE, now());
    if let Some(peer) = &session.peer {
        storage.synced.note(peer, timestamp);
    }
}
