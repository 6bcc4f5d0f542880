//! Data files against the captured ones, and against damage (tracker 8).

use std::path::Path;
use std::process::Command;

use super::persist::{Files, TrackerStatus};
use super::*;
use crate::testing::vectors;

fn captured(set: &Path, tree: &str) -> Files {
    let text = |name: &str| {
        let member = format!("data/fastdfs/tracker/data/{name}");
        let archive = set.join(format!("tree-{tree}.tar.gz"));
        let run = |member: &str| Command::new("tar").arg("xzOf").arg(&archive).arg(member).output().unwrap();
        let out = Some(run(&member))
            .filter(|out| out.status.success())
            .unwrap_or_else(|| run(&format!("./{member}")));
        assert!(out.status.success(), "{archive:?} {member}");
        String::from_utf8(out.stdout).unwrap()
    };
    Files {
        groups: text(persist::GROUPS_FILE),
        servers: text(persist::SERVERS_FILE),
        synced: text(persist::SYNCED_FILE),
    }
}

#[test]
fn captured_files_come_out_as_they_went_in() {
    let Some(dir) = vectors() else { return };
    for (set, use_ids) in [("plain", false), ("ids-trunk", true), ("multi", true)] {
        let rules = if use_ids { rules_with_ids() } else { rules() };
        for tree in ["t1", "t2"] {
            let files = captured(&dir.join(set), tree);
            let (cluster, wrong) = Cluster::from_files(&rules, &files, 0);
            assert_eq!(wrong, Vec::<String>::new(), "{set} {tree}");
            assert_eq!(cluster.to_files(use_ids), files, "{set} {tree}");
        }
    }
}

fn saved() -> (World, Files) {
    let mut world = World::new(rules());
    let one = world.active("group1", "10.0.0.1");
    world.active("group1", "10.0.0.2");
    world.active("group2", "10.0.1.1");
    world.cluster.set_trunk_server(&one.group, Some(one.id), &mut world.out).unwrap();
    let files = world.cluster.to_files(false);
    (world, files)
}

#[test]
fn a_restart_keeps_the_cluster() {
    let (mut world, files) = saved();
    let (loaded, wrong) = Cluster::from_files(&world.rules, &files, 0);
    assert_eq!(wrong, Vec::<String>::new());
    world.cluster = loaded;
    let group1 = world.cluster.group(&group("group1")).unwrap();
    assert!(group1.storages().all(|member| member.status == StorageStatus::Offline));
    assert_eq!(group1.storage(&id("10.0.0.2")).unwrap().source, Some(id("10.0.0.1")));
    assert_eq!(group1.trunk_server, Some(id("10.0.0.1")));
    let back = world.join("group1", "10.0.0.2").unwrap();
    assert_eq!((back.status, back.source), (StorageStatus::Online, Some(id("10.0.0.1"))));
}

#[test]
fn torn_files_give_what_is_left() {
    let (world, files) = saved();
    for cut in 0..files.servers.len() {
        let torn = Files { servers: files.servers[..cut].into(), ..files.clone() };
        let (cluster, _) = Cluster::from_files(&world.rules, &torn, 0);
        assert_eq!(cluster.groups().count(), 2);
    }
    for cut in 0..files.groups.len() {
        let torn = Files { groups: files.groups[..cut].into(), ..files.clone() };
        let (cluster, _) = Cluster::from_files(&world.rules, &torn, 0);
        assert_eq!(cluster.groups().flat_map(Group::storages).count(), 3);
    }
    let odd = Files {
        groups: "[Group001]\n\tgroup_name=no-name\n".into(),
        servers: "[Storage001]\n\tgroup_name=g\n\tip_addr=1.2.3.4\n\tsync_src_server=1.2.3.5\n".into(),
        synced: "g,1.2.3.4,x\nnowhere,1.2.3.4,0\n".into(),
    };
    let (cluster, wrong) = Cluster::from_files(&world.rules, &odd, 0);
    assert_eq!((cluster.groups().count(), wrong.len()), (1, 4), "{wrong:?}");
}

#[test]
fn files_of_old_versions() {
    let groups = "group1,23000\ngroup2,23001,2,256\n\ngroup3,1,2\n";
    let counters = "9,8,7,6,5,4,3,2,1,0";
    let servers = format!(
        "group1,10.0.0.1,7,,0,{counters},1300,1301\n\
         group1,10.0.0.2,3,10.0.0.1,1200,{counters},1300,1301,77\n\
         group2,10.0.1.1,7,,0,{counters},1300,1301,77,23001,0\n\
         group2,10.0.1.2,7,10.0.1.1,1200,{counters},1300,1301,77,23001,0,1100,2.08\n\
         group2,10.0.1.3,7\n"
    );
    let (files, wrong) = persist::legacy::convert(groups, &servers);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    let (cluster, wrong) = Cluster::from_files(&rules(), &files, 100);
    assert_eq!(wrong, Vec::<String>::new());
    let group2 = cluster.group(&group("group2")).unwrap();
    assert_eq!((group2.path_count, group2.subdir_count, group2.port), (2, 256, GroupPort::One(23001)));
    let member = group2.storage(&id("10.0.1.2")).unwrap();
    assert_eq!((member.source, member.sync_until, member.port), (Some(id("10.0.1.1")), 1200, 23001));
    assert_eq!((member.join_time, member.version.as_str(), member.changelog_offset), (1100, "2.08", 77));
    use crate::wire::list::stat;
    let counter = |at: usize| member.stat.counters[at].get();
    assert_eq!((counter(stat::UPLOAD), counter(stat::UPLOAD + 1), counter(stat::GET_META)), (9, 8, 1));
    assert_eq!((counter(stat::LAST_SOURCE_UPDATE), counter(stat::LAST_SYNC_UPDATE)), (1300, 1301));
    let group1 = cluster.group(&group("group1")).unwrap();
    assert_eq!(group1.storages().count(), 2);
    assert_eq!(group1.storage(&id("10.0.0.2")).unwrap().changelog_offset, 77);
}

#[test]
fn the_status_file() {
    let status = TrackerStatus { up_time: 1795333955, last_check_time: 1795334100 };
    assert_eq!(status.encode(), "up_time=1795333955\nlast_check_time=1795334100\n");
    assert_eq!(TrackerStatus::decode(&status.encode()), status);
    assert_eq!(TrackerStatus::decode("up_ti"), TrackerStatus::default());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_and_what_was_read_is_kept(groups in ".*", servers in LINES, synced in LINES) {
        let text = |lines: &str| lines.replace(';', "\n\t");
        let files = Files { groups: text(&groups), servers: text(&servers), synced: text(&synced) };
        for rules in [rules(), rules_with_ids()] {
            let (cluster, _) = Cluster::from_files(&rules, &files, 100);
            let saved = cluster.to_files(rules.ids.is_some());
            let (again, wrong) = Cluster::from_files(&rules, &saved, 100);
            proptest::prop_assert_eq!(wrong, Vec::<String>::new());
            proptest::prop_assert_eq!(again.to_files(rules.ids.is_some()), saved);
        }
    }
}

/// Lines of members, good and bad.
const LINES: &str = "((;\\[Storage[0-9]{1,3}\\])|(;group_name=group[1-3])|(;ip_addr=10\\.66\\.0\\.[0-9]{2})|(;id=10000[1-9])\
    |(;status=[0-9]{1,2})|(;sync_src_server=1[0-9.]{0,9})|(;total_mb=-?[0-9]{0,19})|(;version=[ -~]{0,9})\
    |(;group1,10\\.66\\.0\\.2[1-3],[0-9]{0,11},-?[0-9]{1,3})){0,40}";
