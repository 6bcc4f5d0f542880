//! Deleted files.

use std::sync::Arc;

use fdfs_core::binlog::Op;
use fdfs_core::fileid::FileName;
use fdfs_core::wire::sync::SyncDelete;
use fdfs_core::wire::{Header, Status};
use fdfs_net::Conn;

use super::{in_time, log, make, note};
use crate::disk;
use crate::dups;
use crate::service::{Answer, Body, Refused, Session};
use crate::storage::Storage;
use crate::sync::Fence;

pub(super) async fn delete(
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
    let changing = dups::removing(storage, &name).await;
    let fence = session.fence.clone();
    let status = make(storage, &name, move |storage| apply(storage, &fence, &name, timestamp)).await;
    dups::finish(storage, changing).await;
    let status = status?;
    note(storage, session, timestamp);
    conn.reply_status(status);
    Ok(())
}

fn apply(storage: &Storage, fence: &Fence, name: &FileName, timestamp: i64) -> Result<Status, Refused> {
    let _alone = storage.lock_name(name);
    in_time(fence)?;
    match disk::lstat(&storage.paths, name) {
        Ok(found) if !disk::is_file(&found) && !disk::is_link(&found) => {
            return Err(Refused::invalid(format!("{name} is no regular file")));
        }
        Ok(_) => remove(storage, name, timestamp)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Its create may still be on the way from another member: the record remembers.
            if !storage.binlog.tombs().has(name) {
                log(storage, timestamp, Op::Delete, name, None)?.settle();
            }
            return Ok(Status::NOENT);
        }
        Err(error) => return Err(Refused::io("stat", name, &error)),
    }
    // Metadata that was set at another member at the same time does not outlive the file.
    let metadata = name.metadata().filter(|_| name.is_unique());
    if let Some(metadata) = metadata.filter(|metadata| disk::lstat(&storage.paths, metadata).is_ok()) {
        remove(storage, &metadata, timestamp)?;
    }
    Ok(Status::OK)
}

fn remove(storage: &Storage, name: &FileName, timestamp: i64) -> Result<(), Refused> {
    let pending = log(storage, timestamp, Op::Delete, name, None)?;
    disk::remove(&storage.paths, name).map_err(|error| Refused::io("delete", name, &error))?;
    pending.settle();
    Ok(())
}
