//! The members of the own group as the trackers' leader tells them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use fdfs_core::ident::{StorageId, StorageStatus};
use tokio::sync::watch;

/// A member, this storage included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Id in the cluster.
    pub id: StorageId,
    /// Where it serves.
    pub addr: SocketAddr,
    /// Its state.
    pub status: StorageStatus,
}

/// The list, swapped as a whole.
pub struct Members {
    list: ArcSwap<Vec<Member>>,
    changed: watch::Sender<()>,
}

impl Default for Members {
    fn default() -> Self {
        Self { list: ArcSwap::default(), changed: watch::Sender::new(()) }
    }
}

impl Members {
    /// The members now.
    pub fn list(&self) -> Arc<Vec<Member>> {
        self.list.load_full()
    }

    /// One of them.
    pub fn get(&self, id: &StorageId) -> Option<Member> {
        self.list.load().iter().find(|member| member.id == *id).cloned()
    }

    /// Replaces the list; whoever follows it is woken if it differs.
    pub fn set(&self, list: Vec<Member>) {
        if **self.list.load() != list {
            self.list.store(Arc::new(list));
            self.changed.send_replace(());
        }
    }

    /// Changes the status of one.
    pub fn set_status(&self, id: &StorageId, status: StorageStatus) {
        let mut list = (*self.list()).clone();
        for member in list.iter_mut().filter(|member| member.id == *id) {
            member.status = status;
        }
        self.set(list);
    }

    /// Tells of every change.
    pub fn follow(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether a member has this address.
    pub fn has_ip(&self, ip: IpAddr) -> bool {
        self.list.load().iter().any(|member| member.addr.ip() == ip)
    }
}
