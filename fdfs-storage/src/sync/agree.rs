//! Where the changes for a peer begin (replication 7.1).

use std::io;
use std::sync::Arc;

use fdfs_core::binlog::{Mark, Pos};
use fdfs_core::ident::{StorageId, StorageStatus};

use super::mark;
use super::sender::Broken;
use crate::link::Calls;
use crate::rebuild::rebuilt;
use crate::storage::Storage;

/// Clocks of members of the existing implementation may be this far apart, s.
const SKEW: i64 = 300;

/// The beginning.
pub struct Start {
    pub mark: Mark,
    /// Records before it may be with the peer already, by another way: it is asked before they are sent.
    pub probe_until: Pos,
}

/// Finds the beginning. `born` is the first start of a peer of this implementation: one that has lost its data has
/// another one than before.
pub async fn agree(
    storage: &Arc<Storage>,
    peer: &StorageId,
    calls: &Calls,
    status: StorageStatus,
    born: Option<i64>,
) -> Result<Start, Broken> {
    let found = mark::load(storage, peer).map_err(|error| Broken::Io("mark", error))?;
    let reborn = match (mark::born(storage, peer), born) {
        (Some(before), Some(now)) => before != now,
        _ => false,
    };
    if reborn {
        tracing::warn!(%peer, "the peer has lost its data since: it gets everything again");
    }
    // A peer that waits for files has none, unless it is known to be the same as before.
    let same = born.is_some() && mark::born(storage, peer) == born;
    let usable = found.filter(|_| !reborn && (status != StorageStatus::WaitSync || same));
    let full_copy = |mark: &Mark| mark.need_sync_old && !mark.sync_old_done;
    if let Some(mark) = &usable
        && (status == StorageStatus::Active || mark.need_sync_old)
    {
        let probe_until = if full_copy(mark) { end(storage) } else { Pos::default() };
        return Ok(Start { mark: mark.clone(), probe_until });
    }
    let source = calls.source_of(peer).await?;
    let mut need_sync_old = source.as_ref().is_some_and(|(id, _)| *id == storage.identity.id);
    if let Some(mark) = usable.filter(|_| !need_sync_old) {
        return Ok(Start { mark, probe_until: Pos::default() });
    }
    let mut until = source.map_or(0, |(_, until)| until);
    if let Some(rebuilt) =
        rebuilt(&storage.data_dir().join("sync")).filter(|_| status == StorageStatus::Active)
    {
        // What it has, and what it lacks, is not in the log as ours.
        (need_sync_old, until) = (true, until.max(rebuilt));
    }
    let mut mark = Mark { need_sync_old, until_timestamp: until, ..Mark::default() };
    if !need_sync_old && until > 0 && born.is_none() {
        // The source brings what is older. What it gets of ours after the end of its copy it may not pass on, so
        // we begin a little earlier; between members of this implementation, at the beginning: asking costs little.
        mark.pos = first_since(storage, until - SKEW).map_err(|error| Broken::Io("read the log", error))?;
    }
    mark::store(storage, peer, &mark).await.map_err(|error| Broken::Io("mark", error))?;
    if let Some(born) = born {
        mark::set_born(storage, peer, born).map_err(|error| Broken::Io("mark", error))?;
    }
    Ok(Start { mark, probe_until: end(storage) })
}

fn end(storage: &Storage) -> Pos {
    *storage.binlog.readable().borrow()
}

/// Start of the first record that is not older than `since`.
fn first_since(storage: &Storage, since: i64) -> io::Result<Pos> {
    let mut reader = storage.binlog.reader(Pos::default());
    while let Some(item) = reader.read()? {
        if item.record.is_ok_and(|record| record.timestamp >= since) {
            return Ok(item.start);
        }
    }
    Ok(reader.pos())
}
