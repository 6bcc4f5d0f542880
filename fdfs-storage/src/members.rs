//! The members of the own group as the trackers' leader tells them.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// Held by whoever changes it.
    writing: Mutex<()>,
    changed: watch::Sender<()>,
}

impl Default for Members {
    fn default() -> Self {
        Self { list: ArcSwap::default(), writing: Mutex::default(), changed: watch::Sender::new(()) }
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

    /// Replaces the list by what `change` makes of it; whoever follows it is woken if it differs.
    pub fn update<T>(&self, change: impl FnOnce(&mut Vec<Member>) -> T) -> T {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.list.load_full();
        let mut list = (*old).clone();
        let answer = change(&mut list);
        if *old != list {
            self.list.store(Arc::new(list));
            self.changed.send_replace(());
        }
        answer
    }

    /// Replaces the list.
    pub fn set(&self, list: Vec<Member>) {
        self.update(|old| *old = list);
    }

    /// Changes the status of one.
    pub fn set_status(&self, id: &StorageId, status: StorageStatus) {
        self.update(|list| {
            for member in list.iter_mut().filter(|member| member.id == *id) {
                member.status = status;
            }
        });
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
