//! Deterministic simulation of 3 trackers and 12 storages: real tracker code on a simulated network and clock, with
//! kills, restarts, partitions, frozen machines and clocks that are wrong by up to ten minutes.
//!
//!     fdfs-sim [--seeds N] [--first SEED] [--threads T] [--forget] [--history]
//!
//! Each seed is one history. The first one that breaks an invariant is printed with its seed and ends the program with 1;
//! `--first SEED --seeds 1 --history` plays it again. `--forget` damages a tracker's files on purpose and succeeds only if
//! that is noticed.

mod check;
mod faults;
mod scenario;
mod storage;
mod truth;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::scenario::{Options, Outcome, play};

struct Args {
    seeds: u64,
    first: u64,
    threads: usize,
    options: Options,
}

fn args() -> Result<Args, String> {
    let seeds = std::env::var("FDFS_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let mut made = Args { seeds, first: 1, threads: 2, options: Options::default() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, String> {
            let text = words.next().ok_or(format!("{word} needs a number"))?;
            text.parse().map_err(|_| format!("{word}: {text} is no number"))
        };
        match word.as_str() {
            "--seeds" => made.seeds = number()?,
            "--first" => made.first = number()?,
            "--threads" => made.threads = usize::try_from(number()?.max(1)).unwrap_or(1),
            "--forget" => made.options.forget = true,
            "--history" => made.options.history = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(made)
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    if args.options.history {
        tracing_subscriber::fmt().with_ansi(false).without_time().with_target(false).init();
    }
    let began = Instant::now();
    let (next, leaders) = (AtomicU64::new(args.first), AtomicU64::new(0));
    let (failed, noticed) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= args.first.saturating_add(args.seeds) || failed.load(Relaxed) {
                        return;
                    }
                    match one(seed, args.first, args.options) {
                        Ok(outcome) => drop(leaders.fetch_add(outcome.leader_changes, Relaxed)),
                        Err(text) => {
                            failed.store(true, Relaxed);
                            let meant = args.options.forget && text.contains("has forgotten");
                            noticed.store(meant, Relaxed);
                            if !meant {
                                eprintln!("seed {seed}: {text}");
                            }
                        }
                    }
                }
            });
        }
    });
    let (failed, secs) = (failed.load(Relaxed), began.elapsed().as_secs_f64());
    let good = if args.options.forget { noticed.load(Relaxed) } else { !failed };
    match (good, args.options.forget) {
        (true, false) => {
            let changes = leaders.load(Relaxed);
            println!("{} histories hold, {changes} changes of the leader, {secs:.1} s", args.seeds);
        }
        (true, true) => println!("the damage was noticed, {secs:.1} s"),
        (false, true) => eprintln!("a member was forgotten on purpose and nobody noticed"),
        (false, false) => {}
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One seed; the first of a run is played twice, and has to go the same way.
fn one(seed: u64, first: u64, options: Options) -> Result<Outcome, String> {
    let outcome = play(seed, options)?;
    if seed == first {
        let again = play(seed, options)?;
        if let Some(at) = (0..outcome.history.len().max(again.history.len()))
            .find(|at| outcome.history.get(*at) != again.history.get(*at))
        {
            let (one, two) = (outcome.history.get(at), again.history.get(at));
            return Err(format!("two runs differ at line {at}: {one:?} and {two:?}"));
        }
    }
    if options.history {
        outcome.history.iter().for_each(|line| println!("{line}"));
    }
    Ok(outcome)
}
