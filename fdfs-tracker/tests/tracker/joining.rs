//! Members join, negotiate, serve, leave and come back.

use fdfs_core::ident::StorageStatus::{self, Active, Init, Offline, Online, Syncing, WaitSync};
use fdfs_core::wire::list::{GroupRecord, StorageRecord};
use fdfs_core::wire::query::{StoreTarget, parse_fetch_all};
use fdfs_core::wire::report::{Brief, StatusReport};
use fdfs_core::wire::{IpField, Text, cmd};
use zerocopy::IntoBytes;

use crate::support::{Client, Running, named, until};

fn status(client: &mut Client, id: &str) -> u8 {
    let (status, body) = client.call(cmd::LIST_STORAGE, &named("group1", id.as_bytes()));
    assert_eq!(status, 0);
    StorageRecord::parse_list(&body).unwrap()[0].head.status
}

fn report(client: &mut Client, ip: &str, status: StorageStatus) {
    let brief = Brief {
        status: status.wire(),
        port: 23000.into(),
        id: Text::cut(ip.as_bytes()),
        ip: IpField::of(ip.parse().unwrap()),
    };
    let told = StatusReport { group: Text::cut(b"group1"), brief };
    assert_eq!(client.call(cmd::REPORT_STATUS, told.as_bytes()).0, 0);
}

#[test]
fn two_members_negotiate_and_serve() {
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), |_| ());
    let list = [tracker.addr];
    let mut query = tracker.client();

    let mut one = Client::from(tracker.addr, "127.0.0.21");
    let answer = one.join(&list, "group1", |_| ()).unwrap();
    assert_eq!((answer.status, answer.source_id.is_empty()), (Init.wire(), true));
    assert_eq!(one.source(), Ok(None));
    let news = one.beat();
    assert_eq!(news.leader.unwrap().port.get(), i32::from(tracker.addr.port()));
    assert_eq!(news.members.unwrap().len(), 1);
    assert_eq!(query.call(cmd::QUERY_STORE_WITHOUT_GROUP_ONE, &[]).0, 28, "no disk report yet");
    assert_eq!(one.disk(1), 0);
    assert_eq!(status(&mut query, "127.0.0.21"), Active.wire());

    let mut two = Client::from(tracker.addr, "127.0.0.22");
    two.join(&list, "group1", |_| ()).unwrap();
    two.beat();
    assert_eq!(status(&mut query, "127.0.0.22"), Init.wire());
    let source = two.source().unwrap().unwrap();
    assert_eq!(source.source_id.as_str(), "127.0.0.21");
    assert_eq!(status(&mut query, "127.0.0.22"), WaitSync.wire());
    assert_eq!(one.beat().members.unwrap().len(), 2);
    let asked = query.call(cmd::SYNC_SRC_REQ, &named("group1", Text::<16>::cut(b"127.0.0.22").raw()));
    assert_eq!(asked, (0, source.as_bytes().to_vec()));
    report(&mut query, "127.0.0.22", Syncing);
    two.beat();
    assert_eq!(status(&mut query, "127.0.0.22"), Syncing.wire());
    report(&mut query, "127.0.0.22", Offline);
    two.beat();
    assert_eq!(status(&mut query, "127.0.0.22"), Active.wire());
    assert_eq!(two.disk(1), 0);

    let mut stores = Vec::new();
    for _ in 0..4 {
        let (status, body) = query.call(cmd::QUERY_STORE_WITH_GROUP_ONE, &named("group1", &[]));
        assert_eq!(status, 0);
        stores.push(StoreTarget::parse(&body).unwrap().addr.ip().to_string());
    }
    assert_eq!(stores, ["127.0.0.21", "127.0.0.22", "127.0.0.21", "127.0.0.22"]);
    let old_file = b"M00/00/00/CkIAFWsCn2CABdBAAAAAAGx7YPd02288.jpg";
    let (_, body) = query.call(cmd::QUERY_FETCH_ALL, &named("group1", old_file));
    assert!(!parse_fetch_all(&body).unwrap().1.is_empty());
    let (_, body) = query.call(cmd::LIST_ALL_GROUPS, &[]);
    let groups = GroupRecord::parse_list(&body).unwrap();
    assert_eq!((groups[0].readable_count.get(), groups[0].free_mb.get()), (2, 100_000));

    drop(two);
    until("the second member to be offline", || {
        (status(&mut query, "127.0.0.22") == Offline.wire()).then_some(())
    });
    assert_eq!(one.beat().members.unwrap()[1].status, Offline.wire());
}

#[test]
fn a_restart_keeps_the_cluster() {
    let base = tempfile::tempdir().unwrap();
    {
        let tracker = Running::start(base.path(), |_| ());
        for from in ["127.0.0.21", "127.0.0.22"] {
            let mut member = Client::from(tracker.addr, from);
            member.join(&[tracker.addr], "group1", |_| ()).unwrap();
            if member.source().unwrap_or(None).is_none() {
                member.disk(1);
            }
        }
    }
    let tracker = Running::start(base.path(), |_| ());
    let mut query = tracker.client();
    assert_eq!(query.call(cmd::QUERY_STORE_WITHOUT_GROUP_ONE, &[]).0, 2);
    let mut one = Client::from(tracker.addr, "127.0.0.21");
    let answer = one.join(&[tracker.addr], "group1", |head| (head.init_flag, head.status) = (0, 7)).unwrap();
    assert_eq!(answer.status, Online.wire());
    assert_eq!(one.disk(1), 0);
    assert_eq!(query.call(cmd::QUERY_STORE_WITHOUT_GROUP_ONE, &[]).0, 0);
    assert_eq!(query.call(cmd::LIST_STORAGE, &named("group1", &[])).1.len(), 2 * 487);
}

#[test]
fn a_silent_member_goes_offline() {
    let base = tempfile::tempdir().unwrap();
    let tracker =
        Running::start(base.path(), |conf| conf.check_active_interval = fdfs_core::settings::Secs(1));
    let mut one = Client::from(tracker.addr, "127.0.0.21");
    one.join(&[tracker.addr], "group1", |_| ()).unwrap();
    one.source().unwrap();
    one.beat();
    let mut query = tracker.client();
    assert_eq!(status(&mut query, "127.0.0.21"), Active.wire());
    until("the silent member to be offline", || {
        (status(&mut query, "127.0.0.21") == Offline.wire()).then_some(())
    });
    one.beat();
    assert_eq!(status(&mut query, "127.0.0.21"), Active.wire());
}

#[test]
fn an_administrator_deletes_a_member() {
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), |_| ());
    let mut one = Client::from(tracker.addr, "127.0.0.21");
    one.join(&[tracker.addr], "group1", |_| ()).unwrap();
    one.source().unwrap();
    one.beat();
    let mut two = Client::from(tracker.addr, "127.0.0.22");
    two.join(&[tracker.addr], "group1", |_| ()).unwrap();
    let mut admin = tracker.client();
    let member = named("group1", b"127.0.0.22");
    two.source().unwrap();
    drop(two);
    assert_eq!(admin.call(cmd::DELETE_STORAGE, &named("group1", b"127.0.0.21")).0, 16);
    assert_eq!(admin.call(cmd::DELETE_STORAGE, &member).0, 0);
    assert_eq!(admin.call(cmd::DELETE_STORAGE, &member).0, 114);
    assert_eq!(admin.call(cmd::DELETE_GROUP, &named("group1", &[])).0, 16);
    let log =
        until("the change log", || Some(one.call(cmd::CHANGELOG_REQ, &[]).1).filter(|log| !log.is_empty()));
    assert!(String::from_utf8(log).unwrap().ends_with(" group1 127.0.0.22 4 \n"));
    assert_eq!(one.call(cmd::CHANGELOG_REQ, &[]).1.len(), 0);
}
