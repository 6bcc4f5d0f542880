//! What a second copy costs those who upload.

use std::time::Duration;

use bench::group::{Failure, Group, wait};
use bench::load::{Load, Operation, Taken};

/// Rounds of the three, in turn.
const ROUNDS: usize = 10;

/// A storage alone, one of two, and that with answers that wait for both.
pub fn run(group: &mut Group) -> Result<(), Failure> {
    let [one, other] = group.pair()?;
    let alone = group.storage(2)?;
    wait("the lone storage takes files", || group.upload(alone, 1, 1, 100).is_ok())?;
    println!(
        "{:<8} {:>11} {:<10} {:>9} {:>9} {:>9} {:>12}",
        "bytes", "connections", "copies", "uploads/s", "p50", "p99", "CPU/file"
    );
    for (size, files) in [(4096, 2000), (65536, 500)] {
        for connections in [1, 16] {
            let kinds: [(&str, &[usize], u32); 3] =
                [("alone", &[alone], 1), ("1 of 2", &[one, other], 1), ("2 of 2", &[one, other], 2)];
            let mut sums: [Option<Taken>; 3] = Default::default();
            let mut cpu = [Duration::ZERO; 3];
            for _ in 0..ROUNDS {
                for (kind, (_, members, copies)) in kinds.iter().enumerate() {
                    let (taken, spent) = round(group, members, *copies, files, connections, size)?;
                    cpu[kind] += spent;
                    sums[kind] = Some(match sums[kind].take() {
                        Some(before) => before.and(taken),
                        None => taken,
                    });
                }
            }
            for ((name, ..), (taken, cpu)) in kinds.iter().zip(sums.iter().flatten().zip(cpu)) {
                println!(
                    "{size:<8} {connections:>11} {name:<10} {:>9.0} {:>9.1?} {:>9.1?} {:>12.1?}",
                    taken.rate(),
                    taken.percentile(50),
                    taken.percentile(99),
                    cpu / u32::try_from(taken.latencies.len())?
                );
            }
        }
    }
    Ok(())
}

/// Uploads to the first of `members`, and waits until all have all.
fn round(
    group: &Group,
    members: &[usize],
    copies: u32,
    files: usize,
    connections: usize,
    size: usize,
) -> Result<(Taken, Duration), Failure> {
    let before = group.cpu(members)?;
    let load = Load::new(group.addr(members[0]), Operation::Upload, files, connections, size);
    let taken = Load { copies, ..load }.run()?;
    let all = group.records(members[0]);
    wait("all members have all", || members.iter().all(|member| group.records(*member) >= all))?;
    Ok((taken, group.cpu(members)? - before))
}
