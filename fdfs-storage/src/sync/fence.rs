//! What is left on a peer's old connections must not be applied after what it sends anew.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use fdfs_core::ident::StorageId;

/// The greatest stream number of each peer.
#[derive(Default)]
pub struct Fences(Mutex<HashMap<StorageId, Arc<AtomicU64>>>);

impl Fences {
    /// A connection of `peer` that belongs to stream `number`. The answer's [`Fence::newest`] is greater when the peer has
    /// had a later one: then the connection is behind from the beginning.
    pub fn enter(&self, peer: &StorageId, number: u64) -> Fence {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = Arc::clone(all.entry(*peer).or_default());
        newest.fetch_max(number, SeqCst);
        Fence { number, newest }
    }
}

/// What a connection belongs to.
#[derive(Debug, Clone, Default)]
pub struct Fence {
    number: u64,
    newest: Arc<AtomicU64>,
}

impl Fence {
    /// Whether the peer has begun a later stream. Asked under the lock of the name that is about to change.
    pub fn is_behind(&self) -> bool {
        self.newest() > self.number
    }

    /// The peer's latest stream.
    pub fn newest(&self) -> u64 {
        self.newest.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_streams_end_earlier_ones() {
        let (fences, peer) = (Fences::default(), StorageId::new(b"100001").unwrap());
        let (one, same) = (fences.enter(&peer, 5), fences.enter(&peer, 5));
        assert!(!one.is_behind() && !same.is_behind() && !Fence::default().is_behind());
        let later = fences.enter(&peer, 6);
        assert!(one.is_behind() && same.is_behind() && !later.is_behind());
        assert_eq!(fences.enter(&peer, 4).newest(), 6);
    }
}
