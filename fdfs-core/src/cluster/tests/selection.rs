//! Who stores and serves (tracker 6).

use super::*;
use crate::fileid::{Blob, Kind, Source, encode27};
use crate::wire::Status;
use crate::wire::report::SyncedFrom;

fn two_groups() -> World {
    let mut world = World::new(rules());
    world.active("group1", "10.0.0.1");
    world.active("group1", "10.0.0.2");
    world.active("group2", "10.0.1.1");
    world
}

fn stores(world: &World, name: Option<&str>) -> (String, String, u8) {
    let name = name.map(group);
    let choice = world.cluster.query_store(&world.rules, name.as_ref(), false).unwrap();
    (choice.group.name.to_string(), choice.servers[0].id.to_string(), choice.path)
}

#[test]
fn groups_servers_and_paths_take_turns() {
    let world = two_groups();
    let expected = [
        ("group1", "10.0.0.1", 0),
        ("group2", "10.0.1.1", 0),
        ("group1", "10.0.0.2", 0),
        ("group2", "10.0.1.1", 1),
    ];
    for (name, server, path) in expected {
        assert_eq!(stores(&world, None), (name.into(), server.into(), path));
    }
    assert_eq!(stores(&world, Some("group1")).1, "10.0.0.1");
    let all = world.cluster.query_store(&world.rules, Some(&group("group1")), true).unwrap();
    assert_eq!(all.servers.len(), 2);
}

#[test]
fn refusals_have_the_documented_status() {
    let mut world = two_groups();
    let status = |world: &World, name: Option<&str>| {
        let name = name.map(group);
        world.cluster.query_store(&world.rules, name.as_ref(), false).unwrap_err().status
    };
    assert_eq!(status(&world, Some("group9")), Status::NOENT);
    assert_eq!(
        World::new(rules()).cluster.query_store(&rules(), None, false).unwrap_err().status,
        Status::NOENT
    );
    let one = world.join("group2", "10.0.1.1").unwrap();
    world.usage(&one, &[(1000, 50), (1000, 50)]).unwrap();
    assert_eq!(status(&world, Some("group2")), Status::NOSPC);
    assert_eq!(stores(&world, None).0, "group1");
    assert_eq!(stores(&world, None).0, "group1");
    world.cluster.closed(&one, 1500, &mut world.out);
    assert_eq!(status(&world, Some("group2")), Status::NOENT);
}

#[test]
fn a_full_path_is_left_out() {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    world.usage(&one, &[(1000, 50), (1000, 500)]).unwrap();
    assert_eq!(stores(&world, None).2, 1);
    assert_eq!(stores(&world, None).2, 1);
}

#[test]
fn balance_prefers_free_space_and_priority() {
    let mut world = two_groups();
    world.rules.store_lookup = 2;
    world.rules.store_server = 2;
    world.rules.store_path = 2;
    let one = world.join("group2", "10.0.1.1").unwrap();
    world.usage(&one, &[(1000, 600), (1000, 800)]).unwrap();
    for _ in 0..3 {
        assert_eq!(stores(&world, None), ("group2".into(), "10.0.1.1".into(), 1));
    }
    let preferred = JoinHead { upload_priority: 1.into(), ..head("group1") };
    world.join_as(&preferred, "10.0.0.2").unwrap();
    assert_eq!(stores(&world, Some("group1")).1, "10.0.0.2");
    world.rules.store_server = 1;
    assert_eq!(stores(&world, Some("group1")).1, "10.0.0.1");
}

fn file(source: &str, timestamp: u32, kind: Kind) -> FileFacts {
    let blob = Blob::new(Source::Ip(source.parse().unwrap()), timestamp, kind, 10, 0, 0);
    let name = format!("M00/00/00/{}123.txt", std::str::from_utf8(&encode27(&blob.encode())).unwrap());
    FileFacts::of(name.as_bytes())
}

#[test]
fn a_replica_serves_what_has_arrived() {
    let mut world = two_groups();
    let two = world.join("group1", "10.0.0.2").unwrap();
    let now = 1_800_000_000;
    let new = file("10.0.0.1", now as u32 - 10, Kind::Normal);
    let ids = |world: &World, file: &FileFacts| -> Vec<String> {
        let found = world.cluster.query_fetch_all(&world.rules, now, &group("group1"), file).unwrap();
        found.iter().map(|member| member.id.to_string()).collect()
    };
    assert_eq!(ids(&world, &new), ["10.0.0.1"]);
    assert_eq!(ids(&world, &file("10.0.0.1", 1_700_000_000, Kind::Normal)), ["10.0.0.1", "10.0.0.2"]);
    let synced = |at: i64| [SyncedFrom { source_id: Text::cut(b"10.0.0.1"), timestamp: (at as i32).into() }];
    world.cluster.sync_report(&world.rules, &two, &synced(now - 10), now, &mut world.out).unwrap();
    assert_eq!(ids(&world, &new), ["10.0.0.1"], "the second of the last synced file may hold more files");
    world.cluster.sync_report(&world.rules, &two, &synced(now - 9), now, &mut world.out).unwrap();
    assert_eq!(ids(&world, &new), ["10.0.0.1", "10.0.0.2"]);
    let turns: Vec<String> = (0..3)
        .map(|_| world.cluster.query_fetch(&world.rules, now, &group("group1"), &new).unwrap().id.to_string())
        .collect();
    assert_eq!(turns, ["10.0.0.1", "10.0.0.2", "10.0.0.1"]);
    let appender = file("10.0.0.2", now as u32 - 10, Kind::Appender);
    assert_eq!(ids(&world, &appender), ["10.0.0.2"]);
    assert_eq!(world.cluster.query_update(&world.rules, &group("group1"), &appender).unwrap().id, two.id);
    world.cluster.closed(&two, 1500, &mut world.out);
    assert_eq!(ids(&world, &appender), ["10.0.0.1"], "the store server answers when the source is away");
}

#[test]
fn names_tell_source_and_kind() {
    let trunk = Blob::new(Source::Id(100001), 5, Kind::Trunk, 10, 0, 0);
    let text = encode27(&trunk.encode());
    let text = std::str::from_utf8(&text).unwrap();
    assert_eq!(
        FileFacts::of(format!("M00/00/00/{text}{}.txt", "0".repeat(19)).as_bytes()).source,
        Some(Source::Id(100001))
    );
    assert!(FileFacts::of(format!("M00/00/00/{text}{}.txt", "0".repeat(19)).as_bytes()).normal);
    assert!(!FileFacts::of(format!("M00/00/00/{text}{}_big.jpg", "0".repeat(19)).as_bytes()).normal);
    assert_eq!(FileFacts::of(b"M00/00/00/!!").source, None);
    assert!(FileFacts::of(&[b'!'; 60]).normal);
}
