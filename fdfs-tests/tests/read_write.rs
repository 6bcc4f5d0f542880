//! `rw=` of storage_ids.conf: members that trackers name for reading, for writing, for both, or not at all (tracker 5).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use fdfs_tests::cluster::{Cluster, wait_listening};
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::wait_for;

const STORE_ONE: u8 = 101;
const FETCH_ONE: u8 = 102;
const UPDATE: u8 = 103;
const STORE_ONE_IN_GROUP: u8 = 104;
const FETCH_ALL: u8 = 105;
const STORE_ALL: u8 = 106;
const STORE_ALL_IN_GROUP: u8 = 107;
const UPLOAD_APPENDER: u8 = 23;
const NOENT: u8 = 2;
const LIMIT: Duration = Duration::from_secs(60);

const BOTH: usize = 0;
const READ: usize = 1;
const WRITE: usize = 2;
const NONE: usize = 3;

fn write_ids(cluster: &Cluster, modes: [&str; 4]) {
    let line = |(index, mode): (usize, &str)| {
        format!("10000{} group1 {} {mode}\n", index + 1, cluster.members[index].addr.ip())
    };
    let text: String = modes.into_iter().enumerate().map(line).collect();
    for tracker in 0..2 {
        std::fs::write(cluster.dir().join(format!("tracker-{tracker}/storage_ids.conf")), &text).unwrap();
    }
}

fn upload(cluster: &Cluster, member: usize, command: u8) -> String {
    let mut storage = Raw::connect(cluster.members[member].addr);
    let answer = storage.ask(command, &raw::upload(0, "bin", &[member as u8; 100])).unwrap();
    assert_eq!(answer.status, 0);
    String::from_utf8(answer.body[16..].to_vec()).unwrap()
}

/// The members in an answer, or its status.
fn named(cluster: &Cluster, command: u8, body: &[u8]) -> Result<Vec<usize>, u8> {
    let answer = Raw::connect(cluster.tracker(0)).ask(command, body).unwrap();
    // Group 16, then address 15 and port 8 each.
    let member = |one: &[u8]| {
        let ip = String::from_utf8_lossy(&one[..15]).trim_end_matches('\0').parse().unwrap();
        cluster.member_at(ip)
    };
    match answer.status {
        0 => Ok(answer.body[16..].chunks_exact(23).map(member).collect()),
        status => Err(status),
    }
}

/// Whoever is named when it is asked often.
fn turns(cluster: &Cluster, command: u8, body: &[u8]) -> BTreeSet<usize> {
    (0..20).flat_map(|_| named(cluster, command, body).unwrap()).collect()
}

#[test]
fn members_are_named_for_what_they_may_be_used() {
    let mut cluster = Cluster::start("rw", 0);
    for _ in 0..4 {
        cluster.add_member("group1");
    }
    write_ids(&cluster, ["", "rw=read", "rw=write", "rw=none"]);
    for tracker in 0..2 {
        wait_listening(cluster.tracker(tracker));
        assert!(cluster.tracker_process(tracker).stop().success());
        let ids =
            "use_storage_id = true\nid_type_in_filename = id\nstorage_ids_filename = storage_ids.conf\n";
        cluster.start_tracker_with(tracker, &format!("check_active_interval = 10\n{ids}"));
    }
    // Old files come from a member that may be written to: it has to be there first.
    cluster.start_storage(BOTH);
    cluster.wait_active();
    [READ, WRITE, NONE].into_iter().for_each(|member| cluster.start_storage(member));
    cluster.wait_active();

    // Who asks a storage itself is served, and everything goes to every member.
    let files = [BOTH, READ, WRITE, NONE].map(|member| upload(&cluster, member, raw::UPLOAD));
    let appender = upload(&cluster, WRITE, UPLOAD_APPENDER);
    for member in &cluster.members {
        for name in files.iter().chain([&appender]) {
            let path = member.base.join("data").join(&name[4..]);
            wait_for("all members have everything", LIMIT, || path.exists());
        }
    }

    let group = raw::field("group1", 16);
    for (command, body) in [(STORE_ONE, &[][..]), (STORE_ONE_IN_GROUP, &group)] {
        assert_eq!(turns(&cluster, command, body), BTreeSet::from([BOTH, WRITE]), "{command}");
    }
    for (command, body) in [(STORE_ALL, &[][..]), (STORE_ALL_IN_GROUP, &group)] {
        assert_eq!(named(&cluster, command, body), Ok(vec![BOTH, WRITE]), "{command}");
    }
    for name in &files {
        let body = raw::file("group1", name);
        wait_for("the copies are known to the tracker", LIMIT, || {
            named(&cluster, FETCH_ALL, &body) == Ok(vec![BOTH, READ])
        });
        assert_eq!(turns(&cluster, FETCH_ONE, &body), BTreeSet::from([BOTH, READ]));
    }
    let update = |member: usize| turns(&cluster, UPDATE, &raw::file("group1", &files[member]));
    assert_eq!([update(BOTH), update(WRITE)], [BTreeSet::from([BOTH]), BTreeSet::from([WRITE])]);
    for member in [READ, NONE] {
        assert_eq!(update(member), BTreeSet::from([BOTH, WRITE]), "changes of what came from elsewhere");
    }
    // Only its source is sure to have the last state of an appender; if that may not be read, the first that takes files.
    let body = raw::file("group1", &appender);
    assert_eq!(named(&cluster, FETCH_ONE, &body), Ok(vec![BOTH]));
    assert_eq!(named(&cluster, UPDATE, &body), Ok(vec![WRITE]));

    // Nobody is left to write to; reading goes on.
    for member in [BOTH, WRITE] {
        cluster.storage(member).kill();
    }
    let body = raw::file("group1", &files[WRITE]);
    wait_for("no member takes files", LIMIT, || named(&cluster, STORE_ONE, &[]) == Err(NOENT));
    assert_eq!(named(&cluster, UPDATE, &body), Err(NOENT));
    assert_eq!(turns(&cluster, FETCH_ONE, &body), BTreeSet::from([READ]));
}
