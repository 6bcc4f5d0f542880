//! What happens to the machines, chosen by the seed.

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fdfs_net::Skew;
use turmoil::Sim;

use super::world::{Shared, clients_ip, member_ip};
use crate::truth::tracker_ip;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A member is killed.
    Kill(usize),
    /// A member is killed, and its marks are as they were at the last look.
    KillAndForgetMarks(usize),
    /// A member is killed and started again at once.
    Restart(usize),
    /// A tracker is killed.
    KillTracker(usize),
    /// Nothing gets from one member to the other or back.
    Part(usize, usize),
    /// What one member sends is lost; what it is sent arrives.
    Mute(usize, usize),
    /// Everything between two members waits.
    Hold(usize, usize),
    /// Everything between the clients and a member waits.
    HoldClients(usize),
    /// Nothing gets between a member and a tracker.
    Cut(usize, usize),
    /// A member's wall clock is set to be ahead by so many seconds.
    Clock(usize, i64),
}

/// Chooses a fault.
pub fn choose(rng: &mut fastrand::Rng, members: usize, trackers: usize) -> Fault {
    let (one, tracker) = (rng.usize(..members), rng.usize(..trackers));
    let other = (one + 1 + rng.usize(..members - 1)) % members;
    match rng.u8(..20) {
        0..3 => Fault::Kill(one),
        3..5 => Fault::KillAndForgetMarks(one),
        5..8 => Fault::Restart(one),
        8 => Fault::KillTracker(tracker),
        9..12 => Fault::Part(one, other),
        12 | 13 => Fault::Mute(one, other),
        14 | 15 => Fault::Hold(one, other),
        16 | 17 => Fault::HoldClients(one),
        18 => Fault::Cut(one, tracker),
        _ => Fault::Clock(one, rng.i64(-600..=600)),
    }
}

/// How long faults last.
pub fn duration(rng: &mut fastrand::Rng) -> Duration {
    Duration::from_millis(rng.u64(200..6_000))
}

/// Makes it happen.
pub fn strike(sim: &mut Sim<'_>, world: &Shared, skews: &[Skew], fault: Fault) {
    world.borrow_mut().history.at(sim.elapsed(), &format!("{fault:?}"));
    match fault {
        Fault::Kill(at) => kill(sim, world, at),
        Fault::KillAndForgetMarks(at) => {
            kill(sim, world, at);
            let dir = world.borrow().members[at].base().join("data/sync");
            restore_marks(&dir);
        }
        Fault::Restart(at) => {
            kill(sim, world, at);
            start(sim, world, at);
        }
        Fault::KillTracker(at) => sim.crash(tracker_ip(at)),
        Fault::Part(one, two) => sim.partition(member_ip(one), member_ip(two)),
        Fault::Mute(one, two) => sim.partition_oneway(member_ip(one), member_ip(two)),
        Fault::Hold(one, two) => sim.hold(member_ip(one), member_ip(two)),
        Fault::HoldClients(at) => sim.hold(clients_ip(), member_ip(at)),
        Fault::Cut(member, tracker) => sim.partition(member_ip(member), tracker_ip(tracker)),
        Fault::Clock(at, ahead) => skews[at].store(ahead, Relaxed),
    }
}

/// Ends a process.
pub fn kill(sim: &mut Sim<'_>, world: &Shared, at: usize) {
    if sim.is_host_running(member_ip(at)) {
        sim.crash(member_ip(at));
    }
    world.borrow_mut().members[at].storage = std::sync::Weak::new();
}

/// Starts it, if it was ever started.
pub fn start(sim: &mut Sim<'_>, world: &Shared, at: usize) {
    if world.borrow().members[at].started && !sim.is_host_running(member_ip(at)) {
        sim.bounce(member_ip(at));
    }
}

/// Undoes all of them.
pub fn heal(sim: &mut Sim<'_>, world: &Shared, trackers: usize) {
    let members = world.borrow().members.len();
    let all: Vec<IpAddr> =
        (0..trackers).map(tracker_ip).chain((0..members).map(member_ip)).chain([clients_ip()]).collect();
    for (n, one) in all.iter().enumerate() {
        for other in &all[n + 1..] {
            sim.release(*one, *other);
            sim.repair(*one, *other);
        }
    }
    for at in 0..trackers {
        if !sim.is_host_running(tracker_ip(at)) {
            sim.bounce(tracker_ip(at));
        }
    }
    (0..members).for_each(|at| start(sim, world, at));
    world.borrow_mut().history.at(sim.elapsed(), "healed");
}

/// Keeps the marks as they are now.
pub fn keep_marks(dir: &Path) {
    for mark in marks(dir, "mark") {
        let _ = std::fs::copy(&mark, mark.with_extension("kept"));
    }
}

fn restore_marks(dir: &Path) {
    for kept in marks(dir, "kept") {
        let _ = std::fs::copy(&kept, kept.with_extension("mark"));
    }
}

/// Files with this extension.
pub fn marks(dir: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    found.sort();
    found
}
