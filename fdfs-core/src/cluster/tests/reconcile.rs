//! What a tracker takes over from another after it was down (tracker 7.6).

use super::persist::Files;
use super::*;

/// Two members of group1 and one of group2, all of whose connections ended at 1000.
fn three() -> World {
    let mut world = World::new(rules());
    let all = [
        world.active("group1", "10.0.0.1"),
        world.active("group1", "10.0.0.2"),
        world.active("group2", "10.0.1.1"),
    ];
    for who in &all {
        world.cluster.beat(who, 1000, None, &mut world.out).unwrap();
    }
    for who in &all {
        world.cluster.closed(who, 1500, &mut world.out);
    }
    world.out = Effects::default();
    world
}

/// As the other tracker gets it.
fn files(world: &World) -> Cluster {
    let files: Files = world.cluster.to_files(false);
    let (cluster, wrong) = Cluster::from_files(&world.rules, &files, 0);
    assert_eq!(wrong, Vec::<String>::new());
    cluster
}

fn reconcile(here: &mut World, there: &World, logs: [&str; 2]) -> (usize, usize) {
    let [theirs, ours] = logs.map(|log| Removals::parse(log.as_bytes()));
    let missed = here.cluster.reconcile(files(there), &theirs, &ours, &mut here.out);
    (missed.added, missed.removed)
}

fn member<'a>(world: &'a World, name: &str, addr: &str) -> Option<&'a Storage> {
    world.cluster.group(&group(name)).and_then(|group| group.storage(&id(addr)))
}

#[test]
fn unknown_members_are_taken_over() {
    let (mut here, there) = (World::new(rules()), three());
    let who = here.active("group1", "10.0.0.2");
    assert_eq!(reconcile(&mut here, &there, ["", ""]), (2, 0));
    assert_eq!(here.status(&who), StorageStatus::Active);
    assert_eq!(member(&here, "group1", "10.0.0.1").unwrap().status, StorageStatus::Offline);
    assert!(member(&here, "group2", "10.0.1.1").is_some());
    assert!(here.out.save);
    here.out = Effects::default();
    assert_eq!(reconcile(&mut here, &there, ["", ""]), (0, 0));
    assert_eq!(here.out, Effects::default());
}

#[test]
fn what_was_removed_there_is_removed_here() {
    let (mut here, mut there) = (three(), three());
    there.cluster.delete_storage(1001, &group("group1"), &id("10.0.0.1"), &mut there.out).unwrap();
    there.cluster.delete_storage(1002, &group("group2"), &id("10.0.1.1"), &mut there.out).unwrap();
    let log = there.out.changelog.clone();
    let mut restarted = World { cluster: files(&there), ..World::new(rules()) };
    restarted.cluster.delete_group(&group("group2"), &mut restarted.out).unwrap();
    assert_eq!(reconcile(&mut here, &restarted, [&log, ""]), (0, 2));
    assert_eq!(member(&here, "group1", "10.0.0.1").unwrap().status, StorageStatus::Deleted);
    assert_eq!(member(&here, "group1", "10.0.0.2").unwrap().source, None);
    assert!(here.cluster.group(&group("group2")).is_none());
    // It is in the own log, for the members that ask here, and for a third tracker.
    assert_eq!(here.out.changelog, log);
    assert!(here.out.save);
}

#[test]
fn a_member_that_has_been_seen_since_stays() {
    let (mut here, mut there) = (three(), three());
    there.cluster.delete_storage(99, &group("group1"), &id("10.0.0.1"), &mut there.out).unwrap();
    there.cluster.delete_storage(1001, &group("group1"), &id("10.0.0.2"), &mut there.out).unwrap();
    let log = there.out.changelog.clone();
    let who = here.join("group1", "10.0.0.2").unwrap();
    assert_eq!(reconcile(&mut here, &there, [&log, ""]), (0, 0));
    assert_eq!(member(&here, "group1", "10.0.0.1").unwrap().status, StorageStatus::Offline);
    assert_eq!(here.status(&who), StorageStatus::Online);
}

#[test]
fn what_was_removed_here_does_not_come_back() {
    let (mut here, there) = (three(), three());
    here.cluster.delete_storage(1001, &group("group1"), &id("10.0.0.1"), &mut here.out).unwrap();
    here.cluster.delete_storage(1001, &group("group2"), &id("10.0.1.1"), &mut here.out).unwrap();
    let log = std::mem::take(&mut here.out.changelog);
    let mut restarted = World { cluster: files(&here), ..World::new(rules()) };
    restarted.cluster.delete_group(&group("group2"), &mut restarted.out).unwrap();
    assert_eq!(reconcile(&mut restarted, &there, ["", &log]), (0, 0));
    assert!(member(&restarted, "group1", "10.0.0.1").is_none());
    assert!(restarted.cluster.group(&group("group2")).is_none());
    // Seen there after that: it was added again.
    let earlier = log.replace("1001", "99");
    assert_eq!(reconcile(&mut restarted, &there, ["", &earlier]), (2, 0));
}

#[test]
fn a_changed_address_is_followed() {
    let (mut here, mut there) = (three(), three());
    let addrs = (ip("10.0.0.1"), ip("10.0.0.10"));
    there.cluster.ip_changed(&there.rules, 1005, &group("group1"), addrs, &mut there.out).unwrap();
    let log = there.out.changelog.clone();
    assert_eq!(reconcile(&mut here, &there, [&log, ""]), (0, 1));
    assert_eq!(member(&here, "group1", "10.0.0.1").unwrap().status, StorageStatus::IpChanged);
    assert_eq!(member(&here, "group1", "10.0.0.10").unwrap().status, StorageStatus::Offline);
    assert_eq!(member(&here, "group1", "10.0.0.2").unwrap().source, Some(id("10.0.0.10")));
    assert_eq!(here.out.changelog, log);
    // The next time nothing is new.
    assert_eq!(reconcile(&mut here, &there, [&log, &log]), (0, 0));
}

#[test]
fn lines_of_a_change_log() {
    let two = "12 group1 10.0.0.1 4 \n13 group1 10.0.0.2 3 10.0.0.3\n";
    let removals = Removals::parse(two.as_bytes());
    let more = format!("{two}x group1 10.0.0.4 4 \n14 group1 10.0.0.5 7 \n15 group1 10.0.0.6 4 ");
    assert_eq!(removals, Removals::parse(more.as_bytes()));
    assert_ne!(removals, Removals::parse(&two.as_bytes()[..two.len() - 1]));
    assert_ne!(removals, Removals::default());
    assert_eq!(Removals::parse(&[0xff, b' ', 0]), Removals::default());
}
