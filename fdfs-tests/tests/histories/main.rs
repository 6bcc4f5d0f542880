//! Random histories of a whole group: clients make changes of all kinds at two to four members while these are killed,
//! stopped and frozen, cut off from each other, run out of disk and start with wrong clocks, and while trackers are killed.
//! Then the faults end, the lag goes to zero, and every member has what the clients were told, and nothing else.
//!
//! A change whose answer was lost may have happened or not: all members agree on it.
//!
//! `FDFS_HISTORY=operations,seed` runs one of another length; the seed is printed. It repeats the choices, not what the clock
//! and the threads do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fdfs_tests::cluster::Cluster;
use fdfs_tests::model::client::{Client, Member};
use fdfs_tests::model::random::Random;
use fdfs_tests::model::{disk, settle};
use fdfs_tests::tree;

use faults::Faults;

const CLIENTS: usize = 5;
/// Operations until everything has to agree, about.
const ROUND: usize = 1500;
/// From fault to fault: operations, and time if nobody gets any done.
const FAULT: usize = 60;
const STUCK: Duration = Duration::from_millis(700);
const SMALL_MIB: u32 = 500;
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(90);

fn start(cluster: &mut Cluster, member: usize) {
    let more = "sync_binlog_buff_interval = 1\nconnect_timeout = 2\nnetwork_timeout = 5\n";
    cluster.start_storage_with(member, more);
}

fn bases(cluster: &Cluster) -> Vec<PathBuf> {
    cluster.members.iter().map(|member| member.base.clone()).collect()
}

/// Waits until every member is there and says that every other one has everything.
fn wait_quiet(cluster: &Cluster) {
    cluster.wait_active();
    let pairs = cluster.members.len() * (cluster.members.len() - 1);
    let mut quiet = 0;
    let end = Instant::now() + LIMIT;
    // A delete that arrives makes no news, but who has just got it may have made some before: twice in a row.
    while quiet < 2 {
        let lag = cluster.tool("monitor", &["lag", "group1"]);
        let said = String::from_utf8_lossy(&lag.stdout).into_owned();
        let all = lag.status.success() && said.matches("it has everything\n").count() == pairs;
        quiet = if all { quiet + 1 } else { 0 };
        assert!(Instant::now() < end, "the lag does not go to zero: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the logs of all members say about these names.
fn tell(cluster: &Cluster, names: &[String]) {
    for name in names {
        let name = name.rsplit(' ').next().unwrap();
        for base in bases(cluster) {
            let there = disk::path(&base, name).symlink_metadata().map(|meta| meta.len());
            let log = std::fs::read_to_string(base.join("data/sync/binlog.000")).unwrap();
            let file = name.strip_suffix("-m").unwrap_or(name);
            let records: Vec<&str> = log.lines().filter(|line| line.contains(file)).collect();
            eprintln!("{name} at {}: {there:?}, {records:#?}", base.display());
        }
    }
}

/// All members have the same, and it is what the clients know; each explains all of it in its log.
fn check(cluster: &Cluster, clients: &mut [Client]) -> usize {
    wait_quiet(cluster);
    let bases = bases(cluster);
    for (member, base) in bases.iter().enumerate() {
        if let Err(differs) = disk::compare(&bases[0], base) {
            tell(cluster, &differs);
            panic!("member {member} differs from member 0: {differs:?}");
        }
        let more: Vec<String> = tree::unexplained(base).into_iter().filter(|name| name != "filler").collect();
        assert_eq!(more, [""; 0], "no record of member {member} speaks of these");
    }
    let settled =
        catch_unwind(AssertUnwindSafe(|| settle::settle(clients, cluster.members[0].addr, &bases[0])));
    settled.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map_or("", |text| text);
        let names = text.split([' ', ':', '"', ',', ']', '[']).filter(|word| word.starts_with("M00/"));
        tell(cluster, &names.map(str::to_owned).collect::<Vec<_>>());
        resume_unwind(panic)
    })
}

/// Ends the work of the clients, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn history(operations: usize, seed: u64) {
    println!("FDFS_HISTORY={operations},{seed}");
    let began = Instant::now();
    let mut random = Random::new(seed);
    let possible = place::possible();
    if possible {
        place::enter();
    }
    let mut cluster = Cluster::start("histories", 0);
    let count = 2 + random.below(3);
    for _ in 0..count {
        cluster.add_member("group1");
    }
    let bases = bases(&cluster);
    // Any but the first: files of a full member are made good from others.
    let small = possible.then(|| 1 + random.below(count - 1));
    let disk = small.map(|small| place::mount(&bases[small], SMALL_MIB));
    let members: Arc<[Member]> = cluster.members.iter().map(|member| Member::new(member.addr)).collect();
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|number| Client::new(number, &members, random.number())).collect();
    // With three and more, one joins while the others work.
    let late = if count > 2 { count - 1 } else { count };
    let mut faults = Faults::new(Random::new(random.number()), &members, late, small);
    (0..count).for_each(|member| cluster.members[member].clock_ahead = faults.clock());
    (0..late).for_each(|member| start(&mut cluster, member));
    cluster.wait_active();

    let rounds = operations.div_ceil(ROUND);
    let (mut done, mut doubts) = (0, 0);
    for round in 0..rounds {
        let (ops, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let goal = (operations - done.min(operations)) / (rounds - round);
        std::thread::scope(|scope| {
            let _end = End(&stop);
            for client in &mut clients {
                let (ops, stop) = (&ops, &stop);
                scope.spawn(move || client.work(ops, stop));
            }
            // A failure in a client stops them all.
            let go_on = |until: usize| !stop.load(Relaxed) && ops.load(Relaxed) < until;
            // At least once, or nobody would join.
            loop {
                let (until, time) = (ops.load(Relaxed) + random.below(2 * FAULT), Instant::now());
                while go_on(until) && time.elapsed() < STUCK {
                    std::thread::sleep(Duration::from_millis(1));
                }
                if faults.present < count {
                    start(&mut cluster, late);
                    faults.present = count;
                }
                faults.step(&mut cluster);
                if !go_on(goal) {
                    break;
                }
            }
            faults.end_all(&mut cluster);
        });
        done += ops.load(Relaxed);
        doubts += check(&cluster, &mut clients);
        faults.settled();
    }
    let files: usize = clients.iter().map(|client| client.files.len()).sum();
    println!(
        "{done} operations at {count} members in {:.0?}, {rounds} times all agreed, {doubts} doubts, {files} files",
        began.elapsed()
    );
    let mut kinds = BTreeMap::<&str, usize>::new();
    for (kind, count) in clients.iter().flat_map(|client| &client.counts) {
        *kinds.entry(*kind).or_default() += count;
    }
    println!("{kinds:?}\n{:?}", faults.counts);
    let ends: BTreeSet<bool> = (0..count).map(|member| cluster.storage(member).stop().success()).collect();
    assert_eq!(ends, BTreeSet::from([true]), "a storage ends badly");
    for base in &bases {
        assert_eq!(disk::leftovers(base), [""; 0]);
    }
    drop(disk);
}

#[test]
fn all_members_agree() {
    match std::env::var("FDFS_HISTORY") {
        Ok(text) => {
            let (operations, seed) = text.split_once(',').expect("FDFS_HISTORY=operations,seed");
            history(operations.parse().unwrap(), seed.parse().unwrap());
        }
        Err(_) => history(4000, 1),
    }
}
