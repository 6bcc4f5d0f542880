//! The list of files of one store path, for a member that lost it (command 26, replication 11.3).

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fdfs_core::binlog::{Op, Pos, Record};
use fdfs_core::fileid::{FileName, StorePath};
use fdfs_core::ident::GroupName;
use fdfs_core::wire::{Header, cmd};
use fdfs_net::{Conn, ConnError};

use crate::binlog::Reader;
use crate::disk::{self, Dir, Use};
use crate::service::{Answer, Body, Refused};
use crate::storage::Storage;

/// The length that means "until the end of the stream".
const UNKNOWN: i64 = 1 << 58;
/// Bytes between two writes.
const STEP: usize = 64 << 10;
/// A thread of the store path looks for about this long before others have their turn.
const TURN: Duration = Duration::from_millis(10);

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
    let (mut rest, mut bytes) = (Some(storage.binlog.reader(Pos::default())), 0);
    while let Some(reader) = rest {
        let on = Arc::clone(storage);
        let work = move |_: &Arc<Dir>| turn(&on, path, reader);
        let done = storage.paths.hand_over(storage.paths.dir(path), Use::Read, work).await;
        let (lines, more) = done.map_err(|error| Refused::io("list", "the files", &error))?;
        (rest, bytes) = (more, bytes + lines.len() as u64);
        conn.out().extend_from_slice(lines.as_bytes());
        conn.flush().await?;
    }
    conn.out().extend_from_slice(&bytes.to_be_bytes());
    conn.flush().await?;
    Err(Refused::Conn(ConnError::Closed))
}

/// The next lines of the list, and where to go on.
fn turn(storage: &Storage, path: StorePath, mut reader: Reader) -> io::Result<(String, Option<Reader>)> {
    let (began, mut lines) = (Instant::now(), String::new());
    while lines.len() < STEP && began.elapsed() < TURN {
        let Some(item) = reader.read()? else { return Ok((lines, None)) };
        lines.extend(item.record.ok().and_then(|record| select(storage, path, record)));
    }
    Ok((lines, Some(reader)))
}

/// What a record means for the list.
fn select(storage: &Storage, path: StorePath, record: Record) -> Option<String> {
    let name = FileName::parse(record.name.as_bytes(), storage.paths.count()).ok()?;
    if name.path() != path || !matches!(record.op, Op::Create | Op::Link | Op::Rename) {
        return None;
    }
    let mut record = Record { name: name.logic(), more: None, ..record };
    let line = |op, more, record: Record| Some(Record { op, more, ..record }.to_string());
    if name.trunk_slot().is_some() {
        return line(Op::Create, None, record);
    }
    let found = disk::lstat(&storage.paths, &name).ok()?;
    if !name.is_unique() {
        // The record may be of a file that had the name before, and changes are told apart by the time of the file.
        record.timestamp = found.st_mtime;
    }
    if disk::is_link(&found) {
        disk::stat(&storage.paths, &name).ok()?;
        let target = disk::link_target(&storage.paths, &name).ok()??;
        return line(Op::Link, Some(target.logic()), record);
    }
    disk::is_file(&found).then_some(())?;
    line(Op::Create, None, record)
}
