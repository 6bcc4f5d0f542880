//! Links and renames.

use std::io;
use std::sync::Arc;

use fdfs_core::binlog::Op;
use fdfs_core::fileid::FileName;
use fdfs_core::wire::list::stat;
use fdfs_core::wire::sync::SyncPair;
use fdfs_core::wire::{Header, Status};
use fdfs_net::Conn;

use super::{is_deleted, log, note};
use crate::disk;
use crate::service::{Answer, Body, Refused, Session};
use crate::storage::Storage;

pub(super) async fn link(
    storage: &Arc<Storage>,
    session: &Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let request = SyncPair::parse(&bytes)?;
    let link = storage.name(request.group, request.dest)?;
    let target = storage.name(request.group, request.source)?;
    let timestamp = i64::from(request.timestamp);
    let done = make_link(storage, &link, &target, timestamp);
    storage.stat.count(stat::CREATE_LINK, done.is_ok());
    done?;
    note(storage, session, timestamp);
    conn.reply_status(Status::OK);
    Ok(())
}

/// A target that is not here yet may come from another member: only one that was deleted gets no link.
fn make_link(storage: &Storage, link: &FileName, target: &FileName, timestamp: i64) -> Result<(), Refused> {
    let _alone = storage.lock_name(link);
    let exists = disk::lstat(&storage.paths, link).is_ok();
    if exists || is_deleted(storage, link, timestamp) || is_deleted(storage, target, timestamp) {
        return Ok(());
    }
    let pending = log(storage, timestamp, Op::Link, link, Some(target.logic()))?;
    disk::make_link(&storage.paths, link, target)
        .map_err(|error| Refused::io("make the link", link, &error))?;
    pending.settle();
    Ok(())
}

pub(super) async fn rename(
    storage: &Arc<Storage>,
    session: &Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let request = SyncPair::parse(&bytes)?;
    let new = storage.name(request.group, request.dest)?;
    let old = storage.name(request.group, request.source)?;
    let timestamp = i64::from(request.timestamp);
    let status = apply(storage, &new, &old, timestamp)?;
    if status != Status::NOENT {
        note(storage, session, timestamp);
    }
    // Without the body that the existing daemon echoes: its own senders take that for a failure.
    conn.reply_status(status);
    Ok(())
}

fn apply(storage: &Storage, new: &FileName, old: &FileName, timestamp: i64) -> Result<Status, Refused> {
    let _alone = storage.lock_name(old);
    if disk::lstat(&storage.paths, new).is_ok() || is_deleted(storage, new, timestamp) {
        return Ok(Status::EXIST);
    }
    if disk::lstat(&storage.paths, old).is_err() {
        return Ok(Status::NOENT);
    }
    if new.path() != old.path() {
        return Err(Refused::invalid(format!("{new} and {old} lie in different store paths")));
    }
    let pending = log(storage, timestamp, Op::Rename, new, Some(old.logic()))?;
    let status = match disk::rename(&storage.paths, old, new) {
        Ok(()) => Status::OK,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Status::EXIST,
        Err(error) => return Err(Refused::io("rename", old, &error)),
    };
    pending.settle();
    Ok(status)
}
