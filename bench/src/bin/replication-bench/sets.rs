//! Lag and cost of sets of files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bench::copy::bare;
use bench::group::{Failure, Group, records, wait};

/// From this size on, bytes are compared with a bare copy.
const LARGE: usize = 16 << 20;

/// Sets as `FILESxBYTES`, then single files.
pub fn run(group: &mut Group, sets: &[String], connections: usize) -> Result<(), Failure> {
    let pair = group.pair()?;
    println!(
        "{:<14} {:>9} {:>9} {:>9} {:>10} {:>9} {:>9} {:>9} {:>12}",
        "files", "uploads/s", "up p50", "up p99", "complete", "lag p50", "lag p99", "lag max", "CPU/file"
    );
    for set in sets {
        let (files, size) = set.split_once('x').ok_or("a set is FILESxBYTES")?;
        measure(group, pair, files.parse()?, size.parse()?, connections)?;
    }
    idle(group, pair)
}

fn measure(
    group: &Group,
    pair: [usize; 2],
    files: usize,
    size: usize,
    connections: usize,
) -> Result<(), Failure> {
    let [one, other] = pair;
    let before = group.records(one);
    let connections = connections.min(files);
    let files = files / connections * connections;
    let cpu_before = group.cpu(&pair)?;
    let stop = Arc::new(AtomicBool::new(false));
    let sampler = {
        let (stop, logs) = (Arc::clone(&stop), [group.binlog(one), group.binlog(other)]);
        std::thread::spawn(move || sample(&stop, &logs))
    };
    let taken = group.upload(one, files, connections, size)?;
    let uploaded = Instant::now();
    wait("the second storage has all", || group.records(other) >= before + files as u64)?;
    let complete = uploaded.elapsed();
    stop.store(true, Relaxed);
    let samples = sampler.join().map_err(|_| "the sampler panicked")?;
    let lags = lags(&samples, before, before + files as u64);
    let at = |percent: usize| {
        lags.get((lags.len().saturating_sub(1)) * percent / 100).copied().unwrap_or_default()
    };
    let cpu = (group.cpu(&pair)? - cpu_before) / u32::try_from(files)?;
    println!(
        "{:<14} {:>9.0} {:>9.1?} {:>9.1?} {:>10.1?} {:>9.1?} {:>9.1?} {:>9.1?} {:>12.1?}",
        format!("{files} x {size}"),
        taken.rate(),
        taken.percentile(50),
        taken.percentile(99),
        complete,
        at(50),
        at(99),
        at(100),
        cpu
    );
    if size >= LARGE {
        let (mut done, cpu) = bare(&group.store_path(other), files, size)?;
        done.sort();
        println!(
            "  the same copied by a bare program: half after {:.1?}, all after {:.1?}, CPU/file {cpu:.1?}",
            done[(files - 1) / 2],
            done[files - 1]
        );
    }
    Ok(())
}

/// One file after the other, each when the one before has arrived.
fn idle(group: &Group, [one, other]: [usize; 2]) -> Result<(), Failure> {
    let mut lags = Vec::new();
    for _ in 0..200 {
        let before = group.records(other);
        group.upload(one, 1, 1, 4096)?;
        let began = Instant::now();
        while group.records(other) == before {
            if began.elapsed() > Duration::from_secs(10) {
                return Err("an idle pair does not replicate".into());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        lags.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
    lags.sort();
    println!("idle: lag p50 {:.1?}, p99 {:.1?}, max {:.1?}", lags[100], lags[198], lags[199]);
    Ok(())
}

/// Records in both logs, again and again.
fn sample(stop: &AtomicBool, logs: &[PathBuf; 2]) -> Vec<(Instant, [u64; 2])> {
    let mut samples = Vec::new();
    loop {
        let last = stop.load(Relaxed);
        samples.push((Instant::now(), [records(&logs[0]), records(&logs[1])]));
        if last {
            return samples;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Of each record between `from` and `to`: when the second log had as many, less when the first had. Sorted.
fn lags(samples: &[(Instant, [u64; 2])], from: u64, to: u64) -> Vec<Duration> {
    let (mut sent, mut arrived) = (0, 0);
    let mut lags = Vec::new();
    for record in from + 1..=to {
        while sent < samples.len() && samples[sent].1[0] < record {
            sent += 1;
        }
        while arrived < samples.len() && samples[arrived].1[1] < record {
            arrived += 1;
        }
        if let (Some((one, _)), Some((other, _))) = (samples.get(sent), samples.get(arrived)) {
            lags.push(other.saturating_duration_since(*one));
        }
    }
    lags.sort();
    lags
}
