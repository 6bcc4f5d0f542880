//! Joining, negotiating, going offline (tracker 3, 5).

use super::*;
use crate::wire::Status;
use crate::wire::report::{Brief, SyncSource, SyncedFrom};
use StorageStatus::{Active, Deleted, Init, IpChanged, Offline, Online, Syncing, WaitSync};

#[test]
fn the_first_member_has_nothing_to_copy() {
    let mut world = World::new(rules());
    let one = world.join("group1", "10.0.0.1").unwrap();
    assert_eq!(one.status, Init);
    assert_eq!(world.cluster.request_source(&one, 5, &mut world.out), Ok(None));
    assert_eq!(world.status(&one), Online);
    world.usage(&one, &[(10, 5), (10, 5)]).unwrap();
    assert_eq!(world.status(&one), Active);
}

#[test]
fn the_second_member_goes_the_recorded_way() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    let two = world.join("group1", "10.0.0.2").unwrap();
    let (cluster, out) = (&mut world.cluster, &mut world.out);
    cluster.beat(&two, 1001, None, out).unwrap();
    assert_eq!(world.status(&two), Init);
    let source = world.cluster.request_source(&two, 1002, &mut world.out).unwrap().unwrap();
    assert_eq!((source.source_id.as_str(), source.until.get()), ("10.0.0.1", 1002));
    assert_eq!(world.status(&two), WaitSync);
    let asked = world.cluster.source_of(&one.group, &two.id, &mut world.out).unwrap();
    assert_eq!(asked, Some(source));
    for (reported, beats) in [(Syncing, Syncing), (Offline, Active)] {
        world.report("group1", "10.0.0.2", reported);
        assert_eq!(world.status(&two), reported);
        world.cluster.beat(&two, 1003, None, &mut world.out).unwrap();
        assert_eq!(world.status(&two), beats);
    }
    assert!(world.out.save);
}

#[test]
fn a_source_must_be_active() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    let two = world.join("group1", "10.0.0.2").unwrap();
    world.cluster.closed(&one, 1500, &mut world.out);
    assert_eq!(world.status(&one), Offline);
    let refused = world.cluster.request_source(&two, 1002, &mut world.out).unwrap_err();
    assert_eq!(refused.status, Status::NOENT);
    assert_eq!(world.status(&two), Init);
}

#[test]
fn the_result_of_another_tracker_is_taken_over() {
    let mut world = World::new(rules());
    world.active("group1", "10.0.0.1");
    let two = world.join("group1", "10.0.0.2").unwrap();
    let told = |source: &[u8]| SyncSource { source_id: Text::cut(source), until: 7.into() };
    let (cluster, out) = (&mut world.cluster, &mut world.out);
    assert_eq!(cluster.source_chosen(&two, &told(b"10.0.0.9"), 1500, out).unwrap_err().status, Status::NOENT);
    cluster.source_chosen(&two, &told(b"10.0.0.1"), 1500, out).unwrap();
    assert_eq!(cluster.recorded_source(&two).unwrap().unwrap().until.get(), 7);
    assert_eq!(world.status(&two), WaitSync);
    world.cluster.source_chosen(&two, &told(b""), 1500, &mut world.out).unwrap();
    assert_eq!(world.status(&two), Online);
}

#[test]
fn a_stale_connection_changes_nothing() {
    let mut world = World::new(rules());
    let first = world.active("group1", "10.0.0.1");
    let second = world.join("group1", "10.0.0.1").unwrap();
    assert_eq!(second.status, Active);
    world.cluster.closed(&first, 1500, &mut world.out);
    assert_eq!(world.status(&second), Active);
    world.cluster.closed(&second, 1500, &mut world.out);
    assert_eq!(world.status(&second), Offline);
    world.cluster.beat(&first, 1001, None, &mut world.out).unwrap();
    assert_eq!(world.status(&second), Offline);
    let third = world.join("group1", "10.0.0.1").unwrap();
    assert_eq!(third.status, Online);
}

#[test]
fn silence_makes_offline() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    world.cluster.beat(&one, 2000, None, &mut world.out).unwrap();
    world.cluster.check_alive(&world.rules, 2100, &mut world.out);
    assert_eq!(world.status(&one), Active);
    world.cluster.check_alive(&world.rules, 2101, &mut world.out);
    assert_eq!(world.status(&one), Offline);
    assert!(world.out.notes.iter().any(|note| note.text.contains("idle too long")));
    world.cluster.beat(&one, 2102, None, &mut world.out).unwrap();
    assert_eq!(world.status(&one), Active);
}

#[test]
fn a_clock_that_is_set_makes_nobody_silent() {
    for by in [600, -600] {
        let mut world = World::new(rules());
        let [one, two, three] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|ip| world.active("group1", ip));
        world.cluster.beat(&one, 1990, None, &mut world.out).unwrap();
        world.cluster.beat(&two, 1900, None, &mut world.out).unwrap();
        // At 2000 the clock is set; the third beats before that is noticed.
        world.cluster.beat(&three, 2000 + by, None, &mut world.out).unwrap();
        world.cluster.clock_moved(by, 2001 + by);
        world.cluster.check_alive(&world.rules, 2002 + by, &mut world.out);
        assert_eq!([&one, &two, &three].map(|who| world.status(who)), [Active, Offline, Active], "{by}");
        world.cluster.check_alive(&world.rules, 2091 + by, &mut world.out);
        assert_eq!([&one, &three].map(|who| world.status(who)), [Offline, Active], "{by}");
        world.cluster.check_alive(&world.rules, 2101 + by, &mut world.out);
        assert_eq!(world.status(&three), Offline, "{by}");
    }
}

#[test]
fn a_deleted_member_stays_deleted_until_it_joins() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    let delete = |world: &mut World| world.cluster.delete_storage(9, &one.group, &one.id, &mut world.out);
    assert_eq!(delete(&mut world).unwrap_err().status, Status::BUSY);
    world.cluster.closed(&one, 1500, &mut world.out);
    delete(&mut world).unwrap();
    assert_eq!(delete(&mut world).unwrap_err().status, Status::ALREADY);
    assert_eq!(world.out.changelog, "9 group1 10.0.0.1 4 \n");
    world.cluster.beat(&one, 1001, None, &mut world.out).unwrap();
    world.report("group1", "10.0.0.1", Offline);
    assert_eq!(world.status(&one), Deleted);
    assert_eq!(world.cluster.delete_group(&one.group, &mut world.out).unwrap_err().status, Status::BUSY);
    assert_eq!(world.join("group1", "10.0.0.1").unwrap().status, Init);
}

#[test]
fn joins_that_do_not_fit_are_refused() {
    let mut world = World::new(rules());
    world.active("group1", "10.0.0.1");
    type Change = fn(&mut JoinHead);
    let cases: [(Change, Status); 8] = [
        (|head| head.group = Text::cut(b"no-group"), Status::INVAL),
        (|head| head.port = 0.into(), Status::INVAL),
        (|head| head.port = 23001.into(), Status::INVAL),
        (|head| head.store_path_count = 257.into(), Status::INVAL),
        (|head| head.store_path_count = 1.into(), Status::INVAL),
        (|head| head.subdir_count = 4.into(), Status::INVAL),
        (|head| head.init_flag = 0, Status::FAULT),
        (|head| (head.init_flag, head.status) = (0, 4), Status::FAULT),
    ];
    for (change, status) in cases {
        let mut head = head("group1");
        change(&mut head);
        assert_eq!(world.join_as(&head, "10.0.0.2").unwrap_err().status, status);
    }
    assert_eq!(world.cluster.group(&group("group1")).unwrap().storages().count(), 1);
    assert!(world.join_as(&JoinHead { port: 0.into(), ..head("group9") }, "10.0.0.3").is_err());
    assert!(world.cluster.group(&group("group9")).is_none(), "a refused storage leaves no group behind");
}

#[test]
fn a_group_follows_when_all_members_changed() {
    let mut world = World::new(rules());
    world.active("group1", "10.0.0.1");
    world.active("group1", "10.0.0.2");
    let moved = JoinHead { port: 24000.into(), init_flag: 0, ..head("group1") };
    assert!(world.join_as(&moved, "10.0.0.1").is_err());
    assert!(world.join_as(&moved, "10.0.0.2").is_ok());
    assert!(world.join_as(&moved, "10.0.0.1").is_ok());
    assert_eq!(world.cluster.group(&group("group1")).unwrap().port, GroupPort::One(24000));
}

#[test]
fn ids_come_from_the_file() {
    let mut world = World::new(rules_with_ids());
    let with_id = |id: &[u8]| JoinHead { id: Text::cut(id), ..head("group1") };
    assert_eq!(world.join("group1", "10.66.0.21").unwrap().id, id("100001"));
    assert_eq!(world.join_as(&with_id(b"100002"), "127.0.0.1").unwrap().id, id("100002"));
    assert_eq!(world.join_as(&with_id(b"100003"), "127.0.0.1").unwrap_err().status, Status::INVAL);
    assert_eq!(world.join_as(&with_id(b"7"), "127.0.0.1").unwrap_err().status, Status::NOENT);
    assert_eq!(world.join("group1", "10.66.0.99").unwrap_err().status, Status::NOENT);
}

#[test]
fn members_learn_of_changes_once() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    let news = world.cluster.changes(&one, ip("10.0.0.1"), Some(Brief::NONE));
    assert_eq!(news.members.map(|members| members.len()), Some(1));
    assert!(world.cluster.changes(&one, ip("10.0.0.1"), None).is_empty());
    world.join("group1", "10.0.0.2").unwrap();
    let news = world.cluster.changes(&one, ip("10.0.0.1"), None);
    let members: Vec<u8> = news.members.unwrap().iter().map(|brief| brief.status).collect();
    assert_eq!(members, [7, 0]);
}

#[test]
fn sync_reports_move_the_least_time() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    world.active("group1", "10.0.0.2");
    let three = world.active("group1", "10.0.0.3");
    let entry = |id: &str, at: i32| SyncedFrom { source_id: Text::cut(id.as_bytes()), timestamp: at.into() };
    let entries = [entry("10.0.0.1", 50), entry("10.0.0.2", 40), entry("10.0.0.3", 10), entry("10.0.0.9", 1)];
    world.cluster.sync_report(&world.rules, &three, &entries, 1000, &mut world.out).unwrap();
    let synced =
        |world: &World| world.cluster.group(&one.group).unwrap().storage(&three.id).unwrap().last_synced();
    assert_eq!(synced(&world), 40);
    world.cluster.sync_report(&world.rules, &three, &[entry("10.0.0.1", 0)], 1000, &mut world.out).unwrap();
    assert_eq!(synced(&world), 40);
}

#[test]
fn a_changed_address_continues_the_record() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    let two = world.active("group1", "10.0.0.2");
    let addrs = (ip("10.0.0.2"), ip("10.0.0.5"));
    let change =
        |world: &mut World| world.cluster.ip_changed(&world.rules, 8, &one.group, addrs, &mut world.out);
    assert_eq!(change(&mut world).unwrap_err().status, Status::BUSY);
    world.cluster.closed(&two, 1500, &mut world.out);
    change(&mut world).unwrap();
    assert_eq!(change(&mut world).unwrap_err().status, Status::ALREADY);
    let group = world.cluster.group(&one.group).unwrap();
    assert_eq!(group.storage(&id("10.0.0.5")).unwrap().source, Some(one.id));
    assert_eq!(group.storage(&id("10.0.0.2")).unwrap().status, IpChanged);
    assert_eq!(world.out.changelog, "8 group1 10.0.0.2 3 10.0.0.5\n");
}

#[test]
fn a_member_with_one_more_store_path_serves_with_those_of_its_group() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    let two = world.active("group1", "10.0.0.2");
    world.cluster.closed(&two, 1000, &mut world.out);
    let mut more = head("group1");
    more.store_path_count = 3.into();
    let two = world.join_as(&more, "10.0.0.2").unwrap();
    world.usage(&two, &[(1000, 500), (1000, 400), (1000, 300)]).unwrap();
    assert_eq!(world.status(&two), StorageStatus::Active);
    let space = |world: &World, who: &Joined| {
        let member = world.cluster.group(&who.group).unwrap().storage(&who.id).unwrap();
        (member.paths.len(), member.free_mb)
    };
    assert_eq!(space(&world, &two), (2, 900));
    assert_eq!(world.usage(&two, &[(1000, 500)]).unwrap_err().status, Status::INVAL);
    // When the last member has it, the group has it.
    world.cluster.closed(&one, 1000, &mut world.out);
    let one = world.join_as(&more, "10.0.0.1").unwrap();
    for who in [&one, &two] {
        world.usage(who, &[(1000, 500), (1000, 400), (1000, 300)]).unwrap();
        assert_eq!(space(&world, who), (3, 1200));
    }
}
