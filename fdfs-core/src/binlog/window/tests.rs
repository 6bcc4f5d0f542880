use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::binlog::Op;

fn record(name: u8, timestamp: i64) -> Record {
    let name = format!("M00/00/00/{name:030}");
    Record { timestamp, op: Op::Create, replica: false, name, more: None }
}

fn rename(new: u8, old: u8) -> Record {
    Record { op: Op::Rename, more: Some(record(old, 0).name), ..record(new, 5) }
}

fn at(offset: u64) -> Pos {
    Pos { index: 0, offset }
}

#[test]
fn the_mark_waits_for_the_slowest() {
    let mut window = Window::new(at(0));
    let (one, _) = window.add(record(1, 5), at(10)).unwrap();
    let (two, _) = window.add(record(2, 5), at(20)).unwrap();
    window.skip(at(30));
    assert!(window.is_ahead(&record(3, 6)), "a newer time");
    assert!(!window.is_ahead(&record(3, 5)));
    window.confirm(two);
    assert_eq!((window.pos(), window.under_way(), window.time()), (at(0), 1, 0));
    window.confirm(one);
    assert_eq!((window.pos(), window.is_empty(), window.time()), (at(30), true, 5));
    assert!(!window.is_ahead(&record(1, 6)));
}

#[test]
fn records_of_a_file_go_in_their_order() {
    let mut window = Window::new(at(0));
    let (one, _) = window.add(record(1, 5), at(10)).unwrap();
    assert!(window.add(record(1, 6), at(20)).is_none(), "the same file");
    assert!(window.add(rename(2, 1), at(30)).is_none(), "its other name");
    let (other, _) = window.add(record(3, 5), at(40)).unwrap();
    assert!(window.add(rename(2, 3), at(50)).is_none());
    assert_eq!((window.waiting(), window.under_way()), (3, 2));
    assert!(window.next_ready().is_none());
    window.confirm(other);
    assert!(window.next_ready().is_none(), "it shares a name with one before it");
    window.confirm(one);
    let (two, next, _) = window.next_ready().unwrap();
    assert_eq!((next, window.next_ready()), (record(1, 6), None));
    window.confirm(two);
    let (three, next, _) = window.next_ready().unwrap();
    assert_eq!(next, rename(2, 1));
    window.confirm(three);
    let (last, next, end) = window.next_ready().unwrap();
    assert_eq!((next, end, window.pos()), (rename(2, 3), at(50), at(40)));
    window.confirm(last);
    assert_eq!((window.pos(), window.last.len(), window.time()), (at(50), 0, 6));
}

#[test]
fn what_is_set_aside_holds_the_mark_only() {
    let mut window = Window::new(at(0));
    let (one, _) = window.add(record(1, 5), at(10)).unwrap();
    window.set_aside(one, record(1, 5));
    let (two, _) = window.add(record(2, 6), at(20)).unwrap();
    let keys = [record(1, 5), record(2, 6), record(3, 7)].map(|record| Window::key(&record.name));
    assert_eq!(keys.map(|key| window.holds(key)), [true, true, false]);
    window.confirm(two);
    assert_eq!(keys.map(|key| window.holds(key)), [true, false, false]);
    assert_eq!((window.pos(), window.aside(), window.time()), (at(0), 1, 0));
    let (later, _) = window.add(record(1, 7), at(30)).unwrap();
    assert!(window.retry().is_none(), "the file is under way");
    window.confirm(later);
    let (again, which) = window.retry().unwrap();
    assert_eq!(which, record(1, 5));
    assert!(window.retry().is_none());
    window.confirm(again);
    assert_eq!((window.pos(), window.time(), window.aside()), (at(30), 7, 0));
    // A ticket counts once.
    window.confirm(again);
    window.set_aside(again, record(1, 5));
    assert_eq!((window.pos(), window.aside()), (at(30), 0));
}

proptest! {
    /// Against the obvious: a list of all records, each of which may go when all before it of the same files are done.
    #[test]
    fn agrees_with_a_plain_list(steps in proptest::collection::vec((0u8..6, 0u8..5, 0u8..5), 0..200)) {
        let mut window = Window::new(at(0));
        let mut all: Vec<(Vec<u8>, bool)> = Vec::new();
        let mut open: BTreeMap<usize, (Ticket, Record)> = BTreeMap::new();
        for (what, name, other) in steps {
            match what {
                0 | 1 | 5 => {
                    let record = if what == 5 { rename(name, other) } else { record(name, i64::from(other)) };
                    let index = all.len();
                    let names = if what == 5 { vec![name, other] } else { vec![name] };
                    let free = all.iter().all(|(taken, done)| *done || names.iter().all(|n| !taken.contains(n)));
                    let sent = window.add(record, at(index as u64 + 1));
                    prop_assert_eq!(sent.is_some(), free);
                    all.push((names, false));
                    open.extend(sent.map(|sent| (index, sent)));
                }
                2 => {
                    window.skip(at(all.len() as u64 + 1));
                    all.push((Vec::new(), true));
                }
                _ => {
                    let which = open.keys().nth(usize::from(name)).copied();
                    if let Some(index) = which && let Some((ticket, _)) = open.remove(&index) {
                        window.confirm(ticket);
                        all[index].1 = true;
                    }
                }
            }
            while let Some((ticket, record, _)) = window.next_ready() {
                let index = usize::try_from(ticket.0).unwrap();
                let before = &all[..index];
                prop_assert!(before.iter().all(|(taken, done)| *done || all[index].0.iter().all(|n| !taken.contains(n))));
                open.insert(index, (ticket, record));
            }
            let confirmed = all.iter().take_while(|(_, done)| *done).count();
            prop_assert_eq!(window.pos(), at(confirmed as u64));
            prop_assert_eq!(window.under_way(), open.len());
            let undone = all.iter().filter(|(_, done)| !done).count();
            prop_assert_eq!(window.waiting(), undone - open.len());
        }
    }
}
