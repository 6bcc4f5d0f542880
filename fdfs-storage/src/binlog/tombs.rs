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

/// Names that were deleted, with the times of their deletion, and whether they were given again since.
#[derive(Default)]
pub struct Tombs {
    state: Mutex<State>,
    len: AtomicUsize,
}

#[derive(Default)]
struct State {
    tombs: HashMap<[u64; 2], Tomb>,
    order: VecDeque<[u64; 2]>,
}

#[derive(Clone, Copy)]
struct Tomb {
    /// Newest deletion, Unix seconds.
    at: i64,
    /// The name was given again.
    empty: bool,
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
                if let Some(tomb) = self.lock().tombs.get_mut(&key(&record.name)) {
                    tomb.empty = true;
                }
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
            let tomb = state.tombs.get(&key(&name.logic()));
            tomb.is_some_and(|tomb| !tomb.empty && (name.is_unique() || timestamp < tomb.at))
        };
        deleted(name) || name.master().is_some_and(|master| deleted(&master))
    }

    /// Whether this name is known to be deleted.
    pub fn has(&self, name: &FileName) -> bool {
        self.len.load(Relaxed) > 0
            && self.lock().tombs.get(&key(&name.logic())).is_some_and(|tomb| !tomb.empty)
    }

    /// The earliest time that a change of this name may have, be the clock put back meanwhile: to others it would look older
    /// than the deletion before it, of the name itself or, for metadata, of its file.
    pub fn earliest(&self, name: &str) -> i64 {
        if self.len.load(Relaxed) == 0 {
            return i64::MIN;
        }
        let state = self.lock();
        let at = |name: &str| state.tombs.get(&key(name)).map_or(i64::MIN, |tomb| tomb.at);
        name.strip_suffix("-m").map_or(i64::MIN, at).max(at(name))
    }

    fn insert(&self, key: [u64; 2], timestamp: i64) {
        let mut state = self.lock();
        match state.tombs.get_mut(&key) {
            Some(tomb) => *tomb = Tomb { at: tomb.at.max(timestamp), empty: false },
            None => {
                state.tombs.insert(key, Tomb { at: timestamp, empty: false });
                state.order.push_back(key);
            }
        }
        if state.order.len() > MOST
            && let Some(oldest) = state.order.pop_front()
        {
            state.tombs.remove(&oldest);
        }
        self.len.store(state.tombs.len(), Relaxed);
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
        tombs.note(&record(Op::Delete, &slave, 3));
        assert!(tombs.has(&name(&slave)) && tombs.forbid(&name(&slave), 4), "the newest deletion counts");
    }

    #[test]
    fn a_clock_that_was_put_back() {
        let tombs = Tombs::default();
        assert_eq!(tombs.earliest("slave"), i64::MIN);
        tombs.note(&record(Op::Delete, "slave", 5));
        assert_eq!((tombs.earliest("slave"), tombs.earliest("other")), (5, i64::MIN));
        tombs.note(&record(Op::Create, "slave", 5));
        assert_eq!((tombs.earliest("slave"), tombs.earliest("slave-m")), (5, 5));
        tombs.note(&record(Op::Delete, "slave-m", 7));
        assert_eq!((tombs.earliest("slave"), tombs.earliest("slave-m")), (5, 7));
    }

    #[test]
    fn memory_is_bounded() {
        let tombs = Tombs::default();
        for n in 0..MOST + 10 {
            tombs.insert([n as u64, 0], 1);
        }
        let state = tombs.lock();
        assert_eq!((state.tombs.len(), state.order.len()), (MOST, MOST));
        assert!(!state.tombs.contains_key(&[9, 0]) && state.tombs.contains_key(&[10, 0]));
    }
}
