//! What only members of this implementation ask.

use std::sync::Arc;

use fdfs_core::fileid::FileName;
use fdfs_core::ident::StorageId;
use fdfs_core::wire::sync::{Hello, HelloAnswer, Probe};
use fdfs_core::wire::{Header, Status};
use fdfs_net::Conn;
use zerocopy::byteorder::big_endian::{I64, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use crate::disk;
use crate::service::{Answer, Body, Refused, Session};
use crate::storage::Storage;
use crate::sync::peer::VERSION;

pub(super) async fn hello(
    storage: &Arc<Storage>,
    session: &mut Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let wrong = || Refused::invalid("a hello has 44 bytes with group and id");
    let hello = Hello::read_from_bytes(&bytes).map_err(|_| wrong())?;
    let peer = StorageId::from_field(hello.id.raw()).ok().flatten().ok_or_else(wrong)?;
    if hello.group != storage.identity.group.field() {
        return Err(Refused::invalid(format!("a hello from group {}", hello.group.as_str())));
    }
    session.peer = Some(peer);
    session.tells_times = true;
    session.fence = storage.fences.enter(&peer, hello.stream.get());
    let version = U32::new(hello.version.get().min(VERSION));
    let stream = U64::new(session.fence.newest());
    conn.reply(HelloAnswer { version, born: I64::new(storage.init().join_time), stream }.as_bytes());
    Ok(())
}

pub(super) async fn time(
    storage: &Arc<Storage>,
    session: &Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let time = <[u8; 8]>::try_from(&bytes[..]).map_err(|_| Refused::invalid("a time has 8 bytes"))?;
    if let Some(peer) = &session.peer {
        storage.synced.note(peer, i64::from_be_bytes(time));
    }
    conn.reply_status(Status::OK);
    Ok(())
}

pub(super) async fn probe(storage: &Arc<Storage>, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let (group, names) = Probe::parse(&bytes)?;
    let mut answer = Vec::with_capacity(names.len() * 8);
    for name in names {
        answer.extend_from_slice(&look(storage, &storage.name(group, name)?).to_be_bytes());
    }
    conn.reply(&answer);
    Ok(())
}

fn look(storage: &Storage, name: &FileName) -> i64 {
    match disk::lstat(&storage.paths, name) {
        Ok(found) => i64::try_from(disk::size(&found)).unwrap_or(i64::MAX),
        Err(_) if name.is_unique() && storage.binlog.tombs().has(name) => Probe::DELETED,
        Err(_) => Probe::ABSENT,
    }
}
