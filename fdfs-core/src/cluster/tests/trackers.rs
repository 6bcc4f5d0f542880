//! Tracker lists and the choice of the leader (tracker 7).

use super::*;
use crate::wire::Status;

fn list(text: &str) -> Vec<TrackerAddr> {
    parse_lines(text.as_bytes(), text.lines().count()).unwrap()
}

#[test]
fn lines_of_a_join() {
    assert_eq!(list("10.0.0.1:22122\n10.0.0.2\n")[1].port, 22122);
    assert_eq!(list("10.0.0.1,8.8.8.8:5\n[::1]:9\n")[0].ips.len(), 2);
    assert_eq!(parse_lines(b"10.0.0.1:1", 1), Err(ListError::Count));
    assert_eq!(parse_lines(b"name:1\n", 1), Err(ListError::Line));
    assert_eq!(parse_lines(b"[::1\n", 1), Err(ListError::Line));
    assert_eq!(parse_lines(b"\xff\n", 1), Err(ListError::Line));
}

#[test]
fn a_list_must_hold_this_tracker_every_time() {
    let mut trackers = Trackers::default();
    let own = [ip("127.0.0.11")];
    for _ in 0..2 {
        assert_eq!(trackers.merge(&list("10.0.0.1:22122\n"), &own, 22122), Err(ListError::NotListed));
    }
    assert_eq!(trackers.merge(&list("127.0.0.11:22122\n10.0.0.1:22122\n"), &own, 22122), Ok(2));
    assert_eq!(trackers.merge(&list("10.0.0.1,8.8.8.8:22122\n"), &own, 22122), Ok(0));
    assert_eq!(trackers.list()[1].ips.len(), 2);
    assert_eq!(trackers.myself().unwrap().first(), "127.0.0.11:22122".parse().unwrap());
    let many: String = (0..15).map(|n| format!("10.1.0.{n}:1\n")).collect();
    assert_eq!(trackers.merge(&list(&many), &own, 22122), Err(ListError::Full));
    let mut alone = Trackers::default();
    assert_eq!(alone.merge(&list("127.0.0.1:22122\n"), &[ip("127.0.0.1")], 22122), Ok(1));
}

#[test]
fn the_first_in_rank_leads() {
    let trackers = list("10.0.0.1:22122\n10.0.0.2:22122\n10.0.0.3:22122\n");
    let status = |leader, running, restart| PeerStatus::new(leader, running, restart);
    let first = |a, b, c| {
        let all = trackers.iter().zip([a, b, c]);
        winner(all).unwrap().first().ip().to_string()
    };
    let none = status(false, 0, 0);
    assert_eq!(first(none, none, none), "10.0.0.3");
    assert_eq!(first(status(false, 299, 0), none, none), "10.0.0.3", "times count in steps of 300 s");
    assert_eq!(first(status(false, 300, 0), none, none), "10.0.0.1");
    assert_eq!(first(none, none, status(false, 0, 600)), "10.0.0.2");
    assert_eq!(first(status(true, 0, 900), status(false, 900, 0), none), "10.0.0.1");
    assert_eq!(PeerStatus::decode(&status(true, 600, 300).encode()), Some(status(true, 600, 300)));
    assert_eq!(PeerStatus::decode(&[0; 16]), None);
}

#[test]
fn both_phases_are_needed() {
    let mut trackers = Trackers::default();
    trackers.merge(&list("10.0.0.1:22122\n10.0.0.2:22122\n"), &[ip("10.0.0.1")], 22122).unwrap();
    let (me, other) = ("10.0.0.1:22122".parse().unwrap(), "10.0.0.2:22122".parse().unwrap());
    assert_eq!(trackers.notify("10.0.0.9:1".parse().unwrap()).unwrap_err().status, Status::NOENT);
    assert_eq!(trackers.commit(other).unwrap_err().status, Status::INVAL);
    trackers.notify(other).unwrap();
    assert_eq!(trackers.commit(me).unwrap_err().status, Status::INVAL);
    assert_eq!(trackers.commit(other), Ok(true));
    assert_eq!((trackers.leader_addr(), trackers.leader_chg), (Some(other), 1));
    trackers.notify(me).unwrap();
    assert_eq!(trackers.commit(me), Ok(true));
    assert_eq!(trackers.notify(other).unwrap_err().status, Status::INVAL);
    assert_eq!(trackers.leader, Leader::Unknown, "a leader that hears of another one steps down");
}
