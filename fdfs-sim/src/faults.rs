//! What happens to the machines, chosen by the seed.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fdfs_net::Skew;
use turmoil::Sim;

use crate::truth::{STORAGES, Shared, TRACKERS, storage_ip, tracker_ip};

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The tracker is killed.
    KillTracker(usize),
    /// The storage is killed.
    KillStorage(usize),
    /// Nothing gets from one tracker to the other or back.
    Part(usize, usize),
    /// Nothing gets from or to the other trackers.
    Isolate(usize),
    /// Nothing gets between a storage and a tracker.
    Cut(usize, usize),
    /// The tracker's machine is frozen: everything to and from it waits.
    Freeze(usize),
    /// The tracker's wall clock is set to be ahead by so many seconds.
    Clock(usize, i64),
}

/// Chooses a fault.
pub fn choose(rng: &mut fastrand::Rng) -> Fault {
    let tracker = rng.usize(..TRACKERS);
    let other = (tracker + 1 + rng.usize(..TRACKERS - 1)) % TRACKERS;
    let storage = rng.usize(..STORAGES);
    match rng.u8(..10) {
        0..=2 => Fault::KillTracker(tracker),
        3 => Fault::KillStorage(storage),
        4 => Fault::Part(tracker, other),
        5 => Fault::Isolate(tracker),
        6 => Fault::Cut(storage, tracker),
        7 | 8 => Fault::Freeze(tracker),
        _ => Fault::Clock(tracker, rng.i64(-600..=600)),
    }
}

/// Makes it happen.
pub fn strike(sim: &mut Sim<'_>, truth: &Shared, skews: &[Skew], fault: Fault) {
    truth.borrow_mut().history.at(sim.elapsed(), &format!("{fault:?}"));
    match fault {
        Fault::KillTracker(at) => {
            truth.borrow_mut().up[at] = None;
            sim.crash(tracker_ip(at));
        }
        Fault::KillStorage(at) => {
            truth.borrow_mut().storage_up[at] = false;
            sim.crash(storage_ip(at));
        }
        Fault::Part(one, two) => sim.partition(tracker_ip(one), tracker_ip(two)),
        Fault::Isolate(at) => {
            for other in (0..TRACKERS).filter(|other| *other != at) {
                sim.partition(tracker_ip(at), tracker_ip(other));
            }
        }
        Fault::Cut(storage, tracker) => sim.partition(storage_ip(storage), tracker_ip(tracker)),
        Fault::Freeze(at) => {
            truth.borrow_mut().up[at] = None;
            all_links(at, |one, two| sim.hold(one, two));
        }
        Fault::Clock(at, ahead) => skews[at].store(ahead, Relaxed),
    }
}

/// Undoes all of them.
pub fn heal(sim: &mut Sim<'_>, truth: &Shared) {
    let now = sim.elapsed();
    for at in 0..TRACKERS {
        all_links(at, |one, two| sim.release(one, two));
        all_links(at, |one, two| sim.repair(one, two));
        if !sim.is_host_running(tracker_ip(at)) {
            sim.bounce(tracker_ip(at));
        }
        truth.borrow_mut().up[at].get_or_insert(now);
    }
    let gone = truth.borrow().removed.map(|(at, _)| at);
    for at in (0..STORAGES).filter(|at| Some(*at) != gone) {
        if !sim.is_host_running(storage_ip(at)) {
            sim.bounce(storage_ip(at));
        }
        truth.borrow_mut().storage_up[at] = true;
    }
    truth.borrow_mut().healed = Some(now);
    truth.borrow_mut().history.at(now, "healed");
}

fn all_links(tracker: usize, mut each: impl FnMut(std::net::IpAddr, std::net::IpAddr)) {
    let others = (0..TRACKERS).filter(|other| *other != tracker).map(tracker_ip);
    for other in others.chain((0..STORAGES).map(storage_ip)).chain([checker_ip()]) {
        each(tracker_ip(tracker), other);
    }
}

/// Address of the checker.
pub fn checker_ip() -> std::net::IpAddr {
    std::net::Ipv4Addr::new(10, 0, 2, 1).into()
}

/// How long faults last.
pub fn duration(rng: &mut fastrand::Rng) -> Duration {
    Duration::from_millis(rng.u64(1_000..25_000))
}
