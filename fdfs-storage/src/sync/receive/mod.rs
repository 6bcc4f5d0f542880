//! What peers send (replication 9). A change appears whole and verified, or not at all; one of a file that was deleted
//! meanwhile is answered as done.

mod copy;
mod delete;
mod edit;
mod own;
mod pair;

use std::sync::Arc;

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::FileName;
use fdfs_core::ident::StorageId;
use fdfs_core::wire::list::stat;
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::Conn;

use crate::binlog::Pending;
use crate::disk;
use crate::service::{Answer, Body, Refused, Session, unknown};
use crate::storage::{Storage, now};
use crate::sync::Fence;

/// Answers a command that is not a client's.
pub async fn receive(
    storage: &Arc<Storage>,
    session: &mut Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    match head.cmd {
        cmd::REPORT_SERVER_ID => server_id(session, conn, head, body).await,
        cmd::SYNC_CREATE_FILE | cmd::SYNC_UPDATE_FILE | cmd::SYNC_OFFER_FILE => {
            copy::copy(storage, session, conn, head, body).await
        }
        cmd::SYNC_DELETE_FILE => delete::delete(storage, session, conn, head, body).await,
        cmd::SYNC_APPEND_FILE | cmd::SYNC_MODIFY_FILE => {
            edit::range(storage, session, conn, head, body).await
        }
        cmd::SYNC_TRUNCATE_FILE => edit::truncate(storage, session, conn, head, body).await,
        cmd::SYNC_CREATE_LINK => pair::link(storage, session, conn, head, body).await,
        cmd::SYNC_RENAME_FILE => pair::rename(storage, session, conn, head, body).await,
        cmd::SYNC_HELLO => own::hello(storage, session, conn, head, body).await,
        cmd::SYNC_TIME => own::time(storage, session, conn, head, body).await,
        cmd::SYNC_PROBE => own::probe(storage, conn, head, body).await,
        cmd::FETCH_ONE_PATH_BINLOG => crate::recovery::serve(storage, conn, head, body).await,
        cmd::REPAIR => crate::scrub::repair(storage, conn, head, body).await,
        cmd::INVENTORY => crate::scrub::inventory(storage, conn, head, body).await,
        _ => Err(unknown(&head)),
    }
}

async fn server_id(session: &mut Session, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let bytes = body.whole(conn, &head).await?;
    let id = match bytes.len() {
        16 => StorageId::from_field(&bytes).ok().flatten(),
        _ => None,
    };
    session.peer = Some(id.ok_or_else(|| Refused::invalid("a server id has 16 bytes"))?);
    conn.reply_status(Status::OK);
    Ok(())
}

/// Makes a change of `name` where its disk allows, and waits until a power cut cannot take it, if that is asked for.
async fn make<T: Send + 'static>(
    storage: &Arc<Storage>,
    name: &FileName,
    work: impl FnOnce(&Arc<Storage>) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let done = storage.on_file(name, move |storage| Ok(work(storage))).await??;
    keep(storage, name).await?;
    Ok(done)
}

async fn keep(storage: &Arc<Storage>, name: &FileName) -> Result<(), Refused> {
    let kept = storage.durable.commit(name.path()).await;
    kept.map_err(|error| Refused::io("bring to the disk what a peer changed in", name, &error))
}

/// Refuses what is left on a connection whose peer has begun anew. Asked under the lock of the name that is about to change.
fn in_time(fence: &Fence) -> Result<(), Refused> {
    match fence.is_behind() {
        true => Err(Refused::invalid("left over on an old connection: the peer has begun anew")),
        false => Ok(()),
    }
}

/// Whether a change of a file that is not here comes too late: it was deleted.
fn is_deleted(storage: &Storage, name: &FileName, timestamp: i64) -> bool {
    storage.binlog.tombs().forbid(name, timestamp) && disk::lstat(&storage.paths, name).is_err()
}

fn log(
    storage: &Storage,
    timestamp: i64,
    op: Op,
    name: &FileName,
    more: Option<String>,
) -> Result<Pending, Refused> {
    let record = Record { timestamp, op, replica: true, name: name.logic(), more };
    storage.binlog.append(&record).map_err(|error| Refused::io("log", name, &error))
}

/// Notes the time of a record as that up to which the peer's changes are here (replication 9.1), unless the peer tells
/// that by itself.
fn note(storage: &Storage, session: &Session, timestamp: i64) {
    storage.stat.at(stat::LAST_SYNC_UPDATE, now());
    if let Some(peer) = session.peer.as_ref().filter(|_| !session.tells_times) {
        storage.synced.note(peer, timestamp);
    }
}
