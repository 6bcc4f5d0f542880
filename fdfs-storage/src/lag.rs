//! What peers do not have yet, for the monitor, metrics and the log: also while they are away.

use std::collections::BTreeSet;
use std::sync::Arc;

use fdfs_core::ident::StorageId;
use fdfs_core::wire::lag::{self, LagRecord};
use fdfs_core::wire::{Header, Text};
use fdfs_net::Conn;
use zerocopy::byteorder::big_endian::{I64, U32, U64};

use crate::service::{Answer, Body, Refused};
use crate::storage::{Storage, now};
use crate::sync::Lag;

/// A peer is behind when a change of so many seconds ago is not with it.
const LATE: i64 = 30;

impl Storage {
    /// The lag of each peer now: what came since its figures were counted is added, so that it may be less, but is never more.
    pub fn lags(&self) -> Vec<(StorageId, Lag)> {
        let mut lags = self.peers.lags();
        for (peer, lag) in &mut lags {
            let new = self.binlog.records().saturating_sub(lag.counted);
            if lag.connected && new == 0 {
                continue;
            }
            let end = self.binlog.end();
            lag.records += new;
            lag.log_bytes = match lag.confirmed.index == end.index {
                true => end.offset.saturating_sub(lag.confirmed.offset),
                false => lag.log_bytes + new * 60,
            };
            if lag.connected {
                lag.oldest = lag.oldest.or_else(|| Some(now()));
                continue;
            }
            lag.content_bytes = 0;
            if lag.records == 0 {
                lag.oldest = None;
            } else if lag.oldest.is_none() {
                lag.oldest = self.time_at(lag);
                // It may take a while to find, and stays until the peer comes back.
                self.peers.set_oldest(peer, lag.oldest);
            }
        }
        lags
    }

    /// Time of the first record that a peer does not have.
    fn time_at(&self, lag: &Lag) -> Option<i64> {
        let item = self.binlog.reader(lag.confirmed).read().ok()??;
        item.record.ok().map(|record| record.timestamp)
    }
}

/// Answers LAG (208).
pub(crate) async fn tell(storage: &Arc<Storage>, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    if !body.whole(conn, &head).await?.is_empty() {
        return Err(Refused::invalid("a question for the lag is empty"));
    }
    let records: Vec<LagRecord> = storage.lags().iter().map(|(peer, lag)| record(peer, lag)).collect();
    let mut answer = Vec::new();
    lag::put(&mut answer, now(), &records);
    conn.reply(&answer);
    Ok(())
}

fn record(peer: &StorageId, lag: &Lag) -> LagRecord {
    LagRecord {
        peer: Text::cut(peer.as_str().as_bytes()),
        connected: lag.connected.into(),
        full_copy: lag.full_copy.into(),
        spare: [0; 2],
        aside: U32::new(u32::try_from(lag.aside).unwrap_or(u32::MAX)),
        records: U64::new(lag.records),
        log_bytes: U64::new(lag.log_bytes),
        content_bytes: U64::new(lag.content_bytes),
        oldest: I64::new(lag.oldest.unwrap_or(0)),
        error: Text::cut(lag.error.as_deref().unwrap_or_default().as_bytes()),
    }
}

/// Says in the log when a peer has fallen behind and when it has caught up.
#[derive(Default)]
pub(crate) struct Watch {
    behind: BTreeSet<String>,
}

impl Watch {
    /// To be called every second or so.
    pub fn look(&mut self, storage: &Storage) {
        let lags = storage.lags();
        for (peer, lag) in &lags {
            let age = lag.oldest.map_or(0, |oldest| now().saturating_sub(oldest));
            match self.change(peer.as_str(), age) {
                Some(true) => {
                    tracing::warn!(%peer, records = lag.records, log_bytes = lag.log_bytes, oldest_s = age,
                    connected = lag.connected, error = lag.error.as_deref().unwrap_or("none"), "the peer has fallen behind")
                }
                Some(false) => tracing::info!(%peer, "the peer has caught up"),
                None => {}
            }
        }
        self.behind.retain(|name| lags.iter().any(|(peer, _)| peer.as_str() == name));
    }

    /// Whether it is behind now, if that is new: behind when its oldest missing change is `LATE`, not behind when none is old.
    fn change(&mut self, peer: &str, age: i64) -> Option<bool> {
        if age >= LATE {
            return self.behind.insert(peer.to_owned()).then_some(true);
        }
        (age < LATE / 2 && self.behind.remove(peer)).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_told_of_once() {
        let mut watch = Watch::default();
        let told: Vec<_> = [0, 20, 30, 90, 20, 31, 14, 0, 30].map(|age| watch.change("one", age)).into();
        let (behind, caught_up) = (Some(true), Some(false));
        assert_eq!(told, [None, None, behind, None, None, None, caught_up, None, behind]);
        assert_eq!(watch.change("another", 50), behind);
    }
}
