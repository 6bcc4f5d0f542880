//! What members wait for, in the states that a member goes through.

use super::*;
use crate::cluster::{Facts, Verdict, verdict};
use crate::wire::explain;
use StorageStatus::{Active, Deleted, Init, Offline, Online, Recovery, Syncing, WaitSync};

fn facts(world: &World) -> Vec<Facts> {
    let of = |group| {
        let fact = move |member| Facts::of(&world.rules, group, member, ip("10.0.0.99"));
        group.storages().map(fact)
    };
    world.cluster.groups().flat_map(of).collect()
}

fn told(world: &World, who: &Joined) -> (Facts, Verdict) {
    let all = facts(world);
    let me = all.iter().find(|facts| facts.id == who.id && facts.group == who.group).unwrap();
    (me.clone(), verdict(me, &all))
}

/// Status, its reason and time, and what the sentence and the actor must contain.
#[track_caller]
fn expect(world: &World, who: &Joined, state: (StorageStatus, Cause, i64), waits: &str, actor: &str) {
    let (facts, found) = told(world, who);
    assert_eq!((facts.status, facts.cause, facts.since), (state.0, Some(state.1), state.2));
    assert!(found.waits_for.contains(waits), "{found:?}");
    assert_eq!(found.actor, actor, "{found:?}");
}

#[test]
fn the_life_of_a_second_member() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    expect(&world, &one, (Active, Cause::Reported, 1000), "nothing: it serves", "nobody");
    let two = world.join("group1", "10.0.0.2").unwrap();
    expect(&world, &two, (Init, Cause::New, 1000), "its question who copies", "storage 10.0.0.2");
    world.cluster.request_source(&two, 1100, &mut world.out).unwrap();
    expect(&world, &two, (WaitSync, Cause::SourceChosen, 1100), "10.0.0.1 to begin", "storage 10.0.0.1");
    world.cluster.closed(&one, 1200, &mut world.out);
    expect(&world, &one, (Offline, Cause::Closed, 1200), "start it at 10.0.0.1:23000", "the operator");
    expect(&world, &two, (WaitSync, Cause::SourceChosen, 1100), "is OFFLINE: start it at", "the operator");
    let one = world.join("group1", "10.0.0.1").unwrap();
    expect(&world, &one, (Online, Cause::Joined, 1000), "its next heart beat", "storage 10.0.0.1");
    world.cluster.beat(&one, 1300, None, &mut world.out).unwrap();
    world.report("group1", "10.0.0.2", Syncing);
    expect(&world, &two, (Syncing, Cause::ByPeer, 1500), "10.0.0.1, which copies", "storage 10.0.0.1");
    world.report("group1", "10.0.0.2", Offline);
    expect(&world, &two, (Offline, Cause::ByPeer, 1500), "its next heart beat", "storage 10.0.0.2");
    world.cluster.beat(&two, 1600, None, &mut world.out).unwrap();
    // A beat more is no change of status.
    world.cluster.beat(&two, 1700, None, &mut world.out).unwrap();
    expect(&world, &two, (Active, Cause::Reported, 1600), "nothing: it serves", "nobody");
    world.cluster.check_alive(&world.rules.clone(), 1790, &mut world.out);
    expect(&world, &one, (Offline, Cause::Silent, 1790), "its next heart beat", "storage 10.0.0.1");
    world.cluster.closed(&two, 1800, &mut world.out);
    world.report("group1", "10.0.0.2", Recovery);
    expect(&world, &two, (Recovery, Cause::ByPeer, 1500), "a lost store path", "storage 10.0.0.2");
}

#[test]
fn what_only_an_operator_can_end() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    world.usage(&one, &[(1000, 50), (1000, 50)]).unwrap();
    expect(
        &world,
        &one,
        (Active, Cause::Reported, 1000),
        "100 MiB are free, 100 MiB are reserved",
        "the operator",
    );
    let two = world.join("group1", "10.0.0.2").unwrap();
    world.cluster.closed(&one, 1200, &mut world.out);
    expect(&world, &two, (Init, Cause::New, 1000), "none can copy the old files", "the operator");
    world.cluster.delete_storage(1300, &one.group, &one.id, &mut world.out).unwrap();
    expect(&world, &one, (Deleted, Cause::Deleted, 1300), "nothing: it is deleted", "nobody");
    expect(&world, &two, (Init, Cause::New, 1000), "it is alone", "storage 10.0.0.2");
    let mut more = head("group1");
    more.store_path_count = 3.into();
    let three = world.join_as(&more, "10.0.0.3").unwrap();
    world.cluster.request_source(&three, 1400, &mut world.out).unwrap();
    world.cluster.beat(&three, 1400, None, &mut world.out).unwrap();
    expect(&world, &three, (Active, Cause::Reported, 1400), "to have 3 store paths", "the operator");
}

#[test]
fn answers_are_read_as_they_were_meant() {
    let mut world = World::new(rules());
    world.active("group1", "10.0.0.1");
    let two = world.join("group1", "10.0.0.2").unwrap();
    world.cluster.request_source(&two, 1100, &mut world.out).unwrap();
    for facts in facts(&world) {
        assert_eq!(Facts::from_record(&facts.record()).unwrap(), facts);
    }
    // Of an existing tracker: the same sentence, without reason and time.
    let group = world.cluster.group(&two.group).unwrap();
    let record = group.record(&world.rules);
    let listed =
        |member| Facts::from_list(&record, &group.storage_record(&world.rules, member, two_ip())).unwrap();
    let all: Vec<Facts> = group.storages().map(listed).collect();
    assert_eq!((all[1].cause, all[1].since, all[1].connected), (None, 0, true));
    assert_eq!(verdict(&all[1], &all), told(&world, &two).1);
    let mut bad = all[1].record();
    bad.status = 8;
    assert!(Facts::from_record(&bad).is_err());
    assert!(explain::parse(&[0; 20]).is_err());
}

fn two_ip() -> IpAddr {
    ip("10.0.0.2")
}

/// Each change of a status has a line in the log.
#[test]
fn no_status_changes_in_silence() {
    let mut world = World::new(rules());
    let mut before = std::collections::HashMap::new();
    let mut step = |world: &mut World, what: &str| {
        for facts in facts(world) {
            let had = before.insert((facts.group, facts.id), facts.status);
            if had != Some(facts.status) {
                let named = |note: &Note| note.level != Level::Debug && note.text.contains(facts.id.as_str());
                assert!(world.out.notes.iter().any(named), "{what}: {had:?} -> {}", facts.status);
            }
        }
        world.out.notes.clear();
    };
    let one = world.join("group1", "10.0.0.1").unwrap();
    step(&mut world, "join");
    world.cluster.request_source(&one, 1000, &mut world.out).unwrap();
    step(&mut world, "nothing to copy");
    world.usage(&one, &[(1000, 500), (1000, 500)]).unwrap();
    step(&mut world, "disk report");
    world.cluster.closed(&one, 1000, &mut world.out);
    step(&mut world, "closed");
    let one = world.join("group1", "10.0.0.1").unwrap();
    step(&mut world, "joined again");
    world.cluster.beat(&one, 1000, None, &mut world.out).unwrap();
    step(&mut world, "beat");
    world.cluster.check_alive(&world.rules.clone(), 9000, &mut world.out);
    step(&mut world, "silent");
    world.cluster.delete_storage(9000, &one.group, &one.id, &mut world.out).unwrap();
    step(&mut world, "deleted");
    world.join("group1", "10.0.0.1").unwrap();
    step(&mut world, "joined after its end");
}
