//! Append (24), modify (34), truncate (36), regenerate (38) of appender files.

use std::io::Read;
use std::sync::Arc;

use fdfs_core::fileid::{Blob, FileName, Kind, encode27};
use fdfs_core::wire::edit::{APPENDER_NAME_MIN, Append, Modify, Truncate};
use fdfs_core::wire::list::stat;
use fdfs_core::wire::storage::NAME_MAX;
use fdfs_core::wire::{Header, Status};
use fdfs_net::Conn;

use super::upload::{receive, reply_name};
use super::{Answer, Body, Refused};
use crate::disk::{self, NewFile, Use};
use crate::edit::{self, Change, Data};
use crate::storage::{Storage, now};

/// Times that the crc of a file is computed while others change it.
const TRIES: usize = 3;

pub(super) async fn append(storage: &Arc<Storage>, conn: &mut Conn, body: &mut Body) -> Answer {
    let total = body.left;
    let head = head(conn, body, Append::HEAD).await?;
    let request = Append::parse(&head, total)?;
    let name = storage.name(storage.identity.group, request.name)?;
    body.names(|| name.logic());
    let done = write(storage, conn, body, &name, request.size, Change::Append).await;
    storage.stat.count(stat::APPEND, done.is_ok());
    storage.stat.count_bytes(stat::APPEND_BYTES, request.size - body.left, done.is_ok());
    done?;
    body.copied(storage, conn, || [name]).await?;
    conn.reply_status(Status::OK);
    Ok(())
}

pub(super) async fn modify(storage: &Arc<Storage>, conn: &mut Conn, body: &mut Body) -> Answer {
    let total = body.left;
    let head = head(conn, body, Modify::HEAD).await?;
    let request = Modify::parse(&head, total)?;
    let name = storage.name(storage.identity.group, request.name)?;
    body.names(|| name.logic());
    let change = |data| Change::Modify(request.offset, data);
    let done = write(storage, conn, body, &name, request.size, change).await;
    storage.stat.count(stat::MODIFY, done.is_ok());
    storage.stat.count_bytes(stat::MODIFY_BYTES, request.size - body.left, done.is_ok());
    done?;
    body.copied(storage, conn, || [name]).await?;
    conn.reply_status(Status::OK);
    Ok(())
}

pub(super) async fn truncate(
    storage: &Arc<Storage>,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let request = Truncate::parse(&bytes)?;
    let name = storage.name(storage.identity.group, request.name)?;
    body.names(|| name.logic());
    let done = change(storage, &name, Change::Truncate(request.size)).await;
    storage.stat.count(stat::TRUNCATE, done.is_ok());
    done?;
    body.copied(storage, conn, || [name]).await?;
    conn.reply_status(Status::OK);
    Ok(())
}

/// Length of the name, numbers and name, which precede the content.
async fn head(conn: &mut Conn, body: &mut Body, fixed: usize) -> Result<Vec<u8>, Refused> {
    let numbers = body.take(conn, fixed).await?;
    let len = numbers.first_chunk::<8>().map(|len| u64::from_be_bytes(*len));
    let len = len.and_then(|len| usize::try_from(len).ok());
    let len = len.filter(|len| (APPENDER_NAME_MIN..=NAME_MAX).contains(len));
    let len = len.ok_or_else(|| Refused::invalid("a name of 44 to 127 bytes expected"))?;
    let name = body.take(conn, len).await?;
    Ok([&numbers[..], &name].concat())
}

/// Receives all of the content, then makes the change.
async fn write(
    storage: &Arc<Storage>,
    conn: &mut Conn,
    body: &mut Body,
    name: &FileName,
    size: u64,
    what: impl FnOnce(Data) -> Change,
) -> Result<(), Refused> {
    edit::check(storage, name)?;
    // Without room in memory the content waits in a file without a name.
    let room = edit::room(size);
    let data = if room.is_some() {
        let len = usize::try_from(size).map_err(|_| Refused::invalid("size"))?;
        Data::Small(body.take(conn, len).await?)
    } else {
        let file = storage.paths.run(name.path(), Use::Write, NewFile::create_in).await;
        let mut file = file.map_err(|error| Refused::io("create", "a file for the content", &error))?;
        receive(storage, conn, body, &mut file, None, None).await?;
        Data::Large(file, size)
    };
    change(storage, name, what(data)).await
}

async fn change(storage: &Arc<Storage>, name: &FileName, change: Change) -> Result<(), Refused> {
    let name = *name;
    if change.is_short() {
        let work = move |storage: &Arc<Storage>| Ok(edit::apply(storage, &name, change));
        storage.on_file(&name, work).await??;
    } else {
        // Copying takes a while: other connections of this thread go on.
        let on = Arc::clone(storage);
        let work = move |_: &Arc<disk::Dir>| Ok(edit::apply(&on, &name, change));
        let done = storage.paths.hand_over(storage.paths.dir(name.path()), Use::Write, work).await;
        done.map_err(|error| Refused::io("change", name, &error))??;
    }
    storage.durable.commit(name.path()).await.map_err(|error| Refused::io("change", name, &error))
}

pub(super) async fn regenerate(
    storage: &Arc<Storage>,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    if !(APPENDER_NAME_MIN..=NAME_MAX).contains(&bytes.len()) {
        return Err(Refused::invalid("a name of 44 to 127 bytes expected"));
    }
    let old = storage.name(storage.identity.group, &bytes)?;
    body.names(|| old.logic());
    edit::check(storage, &old)?;
    for tried in 1.. {
        let on = Arc::clone(storage);
        let work = move |_: &Arc<disk::Dir>| crc_and_size(&on, &old);
        let read = storage.paths.hand_over(storage.paths.dir(old.path()), Use::Read, work).await;
        let (crc, size) = read.map_err(|error| Refused::io("read", old, &error))?;
        let new = ordinary_name(storage, &old, size, crc)?;
        let work = move |storage: &Arc<Storage>| Ok(edit::rename(storage, &old, &new, size));
        match storage.on_file(&old, work).await? {
            Err(Refused::Status { status: Status::BUSY, .. }) if tried < TRIES => continue,
            done => done?,
        }
        storage.durable.commit(old.path()).await.map_err(|error| Refused::io("rename", old, &error))?;
        body.names(|| format!("{old}=>{new}"));
        let changed = || [Some(new), new.metadata(), old.metadata()].into_iter().flatten();
        body.copied(storage, conn, changed).await?;
        reply_name(storage, conn, &new);
        break;
    }
    Ok(())
}

fn crc_and_size(storage: &Storage, name: &FileName) -> std::io::Result<(u32, u64)> {
    let mut file = std::fs::File::from(disk::open(&storage.paths, name)?);
    let (mut crc, mut buffer, mut size) = (crc32fast::Hasher::new(), vec![0; 256 << 10], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((crc.finalize(), size)),
            n => {
                crc.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}

/// Same folder, same last 7 characters, new middle part.
fn ordinary_name(storage: &Storage, old: &FileName, size: u64, crc: u32) -> Result<FileName, Refused> {
    let timestamp = u32::try_from(now()).unwrap_or(u32::MAX);
    let blob = Blob::new(storage.identity.source, timestamp, Kind::Normal, size, crc, fastrand::u32(..));
    let logic = old.logic();
    let part = old.file_part();
    let folder = logic.len() - part.len();
    let tail = part.get(27..).unwrap_or_default();
    let text = [&logic.as_bytes()[..folder], &encode27(&blob.encode()), tail].concat();
    FileName::parse(&text, storage.paths.count()).map_err(|bad| Refused::invalid(bad.to_string()))
}
