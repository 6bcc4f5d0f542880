//! Connections to storages that wait for their next request.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fdfs_net::{CallError, Peer, Timeouts};

/// Idle connections kept per storage.
const KEPT: usize = 32;

/// A storage, and whether copies were asked for.
type Key = (SocketAddr, bool);

/// Idle connections by storage, and whether copies were asked for on them. A connection that the storage has closed meanwhile
/// is not handed out.
pub(crate) struct Pool {
    timeouts: Timeouts,
    /// How long an idle connection is kept; `None` keeps none.
    idle_max: Option<Duration>,
    idle: Mutex<HashMap<Key, Vec<(Peer, Instant)>>>,
}

impl Pool {
    pub fn new(timeouts: Timeouts, idle_max: Option<Duration>) -> Self {
        Self { timeouts, idle_max, idle: Mutex::default() }
    }

    /// An idle connection, the one used last first.
    pub fn take(&self, addr: SocketAddr, copies: bool) -> Option<Peer> {
        let idle_max = self.idle_max?;
        let mut all = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let list = all.get_mut(&(addr, copies))?;
        while let Some((peer, since)) = list.pop() {
            if since.elapsed() < idle_max && !peer.is_stale() {
                return Some(peer);
            }
        }
        all.remove(&(addr, copies));
        None
    }

    /// A new connection.
    pub async fn connect(&self, addr: SocketAddr) -> Result<Peer, CallError> {
        Peer::connect(addr, self.timeouts, None).await
    }

    /// Gives back a connection whose last answer was read whole.
    pub fn give(&self, peer: Peer, copies: bool) {
        if self.idle_max.is_none() {
            return;
        }
        let mut all = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let list = all.entry((peer.addr(), copies)).or_default();
        if list.len() < KEPT {
            list.push((peer, Instant::now()));
        }
    }
}
