//! Records on their way to one peer: many at once, in order for each file, and never past what was confirmed.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Pos, Record};

/// Records between the mark and the reader.
///
/// Invariants: everything before [`Window::pos`] is with the peer or needs not be; of the records that share a file at
/// most one is under way, and they go in the order of the log.
#[derive(Debug, Default)]
pub struct Window {
    pos: Pos,
    /// Number of the first entry.
    first: u64,
    entries: VecDeque<Entry>,
    /// The last record of each file that waits or is under way, by the hash of its name: two files that share one
    /// wait for each other without need, no more.
    last: HashMap<u64, u64>,
    /// Records whose turn has come.
    ready: VecDeque<u64>,
    under_way: usize,
    waiting: usize,
    aside: usize,
    /// Newest time of the confirmed beginning.
    newest: i64,
    /// Newest time that was ever sent.
    sent: i64,
}

#[derive(Debug)]
struct Entry {
    end: Pos,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Needs not be sent.
    Skipped,
    /// Waits for `before` others of the same files.
    Waiting {
        record: Box<Record>,
        before: u8,
        followers: Vec<u64>,
    },
    UnderWay {
        names: [u64; 2],
        timestamp: i64,
        followers: Vec<u64>,
    },
    Aside(Box<Record>),
    Done {
        timestamp: i64,
    },
}

/// A record that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

impl Window {
    /// Nothing under way; the peer has everything before `pos`.
    pub fn new(pos: Pos) -> Self {
        Self { pos, ..Self::default() }
    }

    /// Everything before it is confirmed.
    pub fn pos(&self) -> Pos {
        self.pos
    }

    /// Records under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Records that wait for others of the same file.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Records that are set aside.
    pub fn aside(&self) -> usize {
        self.aside
    }

    /// Records that are held in memory, confirmed ones behind an unconfirmed one included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Records that have left: confirmed or skipped, as all before them.
    pub fn passed(&self) -> u64 {
        self.first
    }

    /// Time of the first record that is not confirmed.
    pub fn oldest(&self) -> Option<i64> {
        self.entries.iter().find_map(|entry| match &entry.state {
            State::Waiting { record, .. } | State::Aside(record) => Some(record.timestamp),
            State::UnderWay { timestamp, .. } => Some(*timestamp),
            State::Done { .. } | State::Skipped => None,
        })
    }

    /// Whether a record of a file, given by its [`Window::key`], is not confirmed. Takes time while records are set aside.
    pub fn holds(&self, key: u64) -> bool {
        let aside = |entry: &Entry| match &entry.state {
            State::Aside(record) => keys(record).contains(&key),
            _ => false,
        };
        self.last.contains_key(&key) || (self.aside > 0 && self.entries.iter().any(aside))
    }

    /// Stands for the name of a file.
    pub fn key(name: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        hasher.finish()
    }

    /// Whether all that was read is confirmed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether `record` is newer than all before it while some of those are not confirmed. To a peer that notes the
    /// time of each record as the time up to which it has everything, such a record must wait.
    pub fn is_ahead(&self, record: &Record) -> bool {
        record.timestamp > self.sent && self.under_way + self.waiting > 0
    }

    /// Time up to which the peer has everything: the newest one of the confirmed beginning, less if an older record is
    /// not confirmed. 0: nothing is known.
    pub fn time(&self) -> i64 {
        let open = self.entries.iter().filter_map(|entry| match &entry.state {
            State::Waiting { record, .. } | State::Aside(record) => Some(record.timestamp),
            State::UnderWay { timestamp, .. } => Some(*timestamp),
            State::Done { .. } | State::Skipped => None,
        });
        open.min().map_or(self.newest, |oldest| self.newest.min(oldest))
    }

    /// The next record of the log, which ends at `end`. It is under way now, or waits ([`Window::next_ready`]).
    pub fn add(&mut self, record: Record, end: Pos) -> Option<(Ticket, Record)> {
        let seq = self.first + self.entries.len() as u64;
        self.sent = self.sent.max(record.timestamp);
        let names = keys(&record);
        let mut before = 0;
        for name in distinct(names) {
            let Some(last) = self.last.insert(name, seq) else { continue };
            if let Some(State::Waiting { followers, .. } | State::UnderWay { followers, .. }) =
                self.at(last).map(|entry| &mut entry.state)
            {
                followers.push(seq);
                before += 1;
            }
        }
        if before == 0 {
            self.under_way += 1;
            let state = State::UnderWay { names, timestamp: record.timestamp, followers: Vec::new() };
            self.entries.push_back(Entry { end, state });
            return Some((Ticket(seq), record));
        }
        self.waiting += 1;
        let state = State::Waiting { record: Box::new(record), before, followers: Vec::new() };
        self.entries.push_back(Entry { end, state });
        None
    }

    /// A record that waited, and is under way now, with its end in the log.
    pub fn next_ready(&mut self) -> Option<(Ticket, Record, Pos)> {
        let seq = self.ready.pop_front()?;
        let entry = self.at(seq)?;
        let State::Waiting { record, followers, .. } = std::mem::replace(&mut entry.state, State::Skipped)
        else {
            return None;
        };
        entry.state = State::UnderWay { names: keys(&record), timestamp: record.timestamp, followers };
        let end = entry.end;
        self.waiting -= 1;
        self.under_way += 1;
        Some((Ticket(seq), *record, end))
    }

    /// A record that ends at `end` needs not be sent.
    pub fn skip(&mut self, end: Pos) {
        self.entries.push_back(Entry { end, state: State::Skipped });
        self.advance();
    }

    /// The peer has it.
    pub fn confirm(&mut self, ticket: Ticket) {
        let timestamp = match self.at(ticket.0).map(|entry| &entry.state) {
            Some(State::UnderWay { timestamp, .. }) => *timestamp,
            _ => return,
        };
        self.leave(ticket, State::Done { timestamp });
        self.advance();
    }

    /// The peer refuses it: it is kept, does not stop others, and nothing is confirmed past it.
    pub fn set_aside(&mut self, ticket: Ticket, record: Record) {
        if self.leave(ticket, State::Aside(Box::new(record))) {
            self.aside += 1;
        }
    }

    /// A record set aside that may be tried again now: none of the same file waits or is under way. It is under way
    /// then.
    pub fn retry(&mut self) -> Option<(Ticket, Record)> {
        if self.aside == 0 {
            return None;
        }
        let free = |entry: &Entry| match &entry.state {
            State::Aside(record) => distinct(keys(record)).all(|name| !self.last.contains_key(&name)),
            _ => false,
        };
        let at = self.entries.iter().position(free)?;
        let seq = self.first + at as u64;
        let entry = self.entries.get_mut(at)?;
        let State::Aside(record) = std::mem::replace(&mut entry.state, State::Skipped) else { return None };
        let names = keys(&record);
        entry.state = State::UnderWay { names, timestamp: record.timestamp, followers: Vec::new() };
        for name in distinct(names) {
            self.last.insert(name, seq);
        }
        self.aside -= 1;
        self.under_way += 1;
        Some((Ticket(seq), *record))
    }

    fn at(&mut self, seq: u64) -> Option<&mut Entry> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(at)
    }

    fn leave(&mut self, ticket: Ticket, next: State) -> bool {
        let Some(entry) = self.at(ticket.0) else { return false };
        if !matches!(entry.state, State::UnderWay { .. }) {
            return false;
        }
        let State::UnderWay { names, followers, .. } = std::mem::replace(&mut entry.state, next) else {
            return false;
        };
        self.under_way -= 1;
        for name in distinct(names) {
            if self.last.get(&name) == Some(&ticket.0) {
                self.last.remove(&name);
            }
        }
        for seq in followers {
            if let Some(State::Waiting { before, .. }) = self.at(seq).map(|entry| &mut entry.state) {
                *before -= 1;
                if *before == 0 {
                    self.ready.push_back(seq);
                }
            }
        }
        true
    }

    fn advance(&mut self) {
        while let Some(entry) = self.entries.front() {
            match entry.state {
                State::Done { timestamp } => self.newest = self.newest.max(timestamp),
                State::Skipped => {}
                _ => return,
            }
            self.pos = entry.end;
            self.entries.pop_front();
            self.first += 1;
        }
    }
}

/// Hashes of the names of a record, the same twice if it has one.
fn keys(record: &Record) -> [u64; 2] {
    let first = Window::key(&record.name);
    [first, record.source().map_or(first, Window::key)]
}

fn distinct([one, other]: [u64; 2]) -> impl Iterator<Item = u64> {
    std::iter::once(one).chain((other != one).then_some(other))
}

#[cfg(test)]
mod tests;
