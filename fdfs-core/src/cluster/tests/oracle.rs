//! Selection (tracker 6) beside a plain re-telling of its rules, over any groups.

use proptest::prelude::*;

use super::*;
use crate::fileid::Source;
use crate::ident::ReadWrite;
use crate::wire::Status;
use crate::wire::list::stat;

const NOW: i64 = 1_000_000;

#[derive(Debug, Clone)]
struct Member {
    status: StorageStatus,
    rw: ReadWrite,
    priority: i64,
    synced: i64,
    paths: Vec<(i64, i64)>,
}

fn member() -> impl Strategy<Value = Member> {
    use StorageStatus::{Active, Offline, Online};
    let status = prop_oneof![4 => Just(Active), 1 => Just(Online), 1 => Just(Offline)];
    let rw = prop_oneof![
        4 => Just(ReadWrite::Both), 1 => Just(ReadWrite::Read), 1 => Just(ReadWrite::Write), 1 => Just(ReadWrite::None)
    ];
    let path = (Just(1000i64), prop_oneof![0i64..1000, 90i64..110, 45i64..55]);
    let synced = NOW - 100_000..NOW;
    (status, rw, -2i64..3, synced, proptest::collection::vec(path, 2))
        .prop_map(|(status, rw, priority, synced, paths)| Member { status, rw, priority, synced, paths })
}

/// A cluster of which the space of a group is that of its writable member with least free space.
fn cluster(groups: &[Vec<Member>]) -> Cluster {
    let mut cluster = Cluster::default();
    for (n, members) in groups.iter().enumerate() {
        let mut made = Group::new(group(&format!("group{n}")));
        (made.path_count, made.subdir_count, made.port) = (2, 256, GroupPort::One(23000));
        // Joined in another order than that of the ids.
        for (m, member) in members.iter().enumerate().rev() {
            let addr = format!("10.0.{n}.{}", m + 1);
            let mut storage = Storage::new(id(&addr), vec![ip(&addr)], member.rw);
            (storage.status, storage.upload_priority, storage.path_count) =
                (member.status, member.priority, 2);
            storage.paths = member
                .paths
                .iter()
                .map(|(total_mb, free_mb)| PathSpace { total_mb: *total_mb, free_mb: *free_mb })
                .collect();
            storage.total_mb = 2000;
            storage.free_mb = member.paths.iter().map(|path| path.1).sum();
            storage.stat.counters[stat::LAST_SYNCED] = member.synced.into();
            made.add(storage);
        }
        let least = made.writable().map(|member| member.free_mb).min();
        (made.total_mb, made.free_mb) = (2000, least.unwrap_or(0));
        cluster.groups.insert(made.name, std::sync::Arc::new(made));
    }
    cluster
}

fn writable(member: &Member) -> bool {
    member.status == StorageStatus::Active && matches!(member.rw, ReadWrite::Both | ReadWrite::Write)
}

fn readable(member: &Member) -> bool {
    member.status == StorageStatus::Active && matches!(member.rw, ReadWrite::Both | ReadWrite::Read)
}

fn addr(n: usize, m: usize) -> String {
    format!("10.0.{n}.{}", m + 1)
}

/// Free MiB that a path, and a group, must have more than: 100 MiB, or 5 %.
struct Limits {
    reserve: Reserve,
    group: fn(i64) -> bool,
    path: fn(i64) -> bool,
}

fn limits(percent: bool) -> Limits {
    match percent {
        false => {
            Limits { reserve: Reserve::Bytes(100 << 20), group: |free| free > 100, path: |free| free > 50 }
        }
        true => Limits {
            reserve: Reserve::Percent(5.0),
            group: |free| free * 20 > 2000,
            path: |free| free * 20 > 1000,
        },
    }
}

proptest! {
    #[test]
    fn uploads_go_where_the_rules_say(
        groups in proptest::collection::vec(proptest::collection::vec(member(), 1..5), 1..5),
        percent: bool,
        store_server in 0u8..3,
        lookup in prop_oneof![Just(0u8), Just(2)],
    ) {
        let cluster = cluster(&groups);
        let Limits { reserve, group: group_fits, path: path_fits } = limits(percent);
        let rules = Rules { reserve, store_server, store_lookup: lookup, ..rules() };
        let lists: Vec<Vec<usize>> = groups
            .iter()
            .map(|members| (0..members.len()).filter(|m| writable(&members[*m])).collect())
            .collect();
        let free = |n: usize, m: usize| groups[n][m].paths.iter().map(|path| path.1).sum::<i64>();
        let fits = |n: usize| lists[n].iter().map(|m| free(n, *m)).min().is_some_and(group_fits);
        let good: Vec<usize> = (0..groups.len()).filter(|n| fits(*n)).collect();
        let mut seen = Vec::new();
        for _ in 0..2 * good.len().max(1) {
            match cluster.query_store(&rules, None, false) {
                Ok(choice) => {
                    let n = good.iter().copied().find(|n| choice.group.name == group(&format!("group{n}")));
                    let n = n.expect("a group without space, or without anybody to write to");
                    let m = lists[n].iter().copied().find(|m| choice.servers[0].id == id(&addr(n, *m)));
                    let m = m.expect("a member that must not be written");
                    prop_assert!(path_fits(groups[n][m].paths[usize::from(choice.path)].1));
                    let priority = |m: &usize| groups[n][*m].priority;
                    match store_server {
                        1 => prop_assert_eq!(m, lists[n][0]),
                        2 => prop_assert_eq!(Some(m), lists[n].iter().copied().min_by_key(priority)),
                        _ => {}
                    }
                    seen.push(n);
                }
                Err(refusal) => {
                    let nobody = lists.iter().all(Vec::is_empty);
                    prop_assert_eq!(refusal.status, if nobody { Status::NOENT } else { Status::NOSPC });
                    // The group has space in all, and a path of the member has not: only of the absolute reserve.
                    let path_short = |n: usize, m: usize| !groups[n][m].paths.iter().any(|path| path_fits(path.1));
                    let some_short = good.iter().any(|n| lists[*n].iter().any(|m| path_short(*n, *m)));
                    prop_assert!(good.is_empty() || some_short);
                }
            }
        }
        if lookup == 0 && seen.len() == 2 * good.len() {
            // In turn: each as often as the others.
            prop_assert!(good.iter().all(|n| seen.iter().filter(|s| *s == n).count() == 2), "{:?}", seen);
        }
        for (n, list) in lists.iter().enumerate() {
            let name = group(&format!("group{n}"));
            let all = cluster.query_store(&rules, Some(&name), true);
            match all {
                Ok(choice) => {
                    let expected: Vec<_> = list.iter().map(|m| id(&addr(n, *m))).collect();
                    prop_assert_eq!(choice.servers.iter().map(|s| s.id).collect::<Vec<_>>(), expected);
                }
                Err(refusal) if list.is_empty() => prop_assert_eq!(refusal.status, Status::NOENT),
                Err(refusal) => prop_assert_eq!(refusal.status, Status::NOSPC),
            }
        }
    }

    #[test]
    fn downloads_and_changes_go_where_the_rules_say(
        members in proptest::collection::vec(member(), 1..6),
        source in 0usize..8,
        age in prop_oneof![0i64..600, 0i64..200_000],
        normal: bool,
        download_server in 0u8..2,
        store_server in 0u8..3,
    ) {
        let cluster = cluster(std::slice::from_ref(&members));
        let rules = Rules { download_server, store_server, ..rules() };
        let file = FileFacts {
            source: Some(Source::Ip(addr(0, source).parse().unwrap())),
            timestamp: NOW - age,
            normal,
        };
        let name = group("group0");
        let may_serve = |m: usize| {
            let member = &members[m];
            m == source
                || age > rules.sync_max_delay
                || member.synced > file.timestamp
                || (member.synced + 1 >= file.timestamp && age > rules.sync_max_time)
        };
        let readers: Vec<usize> = (0..members.len()).filter(|m| readable(&members[*m])).collect();
        let writers: Vec<usize> = (0..members.len()).filter(|m| writable(&members[*m])).collect();
        let store = match store_server {
            2 => writers.iter().copied().min_by_key(|m| members[*m].priority),
            _ => writers.first().copied(),
        };
        let fallback = store.filter(|m| readers.contains(m));
        let from_source = Some(source).filter(|m| readers.contains(m));
        let mut every: Vec<usize> = match normal {
            true => readers.iter().copied().filter(|m| may_serve(*m)).collect(),
            false => from_source.into_iter().collect(),
        };
        if every.is_empty() && !readers.is_empty() {
            every.extend(fallback);
        }
        let ids = |list: &[usize]| list.iter().map(|m| id(&addr(0, *m))).collect::<Vec<_>>();
        match cluster.query_fetch_all(&rules, NOW, &name, &file) {
            Ok(found) => prop_assert_eq!(found.iter().map(|s| s.id).collect::<Vec<_>>(), ids(&every)),
            Err(refusal) => prop_assert!(every.is_empty() && refusal.status == Status::NOENT),
        }
        let mut turns = Vec::new();
        for _ in 0..every.len() {
            turns.extend(cluster.query_fetch(&rules, NOW, &name, &file).ok().map(|s| s.id));
        }
        if let (1, Some(source)) = (download_server, from_source) {
            prop_assert_eq!(turns, vec![id(&addr(0, source)); every.len()]);
        } else {
            // In turn: each once.
            turns.sort();
            let mut expected = ids(&every);
            expected.sort();
            prop_assert_eq!(turns, expected);
        }
        match cluster.query_update(&rules, &name, &file) {
            Err(refusal) => prop_assert!(writers.is_empty() && refusal.status == Status::NOENT),
            Ok(found) if writers.contains(&source) => prop_assert_eq!(found.id, id(&addr(0, source))),
            Ok(found) => prop_assert!(ids(&writers).contains(&found.id)),
        }
    }
}
