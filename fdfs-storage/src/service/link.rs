//! Create link (20): another name for a file, or a slave's name that shows it (storage 11.12).

use std::sync::Arc;

use fdfs_core::binlog::Op;
use fdfs_core::fileid::{Blob, FileName, Kind, encode27, slave_name};
use fdfs_core::wire::edit::CreateLink;
use fdfs_core::wire::list::stat;
use fdfs_core::wire::{Header, Status};
use fdfs_net::Conn;

use super::upload::reply_name;
use super::{Answer, Body, Refused};
use crate::disk::{self, Use};
use crate::dups;
use crate::storage::{Storage, now};

pub(super) async fn create(storage: &Arc<Storage>, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let request = CreateLink::parse(&bytes)?;
    if request.signature.is_empty() || request.signature.len() > 63 {
        return Err(Refused::invalid("a signature of 1 to 63 bytes expected"));
    }
    let source = storage.name(request.group, request.source)?;
    let found = disk::lstat(&storage.paths, &source).map_err(|error| Refused::io("stat", source, &error))?;
    if !disk::is_file(&found) {
        return Err(Refused::invalid(format!("{source} is no regular file")));
    }
    let link = match request.master {
        [] => own_name(storage, &source, disk::size(&found), &request),
        master => {
            let master = storage.name(request.group, master)?;
            let prefix = request.prefix.bytes();
            slave_name(&master, prefix, request.ext).map_err(|bad| Refused::invalid(bad.to_string()))?
        }
    };
    if link.path() != source.path() {
        return Err(Refused::invalid(format!("{link} and {source} lie in different store paths")));
    }
    let changing = dups::linking(storage, &link, &source).await?;
    let work = move |storage: &Arc<Storage>| Ok(make(storage, &link, &source));
    let done = storage.on_path(link.path(), Use::Write, work).await;
    dups::finish(storage, changing).await;
    let done = done?;
    storage.stat.count(stat::CREATE_LINK, done.is_ok());
    done?;
    storage.durable.commit(link.path()).await.map_err(|error| Refused::io("make the link", link, &error))?;
    body.copied(storage, conn, || [link]).await?;
    reply_name(storage, conn, &link);
    Ok(())
}

/// A new name in the store path of the source, with its size and a random crc.
fn own_name(storage: &Storage, source: &FileName, size: u64, request: &CreateLink<'_>) -> FileName {
    let timestamp = u32::try_from(now()).unwrap_or(u32::MAX);
    let (crc, random) = (fastrand::u32(..), fastrand::u32(..));
    let blob = Blob::new(storage.identity.source, timestamp, Kind::Normal, size, crc, random);
    let dir = storage.next_dir(&encode27(&blob.encode()));
    FileName::generate(source.path(), dir, &blob, request.ext, fastrand::u32(..))
}

pub(crate) fn make(storage: &Storage, link: &FileName, source: &FileName) -> Result<(), Refused> {
    let failed = |error: std::io::Error| Refused::io("make the link", link, &error);
    let _alone = storage.lock_name(link);
    if disk::lstat(&storage.paths, link).is_ok() {
        return Err(Refused::new(Status::EXIST, format!("{link} exists")));
    }
    let more = Some(source.logic());
    let pending = storage.log(now(), Op::Link, link, more).map_err(failed)?;
    disk::make_link(&storage.paths, link, source).map_err(failed)?;
    disk::set_mtime(&storage.paths, link, pending.time()).map_err(failed)?;
    pending.settle();
    Ok(())
}
