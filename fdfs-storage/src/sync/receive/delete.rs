//! Deleted files.

use std::sync::Arc;

use fdfs_core::binlog::Record;
use fdfs_core::fileid::FileName;
use fdfs_core::wire::sync::SyncDelete;
use fdfs_core::wire::{Header, Status};
use fdfs_net::Conn;

use super::{in_time, make, note};
use crate::disk;
use crate::dups;
use crate::service::{Answer, Body, Refused, Session, deleted, unlink};
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
    let own = session.tells_times;
    let status = make(storage, &name, move |storage| apply(storage, &fence, &name, timestamp, own)).await;
    dups::finish(storage, changing).await;
    let status = status?;
    note(storage, session, timestamp);
    conn.reply_status(status);
    Ok(())
}

fn apply(
    storage: &Storage,
    fence: &Fence,
    name: &FileName,
    timestamp: i64,
    own: bool,
) -> Result<Status, Refused> {
    let _alone = storage.lock_name(name);
    in_time(fence)?;
    let there = match disk::lstat(&storage.paths, name) {
        Ok(found) if !disk::is_file(&found) && !disk::is_link(&found) => {
            return Err(Refused::invalid(format!("{name} is no regular file")));
        }
        // The name was given again since, as members of this implementation tell by the time.
        Ok(found) if own && !name.is_unique() && found.st_mtime >= timestamp => return Ok(Status::EXIST),
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(Refused::io("stat", name, &error)),
    };
    // Metadata that was set at another member at the same time does not outlive the file.
    let metadata = name.metadata().filter(|_| name.is_unique());
    let metadata = metadata.filter(|metadata| disk::lstat(&storage.paths, metadata).is_ok());
    let gone: Vec<FileName> = [there.then_some(*name), metadata].into_iter().flatten().collect();
    let mut records: Vec<Record> = gone.iter().map(|name| deleted(timestamp, true, name)).collect();
    if !there && !storage.binlog.tombs().has(name) {
        // Its create may still be on the way from another member: the record remembers.
        records.push(deleted(timestamp, true, name));
    }
    if !records.is_empty() {
        unlink(storage, &records, &gone)?;
    }
    Ok(if there { Status::OK } else { Status::NOENT })
}
