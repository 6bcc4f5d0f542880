//! What this storage knows of its trackers.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;

use fdfs_core::ident::StorageStatus;
use fdfs_net::{CallError, Peer};

use super::calls::Calls;
use crate::storage::Storage;

/// The trackers of `storage.conf`, in its order without duplicates.
pub struct Trackers {
    pub(super) storage: Arc<Storage>,
    calls: Calls,
    /// Own status as each tracker sees it.
    pub(super) statuses: RefCell<Vec<Option<StorageStatus>>>,
    /// Trackers that have answered a join, with whatever.
    pub(super) joined: RefCell<Vec<bool>>,
    /// Another member was asked for the files since this process began.
    pub(super) is_empty: Cell<bool>,
    /// Held while the source of the old files is negotiated, which one conversation does.
    pub(super) negotiation: tokio::sync::Mutex<()>,
}

impl Trackers {
    pub(super) fn new(storage: Arc<Storage>, calls: Calls) -> Self {
        let count = calls.addrs().len();
        Self {
            storage,
            calls,
            statuses: RefCell::new(vec![None; count]),
            joined: RefCell::new(vec![false; count]),
            is_empty: Cell::new(false),
            negotiation: tokio::sync::Mutex::new(()),
        }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.addrs().len()
    }

    /// One of them.
    pub(super) fn addr(&self, index: usize) -> SocketAddr {
        self.addrs()[index]
    }

    /// All of them.
    pub(super) fn addrs(&self) -> &[SocketAddr] {
        self.calls.addrs()
    }

    /// `ip:port`, or `ip,ip:port`, with brackets around addresses with colons.
    pub(super) fn line(&self, addr: SocketAddr) -> String {
        let all = self.calls.alternatives(addr);
        let all = if all.is_empty() { std::slice::from_ref(&addr) } else { all };
        let hosts = all.iter().map(|addr| addr.ip().to_string()).collect();
        fdfs_core::settings::Addrs { hosts, port: addr.port() }.to_string()
    }

    /// The one that was said to be the leader.
    pub(super) fn leader(&self) -> Option<SocketAddr> {
        self.calls.leader()
    }

    /// Notes that `teller` says who leads.
    pub(super) fn set_leader(&self, teller: SocketAddr, leader: Option<SocketAddr>) {
        let before = self.calls.set_leader(leader);
        let leader = self.calls.leader();
        if before == leader {
            return;
        }
        match leader {
            Some(addr) => {
                tracing::info!("tracker server {teller}, set tracker leader: {addr}");
                match self.addrs().iter().position(|known| *known == addr) {
                    Some(index) => tracing::info!("the tracker server leader is #{index}. {addr}"),
                    None => tracing::warn!("the tracker server leader {addr} is not in storage.conf"),
                }
            }
            None => {
                tracing::warn!("tracker server {teller}, the tracker leader is lost: the others are asked")
            }
        }
    }

    /// Waits until the leader is lost.
    pub(super) async fn leader_lost(&self) {
        self.calls.leader_lost().await;
    }

    /// Connects to a tracker.
    pub(super) async fn connect(&self, addr: SocketAddr) -> Result<Peer, CallError> {
        self.calls.connect(addr).await
    }
}
