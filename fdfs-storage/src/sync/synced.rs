//! Up to when the changes of each member have arrived here (replication 9.1 and 10.1).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use fdfs_core::ident::StorageId;

/// Newest record time of each source, told to the trackers.
#[derive(Default)]
pub struct Synced(Mutex<State>);

#[derive(Default)]
struct State {
    times: BTreeMap<String, (StorageId, i64)>,
    changes: u64,
}

impl Synced {
    /// A record of `source` has arrived.
    pub fn note(&self, source: &StorageId, timestamp: i64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = state.times.entry(source.as_str().to_owned()).or_insert((*source, 0));
        if timestamp > entry.1 {
            entry.1 = timestamp;
            state.changes += 1;
        }
    }

    /// How often anything changed.
    pub fn changes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).changes
    }

    /// All of them.
    pub fn times(&self) -> Vec<(StorageId, i64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).times.values().copied().collect()
    }
}
