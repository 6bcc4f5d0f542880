//! Questions to the trackers outside of the regular conversation.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fdfs_core::ident::{StorageId, StorageStatus};
use fdfs_core::wire::list::StorageRecord;
use fdfs_core::wire::query::put_group_and_id;
use fdfs_core::wire::report::{Brief, StatusReport, SyncSource, SyncSrcRequest};
use fdfs_core::wire::{AddrWidth, Status, Text, cmd};
use fdfs_net::{CallError, Peer, Timeouts};
use zerocopy::byteorder::big_endian::I32;
use zerocopy::{FromBytes, IntoBytes};

use super::bootstrap::TrackerAddrs;
use crate::storage::Storage;
use crate::sync::{bind_addr, timeouts};

/// The trackers, for any thread.
#[derive(Clone)]
pub struct Calls {
    storage: Arc<Storage>,
    addrs: Arc<[SocketAddr]>,
    /// All addresses of each, the first first.
    all: Arc<[TrackerAddrs]>,
    leader: Arc<Mutex<Option<SocketAddr>>>,
    /// Told when the leader is lost.
    lost: Arc<tokio::sync::Notify>,
}

impl Calls {
    /// The trackers of `storage.conf`, in its order without duplicates.
    pub fn new(storage: &Arc<Storage>, all: &[TrackerAddrs]) -> Self {
        Self {
            storage: Arc::clone(storage),
            addrs: all.iter().filter_map(|one| one.first().copied()).collect(),
            all: all.into(),
            leader: Arc::default(),
            lost: Arc::default(),
        }
    }

    /// All addresses of the tracker that has this one.
    pub(super) fn alternatives(&self, addr: SocketAddr) -> &[SocketAddr] {
        self.all.iter().find(|one| one.contains(&addr)).map_or(&[], Vec::as_slice)
    }

    /// All of them.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The one that was said to be the leader.
    pub fn leader(&self) -> Option<SocketAddr> {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes who leads; answers who did. Without a leader the other trackers are asked at once.
    pub(super) fn set_leader(&self, leader: Option<SocketAddr>) -> Option<SocketAddr> {
        let leader = leader.map(|addr| self.alternatives(addr).first().copied().unwrap_or(addr));
        let before =
            std::mem::replace(&mut *self.leader.lock().unwrap_or_else(PoisonError::into_inner), leader);
        if leader.is_none() && before.is_some() {
            self.lost.notify_waiters();
        }
        before
    }

    /// Waits until the leader is lost.
    pub(super) async fn leader_lost(&self) {
        self.lost.notified().await;
    }

    /// Connects to a tracker, by its other address if need be. These waits are short: there are other trackers.
    pub(crate) async fn connect(&self, addr: SocketAddr) -> Result<Peer, CallError> {
        let Timeouts { connect, network } = timeouts(&self.storage);
        let timeouts = Timeouts { connect: connect.min(Duration::from_secs(5)), network };
        let bind = bind_addr(&self.storage);
        let first = Peer::connect(addr, timeouts, bind).await;
        if first.is_err() {
            for other in self.alternatives(addr).iter().filter(|other| **other != addr) {
                if let Ok(peer) = Peer::connect(*other, timeouts, bind).await {
                    return Ok(peer);
                }
            }
        }
        first
    }

    /// The source of `peer`'s old files and the time up to which files are old; `None`: it needs none (command 86).
    /// Asks the leader first.
    pub(crate) async fn source_of(&self, peer: &StorageId) -> Result<Option<(StorageId, i64)>, CallError> {
        let request = SyncSrcRequest { group: self.storage.identity.group.field(), dest_id: peer.field() };
        let mut order = self.addrs.to_vec();
        order.sort_by_key(|addr| Some(*addr) != self.leader());
        let mut last = None;
        for addr in order {
            match self.ask(addr, cmd::SYNC_SRC_REQ, request.as_bytes()).await {
                Ok(body) => return Ok(source(&body)),
                // An answer is an answer, whoever gives it.
                Err(error) if error.status().is_some() => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_tracker))
    }

    /// Tells every tracker what `peer` is now (command 76). One that cannot be told learns it from the leader.
    pub(crate) async fn report_status(&self, peer: &StorageId, addr: SocketAddr, status: StorageStatus) {
        let brief = brief(peer, addr, status);
        let report = StatusReport { group: self.storage.identity.group.field(), brief };
        for &tracker in self.addrs.iter() {
            match self.ask(tracker, cmd::REPORT_STATUS, report.as_bytes()).await {
                Ok(_) => tracing::info!(%peer, status = status.name(), %tracker, "status reported"),
                Err(error) => tracing::warn!(%peer, status = status.name(), "status not reported: {error}"),
            }
        }
    }

    async fn ask(&self, addr: SocketAddr, cmd: u8, body: &[u8]) -> Result<bytes::Bytes, CallError> {
        self.connect(addr).await?.ask(cmd, body, 8192).await
    }
}

/// What this storage is to a tracker now; `None`: the tracker does not know it (command 92).
pub(super) async fn own_status(
    storage: &Storage,
    tracker: &mut Peer,
) -> Result<Option<StorageStatus>, CallError> {
    let mut body = Vec::new();
    put_group_and_id(&mut body, storage.identity.group, Some(storage.identity.id));
    match tracker.ask(cmd::LIST_STORAGE, &body, StorageRecord::size(AddrWidth::V6)).await {
        Ok(list) => {
            let record = StorageRecord::parse_list(&list).ok().and_then(|list| list.first().copied());
            Ok(record.and_then(|record| StorageStatus::from_wire(record.head.status).ok()))
        }
        Err(error) if error.status() == Some(Status::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A member in 67 bytes.
pub(super) fn brief(id: &StorageId, addr: SocketAddr, status: StorageStatus) -> Brief {
    Brief {
        status: status.wire(),
        port: I32::new(i32::from(addr.port())),
        id: id.field(),
        ip: Text::cut(addr.ip().to_string().as_bytes()),
    }
}

/// Reads a source of old files; an empty body or id names none.
pub(super) fn source(body: &[u8]) -> Option<(StorageId, i64)> {
    let found = SyncSource::read_from_bytes(body).ok()?;
    let id = StorageId::from_field(found.source_id.raw()).ok().flatten()?;
    Some((id, found.until.get()))
}

fn no_tracker() -> CallError {
    let kind = std::io::Error::from(std::io::ErrorKind::NotFound);
    CallError {
        addr: SocketAddr::from(([0, 0, 0, 0], 0)),
        doing: "find a tracker",
        kind: fdfs_net::CallErrorKind::Conn(kind.into()),
    }
}
