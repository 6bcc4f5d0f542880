//! The list of files of one store path, for a member that lost it (command 26, replication 11.3).

use std::sync::Arc;

use fdfs_core::binlog::{Op, Pos, Record};
use fdfs_core::fileid::{FileName, StorePath};
use fdfs_core::ident::GroupName;
use fdfs_core::wire::{Header, cmd};
use fdfs_net::{Conn, ConnError};

use crate::disk;
use crate::service::{Answer, Body, Refused};
use crate::storage::Storage;

/// The length that means "until the end of the stream".
const UNKNOWN: i64 = 1 << 58;
/// Bytes between two writes.
const STEP: usize = 64 << 10;
/// Lines between two turns of other connections.
const TURN: u64 = 256;

/// Answers, and ends the connection.
pub(crate) async fn serve(storage: &Arc<Storage>, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let request = body.whole(conn, &head).await?;
    let wrong = || Refused::invalid("17 bytes: group and store path");
    let (group, path) = request.split_at_checked(16).filter(|(_, path)| path.len() == 1).ok_or_else(wrong)?;
    if GroupName::from_field(group).ok() != Some(storage.identity.group) {
        return Err(Refused::invalid("another group"));
    }
    let path = StorePath::new(path[0], storage.paths.count()).ok_or_else(wrong)?;
    let head = Header { len: UNKNOWN, cmd: cmd::RESPONSE, status: 0 };
    conn.out().extend_from_slice(&head.encode());
    let mut reader = storage.binlog.reader(Pos::default());
    let (mut bytes, mut lines) = (0u64, 0u64);
    while let Some(item) = reader.read().map_err(|error| Refused::io("read", "the log", &error))? {
        if let Some(line) = item.record.ok().and_then(|record| select(storage, path, record)) {
            bytes += line.len() as u64;
            conn.out().extend_from_slice(line.as_bytes());
        }
        if conn.out().len() >= STEP {
            conn.flush().await?;
        }
        lines += 1;
        if lines.is_multiple_of(TURN) {
            tokio::task::yield_now().await;
        }
    }
    conn.out().extend_from_slice(&bytes.to_be_bytes());
    conn.flush().await?;
    Err(Refused::Conn(ConnError::Closed))
}

/// What a record means for the list.
fn select(storage: &Storage, path: StorePath, record: Record) -> Option<String> {
    let name = FileName::parse(record.name.as_bytes(), storage.paths.count()).ok()?;
    if name.path() != path || !matches!(record.op, Op::Create | Op::Link | Op::Rename) {
        return None;
    }
    let line = |op: Op, more: Option<String>| {
        Some(Record { op, more, name: name.logic(), ..record.clone() }.to_string())
    };
    if name.trunk_slot().is_some() {
        return line(Op::Create, None);
    }
    let found = disk::lstat(&storage.paths, &name).ok()?;
    if disk::is_link(&found) {
        disk::stat(&storage.paths, &name).ok()?;
        let target = disk::link_target(&storage.paths, &name).ok()??;
        return line(Op::Link, Some(target.logic()));
    }
    disk::is_file(&found).then_some(())?;
    line(Op::Create, None)
}
