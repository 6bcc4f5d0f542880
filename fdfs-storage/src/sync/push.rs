//! One record to one peer (replication 7.4).

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::FileName;
use fdfs_core::wire::list::stat;
use fdfs_core::wire::sync::{SyncCopy, SyncDelete};
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::{CallError, Peer, Timeouts};
use zerocopy::IntoBytes;

use crate::disk;
use crate::storage::Storage;

/// How it ended when the connection did not break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// The peer has it.
    Confirmed,
    /// There is nothing to send any more: a later record says why.
    Stale,
    /// The peer says no.
    Refused(Status),
    /// It cannot be sent from here.
    Unsendable(String),
}

/// Connects and says who we are.
pub async fn connect(storage: &Storage, addr: SocketAddr) -> Result<Peer, CallError> {
    let mut peer = Peer::connect(addr, timeouts(storage), bind_addr(storage)).await?;
    peer.ask(cmd::REPORT_SERVER_ID, storage.identity.id.field().as_bytes(), 0).await?;
    Ok(peer)
}

/// Timeouts of connections to other servers.
pub fn timeouts(storage: &Storage) -> Timeouts {
    let connect = storage.settings.connect_timeout.duration().max(Duration::from_secs(1));
    Timeouts { connect, network: storage.settings.peer_timeout() }
}

/// Source address of connections to other servers.
pub fn bind_addr(storage: &Storage) -> Option<IpAddr> {
    let first = storage.settings.bind_addr.split(',').next()?.trim();
    first.parse().ok().filter(|_| storage.settings.client_bind)
}

/// Sends one record: what the file is now, not what it was when the record was written.
pub async fn push(storage: &Arc<Storage>, peer: &mut Peer, record: &Record) -> Result<Pushed, CallError> {
    let name = match FileName::parse(record.name.as_bytes(), storage.paths.count()) {
        Ok(name) => name,
        Err(error) => return Ok(Pushed::Unsendable(error.to_string())),
    };
    match record.op {
        Op::Create => copy(storage, peer, record, &name, cmd::SYNC_CREATE_FILE).await,
        Op::Update => copy(storage, peer, record, &name, cmd::SYNC_UPDATE_FILE).await,
        // The bytes of an appender travel with the whole file: what the peer has is replaced by it.
        Op::Append | Op::Modify | Op::Truncate => {
            copy(storage, peer, record, &name, cmd::SYNC_UPDATE_FILE).await
        }
        Op::Rename => copy(storage, peer, record, &name, cmd::SYNC_CREATE_FILE).await,
        Op::Delete => delete(storage, peer, record, &name).await,
        Op::Link => copy(storage, peer, record, &name, cmd::SYNC_CREATE_FILE).await,
    }
}

async fn copy(
    storage: &Arc<Storage>,
    peer: &mut Peer,
    record: &Record,
    name: &FileName,
    command: u8,
) -> Result<Pushed, CallError> {
    let file = match disk::open(&storage.paths, name) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Pushed::Stale),
        Err(error) => return Ok(Pushed::Unsendable(format!("open: {error}"))),
    };
    let size = match rustix::fs::fstat(&file) {
        Ok(meta) if disk::is_file(&meta) => disk::size(&meta),
        Ok(_) => return Ok(Pushed::Unsendable("no regular file".into())),
        Err(error) => return Ok(Pushed::Unsendable(format!("stat: {error}"))),
    };
    let logic = name.logic();
    let before = SyncCopy::HEAD as u64 + logic.len() as u64;
    let mut bytes = Vec::with_capacity(Header::SIZE + SyncCopy::HEAD + logic.len());
    bytes.extend_from_slice(&Header::request(command, before + size).encode());
    SyncCopy::put(&mut bytes, storage.identity.group, timestamp(record), logic.as_bytes(), size);
    let sent = peer.send_file(&bytes, file.as_fd(), 0, size).await;
    storage.stat.count_bytes(stat::SYNC_OUT_BYTES, size, sent.is_ok());
    sent?;
    Ok(match peer.recv(MOST).await?.status {
        Status::OK | Status::EXIST => Pushed::Confirmed,
        status => Pushed::Refused(status),
    })
}

async fn delete(
    storage: &Arc<Storage>,
    peer: &mut Peer,
    record: &Record,
    name: &FileName,
) -> Result<Pushed, CallError> {
    if disk::lstat(&storage.paths, name).is_ok() {
        return Ok(Pushed::Stale);
    }
    let logic = name.logic();
    let mut body = Vec::with_capacity(20 + logic.len());
    let group = storage.identity.group;
    SyncDelete { timestamp: timestamp(record), group, name: logic.as_bytes() }.put(&mut body);
    Ok(match peer.call(cmd::SYNC_DELETE_FILE, 0, &body, MOST).await?.status {
        Status::OK | Status::NOENT => Pushed::Confirmed,
        status => Pushed::Refused(status),
    })
}

/// The existing daemon echoes a request in one answer.
const MOST: usize = 1024;

fn timestamp(record: &Record) -> i32 {
    i32::try_from(record.timestamp).unwrap_or(i32::MAX)
}
