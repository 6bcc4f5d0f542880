//! What happened while a tracker was down: it learns of new members and of removed ones from the others (tracker 7.6).

use std::net::SocketAddr;

use fdfs_core::ident::StorageStatus;
use fdfs_core::wire::cmd;
use fdfs_core::wire::list::StorageRecord;

use crate::daemon::{Daemon, free_port};
use crate::support::{Client, named, until};

/// Ids and statuses of a group's members; empty when the tracker does not know it.
fn members(tracker: &Daemon, group: &str) -> Vec<(String, u8)> {
    let mut client = Client::from(tracker.addr, "127.0.0.1");
    match client.call(cmd::LIST_STORAGE, &named(group, &[])) {
        (0, body) => StorageRecord::parse_list(&body)
            .unwrap()
            .iter()
            .map(|record| (record.head.id.as_str().to_owned(), record.head.status))
            .collect(),
        _ => Vec::new(),
    }
}

fn member(tracker: SocketAddr, list: &[SocketAddr], group: &str, ip: &str) -> Client {
    let mut client = Client::from(tracker, ip);
    client.join(list, group, |head| (head.init_flag, head.status) = (0, 7)).unwrap();
    client.beat();
    client
}

#[test]
fn members_that_came_and_went_meanwhile() {
    let port = free_port();
    let list = [SocketAddr::from(([127, 0, 0, 2], port)), SocketAddr::from(([127, 0, 0, 3], port))];
    let [one, mut two] = list.map(Daemon::start);
    one.serves();
    two.serves();
    let stays: Vec<Client> = list.iter().map(|at| member(*at, &list, "group1", "127.0.0.21")).collect();
    for ip in ["127.0.0.22", "127.0.0.23"] {
        list.iter().for_each(|at| drop(member(*at, &list, "group1", ip)));
    }
    list.iter().for_each(|at| drop(member(*at, &list, "group2", "127.0.0.31")));
    two.stop();

    let mut admin = Client::from(one.addr, "127.0.0.1");
    for (group, ip) in [("group1", "127.0.0.22"), ("group2", "127.0.0.31")] {
        let gone = || admin.call(cmd::DELETE_STORAGE, &named(group, ip.as_bytes())).0;
        // The end of its connection may not have been seen yet.
        let mut gone = gone;
        until("a member to be removed", || (gone() != 16).then_some(()));
    }
    let _new = member(one.addr, &list, "group1", "127.0.0.24");

    two.again();
    two.serves();
    assert_eq!(members(&two, "group1").len(), 3);
    let _back = member(two.addr, &list, "group1", "127.0.0.21");
    let gone = StorageStatus::Deleted.wire();
    let expected = |known: &[(String, u8)]| {
        let status = |ip: &str| known.iter().find(|(id, _)| id == ip).map(|(_, status)| *status);
        status("127.0.0.22") == Some(gone)
            && status("127.0.0.23") == Some(StorageStatus::Offline.wire())
            && status("127.0.0.24") == Some(StorageStatus::Offline.wire())
    };
    until("the second tracker to know what the first knows", || {
        expected(&members(&two, "group1")).then_some(())
    });
    until("the removal of another group's only member", || {
        members(&two, "group2").iter().all(|(_, status)| *status == gone).then_some(())
    });
    until("the removals in its change log", || {
        let log = two.file("storage_changelog.dat");
        (log.contains(" group1 127.0.0.22 4 \n") && log.contains(" group2 127.0.0.31 4 \n")).then_some(())
    });
    assert!(two.log().contains("127.0.0.22 is DELETED at another tracker"), "{}", two.log());
    drop(stays);
}
