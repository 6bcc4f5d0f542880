//! Wrong requests get the documented status, and the tracker goes on.

use fdfs_core::wire::{Header, cmd};

use crate::support::{Client, Running, named};

#[test]
fn wrong_requests_get_their_status() {
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), |_| ());
    let mut client = tracker.client();
    let file = b"M00/00/00/CkIAFWsCn2CABdBAAAAAAGx7YPd02288.jpg";
    for (command, body, status) in [
        (250, vec![], 22),
        (11, vec![0; 15], 22),
        (cmd::ACTIVE_TEST, vec![], 0),
        (cmd::QUERY_STORE_WITHOUT_GROUP_ONE, vec![], 2),
        (cmd::QUERY_STORE_WITHOUT_GROUP_ONE, vec![0], 22),
        (cmd::QUERY_STORE_WITH_GROUP_ONE, vec![0; 16], 2),
        (cmd::QUERY_STORE_WITH_GROUP_ONE, vec![0; 17], 22),
        (cmd::QUERY_FETCH_ONE, named("nogroup", file), 2),
        (cmd::QUERY_FETCH_ONE, named("group1", b"short"), 22),
        (cmd::QUERY_FETCH_ONE, named("group1", &[b'x'; 128]), 22),
        (cmd::LIST_ALL_GROUPS, vec![], 0),
        (cmd::LIST_ONE_GROUP, named("nogroup", &[]), 2),
        (cmd::LIST_STORAGE, named("nogroup", &[]), 2),
        (cmd::DELETE_STORAGE, named("nogroup", b"1.2.3.4"), 2),
        (cmd::DELETE_GROUP, named("nogroup", &[]), 2),
        (cmd::SET_TRUNK_SERVER, named("nogroup", &[]), 95),
        (cmd::GET_LEADER, vec![], 2),
        (cmd::TRACKER_GET_STATUS, vec![], 2),
        (cmd::TRACKER_CLUSTER_STAT, vec![0; 3], 95),
        (cmd::STORAGE_CLUSTER_STAT, vec![], 22),
        (cmd::FETCH_STORAGE_IDS, vec![0; 5], 95),
        (cmd::GET_GROUP_NAME, vec![0; 4], 95),
        (cmd::STORAGE_JOIN, vec![0; 144], 22),
        (cmd::TRACKER_PING_LEADER, vec![], 95),
        (cmd::TRACKER_PING_LEADER, vec![0; 12], 95),
        (cmd::TRACKER_JOIN_LEADER, vec![0; 24], 95),
        (cmd::TRACKER_NOTIFY_NEXT_LEADER, b"x".to_vec(), 22),
        (cmd::TRACKER_NOTIFY_NEXT_LEADER, b"1.2.3.4:5".to_vec(), 2),
        (cmd::TRACKER_NOTIFY_RESELECT_LEADER, vec![], 95),
        (cmd::TRACKER_GET_SYS_FILES_START, vec![], 2),
        (cmd::SYNC_NOTIFY, vec![0; 24], 13),
        (cmd::SYNC_DEST_QUERY, vec![], 13),
    ] {
        assert_eq!(client.call(command, &body).0, status, "command {command}, {} bytes", body.len());
    }
    let joined = [
        cmd::STORAGE_BEAT,
        cmd::REPORT_DISK_USAGE,
        cmd::SYNC_REPORT,
        cmd::REPLICA_CHG,
        cmd::SYNC_DEST_REQ,
        cmd::REPORT_TRUNK_FREE,
        cmd::REPORT_TRUNK_FID,
        cmd::FETCH_TRUNK_FID,
        cmd::CHANGE_STATUS,
    ];
    for command in joined {
        assert_eq!(client.call(command, &[]).0, 13, "command {command} needs a joined storage");
    }
}

#[test]
fn lengths_that_cannot_be_close_the_connection() {
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), |_| ());
    for len in [-1, 1 << 32, 256 << 10, i64::MAX] {
        let mut client = tracker.client();
        client.send(&Header { len, cmd: cmd::QUERY_STORE_WITHOUT_GROUP_ONE, status: 0 }.encode());
        assert_eq!(client.receive(), None, "length {len}");
    }
    assert_eq!(tracker.client().call(cmd::LIST_ALL_GROUPS, &[]), (0, vec![]));
}

#[test]
fn a_tracker_list_without_this_tracker_is_refused_every_time() {
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), |_| ());
    let mut client = Client::from(tracker.addr, "127.0.0.21");
    for _ in 0..2 {
        let other = "127.0.0.99:1".parse().unwrap();
        assert_eq!(client.join(&[other], "group1", |_| ()).unwrap_err(), 2);
    }
    assert_eq!(client.join(&[], "group1", |_| ()).unwrap_err(), 22);
    assert_eq!(client.join(&[tracker.addr], "group1", |head| head.port = 0.into()).unwrap_err(), 22);
    assert_eq!(client.call(cmd::LIST_ALL_GROUPS, &[]).1.len(), 0);
    assert!(client.join(&[tracker.addr], "group1", |_| ()).is_ok());
    assert_eq!(client.call(cmd::REPORT_DISK_USAGE, &[0; 15]).0, 22);
    assert_eq!(client.disk(2), 0, "the group has one path: the first counts");
    assert_eq!(client.call(cmd::SYNC_REPORT, &[]).0, 22);
    assert_eq!(client.call(cmd::REPLICA_CHG, &[0; 67 * 33]).0, 22);
    assert_eq!(client.call(cmd::STORAGE_BEAT, &[0; 347]).0, 22);
    assert_eq!(client.call(cmd::STORAGE_BEAT, &[0; 348]).0, 0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), |_| ());
    let mut client = tracker.client();
    let request = |command: u8| Header::request(command, 0).encode();
    client.send(&[request(cmd::LIST_ALL_GROUPS), request(250), request(cmd::GET_LEADER)].concat());
    assert_eq!(
        [client.receive(), client.receive(), client.receive()].map(|answer| answer.unwrap().0),
        [0, 22, 2]
    );
}
