//! Query file info (22).

use std::io::{self, Read};
use std::sync::Arc;

use fdfs_core::fileid::{FileName, Source};
use fdfs_core::wire::storage::{FileInfo, GroupAndName, info_flags};
use fdfs_core::wire::{AddrWidth, Header, Status, Text};
use fdfs_net::Conn;

use super::{Answer, Body, Buffer, Refused};
use crate::disk::{self, Dir, Use};
use crate::storage::Storage;

/// Bytes read between two turns of other connections.
const TURN: u64 = 1 << 20;

pub(super) async fn query(storage: &Arc<Storage>, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let request = body.whole(conn, &head).await?;
    let request = GroupAndName::parse(&request)?;
    if request.name.len() < 37 {
        return Err(Refused::invalid("a name shorter than 37 bytes carries no information"));
    }
    let name = storage.name(request.group, request.name)?;
    body.names(|| name.logic());
    let work = move |storage: &Arc<Storage>| {
        Ok(disk::lstat(&storage.paths, &name).and_then(|own| Ok((own, disk::stat(&storage.paths, &name)?))))
    };
    let found = storage.on_path(name.path(), Use::Read, work).await?;
    let (own, content) = found.map_err(|error| Refused::io("stat", name, &error))?;
    if !disk::is_file(&content) {
        return Err(Refused::new(Status::NOENT, format!("{name} is no regular file")));
    }
    let blob = name.blob().ok_or_else(|| Refused::invalid(format!("{name} carries no information")))?;
    let crc32 = if disk::is_link(&own) || name.describes_content() {
        blob.crc32
    } else if head.status & info_flags::NO_CRC != 0 {
        0
    } else {
        crc_of(storage, &name).await?
    };
    let info = FileInfo {
        size: disk::size(&content),
        mtime: own.st_mtime,
        crc32,
        source_ip: source_ip(storage, blob.source),
    };
    let params = storage.params.load();
    let width = if params.wide_addresses { AddrWidth::V6 } else { AddrWidth::V4 };
    conn.reply_head(24 + width.field() as u64);
    info.put(conn.out(), width);
    Ok(())
}

/// The crc of a file whose name does not carry it, read piece by piece between the turns of other connections.
async fn crc_of(storage: &Arc<Storage>, name: &FileName) -> Result<u32, Refused> {
    let failed = |error: io::Error| Refused::io("read", name, &error);
    let opened = storage.paths.open_file(name).await.map_err(failed)?;
    let mut state = (std::fs::File::from(opened), crc32fast::Hasher::new());
    loop {
        let size = storage.settings.buffer();
        let work = move |_: &Arc<Dir>| {
            let (mut file, mut crc) = state;
            let mut buffer = Buffer::get(size);
            let mut turn = 0;
            while turn < TURN {
                let got = file.read(&mut buffer.bytes)?;
                if got == 0 {
                    return Ok((file, crc, true));
                }
                crc.update(&buffer.bytes[..got]);
                turn += got as u64;
            }
            Ok((file, crc, false))
        };
        let (file, crc, end) = storage.paths.run(name.path(), Use::Read, work).await.map_err(failed)?;
        if end {
            return Ok(crc.finalize());
        }
        state = (file, crc);
        tokio::task::yield_now().await;
    }
}

/// Address of the storage that got the upload; empty when its id is unknown.
fn source_ip(storage: &Storage, source: Source) -> Text<46> {
    match source {
        Source::Ip(ip) => Text::cut(ip.to_string().as_bytes()),
        Source::Id(number) => {
            let params = storage.params.load();
            let ip = params.ids.by_number(number).and_then(|entry| entry.ips().next());
            ip.map_or(Text::EMPTY, |ip| Text::cut(ip.to_string().as_bytes()))
        }
    }
}
