//! Set (13) and get (15) metadata.

use std::io::{self, Read};
use std::sync::Arc;

use fdfs_core::binlog::Op;
use fdfs_core::fileid::FileName;
use fdfs_core::metadata::Metadata;
use fdfs_core::wire::list::stat;
use fdfs_core::wire::storage::{GroupAndName, MetaMode, SetMetadata};
use fdfs_core::wire::{Header, Status};
use fdfs_net::Conn;

use super::{Answer, Body, Refused, delete};
use crate::disk::{self, NewFile, Use};
use crate::storage::{Storage, now};

pub(super) async fn set(storage: &Arc<Storage>, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let request = body.whole(conn, &head).await?;
    let request = SetMetadata::parse(&request)?;
    let name = storage.name(request.file.group, request.file.name)?;
    body.names(|| name.logic() + "-m");
    let (mode, new) = (request.mode, Metadata::parse(request.text));
    let work = move |storage: &Arc<Storage>| Ok(change(storage, &name, mode, new));
    let done = storage.on_file(&name, work).await?;
    storage.stat.count(stat::SET_META, done.is_ok());
    done?;
    storage.durable.commit(name.path()).await.map_err(|error| Refused::io("write", name, &error))?;
    body.copied(storage, conn, || name.metadata()).await?;
    conn.reply_status(Status::OK);
    Ok(())
}

fn change(storage: &Storage, name: &FileName, mode: MetaMode, new: Metadata) -> Result<(), Refused> {
    let file = metadata_of(name)?;
    // Two clients that merge at the same time both keep what they added, and none outlive a deleted file.
    let _alone = storage.lock_name(&file);
    disk::stat(&storage.paths, name).map_err(|error| Refused::io("stat", name, &error))?;
    let old = match read(storage, &file) {
        Ok(old) => Some(old),
        Err(Refused::Status { status: Status::NOENT, .. }) => None,
        Err(refused) => return Err(refused),
    };
    if new.is_empty() {
        return match (mode, old) {
            (MetaMode::Overwrite, Some(_)) => delete::remove(storage, &[file]),
            _ => Ok(()),
        };
    }
    let op = if old.is_some() { Op::Update } else { Op::Create };
    let mut all = match (mode, &old) {
        (MetaMode::Merge, Some(old)) => Metadata::parse(old),
        _ => Metadata::default(),
    };
    all.merge(new);
    let failed = |error: io::Error| Refused::io("write", file, &error);
    let mut temp = NewFile::create(&storage.paths, file.path()).map_err(failed)?;
    temp.write_all(&all.encode()).map_err(failed)?;
    if storage.durable.waits() {
        // Its content is on the disk before the name changes hands.
        temp.file().sync_data().map_err(failed)?;
    }
    // Not before the one that it replaces, whatever the clock says now.
    let replaced = old.and_then(|_| disk::lstat(&storage.paths, &file).ok());
    let least = replaced.map_or(i64::MIN, |found| found.st_mtime);
    let pending = storage.log(now().max(least), op, &file, None).map_err(failed)?;
    temp.set_mtime(pending.time()).map_err(failed)?;
    temp.replace(&file).map_err(failed)?;
    pending.settle();
    Ok(())
}

pub(super) async fn get(storage: &Arc<Storage>, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let request = body.whole(conn, &head).await?;
    let request = GroupAndName::parse(&request)?;
    let name = storage.name(request.group, request.name)?;
    body.names(|| name.logic());
    let work = move |storage: &Arc<Storage>| {
        Ok(metadata_of(&name).and_then(|file| {
            disk::stat(&storage.paths, &name).map_err(|error| Refused::io("stat", name, &error))?;
            read(storage, &file)
        }))
    };
    let done = storage.on_path(name.path(), Use::Read, work).await?;
    storage.stat.count(stat::GET_META, done.is_ok());
    conn.reply(&done?);
    Ok(())
}

fn metadata_of(name: &FileName) -> Result<FileName, Refused> {
    name.metadata().ok_or_else(|| Refused::invalid(format!("{name} is too long to have metadata")))
}

fn read(storage: &Storage, file: &FileName) -> Result<Vec<u8>, Refused> {
    /// No metadata is larger than the largest request.
    const MOST: u64 = 64 << 20;
    let failed = |error: io::Error| Refused::io("read", file, &error);
    let fd = disk::open(&storage.paths, file).map_err(failed)?;
    let meta = rustix::fs::fstat(&fd).map_err(|error| failed(error.into()))?;
    if !disk::is_file(&meta) {
        return Err(Refused::new(Status::ISDIR, format!("{file} is no regular file")));
    }
    let mut text = Vec::with_capacity(usize::try_from(disk::size(&meta).min(MOST)).unwrap_or_default());
    std::fs::File::from(fd).take(MOST).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}
