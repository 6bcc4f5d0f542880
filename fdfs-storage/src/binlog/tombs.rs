//! Names that were deleted and must not come back with a change that is older, or that took another way.
//!
//! A create that travels from one member and the delete that travels from another may arrive in either order
//! (replication 12). Whoever has seen the delete remembers it: the records of the log are the memory over a restart.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::FileName;

/// Names that are remembered; the oldest is forgotten first. 48 bytes each.
const MOST: usize = 500_000;

/// Deleted names with the times of their deletion.
#[derive(Default)]
pub struct Tombs {
    state: Mutex<State>,
    len: AtomicUsize,
}

#[derive(Default)]
struct State {
    times: HashMap<[u64; 2], i64>,
    order: VecDeque<[u64; 2]>,
}

impl Tombs {
    /// Learns from a record of the own log.
    pub fn note(&self, record: &Record) {
        match record.op {
            Op::Delete => self.insert(key(&record.name), record.timestamp),
            // The name that an appender had before.
            Op::Rename => {
                if let Some(old) = record.source() {
                    self.insert(key(old), record.timestamp);
                }
            }
            Op::Create | Op::Update | Op::Link if self.len.load(Relaxed) > 0 => {
                let mut state = self.lock();
                state.times.remove(&key(&record.name));
                self.len.store(state.times.len(), Relaxed);
            }
            _ => {}
        }
    }

    /// Whether a change of `name` with this time comes too late: the file was deleted, for good or after that time. The
    /// metadata of such a file neither.
    pub fn forbid(&self, name: &FileName, timestamp: i64) -> bool {
        if self.len.load(Relaxed) == 0 {
            return false;
        }
        let state = self.lock();
        let deleted = |name: &FileName| {
            let at = state.times.get(&key(&name.logic()));
            at.is_some_and(|at| name.is_unique() || timestamp < *at)
        };
        deleted(name) || name.master().is_some_and(|master| deleted(&master))
    }

    /// Whether this name is known to be deleted.
    pub fn has(&self, name: &FileName) -> bool {
        self.len.load(Relaxed) > 0 && self.lock().times.contains_key(&key(&name.logic()))
    }

    fn insert(&self, key: [u64; 2], timestamp: i64) {
        let mut state = self.lock();
        match state.times.insert(key, timestamp) {
            Some(before) => {
                state.times.insert(key, before.max(timestamp));
            }
            None => state.order.push_back(key),
        }
        // Names that came back left their place in the order: those count too, so that it is bounded.
        while state.order.len() > MOST {
            if let Some(oldest) = state.order.pop_front() {
                state.times.remove(&oldest);
            }
        }
        self.len.store(state.times.len(), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 128 bits of a name: that two share one is out of the question.
fn key(name: &str) -> [u64; 2] {
    [0u8, 1].map(|seed| {
        let mut hasher = DefaultHasher::new();
        (seed, name).hash(&mut hasher);
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: &str = "M00/00/00/Ck0AFWsCm32AEHtFAAAAC_3EqRQ870.txt";

    fn record(op: Op, name: &str, timestamp: i64) -> Record {
        Record { timestamp, op, replica: false, name: name.to_owned(), more: None }
    }

    fn name(text: &str) -> FileName {
        FileName::parse(text.as_bytes(), 1).unwrap()
    }

    #[test]
    fn what_may_come_back() {
        let tombs = Tombs::default();
        let (slave, metadata) = (NORMAL.replace(".txt", "_small.txt"), format!("{NORMAL}-m"));
        assert!(!tombs.forbid(&name(NORMAL), 5));
        for name in [NORMAL, &slave] {
            tombs.note(&record(Op::Delete, name, 5));
        }
        assert!(tombs.forbid(&name(NORMAL), 99), "a generated name never comes back");
        assert!(tombs.forbid(&name(&metadata), 99), "nor does its metadata");
        assert!(tombs.forbid(&name(&slave), 4) && !tombs.forbid(&name(&slave), 5));
        tombs.note(&record(Op::Create, &slave, 6));
        assert!(!tombs.forbid(&name(&slave), 4) && !tombs.has(&name(&slave)) && tombs.has(&name(NORMAL)));
    }

    #[test]
    fn memory_is_bounded() {
        let tombs = Tombs::default();
        for n in 0..MOST + 10 {
            tombs.insert([n as u64, 0], 1);
        }
        let state = tombs.lock();
        assert_eq!((state.times.len(), state.order.len()), (MOST, MOST));
        assert!(!state.times.contains_key(&[9, 0]) && state.times.contains_key(&[10, 0]));
    }
}
