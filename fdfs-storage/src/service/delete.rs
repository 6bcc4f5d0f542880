//! Delete (12).

use std::io;
use std::sync::Arc;

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::FileName;
use fdfs_core::wire::list::stat;
use fdfs_core::wire::storage::GroupAndName;
use fdfs_core::wire::{Header, Status};
use fdfs_net::Conn;

use super::{Answer, Body, Refused};
use crate::disk;
use crate::dups;
use crate::edit;
use crate::storage::{Storage, now};

/// Removes a file or link, its metadata, and for a slave that is a link the content it points to.
pub(super) async fn delete(storage: &Arc<Storage>, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let request = body.whole(conn, &head).await?;
    let request = GroupAndName::parse(&request)?;
    let name = storage.name(request.group, request.name)?;
    body.names(|| name.logic());
    let changing = dups::removing(storage, &name).await;
    let counted = changing.is_some();
    let removed = storage.on_file(&name, move |storage| Ok(all(storage, &name, counted))).await;
    dups::finish(storage, changing).await;
    let (link, done) = removed?;
    storage.durable.commit(name.path()).await.map_err(|error| Refused::io("delete", name, &error))?;
    if let Some(link) = link {
        storage.stat.count(if link { stat::DELETE_LINK } else { stat::DELETE }, done.is_ok());
    }
    done?;
    body.copied(storage, conn, || [Some(name), name.metadata()].into_iter().flatten()).await?;
    conn.reply_status(Status::OK);
    Ok(())
}

/// Removes the file and what belongs to it; whether it is a link, when there was something to remove. The content behind a
/// link that is `counted` goes with the last one.
fn all(storage: &Storage, name: &FileName, counted: bool) -> (Option<bool>, Result<(), Refused>) {
    let found = match disk::lstat(&storage.paths, name) {
        Ok(found) => found,
        Err(error) => return (None, Err(Refused::io("stat", name, &error))),
    };
    let link = disk::is_link(&found);
    if !link && !disk::is_file(&found) {
        return (None, Err(Refused::invalid(format!("{name} is no regular file"))));
    }
    let metadata = name.metadata();
    let done = (|| {
        // A client that sets metadata at this moment finds the file gone, or has them removed here.
        let _alone = metadata.as_ref().map(|metadata| storage.lock_name(metadata));
        let metadata = metadata.filter(|metadata| disk::lstat(&storage.paths, metadata).is_ok());
        let target = link && name.is_slave() && !counted;
        // More than one file goes: a process that is killed in between completes it at its next start.
        let entry = match metadata.is_some() || target {
            true => edit::enter_delete(storage, name)?,
            false => None,
        };
        let done = (|| {
            let target = if target { target_of(storage, name)? } else { None };
            let names: Vec<FileName> = [target, Some(*name), metadata].into_iter().flatten().collect();
            remove(storage, &names)
        })();
        if let Some(entry) = entry {
            entry.strike().map_err(|error| Refused::io("delete", name, &error))?;
        }
        done
    })();
    (Some(link), done)
}

/// Completes what a killed process began with [`all`].
pub(crate) fn complete(storage: &Storage, name: &FileName) -> Result<(), Refused> {
    let is_there = |name: &FileName| disk::lstat(&storage.paths, name).is_ok();
    if is_there(name) {
        let counted = storage.dups.as_ref().is_some_and(|dups| dups.counts(name));
        return all(storage, name, counted).1;
    }
    match name.metadata().filter(is_there) {
        Some(metadata) => remove(storage, &[metadata]),
        None => Ok(()),
    }
}

/// Records first, all or none: one whose file is still there is stepped over by replication.
pub(crate) fn remove(storage: &Storage, names: &[FileName]) -> Result<(), Refused> {
    let timestamp = now();
    let record = |name: &FileName| deleted(timestamp.max(earliest_delete(storage, name)), false, name);
    let records: Vec<Record> = names.iter().map(record).collect();
    storage.stat.at(stat::LAST_SOURCE_UPDATE, timestamp);
    unlink(storage, &records, names)
}

/// The delete of a name that may be given again is later than the file, whatever the clock says now: what comes by several
/// ways is told apart by its time.
pub(crate) fn earliest_delete(storage: &Storage, name: &FileName) -> i64 {
    let found = (!name.is_unique()).then(|| disk::lstat(&storage.paths, name).ok()).flatten();
    found.map_or(i64::MIN, |found| found.st_mtime + 1)
}

/// Logs deletes, and removes these files.
pub(crate) fn unlink(storage: &Storage, records: &[Record], names: &[FileName]) -> Result<(), Refused> {
    let what = names.first().map_or_else(String::new, ToString::to_string);
    let failed = |error: io::Error| Refused::io("delete", &what, &error);
    let pending = storage.binlog.append_all(records).map_err(failed)?;
    names.iter().try_for_each(|name| disk::remove(&storage.paths, name)).map_err(failed)?;
    pending.settle();
    Ok(())
}

pub(crate) fn deleted(timestamp: i64, replica: bool, name: &FileName) -> Record {
    Record { timestamp, op: Op::Delete, replica, name: name.logic(), more: None }
}

/// The content behind a slave that is a link, if it is there and lies in this store path.
fn target_of(storage: &Storage, link: &FileName) -> Result<Option<FileName>, Refused> {
    let data = storage.paths.data(link.path());
    let target = rustix::fs::readlinkat(data, link.true_name(), Vec::new())
        .map_err(|error| Refused::io("read the link", link, &error.into()))?;
    let base = storage.paths.base(link.path()).join("data/");
    let inside = target.to_bytes().strip_prefix(base.as_os_str().as_encoded_bytes());
    let logic = inside.map(|name| [format!("M{:02X}/", link.path().byte()).as_bytes(), name].concat());
    let Some(target) = logic.and_then(|logic| FileName::parse(&logic, storage.paths.count()).ok()) else {
        tracing::warn!(%link, "the link points outside its store path: only the link is deleted");
        return Ok(None);
    };
    Ok(Some(target).filter(|target| disk::lstat(&storage.paths, target).is_ok()))
}
