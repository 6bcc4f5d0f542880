//! Deterministic simulation on a simulated network and clock, with kills, restarts, partitions, frozen machines and clocks
//! that are wrong by up to ten minutes.
//!
//!     fdfs-sim [cluster | replication] [--seeds N] [--first SEED] [--threads T] [--forget] [--history]
//!
//! `cluster`: 3 real trackers and 12 scripted storages. `replication`: 2 to 4 real storages of one group, 1 or 2 real trackers
//! and clients that change files at all storages.
//!
//! Each seed is one history. The first one that breaks an invariant is printed with its seed and ends the program with 1;
//! `--seed SEED --history` plays it again. `--forget` damages a file of a tracker, or the mark of a storage, on purpose and
//! succeeds only if that is noticed.

#[cfg(not(tokio_unstable))]
compile_error!(
    "tokio's choices are the seed's only with --cfg tokio_unstable, as .cargo/config.toml here says"
);

mod check;
mod faults;
mod history;
mod replication;
mod scenario;
mod storage;
mod truth;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::scenario::{Options, Outcome};

type Play = fn(u64, Options) -> Result<Outcome, String>;

thread_local! {
    /// A task of the history that this thread plays has panicked.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

struct Args {
    seeds: u64,
    first: u64,
    threads: usize,
    options: Options,
    play: Play,
    /// What the check of `--forget` has to say.
    noticed_by: &'static str,
}

fn args() -> Result<Args, String> {
    let seeds = std::env::var("FDFS_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let mut made = Args {
        seeds,
        first: 1,
        threads: 2,
        options: Options::default(),
        play: scenario::play,
        noticed_by: "has forgotten",
    };
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
            "--seed" => (made.first, made.seeds) = (number()?, 1),
            "cluster" => {}
            "replication" => (made.play, made.noticed_by) = (replication::play, "the members differ"),
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
    // A panic in a task of a simulated machine ends nothing but the task.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICKED.set(true);
        print(info);
    }));
    let (next, counts) = (AtomicU64::new(args.first), Mutex::new(BTreeMap::new()));
    let (failed, noticed) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= args.first.saturating_add(args.seeds) || failed.load(Relaxed) {
                        return;
                    }
                    match one(seed, &args) {
                        Ok(outcome) => {
                            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                            outcome
                                .counts
                                .iter()
                                .for_each(|(what, n)| *counts.entry(*what).or_insert(0) += n);
                        }
                        Err(text) => {
                            failed.store(true, Relaxed);
                            let first = text.lines().next().unwrap_or_default();
                            let meant = args.options.forget && first.contains(args.noticed_by);
                            noticed.store(meant, Relaxed);
                            if !meant {
                                eprintln!("seed {seed}: {}", shown(&text, args.options.history));
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
            let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
            let counted: String = counts.iter().map(|(what, n)| format!(", {n} {what}")).collect();
            println!("{} histories hold{counted}, {secs:.1} s", args.seeds);
        }
        (true, true) => println!("the damage was noticed, {secs:.1} s"),
        (false, true) => eprintln!("something was damaged on purpose and nobody noticed"),
        (false, false) => {}
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Why a history does not hold, and what happened before, without `whole` the last of it.
fn shown(text: &str, whole: bool) -> String {
    const LAST: usize = 60;
    let lines: Vec<&str> = text.lines().collect();
    match lines.len().checked_sub(LAST + 1).filter(|_| !whole) {
        Some(left) => format!("{}\n({left} lines before)\n{}", lines[0], lines[left + 1..].join("\n")),
        None => text.to_owned(),
    }
}

/// One seed; the first of a run is played twice, and has to go the same way.
fn one(seed: u64, args: &Args) -> Result<Outcome, String> {
    let play = || {
        let played = (args.play)(seed, args.options);
        if PANICKED.take() { Err("a task panicked".to_owned()) } else { played }
    };
    let outcome = play()?;
    if seed == args.first {
        let again = play()?;
        if let Some(at) = (0..outcome.history.len().max(again.history.len()))
            .find(|at| outcome.history.get(*at) != again.history.get(*at))
        {
            let (one, two) = (outcome.history.get(at), again.history.get(at));
            return Err(format!("two runs differ at line {at}: {one:?} and {two:?}"));
        }
    }
    if args.options.history {
        outcome.history.iter().for_each(|line| println!("{line}"));
    }
    Ok(outcome)
}
