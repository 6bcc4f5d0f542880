//! Trunk servers: when one is elected, and who.

use super::*;

fn world() -> (World, Joined, Joined) {
    let mut world = World::new(Rules { use_trunk: true, ..rules() });
    let one = world.active("group1", "10.0.0.1");
    let two = world.active("group1", "10.0.0.2");
    (world, one, two)
}

#[test]
fn an_election_is_due_when_there_is_none_or_it_is_silent() {
    let (mut world, one, two) = world();
    let need = |world: &World, now| world.cluster.group(&one.group).unwrap().trunk_need(&world.rules, now, 0);
    assert_eq!(need(&world, 1000), Some(TrunkNeed::Missing));
    assert_eq!(World::new(rules()).cluster.groups().count(), 0);
    world.cluster.set_trunk_server(&one.group, Some(one.id), &mut world.out).unwrap();
    // Joined at 1000 with an interval of 100 s: three of them, until its start is 1000 s ago.
    assert_eq!(need(&world, 1300), None);
    assert_eq!(need(&world, 1301), Some(TrunkNeed::Lost));
    let group = world.cluster.group(&one.group).unwrap();
    assert_eq!(group.trunk_need(&world.rules, 1500, 1300), None, "this tracker did not lead before 1300");
    assert_eq!(group.trunk_need(&Rules { use_trunk: false, ..world.rules.clone() }, 9000, 0), None);
    world.cluster.beat(&one, 3000, None, &mut world.out).unwrap();
    assert_eq!((need(&world, 3200), need(&world, 3201)), (None, Some(TrunkNeed::Lost)));
    // After a crash its start is unknown.
    world.cluster.closed(&one, 3000, &mut world.out);
    assert_eq!((need(&world, 3200), need(&world, 3201)), (None, Some(TrunkNeed::Lost)));
    let ids = |world: &World, need| {
        let group = world.cluster.group(&one.group).unwrap();
        group.trunk_candidates(&world.rules, need).iter().map(|member| member.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&world, TrunkNeed::Lost), [two.id]);
    world.cluster.delete_storage(3000, &one.group, &one.id, &mut world.out).unwrap();
    assert_eq!(need(&world, 3001), Some(TrunkNeed::Lost));
    world.cluster.set_trunk_server(&one.group, None, &mut world.out).unwrap();
    world.cluster.closed(&two, 3000, &mut world.out);
    assert_eq!(need(&world, 3001), None, "nobody could be it");
}

#[test]
fn the_store_server_is_asked_first_and_the_largest_wins() {
    let (mut world, one, two) = world();
    let group = world.cluster.group_mut(&one.group).unwrap();
    group.storage_mut(&two.id).unwrap().upload_priority = 1;
    let first = |store_server| {
        let rules = Rules { store_server, ..world.rules.clone() };
        let group = world.cluster.group(&one.group).unwrap();
        group.trunk_candidates(&rules, TrunkNeed::Missing).iter().map(|member| member.id).collect::<Vec<_>>()
    };
    assert_eq!(first(1), [one.id, two.id]);
    assert_eq!(first(2), [two.id, one.id]);
    let three = id("10.0.0.3");
    for (sizes, winner) in [
        ([Some(5), Some(5), Some(5)], Some(one.id)),
        ([Some(5), Some(9), Some(7)], Some(two.id)),
        ([Some(5), None, Some(7)], Some(three)),
        ([Some(0), None, None], Some(one.id)),
        ([None, Some(9), Some(9)], None),
    ] {
        let answers: Vec<_> = [one.id, two.id, three].into_iter().zip(sizes).collect();
        assert_eq!(trunk_winner(&answers), winner, "{sizes:?}");
    }
    assert_eq!(trunk_winner(&[]), None);
}

#[test]
fn names_in_the_log_of_changes() {
    let (world, one, _) = world();
    let group = world.cluster.group(&one.group).unwrap();
    assert_eq!(group.trunk_name(&world.rules, Some(one.id)), "10.0.0.1:23000");
    assert_eq!(group.trunk_name(&world.rules, None), "-");
    let rules = rules_with_ids();
    assert_eq!(group.trunk_name(&rules, Some(one.id)), "10.0.0.1/10.0.0.1:23000");
    assert_eq!(group.trunk_name(&rules, None), "-/-");
}
