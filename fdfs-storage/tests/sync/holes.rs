//! What the existing daemons lose or leave different (replication 12 and its list of weaknesses).

use fdfs_core::binlog::{Mark, Op};
use fdfs_core::fileid::Kind;

use crate::support::{Member, until};

/// Two members; what the first one does while it sends nothing is inside the lag.
fn pair(dir: &tempfile::TempDir) -> (Member, Member) {
    (Member::start(dir.path(), 1), Member::start(dir.path(), 2))
}

#[test]
fn append_and_truncate_inside_the_lag() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = pair(&dir);
    let name = one.create(Kind::Appender, &[1; 100]);
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    one.stop_sending();
    one.append(&name, &[2; 100]);
    one.truncate(&name, 50);
    let other = one.create(Kind::Appender, b"x");
    one.append(&other, b"yy");
    one.truncate(&other, 0);
    one.append(&other, b"zzzzzzz");
    one.modify(&other, 1, b"MM");
    one.truncate(&other, 5);
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    assert_eq!(two.read(&name).unwrap(), [1; 50]);
    assert_eq!(two.read(&other).unwrap(), b"zMMzz");
}

#[test]
fn truncations_in_quick_succession_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = pair(&dir);
    let names: Vec<String> = (0..20).map(|n| one.create(Kind::Appender, &[n; 3000])).collect();
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    for size in (0..60).map(|n| 2000 - n * 30 + n % 3 * 500) {
        assert!(names.iter().all(|name| one.truncate(name, size)));
    }
    one.wait_sent(1);
    for name in &names {
        assert!(one.read(name) == two.read(name), "{name}");
    }
    assert!(!two.records().iter().any(|record| record.starts_with("u ")), "none went as a whole");
}

#[test]
fn a_lost_appender_comes_back_with_any_change() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = pair(&dir);
    let names: Vec<String> = (0..3).map(|n| one.create(Kind::Appender, &[n; 100])).collect();
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    for name in &names {
        std::fs::remove_file(two.path_of(name)).unwrap();
    }
    one.append(&names[0], b"more");
    one.modify(&names[1], 10, b"other");
    one.truncate(&names[2], 10);
    let after = one.create(Kind::Normal, b"behind them");
    one.wait_sent(1);
    for name in names.iter().chain([&after]) {
        assert!(one.read(name) == two.read(name), "{name}");
    }
}

#[test]
fn a_delete_that_comes_before_the_create() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut two) = pair(&dir);
    let three = Member::start(dir.path(), 3);
    // One creates, two has it and deletes it; three hears of the delete first.
    let name = one.create(Kind::Normal, b"short life");
    let appender = one.create(Kind::Appender, b"short life");
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    one.stop_sending();
    two.delete(&name);
    two.delete(&appender);
    two.send_to(&[(3, three.addr)]);
    two.wait_sent(1);
    // One has not heard of it yet, and changes it too.
    one.append(&appender, b" longer");
    let metadata = format!("{name}-m");
    std::fs::write(one.path_of(&metadata), "a\x02b").unwrap();
    one.log(Op::Create, &metadata, None);
    one.send_to(&[(2, two.addr), (3, three.addr)]);
    one.wait_sent(2);
    for member in [&two, &three] {
        for name in [&name, &appender, &metadata] {
            assert!(member.read(name).is_none(), "{name} came back");
        }
    }
    two.send_to(&[(1, one.addr), (3, three.addr)]);
    two.wait_sent(2);
    assert!(one.read(&name).is_none() && one.read(&appender).is_none() && one.read(&metadata).is_none());
}

#[test]
fn the_memory_of_deletes_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut two) = pair(&dir);
    let three = Member::start(dir.path(), 3);
    let name = one.create(Kind::Normal, b"short life");
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    one.stop_sending();
    two.delete(&name);
    two.send_to(&[(3, three.addr)]);
    two.wait_sent(1);
    drop(three);
    let three = Member::start(dir.path(), 3);
    one.send_to(&[(3, three.addr)]);
    one.wait_sent(1);
    assert!(three.read(&name).is_none());
    assert_eq!(three.records(), [format!("d {name}")]);
}

#[test]
fn changes_and_rename_inside_the_lag() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = pair(&dir);
    let names: Vec<String> = (0..3).map(|n| one.create(Kind::Appender, &[n; 100])).collect();
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    one.stop_sending();
    // The changes cannot be sent any more when their turn comes: the file has another name.
    one.append(&names[0], b"more");
    one.modify(&names[1], 10, b"other");
    one.truncate(&names[2], 10);
    let renamed: Vec<String> = names.iter().map(|name| one.rename(name)).collect();
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    for (old, new) in names.iter().zip(&renamed) {
        assert!(two.read(old).is_none() && two.read(new) == one.read(new), "{new}");
    }
    assert_eq!(one.storage.peers.lags()[0].1.aside, 0);
}

#[test]
fn rename_and_delete_inside_the_lag() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = pair(&dir);
    let old = one.create(Kind::Appender, b"an appender");
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    one.stop_sending();
    let new = one.rename(&old);
    one.delete(&new);
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    assert!(two.read(&old).is_none() && two.read(&new).is_none(), "the old name stays");
}

#[test]
fn rename_on_one_and_delete_on_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut two) = pair(&dir);
    let old = one.create(Kind::Appender, b"an appender");
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    let mark = std::fs::read(one.mark_file(2));
    one.stop_sending();
    let mark =
        mark.ok().filter(|_| one.mark(2).pos.offset == 0).unwrap_or(std::fs::read(one.mark_file(2)).unwrap());
    let new = one.rename(&old);
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    one.stop_sending();
    assert!(two.read(&new).is_some());
    // The other deletes it; the confirmation of the rename was lost: it is sent again.
    two.delete(&new);
    std::fs::write(one.mark_file(2), mark).unwrap();
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    assert!(two.read(&new).is_none() && two.read(&old).is_none(), "it came back");
    two.send_to(&[(1, one.addr)]);
    two.wait_sent(1);
    assert!(one.read(&new).is_none() && one.read(&old).is_none(), "it came back");
}

#[test]
fn metadata_and_slaves_may_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = pair(&dir);
    let name = one.create(Kind::Normal, b"master");
    let slave = name.replace(".txt", "_s.txt");
    one.send_to(&[(2, two.addr)]);
    for content in ["first", "second"] {
        one.make(Op::Create, &slave, content.as_bytes());
        one.wait_sent(1);
        assert_eq!(two.read(&slave).unwrap(), content.as_bytes());
        one.delete(&slave);
        one.wait_sent(1);
        assert!(two.read(&slave).is_none());
    }
}

#[test]
fn names_given_again_after_the_clock_was_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = pair(&dir);
    let name = one.create(Kind::Normal, b"master");
    let slave = name.replace(".txt", "_s.txt");
    let names = [format!("{name}-m"), slave.clone(), format!("{slave}-m")];
    one.send_to(&[(2, two.addr)]);
    let now = fdfs_storage::now();
    let make = |at| {
        for name in &names {
            std::fs::write(one.path_of(name), "content").unwrap();
            one.log_at(at, Op::Create, name, None);
        }
        one.wait_sent(1);
    };
    make(now + 600);
    for name in &names {
        std::fs::remove_file(one.path_of(name)).unwrap();
        one.log_at(now + 601, Op::Delete, name, None);
    }
    one.wait_sent(1);
    assert!(names.iter().all(|name| two.read(name).is_none()));
    make(now);
    for name in &names {
        assert!(two.read(name).is_some(), "{name}");
    }
}

#[test]
fn changes_that_come_back_after_a_name_was_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut two) = pair(&dir);
    let name = one.create(Kind::Normal, b"master");
    let slave = name.replace(".txt", "_s.txt");
    one.send_to(&[(2, two.addr)]);
    one.make(Op::Create, &slave, b"first");
    one.wait_sent(1);
    // Two fills one: it tells one what one has told it.
    let full_copy = Mark { need_sync_old: true, ..Mark::default() };
    let fill = |two: &mut Member, one: &Member| {
        std::fs::write(two.mark_file(1), full_copy.to_string()).unwrap();
        two.send_to(&[(1, one.addr)]);
        two.wait_sent(1);
        two.stop_sending();
    };
    one.stop_sending();
    one.delete(&slave);
    fill(&mut two, &one);
    assert!(one.read(&slave).is_none(), "what was deleted came back in the same second");
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    one.stop_sending();
    one.make(Op::Create, &slave, b"second");
    fill(&mut two, &one);
    assert_eq!(one.read(&slave).unwrap(), b"second", "the delete of the first one came back");
}

#[test]
fn a_link_whose_target_was_deleted_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut two) = pair(&dir);
    let three = Member::start(dir.path(), 3);
    let target = one.create(Kind::Normal, b"target");
    one.send_to(&[(2, two.addr), (3, three.addr)]);
    one.wait_sent(2);
    one.stop_sending();
    let link = target.replace(".txt", "_link.txt");
    std::os::unix::fs::symlink(one.path_of(&target), one.path_of(&link)).unwrap();
    one.log(Op::Link, &link, Some(target.clone()));
    // Three hears of the link first, two and one of the delete of its target.
    one.send_to(&[(3, three.addr)]);
    one.wait_sent(1);
    two.delete(&target);
    two.send_to(&[(1, one.addr), (3, three.addr)]);
    two.wait_sent(2);
    one.send_to(&[(2, two.addr), (3, three.addr)]);
    one.wait_sent(2);
    for member in [&one, &two, &three] {
        assert!(member.path_of(&link).is_symlink() && member.read(&target).is_none());
    }
}

#[test]
fn what_comes_behind_a_full_copy_by_another_way() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut two) = pair(&dir);
    let three = Member::start(dir.path(), 3);
    let deleted = one.create(Kind::Normal, b"short life");
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    one.stop_sending();
    // More than is asked for at once.
    (0..600).for_each(|_| drop(two.create(Kind::Normal, b"between")));
    two.delete(&deleted);
    // Another member has sent three both names of an appender, before and after it knew of the rename.
    let old = two.create(Kind::Appender, b"an appender");
    std::fs::copy(two.path_of(&old), three.path_of(&old)).unwrap();
    let new = two.rename(&old);
    std::fs::copy(two.path_of(&new), three.path_of(&new)).unwrap();
    let full_copy = Mark { need_sync_old: true, ..Mark::default() };
    std::fs::write(two.mark_file(3), full_copy.to_string()).unwrap();
    two.send_to(&[(3, three.addr)]);
    two.wait_sent(1);
    // One does not know of the delete yet.
    one.send_to(&[(3, three.addr)]);
    one.wait_sent(1);
    assert!(three.read(&deleted).is_none(), "what was deleted came from one");
    assert!(three.read(&old).is_none() && three.read(&new) == two.read(&new), "the old name stays");
}

#[test]
fn a_refused_record_blocks_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = pair(&dir);
    let good = one.create(Kind::Normal, b"true");
    // Its content is not what its name says: the peer does not keep it.
    let bad = one.create(Kind::Normal, b"what it was");
    std::fs::write(one.path_of(&bad), b"what it is!").unwrap();
    let later: Vec<String> = (0..50).map(|n| one.create(Kind::Normal, &[n; 20])).collect();
    one.send_to(&[(2, two.addr)]);
    until("the others arrive", || later.iter().chain([&good]).all(|name| two.read(name) == one.read(name)));
    until("it is set aside", || {
        one.storage.peers.lags().iter().any(|(_, lag)| lag.aside == 1 && lag.error.is_some())
    });
    let error = one.storage.peers.lags()[0].1.error.clone().unwrap();
    assert!(error.contains(&bad) && error.contains("5"), "{error}");
    assert!(two.read(&bad).is_none());
    assert!(one.mark(2).pos < one.storage.binlog.end(), "the mark waits");
    // Put right, it goes at the next attempt.
    std::fs::write(one.path_of(&bad), b"what it was").unwrap();
    one.wait_sent(1);
    assert_eq!(two.read(&bad).unwrap(), b"what it was");
}

#[test]
fn lines_that_are_no_records_are_stepped_over() {
    let dir = tempfile::tempdir().unwrap();
    let sync = dir.path().join("member1/data/sync");
    std::fs::create_dir_all(&sync).unwrap();
    // What 6.13 to 6.16 write for links, and worse.
    let text =
        "1795332974 L  M00/00/00/x\n1795332974 l \nnonsense\n\n1795332974 X M00/00/00/Ck0AFWsCm26EXQA0\n";
    std::fs::write(sync.join("binlog.000"), text).unwrap();
    let (mut one, two) = pair(&dir);
    let name = one.create(Kind::Normal, b"behind them");
    one.send_to(&[(2, two.addr)]);
    one.wait_sent(1);
    assert_eq!(two.read(&name).unwrap(), b"behind them");
    one.stop_sending();
    assert_eq!(one.mark(2).pos, one.storage.binlog.end());
}
