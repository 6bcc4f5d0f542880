//! Download (14).

use std::os::fd::AsFd;
use std::sync::Arc;

use fdfs_core::wire::list::stat;
use fdfs_core::wire::storage::Download;
use fdfs_core::wire::{Header, Status};
use fdfs_net::{Conn, SLICE};

use super::{Answer, Body, Refused};
use crate::disk;
use crate::stages::{Stage, Stages};
use crate::storage::Storage;

/// The bytes of a file, from the page cache by sendfile. An empty file, and a range that begins at the end, are empty
/// answers; the existing daemon refuses them since 6.15.4.
pub(super) async fn download(
    storage: &Arc<Storage>,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let request = body.whole(conn, &head).await?;
    let request = Download::parse(&request)?;
    let name = storage.name(request.file.group, request.file.name)?;
    body.names(|| name.logic());
    let stages = storage.stages.as_ref();
    let opened = Stages::time(stages, Stage::Open, storage.paths.open_file(&name)).await;
    storage.stat.count(stat::FILE_OPEN, opened.is_ok());
    let file = Arc::new(opened.map_err(|error| Refused::io("open", name, &error))?);
    let meta = rustix::fs::fstat(&file).map_err(|error| Refused::io("stat", name, &error.into()))?;
    if !disk::is_file(&meta) {
        return Err(Refused::new(Status::ISDIR, format!("{name} is no regular file")));
    }
    let rest = disk::size(&meta)
        .checked_sub(request.offset)
        .ok_or_else(|| Refused::invalid(format!("offset {} is behind the end of {name}", request.offset)))?;
    let len = if request.count == 0 { rest } else { rest.min(request.count) };
    let ready = |at, len| storage.paths.warm(name.path(), &file, at, len);
    // What cannot be read is found before the length is promised.
    let first = ready(request.offset, len.min(SLICE)).await;
    first.map_err(|error| Refused::io("read", name, &error))?;
    conn.reply_head(len);
    body.sent = len;
    let sending = conn.send_file_with(file.as_fd(), request.offset, len, ready);
    let sent = Stages::time(stages, Stage::Send, sending).await;
    storage.stat.count(stat::FILE_READ, sent.is_ok());
    storage.stat.count(stat::DOWNLOAD, sent.is_ok());
    storage.stat.count_bytes(stat::DOWNLOAD_BYTES, len, sent.is_ok());
    Ok(sent?)
}
