//! Every command with each documented refusal, on sockets (tracker 3, 4 and 7.1, protocol 3), and the forms of old versions.

use fdfs_core::ident::StorageStatus::{Deleted, Offline, Recovery, Syncing};
use fdfs_core::settings::{FetchAllLayout, TrackerSettings};
use fdfs_core::wire::list::StorageRecord;
use fdfs_core::wire::query::{StoreTarget, parse_fetch_all};
use fdfs_core::wire::{Text, cmd};

use crate::support::{Client, Running, named, until};

const FILE: &[u8] = b"M00/00/00/CkIAFWsCn2CABdBAAAAAAGx7YPd02288.jpg";

/// A command, a body and the status that it gets; the words say what is wrong.
type Case = (u8, Vec<u8>, u8, &'static str);

#[track_caller]
fn check(client: &mut Client, cases: impl IntoIterator<Item = Case>) {
    for (command, body, status, why) in cases {
        let (got, answer) = client.call(command, &body);
        assert_eq!(got, status, "command {command}, {} bytes: {why}", body.len());
        assert!(got == 0 || answer.is_empty(), "command {command}: a refusal has a body");
    }
}

/// A body of each wrong length next to the right ones, for commands with fixed lengths: 22 whatever else is wrong.
fn wrong_lengths(command: u8, right: &[usize]) -> Vec<Case> {
    let near = right.iter().flat_map(|len| [len.wrapping_sub(1), len + 1]);
    let wrong = near.filter(|len| *len != usize::MAX && !right.contains(len));
    wrong.map(|len| (command, vec![0; len], 22, "wrong length")).collect()
}

fn brief(status: u8, id: &str, ip: &str, width: usize) -> Vec<u8> {
    let ip = Text::<46>::cut(ip.as_bytes());
    [&[status][..], &23000i32.to_be_bytes(), Text::<16>::cut(id.as_bytes()).raw(), &ip.raw()[..width]]
        .concat()
}

/// A tracker with group1: an active member, one in INIT, one that is offline.
fn with_group(change: impl FnOnce(&mut TrackerSettings)) -> (tempfile::TempDir, Running, Client, Client) {
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), change);
    let mut one = Client::from(tracker.addr, "127.0.0.21");
    one.join(&[tracker.addr], "group1", |_| ()).unwrap();
    assert_eq!((one.source(), one.disk(1)), (Ok(None), 0));
    let mut two = Client::from(tracker.addr, "127.0.0.22");
    two.join(&[tracker.addr], "group1", |_| ()).unwrap();
    let mut three = Client::from(tracker.addr, "127.0.0.23");
    three.join(&[tracker.addr], "group1", |head| (head.init_flag, head.status) = (0, 5)).unwrap();
    assert_eq!(three.disk(1), 0);
    drop(three);
    let mut query = tracker.client();
    until("the third is offline", || (status(&mut query, "127.0.0.23") == Offline.wire()).then_some(()));
    (base, tracker, one, two)
}

fn status(client: &mut Client, id: &str) -> u8 {
    let (status, body) = client.call(cmd::LIST_STORAGE, &named("group1", id.as_bytes()));
    assert_eq!(status, 0, "{id}");
    StorageRecord::parse_list(&body).unwrap()[0].head.status
}

#[test]
fn what_needs_no_joined_storage() {
    let (_base, tracker, _one, _two) = with_group(|_| ());
    let mut client = tracker.client();
    for (command, right) in [
        (cmd::QUERY_STORE_WITHOUT_GROUP_ONE, &[0usize][..]),
        (cmd::QUERY_STORE_WITHOUT_GROUP_ALL, &[0]),
        (cmd::QUERY_STORE_WITH_GROUP_ONE, &[16]),
        (cmd::QUERY_STORE_WITH_GROUP_ALL, &[16]),
        (cmd::LIST_ALL_GROUPS, &[0]),
        (cmd::LIST_ONE_GROUP, &[16]),
        (cmd::DELETE_GROUP, &[16]),
        (cmd::GET_LEADER, &[0]),
        (cmd::TRACKER_CLUSTER_STAT, &[3]),
        (cmd::STORAGE_CLUSTER_STAT, &[4]),
        (cmd::STORAGE_VOLUMN_STAT, &[4]),
        (cmd::PARAMETER_REQ, &[0]),
        (cmd::EXPLAIN, &[0]),
        (cmd::FETCH_STORAGE_IDS, &[4, 5]),
        (cmd::GET_MY_IP, &[16, 21]),
        (cmd::SYNC_SRC_REQ, &[32]),
        (cmd::REPORT_STATUS, &[53, 83]),
        (cmd::REPORT_IP_CHANGED, &[48, 108]),
        (cmd::CHANGELOG_REQ, &[32]),
        (cmd::TRACKER_GET_STATUS, &[0]),
        (cmd::TRACKER_NOTIFY_RESELECT_LEADER, &[0]),
        (cmd::TRACKER_JOIN_LEADER, &[24]),
        (cmd::TRACKER_PING_LEADER, &[0, 12]),
        (cmd::TRACKER_GET_SYS_FILES_START, &[0]),
        (cmd::TRACKER_GET_SYS_FILES_END, &[0]),
        (cmd::TRACKER_GET_ONE_SYS_FILE, &[9]),
    ] {
        check(&mut client, wrong_lengths(command, right));
    }
    let group = |rest: &[u8]| named("group1", rest);
    let none = |rest: &[u8]| named("nogroup", rest);
    let id = |text: &str| Text::<16>::cut(text.as_bytes()).raw().to_vec();
    let file_at = |index: u8, offset: i64| [&[index][..], &offset.to_be_bytes()].concat();
    check(
        &mut client,
        [
            (cmd::QUERY_STORE_WITH_GROUP_ONE, none(&[]), 2, "unknown group"),
            (cmd::QUERY_STORE_WITH_GROUP_ALL, none(&[]), 2, "unknown group"),
            (cmd::QUERY_STORE_WITH_GROUP_ONE, vec![0; 16], 2, "no group"),
            (cmd::QUERY_STORE_WITH_GROUP_ONE, group(&[]), 0, "fine"),
            (cmd::QUERY_FETCH_ONE, none(FILE), 2, "unknown group"),
            (cmd::QUERY_FETCH_ONE, group(&FILE[..21]), 22, "name too short"),
            (cmd::QUERY_FETCH_ONE, group(&[b'x'; 128]), 22, "name too long"),
            (cmd::QUERY_FETCH_ONE, vec![0; 15], 22, "no group"),
            (cmd::QUERY_FETCH_ONE, group(FILE), 0, "fine"),
            (cmd::QUERY_FETCH_ALL, none(FILE), 2, "unknown group"),
            (cmd::QUERY_FETCH_ALL, group(&FILE[..21]), 22, "name too short"),
            (cmd::QUERY_UPDATE, none(FILE), 2, "unknown group"),
            (cmd::QUERY_UPDATE, group(&[b'x'; 128]), 22, "name too long"),
            (cmd::LIST_ONE_GROUP, none(&[]), 2, "unknown group"),
            (cmd::LIST_STORAGE, none(&[]), 2, "unknown group"),
            (cmd::LIST_STORAGE, group(b"127.0.0.99"), 2, "unknown storage"),
            (cmd::LIST_STORAGE, group(&[b'1'; 16]), 22, "id too long"),
            (cmd::LIST_STORAGE, vec![0; 15], 22, "no group"),
            (cmd::DELETE_STORAGE, group(b"127.0.0.21"), 16, "active"),
            (cmd::DELETE_STORAGE, group(b"127.0.0.99"), 2, "unknown storage"),
            (cmd::DELETE_STORAGE, none(b"127.0.0.21"), 2, "unknown group"),
            (cmd::DELETE_STORAGE, group(b""), 22, "no id"),
            (cmd::DELETE_STORAGE, group(&[b'1'; 16]), 22, "id too long"),
            (cmd::DELETE_GROUP, group(&[]), 16, "has members"),
            (cmd::DELETE_GROUP, none(&[]), 2, "unknown group"),
            (cmd::SET_TRUNK_SERVER, group(&[]), 95, "trunk files are off"),
            (cmd::SET_TRUNK_SERVER, vec![0; 15], 22, "no group"),
            (cmd::SET_TRUNK_SERVER, vec![0; 32], 22, "id too long"),
            (cmd::FETCH_STORAGE_IDS, vec![0; 5], 95, "no ids, and no empty answer"),
            (cmd::FETCH_STORAGE_IDS, vec![0; 4], 95, "the form before 6.11"),
            (cmd::FETCH_STORAGE_IDS, vec![0, 0, 0, 0, 1], 0, "no ids, an empty answer"),
            (cmd::GET_GROUP_NAME, vec![0; 4], 95, "no ids"),
            (cmd::GET_MY_IP, group(&[0, 0, 0, 0x59, 0xd8]), 0, "fine"),
            (cmd::GET_MY_IP, group(&[]), 0, "the form before 6.16"),
            (cmd::GET_SERVER_ID, group(b"127.0.0.21:23000"), 0, "fine"),
            (cmd::GET_SERVER_ID, group(b"127.0.0.21"), 0, "the form before 6.16"),
            (cmd::GET_SERVER_ID, group(b""), 0, "the sender's"),
            (cmd::GET_SERVER_ID, group(b"host:23000"), 22, "no address"),
            (cmd::GET_SERVER_ID, vec![0; 15], 22, "no group"),
            (cmd::GET_SERVER_ID, group(&[b'1'; 53]), 22, "too long"),
            (cmd::GET_STATUS, group(b"127.0.0.21:23000"), 0, "fine"),
            (cmd::GET_STATUS, group(b"127.0.0.21"), 0, "the form before 6.16"),
            (cmd::GET_STATUS, group(b"127.0.0.99:23000"), 2, "unknown storage"),
            (cmd::GET_STATUS, none(b"127.0.0.21:23000"), 2, "unknown group"),
            (cmd::GET_STATUS, group(b""), 2, "the sender is no storage"),
            (cmd::SYNC_SRC_REQ, none(&id("127.0.0.21")), 2, "unknown group"),
            (cmd::SYNC_SRC_REQ, group(&id("127.0.0.99")), 2, "unknown destination"),
            (cmd::SYNC_SRC_REQ, group(&id("127.0.0.22")), 2, "destination in INIT"),
            (cmd::SYNC_SRC_REQ, group(&id("127.0.0.21")), 0, "no source"),
            (cmd::CHANGELOG_REQ, group(&id("127.0.0.99")), 2, "unknown storage"),
            (cmd::CHANGELOG_REQ, none(&id("127.0.0.21")), 2, "unknown group"),
            (cmd::REPORT_STATUS, none(&brief(5, "127.0.0.21", "127.0.0.21", 46)), 2, "unknown group"),
            (cmd::REPORT_STATUS, group(&brief(8, "127.0.0.21", "127.0.0.21", 46)), 22, "no such status"),
            (cmd::REPORT_STATUS, group(&brief(5, "", "127.0.0.21", 46)), 22, "no id"),
            (cmd::TRACKER_NOTIFY_NEXT_LEADER, b"x".to_vec(), 22, "no address"),
            (cmd::TRACKER_NOTIFY_NEXT_LEADER, vec![b'1'; 53], 22, "too long"),
            (cmd::TRACKER_COMMIT_NEXT_LEADER, b"x".to_vec(), 22, "no address"),
            (cmd::TRACKER_COMMIT_NEXT_LEADER, b"1.2.3.4:5".to_vec(), 2, "not in the list"),
            (cmd::TRACKER_GET_ONE_SYS_FILE, file_at(4, 0), 22, "no such file"),
            (cmd::TRACKER_GET_ONE_SYS_FILE, file_at(0, -1), 22, "negative offset"),
            (cmd::TRACKER_GET_ONE_SYS_FILE, file_at(1, 1 << 30), 22, "behind the end"),
            (cmd::TRACKER_GET_ONE_SYS_FILE, file_at(1, 0), 0, "fine"),
            (cmd::TRACKER_PING_LEADER, vec![0; 12], 22, "not joined as a tracker"),
            (cmd::TRACKER_PING_LEADER, vec![], 22, "no tracker has this address"),
            (cmd::TRACKER_JOIN_LEADER, vec![0; 24], 2, "not in the list"),
            (cmd::TRACKER_NOTIFY_NEXT_LEADER, b"1.2.3.4:5".to_vec(), 2, "not in the list"),
            (cmd::GET_LEADER, vec![], 0, "a tracker alone leads"),
        ],
    );
    // Last, since it ends the leadership for a moment.
    check(&mut client, [(cmd::TRACKER_NOTIFY_RESELECT_LEADER, vec![], 0, "it leads")]);
}

#[test]
fn what_a_joined_storage_is_refused() {
    let (_base, tracker, mut one, mut two) = with_group(|_| ());
    let mut client = tracker.client();
    for (command, len) in [
        (cmd::STORAGE_BEAT, 0),
        (cmd::REPORT_DISK_USAGE, 16),
        (cmd::SYNC_REPORT, 20),
        (cmd::REPLICA_CHG, 67),
        (cmd::SYNC_DEST_REQ, 0),
        (cmd::SYNC_NOTIFY, 24),
        (cmd::SYNC_DEST_QUERY, 0),
        (cmd::REPORT_TRUNK_FREE, 8),
        (cmd::REPORT_TRUNK_FID, 4),
        (cmd::FETCH_TRUNK_FID, 0),
        (cmd::CHANGE_STATUS, 1),
    ] {
        check(&mut client, [(command, vec![0; len], 13, "not joined")]);
    }
    for (command, right) in [
        (cmd::STORAGE_BEAT, &[0usize, 348][..]),
        (cmd::REPORT_DISK_USAGE, &[16]),
        (cmd::SYNC_REPORT, &[20]),
        (cmd::REPLICA_CHG, &[37, 67]),
        (cmd::SYNC_DEST_REQ, &[0]),
        (cmd::SYNC_NOTIFY, &[24]),
        (cmd::SYNC_DEST_QUERY, &[0]),
        (cmd::REPORT_TRUNK_FREE, &[8]),
        (cmd::REPORT_TRUNK_FID, &[4]),
        (cmd::FETCH_TRUNK_FID, &[0]),
        (cmd::CHANGE_STATUS, &[1]),
        (cmd::CHANGELOG_REQ, &[0]),
    ] {
        check(&mut one, wrong_lengths(command, right));
    }
    let source = |id: &str| [&Text::<16>::cut(id.as_bytes()).raw()[..], &[0; 8]].concat();
    check(
        &mut one,
        [
            (cmd::REPORT_DISK_USAGE, vec![], 22, "no path"),
            (cmd::SYNC_REPORT, vec![], 22, "no entry"),
            (cmd::REPLICA_CHG, vec![], 22, "no entry"),
            (cmd::REPLICA_CHG, vec![0; 33 * 67], 22, "33 entries"),
            (cmd::REPLICA_CHG, brief(5, "127.0.0.22", "127.0.0.22", 46), 0, "fine"),
            (cmd::REPLICA_CHG, brief(5, "127.0.0.22", "127.0.0.22", 16), 0, "the form before 6.11"),
            (cmd::CHANGE_STATUS, vec![8], 22, "no such status"),
            (cmd::CHANGE_STATUS, vec![99], 22, "a status that is none"),
            (cmd::CHANGE_STATUS, vec![7], 0, "the same"),
            (cmd::REPORT_TRUNK_FID, 1i32.to_be_bytes().to_vec(), 22, "not the trunk server"),
            (cmd::REPORT_TRUNK_FID, (-1i32).to_be_bytes().to_vec(), 22, "negative"),
            (cmd::REPORT_TRUNK_FREE, 1i64.to_be_bytes().to_vec(), 22, "not the trunk server"),
            (cmd::FETCH_TRUNK_FID, vec![], 0, "fine"),
            (cmd::SYNC_DEST_QUERY, vec![], 0, "no source"),
            (cmd::CHANGELOG_REQ, vec![], 0, "nothing new"),
        ],
    );
    check(
        &mut two,
        [
            (cmd::SYNC_NOTIFY, source("127.0.0.99"), 2, "unknown source"),
            (cmd::SYNC_DEST_REQ, vec![], 0, "fine"),
            (cmd::SYNC_NOTIFY, source("127.0.0.21"), 0, "as recorded"),
            (cmd::TRACKER_JOIN_LEADER, vec![0; 24], 17, "joined already"),
        ],
    );
    // Addresses: the third is offline, and may come back under another one.
    let change = |old: &str, new: &str, width: usize| {
        let (old, new) = (Text::<46>::cut(old.as_bytes()), Text::<46>::cut(new.as_bytes()));
        named("group1", &[&old.raw()[..width], &new.raw()[..width]].concat())
    };
    let mut moved = Client::from(tracker.addr, "127.0.0.24");
    check(
        &mut moved,
        [
            (cmd::REPORT_IP_CHANGED, change("127.0.0.23", "127.0.0.25", 46), 22, "not the sender's address"),
            (cmd::REPORT_IP_CHANGED, change("x", "127.0.0.24", 46), 22, "no address"),
            (cmd::REPORT_IP_CHANGED, change("127.0.0.99", "127.0.0.24", 46), 2, "unknown storage"),
            (cmd::REPORT_IP_CHANGED, change("127.0.0.21", "127.0.0.24", 46), 16, "active"),
            (cmd::REPORT_IP_CHANGED, change("127.0.0.23", "127.0.0.24", 16), 0, "the form before 6.11"),
            (cmd::REPORT_IP_CHANGED, change("127.0.0.23", "127.0.0.24", 46), 114, "done already"),
            (cmd::DELETE_STORAGE, named("group1", b"127.0.0.23"), 2, "its address has changed"),
            (cmd::DELETE_STORAGE, named("group1", b"127.0.0.24"), 0, "offline"),
            (cmd::DELETE_STORAGE, named("group1", b"127.0.0.24"), 114, "deleted already"),
            (cmd::REPORT_IP_CHANGED, change("127.0.0.24", "127.0.0.24", 46), 2, "deleted"),
        ],
    );
    check(
        &mut Client::from(tracker.addr, "127.0.0.21"),
        [(cmd::REPORT_IP_CHANGED, change("127.0.0.22", "127.0.0.21", 46), 17, "a member already")],
    );
    // A report in the old form counts as one in the new.
    check(
        &mut moved,
        [(
            cmd::REPORT_STATUS,
            named("group1", &brief(Syncing.wire(), "127.0.0.22", "127.0.0.22", 16)),
            0,
            "old form",
        )],
    );
    assert_eq!(status(&mut moved, "127.0.0.22"), Syncing.wire());
    check(
        &mut moved,
        [(
            cmd::REPORT_STATUS,
            named("group1", &brief(Recovery.wire(), "127.0.0.24", "127.0.0.24", 46)),
            0,
            "ignored",
        )],
    );
    assert_eq!(status(&mut moved, "127.0.0.24"), Deleted.wire());
}

#[test]
fn joins_that_are_refused() {
    let (_base, tracker, ..) = with_group(|_| ());
    let list = [tracker.addr];
    let mut new = Client::from(tracker.addr, "127.0.0.31");
    let body = new.join_body(&list, "group1", |_| ());
    for len in [0, 144, 145] {
        assert_eq!(new.call(cmd::STORAGE_JOIN, &body[..len]).0, 22, "{len} bytes");
    }
    let long = [&body[..], &[b'\n'; 100]].concat();
    assert_eq!(new.call(cmd::STORAGE_JOIN, &long).0, 22, "more text than 100 bytes for each tracker");
    for fixed in [233, 279, 281] {
        let old = [&vec![0; fixed - 8][..], &1i64.to_be_bytes(), b"127.0.0.1:22122\n"].concat();
        assert_eq!(
            new.call(cmd::STORAGE_JOIN, &old).0,
            22,
            "the form with {fixed} bytes before the trackers"
        );
    }
    let mut refused = |status: u8, group: &str, change: fn(&mut fdfs_core::wire::report::JoinHead)| {
        assert_eq!(new.join(&list, group, change).unwrap_err(), status, "{group}");
    };
    refused(22, "", |_| ());
    refused(22, "no-name", |_| ());
    refused(22, "group1", |head| head.port = 0.into());
    refused(22, "group1", |head| head.port = 70_000.into());
    refused(22, "group1", |head| head.port = 23_001.into());
    refused(22, "group1", |head| head.store_path_count = 0.into());
    refused(22, "group1", |head| head.store_path_count = 257.into());
    refused(22, "group1", |head| head.subdir_count = 0.into());
    refused(22, "group1", |head| head.subdir_count = 257.into());
    refused(22, "group1", |head| head.subdir_count = 5.into());
    refused(22, "group1", |head| head.tracker_count = 0.into());
    refused(22, "group1", |head| head.tracker_count = 17.into());
    refused(22, "group1", |head| head.tracker_count = 2.into());
    for status in [-1, 3, 4, 99] {
        let change =
            |head: &mut fdfs_core::wire::report::JoinHead| (head.init_flag, head.status) = (0, status);
        let status_of_join = Client::from(tracker.addr, "127.0.0.32").join(&list, "group1", change);
        assert_eq!(status_of_join.unwrap_err(), 14, "unknown, and says that it is {status}");
    }
    let mut two_paths = Client::from(tracker.addr, "127.0.0.33");
    two_paths.join(&list, "group2", |head| head.store_path_count = 2.into()).unwrap();
    let mut one_path = Client::from(tracker.addr, "127.0.0.34");
    assert_eq!(one_path.join(&list, "group2", |_| ()).unwrap_err(), 22, "fewer paths than its group");
}

#[test]
fn with_storage_ids() {
    let base = tempfile::tempdir().unwrap();
    let ids = base.path().join("storage_ids.conf");
    std::fs::write(&ids, "100001 group1 127.0.0.21:23000\n100002 group2 127.0.0.22:23001\n").unwrap();
    let tracker = Running::start(base.path(), |conf| {
        conf.use_storage_id = true;
        conf.storage_ids_path = Some(ids);
    });
    let list = [tracker.addr];
    let mut one = Client::from(tracker.addr, "127.0.0.21");
    let as_id =
        |id: &'static [u8]| move |head: &mut fdfs_core::wire::report::JoinHead| head.id = Text::cut(id);
    assert_eq!(one.join(&list, "group1", as_id(b"100009")).unwrap_err(), 2, "not in the file");
    assert_eq!(one.join(&list, "group1", as_id(b"100002")).unwrap_err(), 22, "in another group");
    assert_eq!(one.join(&list, "group2", |_| ()).unwrap_err(), 2, "the address is in another group");
    one.join(&list, "group1", |_| ()).unwrap();
    let mut client = tracker.client();
    let port = |n: i32| n.to_be_bytes();
    let of = |ip: &[u8], n: i32| [ip, &port(n)].concat();
    check(
        &mut client,
        [
            (cmd::FETCH_STORAGE_IDS, vec![0; 5], 0, "fine"),
            (cmd::FETCH_STORAGE_IDS, vec![0; 4], 0, "the form before 6.11"),
            (cmd::FETCH_STORAGE_IDS, vec![0, 0, 0, 2, 0], 22, "behind the end"),
            (cmd::FETCH_STORAGE_IDS, vec![255, 0, 0, 0, 0], 22, "negative"),
            (cmd::GET_GROUP_NAME, of(b"127.0.0.22", 23001), 0, "fine"),
            (cmd::GET_GROUP_NAME, of(b"127.0.0.22", 23000), 2, "another port"),
            (cmd::GET_GROUP_NAME, of(b"127.0.0.99", 23000), 2, "unknown address"),
            (cmd::GET_GROUP_NAME, of(&[b'1'; 46], 23000), 36, "too long"),
            (cmd::GET_GROUP_NAME, vec![0; 3], 22, "no port"),
            (cmd::GET_SERVER_ID, named("group1", b"127.0.0.21:23000"), 0, "fine"),
            (cmd::GET_SERVER_ID, named("group2", b"127.0.0.22"), 0, "the only one there, without its port"),
            (cmd::GET_SERVER_ID, named("group1", b"127.0.0.22:23001"), 2, "in another group"),
            (cmd::GET_SERVER_ID, named("group1", b"127.0.0.99:23000"), 2, "unknown address"),
            (cmd::GET_STATUS, named("group1", b"127.0.0.21:23000"), 0, "fine"),
            (cmd::GET_STATUS, named("group2", b"127.0.0.22:23001"), 2, "has not joined"),
            (cmd::REPORT_IP_CHANGED, named("group1", &[0; 92]), 95, "addresses are not identities"),
        ],
    );
    assert_eq!(client.call(cmd::GET_SERVER_ID, &named("group2", b"127.0.0.22")).1, b"100002");
}

/// SET_TRUNK_SERVER (94).
#[test]
fn trunk_servers_that_are_refused() {
    let (_base, tracker, mut one, mut two) = with_group(|conf| conf.use_trunk_file = true);
    let mut client = tracker.client();
    check(
        &mut client,
        [
            (cmd::SET_TRUNK_SERVER, named("nogroup", b""), 2, "unknown group"),
            (cmd::SET_TRUNK_SERVER, named("group1", b"127.0.0.99"), 2, "unknown storage"),
            (cmd::SET_TRUNK_SERVER, named("group1", b"127.0.0.22"), 64, "not active"),
            (cmd::SET_TRUNK_SERVER, named("group1", b"127.0.0.21"), 0, "fine"),
            (cmd::SET_TRUNK_SERVER, named("group1", b"127.0.0.21"), 114, "it is already"),
            (cmd::SET_TRUNK_SERVER, named("group1", b"127.0.0.22"), 17, "another is"),
            (cmd::SET_TRUNK_SERVER, named("group1", b""), 0, "the present one"),
        ],
    );
    check(
        &mut one,
        [
            (cmd::REPORT_TRUNK_FID, 7i32.to_be_bytes().to_vec(), 0, "fine"),
            (cmd::REPORT_TRUNK_FID, (-1i32).to_be_bytes().to_vec(), 22, "negative"),
            (cmd::REPORT_TRUNK_FREE, 9i64.to_be_bytes().to_vec(), 0, "fine"),
            (cmd::REPORT_TRUNK_FREE, (-1i64).to_be_bytes().to_vec(), 22, "negative"),
        ],
    );
    check(&mut two, [(cmd::REPORT_TRUNK_FID, 9i32.to_be_bytes().to_vec(), 22, "not the trunk server")]);
    assert_eq!(two.call(cmd::FETCH_TRUNK_FID, &[]), (0, 7i32.to_be_bytes().to_vec()));
}

/// Clients of both widths, and of both layouts, at one tracker.
#[test]
fn answers_in_the_form_that_the_client_knows() {
    let wide = "127.0.0.2/32 46".parse().unwrap();
    let (_base, tracker, _one, _two) = with_group(|conf| {
        conf.response_ip_addr_size_for = vec![wide];
        conf.fetch_all_layout = FetchAllLayout::OnePort;
    });
    let mut three = Client::from(tracker.addr, "127.0.0.23");
    three.join(&[tracker.addr], "group1", |_| ()).unwrap();
    assert_eq!(three.disk(1), 0);
    for (from, store, listed, fetched) in [("127.0.0.1", 40, 487, 54), ("127.0.0.2", 70, 517, 114)] {
        let mut client = Client::from(tracker.addr, from);
        let (_, target) = client.call(cmd::QUERY_STORE_WITHOUT_GROUP_ONE, &[]);
        assert_eq!(target.len(), store, "{from}");
        assert!(StoreTarget::parse(&target).is_ok());
        assert_eq!(client.call(cmd::LIST_STORAGE, &named("group1", b"")).1.len(), 3 * listed, "{from}");
        // A file that is so old that every active member has it.
        let old = b"M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg";
        let (status, all) = client.call(cmd::QUERY_FETCH_ALL, &named("group1", old));
        assert_eq!((status, all.len()), (0, fetched), "{from}");
        let addrs = parse_fetch_all(&all).unwrap().1;
        assert_eq!(
            addrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["127.0.0.21:23000", "127.0.0.23:23000"]
        );
    }
}
