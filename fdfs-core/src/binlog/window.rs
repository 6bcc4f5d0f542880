//! Records on their way to one peer: several at once, in order for each file, and never past what was confirmed.

use std::collections::{HashMap, VecDeque};

use super::{Pos, Record};

/// Records between the mark and the reader.
///
/// Invariant: everything before [`Window::pos`] is with the peer or needs not be.
#[derive(Debug, Default)]
pub struct Window {
    pos: Pos,
    first: u64,
    entries: VecDeque<Entry>,
    /// Names of records under way.
    names: HashMap<String, usize>,
    under_way: usize,
    newest: i64,
}

#[derive(Debug)]
struct Entry {
    end: Pos,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    UnderWay(Vec<String>),
    Aside(Box<Record>),
    Done,
}

/// A record in the window.
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

    /// Records that are held in memory, confirmed ones behind an unconfirmed one included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether all that was read is confirmed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether `record` may go now: no record under way is about the same file; and one with a newer time than all
    /// before waits until those are confirmed, because a peer tells the trackers the newest time it has seen as the
    /// time up to which it has everything.
    pub fn may_send(&self, record: &Record) -> bool {
        let newer = record.timestamp > self.newest;
        !(newer && self.under_way > 0) && names(record).all(|name| !self.names.contains_key(name))
    }

    /// `record`, which ends at `end`, is under way.
    pub fn send(&mut self, record: &Record, end: Pos) -> Ticket {
        self.newest = self.newest.max(record.timestamp);
        self.under_way += 1;
        let all: Vec<String> = names(record).map(str::to_owned).collect();
        for name in &all {
            *self.names.entry(name.clone()).or_default() += 1;
        }
        self.entries.push_back(Entry { end, state: State::UnderWay(all) });
        Ticket(self.first + self.entries.len() as u64 - 1)
    }

    /// A record that ends at `end` needs not be sent.
    pub fn skip(&mut self, end: Pos) {
        self.entries.push_back(Entry { end, state: State::Done });
        self.advance();
    }

    /// The peer has it.
    pub fn confirm(&mut self, ticket: Ticket) {
        self.leave(ticket, State::Done);
        self.advance();
    }

    /// The peer refuses it: it is kept, does not stop others, and nothing is confirmed past it.
    pub fn set_aside(&mut self, ticket: Ticket, record: Record) {
        self.leave(ticket, State::Aside(Box::new(record)));
    }

    /// A record set aside that may be tried again now; it is under way then.
    pub fn retry(&mut self) -> Option<(Ticket, Record)> {
        let free = |entry: &Entry| match &entry.state {
            State::Aside(record) => names(record).all(|name| !self.names.contains_key(name)),
            _ => false,
        };
        let at = self.entries.iter().position(free)?;
        let entry = self.entries.get_mut(at)?;
        let State::Aside(record) = std::mem::replace(&mut entry.state, State::Done) else { return None };
        let all: Vec<String> = names(&record).map(str::to_owned).collect();
        for name in &all {
            *self.names.entry(name.clone()).or_default() += 1;
        }
        entry.state = State::UnderWay(all);
        self.under_way += 1;
        Some((Ticket(self.first + at as u64), *record))
    }

    /// How many are set aside.
    pub fn aside(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.state, State::Aside(_))).count()
    }

    fn leave(&mut self, ticket: Ticket, state: State) {
        let at = ticket.0.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) else { return };
        if let State::UnderWay(all) = std::mem::replace(&mut entry.state, state) {
            self.under_way -= 1;
            for name in all {
                if let Some(count) = self.names.get_mut(&name) {
                    *count -= 1;
                    if *count == 0 {
                        self.names.remove(&name);
                    }
                }
            }
        }
    }

    fn advance(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.state == State::Done) {
            if let Some(entry) = self.entries.pop_front() {
                self.pos = entry.end;
                self.first += 1;
            }
        }
    }
}

fn names(record: &Record) -> impl Iterator<Item = &str> {
    std::iter::once(record.name.as_str()).chain(record.source())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::binlog::Op;

    fn record(name: u8, timestamp: i64) -> Record {
        let name = format!("M00/00/00/{name:030}");
        Record { timestamp, op: Op::Create, replica: false, name, more: None }
    }

    fn at(offset: u64) -> Pos {
        Pos { index: 0, offset }
    }

    #[test]
    fn the_mark_waits_for_the_slowest() {
        let mut window = Window::new(at(0));
        let one = window.send(&record(1, 5), at(10));
        let two = window.send(&record(2, 5), at(20));
        window.skip(at(30));
        assert!(!window.may_send(&record(1, 5)), "the same file");
        assert!(!window.may_send(&record(3, 6)), "a newer time");
        assert!(window.may_send(&record(3, 4)));
        window.confirm(two);
        assert_eq!((window.pos(), window.under_way()), (at(0), 1));
        window.confirm(one);
        assert_eq!((window.pos(), window.is_empty()), (at(30), true));
        assert!(window.may_send(&record(1, 6)));
    }

    #[test]
    fn what_is_set_aside_holds_the_mark_only() {
        let mut window = Window::new(at(0));
        let one = window.send(&record(1, 5), at(10));
        window.set_aside(one, record(1, 5));
        let two = window.send(&record(2, 6), at(20));
        window.confirm(two);
        assert_eq!((window.pos(), window.aside()), (at(0), 1));
        let (again, which) = window.retry().unwrap();
        assert_eq!(which, record(1, 5));
        assert!(window.retry().is_none());
        window.confirm(again);
        assert_eq!(window.pos(), at(20));
    }

    proptest! {
        /// Against the obvious: the position is the end of the longest confirmed beginning.
        #[test]
        fn pos_is_the_confirmed_beginning(steps in proptest::collection::vec((0u8..4, 0u8..6), 0..200)) {
            let mut window = Window::new(at(0));
            let (mut open, mut done, mut end) = (Vec::new(), Vec::new(), 0);
            for (what, name) in steps {
                match what {
                    0 | 1 if window.may_send(&record(name, 0)) => {
                        end += 1;
                        open.push((window.send(&record(name, 0), at(end)), done.len()));
                        done.push(false);
                    }
                    2 => {
                        end += 1;
                        window.skip(at(end));
                        done.push(true);
                    }
                    3 if !open.is_empty() => {
                        let (ticket, which) = open.remove(usize::from(name) % open.len());
                        window.confirm(ticket);
                        done[which] = true;
                    }
                    _ => {}
                }
                let confirmed = done.iter().take_while(|done| **done).count();
                prop_assert_eq!(window.pos(), at(confirmed as u64));
                prop_assert_eq!(window.under_way(), open.len());
            }
        }
    }
}
