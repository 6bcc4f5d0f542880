//! Links and renames.

use std::io;
use std::sync::Arc;

use fdfs_core::binlog::Op;
use fdfs_core::fileid::FileName;
use fdfs_core::wire::list::stat;
use fdfs_core::wire::sync::SyncPair;
use fdfs_core::wire::{Header, Status};
use fdfs_net::Conn;

use super::{in_time, is_deleted, log, make, note};
use crate::disk;
use crate::dups;
use crate::service::{Answer, Body, Refused, Session, deleted, unlink};
use crate::storage::Storage;
use crate::sync::Fence;

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
    let changing = dups::linking(storage, &link, &target).await?;
    let fence = session.fence.clone();
    let work = move |storage: &Arc<Storage>| make_link(storage, &fence, &link, &target, timestamp);
    let done = make(storage, &link, work).await;
    dups::finish(storage, changing).await;
    storage.stat.count(stat::CREATE_LINK, done.is_ok());
    done?;
    note(storage, session, timestamp);
    conn.reply_status(Status::OK);
    Ok(())
}

/// Whatever became of the target: it may not be here yet, and where the link was made it stays when the target goes.
fn make_link(
    storage: &Storage,
    fence: &Fence,
    link: &FileName,
    target: &FileName,
    timestamp: i64,
) -> Result<(), Refused> {
    let _alone = storage.lock_name(link);
    in_time(fence)?;
    if disk::lstat(&storage.paths, link).is_ok() || is_deleted(storage, link, timestamp) {
        return Ok(());
    }
    let pending = log(storage, timestamp, Op::Link, link, Some(target.logic()))?;
    disk::make_link(&storage.paths, link, target)
        .and_then(|()| disk::set_mtime(&storage.paths, link, timestamp))
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
    let status = match fits(storage, &new, &old).await? {
        true => {
            let fence = session.fence.clone();
            make(storage, &old, move |storage| apply(storage, &fence, &new, &old, timestamp)).await?
        }
        // Changes of the old file did not reach us before its name was gone at the peer: it sends the new one whole.
        false => Status::NOENT,
    };
    if status != Status::NOENT {
        note(storage, session, timestamp);
    }
    // Without the body that the existing daemon echoes: its own senders take that for a failure.
    conn.reply_status(status);
    Ok(())
}

/// Whether the old file is what the new name says.
async fn fits(storage: &Storage, new: &FileName, old: &FileName) -> Result<bool, Refused> {
    let failed = |error: io::Error| Refused::io("read", old, &error);
    let Some(blob) = new.blob().filter(|_| new.describes_content()) else { return Ok(true) };
    let file = match disk::open(&storage.paths, old) {
        Ok(file) => std::fs::File::from(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(failed(error)),
    };
    if file.metadata().map_err(failed)?.len() != blob.size() {
        return Ok(false);
    }
    let mut crc = crc32fast::Hasher::new();
    let (mut at, mut buffer) = (0, vec![0; 256 << 10]);
    loop {
        let got = std::os::unix::fs::FileExt::read_at(&file, &mut buffer, at).map_err(failed)?;
        if got == 0 {
            return Ok(crc.finalize() == blob.crc32);
        }
        crc.update(&buffer[..got]);
        at += got as u64;
        tokio::task::yield_now().await;
    }
}

fn apply(
    storage: &Storage,
    fence: &Fence,
    new: &FileName,
    old: &FileName,
    timestamp: i64,
) -> Result<Status, Refused> {
    let _alone = storage.lock_name(old);
    in_time(fence)?;
    if disk::lstat(&storage.paths, new).is_ok() || is_deleted(storage, new, timestamp) {
        return old_goes(storage, old, timestamp);
    }
    if disk::lstat(&storage.paths, old).is_err() {
        return Ok(Status::NOENT);
    }
    if new.path() != old.path() {
        return Err(Refused::invalid(format!("{new} and {old} lie in different store paths")));
    }
    let pending = log(storage, timestamp, Op::Rename, new, Some(old.logic()))?;
    let done = disk::rename(&storage.paths, old, new);
    pending.settle();
    match done {
        Ok(()) => Ok(Status::OK),
        // It came from another member at this moment.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => old_goes(storage, old, timestamp),
        Err(error) => Err(Refused::io("rename", old, &error)),
    }
}

/// The new file came as a whole: of the rename remains that the old name goes.
fn old_goes(storage: &Storage, old: &FileName, timestamp: i64) -> Result<Status, Refused> {
    if disk::lstat(&storage.paths, old).is_ok() {
        unlink(storage, &[deleted(timestamp, true, old)], &[*old])?;
    }
    Ok(Status::EXIST)
}
