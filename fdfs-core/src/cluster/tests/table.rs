//! The whole table of tracker 5: each status with each event, what is not in a row stays as it was.

use super::*;
use crate::wire::report::{Brief, SyncSource};
use StorageStatus::{Active, Deleted, Init, IpChanged, Offline, Online, Recovery, Syncing, WaitSync};

const ALL: [StorageStatus; 9] =
    [Init, WaitSync, Syncing, IpChanged, Deleted, Offline, Online, Active, Recovery];
const ME: &str = "10.0.0.2";

#[derive(Debug, Clone, Copy)]
enum Event {
    Join,
    Beat,
    DiskReport,
    /// SYNC_DEST_REQ while another member can copy, and while there is none.
    AsksForSource,
    AsksAlone,
    /// SYNC_NOTIFY without a source, and with one.
    NothingToCopy,
    HasSource,
    /// REPORT_STATUS, and REPLICA_CHG to a follower, which merge alike.
    Reported(StorageStatus),
    /// CHANGE_STATUS.
    LeaderHas(StorageStatus),
    Closed,
    Silent,
    DeletedByHand,
    AddressChanged,
}
use Event::*;

/// Group with an active member and this one, in status `status`.
fn world_with(status: StorageStatus) -> (World, Joined) {
    let mut world = World::new(rules());
    world.active("group1", "10.0.0.1");
    let me = world.join("group1", ME).unwrap();
    let group = world.cluster.group_mut(&me.group).unwrap();
    group.storage_mut(&me.id).unwrap().status = status;
    group.refresh();
    (world, me)
}

fn brief(status: StorageStatus) -> Brief {
    Brief { status: status.wire(), port: 23000.into(), id: id(ME).field(), ip: IpField::of(ip(ME)) }
}

/// The status after the event; a refusal is a way to change nothing.
fn after(status: StorageStatus, event: Event) -> StorageStatus {
    let (mut world, me) = world_with(status);
    let (rules, name) = (world.rules.clone(), me.group);
    let told = |source: &[u8]| SyncSource { source_id: Text::cut(source), until: 7.into() };
    if let AsksAlone = event {
        world.cluster.group_mut(&name).unwrap().storage_mut(&id("10.0.0.1")).unwrap().status = Init;
        world.cluster.group_mut(&name).unwrap().refresh();
    }
    let (cluster, out) = (&mut world.cluster, &mut world.out);
    let _ = match event {
        Join => return world.join("group1", ME).unwrap().status,
        Beat => cluster.beat(&me, 2000, None, out),
        DiskReport => world.usage(&me, &[(10, 5), (10, 5)]),
        AsksForSource | AsksAlone => cluster.request_source(&me, 2000, out).map(drop),
        NothingToCopy => cluster.source_chosen(&me, &told(b""), 2000, out),
        HasSource => cluster.source_chosen(&me, &told(b"10.0.0.1"), 2000, out),
        Reported(new) => {
            let by_peer = |cluster: &mut Cluster, out: &mut Effects| {
                let one = Joined { id: id("10.0.0.1"), ..me };
                cluster.replica_changes(&rules, &one, &[brief(new)], (false, 2000), out)
            };
            let mut other = cluster.clone();
            let _ = by_peer(&mut other, out);
            let done = cluster.report_status(&rules, &name, &brief(new), 2000, out);
            let of = |cluster: &Cluster| cluster.group(&name).unwrap().storage(&me.id).unwrap().status;
            assert_eq!(of(&other), of(cluster), "{status} {event:?}: 85 and 76 differ");
            done
        }
        LeaderHas(new) => cluster.change_status(&me, new.wire(), 2000, out),
        Closed => {
            cluster.closed(&me, 2000, out);
            Ok(())
        }
        Silent => {
            cluster.beat(&Joined { id: id("10.0.0.1"), ..me }, 2000, None, out).unwrap();
            cluster.check_alive(&rules, 2000, out);
            Ok(())
        }
        DeletedByHand => cluster.delete_storage(2000, &name, &me.id, out),
        AddressChanged => cluster.ip_changed(&rules, 2000, &name, (ip(ME), ip("10.0.0.9")), out),
    };
    world.status(&me)
}

/// The rows of tracker 5 for one event: from, to. Where this tracker differs, a comment says how.
fn row(event: Event) -> Vec<(StorageStatus, StorageStatus)> {
    let to = |from: &[StorageStatus], to: StorageStatus| from.iter().map(|from| (*from, to)).collect();
    match event {
        Join => vec![(Deleted, Init), (IpChanged, Init), (Offline, Online), (Recovery, Online)],
        // Not from DELETED and RECOVERY, as there: a member that is deleted stays so until it joins.
        Beat | DiskReport => to(&[Offline, Online], Active),
        AsksForSource => to(&ALL, WaitSync),
        AsksAlone => to(&ALL, Online),
        NothingToCopy => to(&[Init, WaitSync, Syncing], Online),
        HasSource => vec![(Init, WaitSync)],
        Reported(new @ (Deleted | IpChanged)) => to(&[WaitSync, Syncing, Offline], new),
        // Only upwards in the numbers; not from DELETED and IP_CHANGED, which a late report revived there.
        Reported(new) => {
            let below: Vec<_> = [WaitSync, Syncing, Offline].into_iter().filter(|from| *from < new).collect();
            to(&below, new)
        }
        LeaderHas(new @ (Offline | Online | Active)) => {
            let changed: Vec<_> = ALL
                .into_iter()
                .filter(|from| !matches!(from, Offline | Online | Active) && *from != new)
                .collect();
            to(&changed, Offline)
        }
        LeaderHas(new) => to(&ALL, new),
        Event::Closed => to(&[Online, Active], Offline),
        Silent => vec![(Active, Offline)],
        DeletedByHand => to(&[Init, WaitSync, Syncing, Offline], Deleted),
        AddressChanged => to(&[Init, WaitSync, Syncing, Offline], IpChanged),
    }
}

#[test]
fn every_status_with_every_event() {
    let simple = [
        Join,
        Beat,
        DiskReport,
        AsksForSource,
        AsksAlone,
        NothingToCopy,
        HasSource,
        Event::Closed,
        Silent,
        DeletedByHand,
        AddressChanged,
    ];
    let all = simple.into_iter().chain(ALL.map(Reported)).chain(ALL.map(LeaderHas));
    let mut cases = 0;
    for event in all {
        let row = row(event);
        for from in ALL {
            let to = row.iter().find(|(start, _)| *start == from).map_or(from, |(_, to)| *to);
            assert_eq!(after(from, event), to, "{from} {event:?}");
            cases += 1;
        }
    }
    assert_eq!(cases, 9 * (11 + 9 + 9));
}

/// The first rows: a storage or an id that is not known yet.
#[test]
fn what_is_new_begins_as_told() {
    for (init, sent, expected) in [
        (1, -1, Some(Init)),
        (1, 7, Some(Init)),
        (0, 0, Some(Init)),
        (0, 1, Some(WaitSync)),
        (0, 2, Some(Syncing)),
        // OFFLINE and RECOVERY become ONLINE by the same JOIN.
        (0, 5, Some(Online)),
        (0, 6, Some(Online)),
        (0, 7, Some(Online)),
        (0, 9, Some(Online)),
        (0, -1, None),
        (0, 3, None),
        (0, 4, None),
        (0, 99, None),
    ] {
        let mut head = head("group1");
        (head.init_flag, head.status) = (init, sent);
        let joined = World::new(rules()).join_as(&head, ME);
        assert_eq!(joined.ok().map(|joined| joined.status), expected, "init {init}, status {sent}");
    }
    for status in ALL {
        let mut world = World::new(rules());
        world.active("group1", "10.0.0.1");
        world
            .cluster
            .report_status(&world.rules, &group("group1"), &brief(status), 2000, &mut world.out)
            .unwrap();
        let found =
            world.cluster.group(&group("group1")).unwrap().storage(&id(ME)).map(|member| member.status);
        let ignored = matches!(status, IpChanged | Deleted | Online | Active);
        assert_eq!(found, (!ignored).then_some(status), "{status}");
    }
}
