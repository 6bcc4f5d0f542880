//! What happens to members, trackers, disks, clocks and links while clients work.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::model::client::Member;
use fdfs_tests::model::random::Random;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{network, wait_for};

/// Faults at the same time, at most.
const MOST: usize = 2;
/// Most seconds by which a clock is wrong.
const SKEW: usize = 600;
/// Longest wait for a storage to stop.
const LIMIT: Duration = Duration::from_secs(60);

/// A fault that is there now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The storage is down; it comes back with another clock.
    Down(usize),
    /// The storage is frozen.
    Still(usize),
    /// The first cannot reach the second.
    Apart(usize, usize, Cut),
    /// The disk is full.
    Full(usize),
    /// The tracker is down.
    NoTracker(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Nothing arrives, both ways.
    Both,
    /// Nothing arrives one way: requests or answers are lost.
    OneWay,
    /// Connections break.
    Reset,
}

pub struct Faults {
    pub random: Random,
    members: Arc<[Member]>,
    /// So many of them have been started.
    pub present: usize,
    /// Links can be cut, and this member's disk can be full.
    small: Option<usize>,
    now: Vec<Fault>,
    /// How often each happened.
    pub counts: BTreeMap<&'static str, usize>,
}

impl Faults {
    pub fn new(random: Random, members: &Arc<[Member]>, present: usize, small: Option<usize>) -> Self {
        Self {
            random,
            members: Arc::clone(members),
            present,
            small,
            now: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Another fault, or one less.
    pub fn step(&mut self, cluster: &mut Cluster) {
        if self.now.len() == MOST || (!self.now.is_empty() && self.random.one_in(2)) {
            let index = self.random.below(self.now.len());
            self.end(cluster, index);
        } else {
            self.begin(cluster);
        }
    }

    /// All faults are over.
    pub fn end_all(&mut self, cluster: &mut Cluster) {
        while !self.now.is_empty() {
            self.end(cluster, 0);
        }
    }

    /// From here on every member takes files: one whose disk was full looks for space once a second.
    pub fn settled(&self) {
        for member in self.members.iter().filter(|member| member.full.load(Relaxed)) {
            wait_for("the member takes files again", LIMIT, || {
                let mut storage = Raw::connect(member.addr);
                let answer = storage.ask(raw::UPLOAD, &raw::upload(0, "txt", b"x")).unwrap();
                let name = answer.body.get(16..).unwrap_or_default();
                let name = String::from_utf8_lossy(name);
                answer.status == 0
                    && storage.ask(raw::DELETE, &raw::file("group1", &name)).unwrap().status == 0
            });
            member.full.store(false, Relaxed);
        }
    }

    fn begin(&mut self, cluster: &mut Cluster) {
        let member = self.random.below(self.present);
        let other = (member + 1 + self.random.below(self.present - 1)) % self.present;
        let (fault, name) = match (self.random.below(10), self.small) {
            (0..3, _) => (Fault::Down(member), "kills"),
            (3, _) => (Fault::Down(member), "stops"),
            (4, _) => (Fault::Still(member), "freezes"),
            (5, _) => (Fault::NoTracker(self.random.below(2)), "trackers killed"),
            (6, Some(_)) => (Fault::Apart(member, other, Cut::Both), "partitions"),
            (7, Some(_)) => (Fault::Apart(member, other, Cut::OneWay), "one-way partitions"),
            (8, Some(_)) => (Fault::Apart(member, other, Cut::Reset), "reset links"),
            (9, Some(small)) if small < self.present => (Fault::Full(small), "full disks"),
            _ => return,
        };
        // A process that is down or frozen can be nothing else at the same time.
        let process = |fault: &Fault| match fault {
            Fault::Down(member) | Fault::Still(member) => Some(*member),
            _ => None,
        };
        let is_there =
            |now: &Fault| *now == fault || (process(now).is_some() && process(now) == process(&fault));
        if self.now.iter().any(is_there) {
            return;
        }
        *self.counts.entry(name).or_default() += 1;
        self.now.push(fault);
        match fault {
            Fault::Down(member) if name == "kills" => cluster.storage(member).kill(),
            Fault::Down(member) => cluster.storage(member).signal(libc::SIGTERM),
            Fault::Still(member) => cluster.storage(member).signal(libc::SIGSTOP),
            Fault::Apart(..) => self.filter(cluster),
            Fault::Full(member) => {
                self.members[member].full.store(true, Relaxed);
                fill(filler(cluster, member));
            }
            Fault::NoTracker(index) => cluster.tracker_process(index).kill(),
        }
    }

    fn end(&mut self, cluster: &mut Cluster, index: usize) {
        match self.now.remove(index) {
            Fault::Down(member) => {
                // One that has just started may not have heard of SIGTERM.
                let ended = cluster.storage(member).wait(LIMIT);
                let signal = ended.signal();
                assert!(
                    ended.success()
                        || signal.is_some_and(|signal| matches!(signal, libc::SIGKILL | libc::SIGTERM)),
                    "member {member}: {ended}"
                );
                cluster.members[member].clock_ahead = self.clock();
                crate::start(cluster, member);
            }
            Fault::Still(member) => cluster.storage(member).signal(libc::SIGCONT),
            Fault::Apart(..) => self.filter(cluster),
            Fault::Full(member) => {
                std::fs::remove_file(filler(cluster, member)).unwrap();
                // Without space to complete a change that was under way it does not start.
                if !self.now.contains(&Fault::Down(member)) && !cluster.storage(member).is_running() {
                    crate::start(cluster, member);
                }
            }
            Fault::NoTracker(index) => cluster.start_tracker(index),
        }
    }

    /// Seconds by which the clock of a process is ahead: mostly some.
    pub fn clock(&mut self) -> i64 {
        match self.random.one_in(3) {
            true => 0,
            false => self.random.below(2 * SKEW + 1) as i64 - SKEW as i64,
        }
    }

    fn filter(&self, cluster: &Cluster) {
        let mut rules = String::new();
        for fault in &self.now {
            let Fault::Apart(one, other, how) = fault else { continue };
            let [one, other] = [one, other].map(|index| cluster.members[*index].addr.ip());
            let mut rule = |from, to, what| {
                writeln!(rules, "ip saddr {from} ip daddr {to} meta l4proto tcp {what}").unwrap();
            };
            match how {
                Cut::OneWay => rule(one, other, "drop"),
                Cut::Both | Cut::Reset => {
                    let what = if *how == Cut::Both { "drop" } else { "reject with tcp reset" };
                    rule(one, other, what);
                    rule(other, one, what);
                }
            }
        }
        network::filter("output", &rules);
    }
}

fn filler(cluster: &Cluster, member: usize) -> PathBuf {
    cluster.members[member].base.join("filler")
}

/// Takes all the space that there is.
fn fill(path: PathBuf) {
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 4096] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}
