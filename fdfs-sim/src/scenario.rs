//! One history: machines, rounds of faults, and times without any.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fdfs_core::settings::TrackerSettings;
use fdfs_net::{CancellationToken, Skew, with_clock};
use fdfs_tracker::Start;
use turmoil::Sim;

use crate::history::pass;
use crate::truth::{STORAGES, Shared, TRACKERS, storage_ip, tracker_ip};
use crate::{check, faults, storage};

/// Until everything runs, and between two rounds.
const CALM: Duration = Duration::from_secs(40);
/// Steps of the simulated time.
const TICK: Duration = Duration::from_millis(20);

/// How a history is played.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Something is damaged on purpose: a member is taken out of a tracker's files, or a record out of what is to be replicated.
    pub forget: bool,
    /// Everything that happens is printed.
    pub history: bool,
}

/// A history in which everything held.
pub struct Outcome {
    /// Each line with its time.
    pub history: Vec<String>,
    /// What was counted.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Plays the history of `seed`.
pub fn play(seed: u64, options: Options) -> Result<Outcome, String> {
    let rng = &mut fastrand::Rng::with_seed(seed);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(60))
        .simulation_duration(Duration::from_secs(3600))
        .tcp_capacity(4096)
        .build();
    let truth = Shared::default();
    let dirs: Vec<tempfile::TempDir> = (0..TRACKERS)
        .map(|_| tempfile::tempdir())
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let skews: Vec<Skew> = (0..TRACKERS).map(|_| Skew::default()).collect();
    for (at, dir) in dirs.iter().enumerate() {
        let (base, skew) = (dir.path().to_string_lossy().into_owned(), skews[at].clone());
        let settings = TrackerSettings { base_path: base, ..TrackerSettings::default() };
        sim.host(tracker_ip(at), move || with_clock(skew.clone(), tracker(settings.clone())));
    }
    for at in 0..STORAGES {
        let truth = Rc::clone(&truth);
        sim.host(storage_ip(at), move || storage::run(at, Rc::clone(&truth)));
    }
    sim.client(faults::checker_ip(), check::run(Rc::clone(&truth)));
    faults::heal(&mut sim, &truth);
    let mut game = Game { sim, truth };
    game.pass(CALM)?;
    if options.forget {
        game.forget(dirs[1].path())?;
    }
    let removal = rng.bool().then(|| rng.usize(..3));
    for round in 0..3 {
        game.truth.borrow_mut().healed = None;
        for _ in 0..rng.usize(1..=4) {
            faults::strike(&mut game.sim, &game.truth, &skews, faults::choose(rng));
            game.pass(faults::duration(rng))?;
        }
        faults::heal(&mut game.sim, &game.truth);
        game.pass(CALM)?;
        if removal == Some(round) {
            game.remove(rng.usize(..STORAGES))?;
        }
    }
    let mut truth = game.truth.borrow_mut();
    let counts = BTreeMap::from([("changes of the leader", truth.leader_changes)]);
    Ok(Outcome { history: std::mem::take(&mut truth.history.lines), counts })
}

/// The machine of a tracker, for as long as it is not killed.
pub async fn tracker(settings: TrackerSettings) -> turmoil::Result {
    let ready = Start::new(settings)?.bind()?;
    Ok(ready.run(CancellationToken::new()).await?)
}

struct Game<'a> {
    sim: Sim<'a>,
    truth: Shared,
}

impl Game<'_> {
    /// Lets time pass.
    fn pass(&mut self, time: Duration) -> Result<(), String> {
        pass(&mut self.sim, &self.truth, time)
    }

    /// A storage is stopped, removed by an administrator, and never seen again.
    fn remove(&mut self, at: usize) -> Result<(), String> {
        {
            let mut truth = self.truth.borrow_mut();
            truth.removed = Some((at, false));
            truth.storage_up[at] = false;
        }
        self.sim.crash(storage_ip(at));
        self.pass(Duration::from_secs(3))?;
        self.truth.borrow_mut().remove_now = true;
        self.pass(Duration::from_secs(4))?;
        if self.truth.borrow().removed != Some((at, true)) {
            return Err(format!("storage {at} cannot be removed"));
        }
        Ok(())
    }

    /// Takes the last member out of a tracker's file, both being down.
    fn forget(&mut self, base: &std::path::Path) -> Result<(), String> {
        let at = STORAGES - 1;
        self.truth.borrow_mut().healed = None;
        self.truth.borrow_mut().storage_up[at] = false;
        self.sim.crash(storage_ip(at));
        self.pass(Duration::from_secs(3))?;
        self.truth.borrow_mut().up[1] = None;
        self.sim.crash(tracker_ip(1));
        let file = base.join("data/storage_servers_new.dat");
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let ip = storage_ip(at).to_string();
        let section = text.rfind(&ip).and_then(|found| text[..found].rfind("[Storage"));
        let section = section.ok_or(format!("{ip} is not in the file:\n{text}"))?;
        let next = text[section + 1..].find("[Storage").map_or(text.len(), |found| section + 1 + found);
        let kept = format!("{}{}", &text[..section], &text[next..]);
        std::fs::write(&file, kept).map_err(|error| error.to_string())?;
        self.sim.bounce(tracker_ip(1));
        let now = self.sim.elapsed();
        self.truth.borrow_mut().up[1] = Some(now);
        self.pass(Duration::from_secs(3))
    }
}
