//! `fdfs_verify` over many files.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bench::group::{Failure, Group, wait};
use bench::load::{Load, Operation};
use bench::process::{cpu_time, memory};

/// Bytes of a file.
const SIZE: usize = 100;
const RUNS: usize = 3;

pub fn run(group: &mut Group, programs: &Path, files: usize, connections: usize) -> Result<(), Failure> {
    let files = files / connections * connections;
    let pair @ [one, other] = group.pair()?;
    let before = group.records(one);
    group.upload(one, files, connections, SIZE)?;
    wait("both have all", || group.records(other) >= before + files as u64)?;
    for run in 0..RUNS {
        let quiet = latency(group, &Arc::new(AtomicBool::new(true)))?;
        let mut command = Command::new(programs.join("fdfs_verify"));
        command.arg("group1").args(pair.map(|index| group.addr(index).to_string()));
        let cpu = group.cpu(&pair)?;
        let began = Instant::now();
        let mut child = command.stdout(Stdio::null()).spawn()?;
        let (stop, mut own) = (Arc::new(AtomicBool::new(false)), (Duration::ZERO, 0));
        let (status, busy) = std::thread::scope(|scope| -> Result<_, Failure> {
            let looking = scope.spawn(|| latency(group, &stop));
            let status = loop {
                if let Some(status) = child.try_wait()? {
                    break status;
                }
                let (most, _) = memory(child.id()).unwrap_or_default();
                own = (cpu_time(child.id()).unwrap_or_default().max(own.0), most.max(own.1));
                std::thread::sleep(Duration::from_millis(5));
            };
            stop.store(true, Relaxed);
            Ok((status, looking.join().map_err(|_| "the looking thread panicked")??))
        })?;
        println!(
            "run {run}: {status}, {:.2?}; CPU {:.2?}, of the two storages {:.2?}; memory {} KiB, of the storages at most {} and {} KiB; \
             an empty request takes {:.1?}, at most {:.1?}, before it {:.1?}, at most {:.1?}",
            began.elapsed(),
            own.0,
            group.cpu(&pair)? - cpu,
            own.1 >> 10,
            memory(group.pid(one))?.0 >> 10,
            memory(group.pid(other))?.0 >> 10,
            busy[0],
            busy[1],
            quiet[0],
            quiet[1],
        );
    }
    Ok(())
}

/// Median and most of empty requests to all workers of the first member, until `stop`.
fn latency(group: &Group, stop: &AtomicBool) -> Result<[Duration; 2], Failure> {
    let load = Load::new(group.addr(0), Operation::ActiveTest, 40, 4, 0);
    let mut all = load.run()?;
    while !stop.load(Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        all = all.and(load.run()?);
    }
    Ok([50, 100].map(|percent| all.percentile(percent)))
}
