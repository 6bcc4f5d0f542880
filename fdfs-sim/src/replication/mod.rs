//! One history of a group: real members and trackers, clients that change files at all of them, rounds of faults.

mod check;
mod clients;
mod faults;
mod model;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fdfs_core::binlog::Mark;
use fdfs_core::ident::StorageStatus;
use fdfs_core::settings::{
    AddressFamily, Addrs, Reserve, Secs, StorageSettings, StorePathConf, TrackerSettings,
};
use fdfs_net::{CancellationToken, Skew, with_clock};
use turmoil::Sim;

use self::check::Seen;
use self::clients::Client;
use self::world::{Member, PORT, SUBDIRS, Shared, World, clients_ip, group, make_dirs, member_ip};
use crate::history::pass;
use crate::scenario::{Options, Outcome, tracker};
use crate::truth::{PORT as TRACKER_PORT, tracker_ip};

/// Steps of the simulated time.
const TICK: Duration = Duration::from_millis(10);
/// Between two looks at what always holds.
const LOOK: Duration = Duration::from_millis(500);
/// After everything was healed, until all members have everything.
const ALL_ARRIVES: Duration = Duration::from_secs(120);
/// Times of faults, each followed by one without any.
const ROUNDS: usize = 3;
/// Clients at the same time.
const CLIENTS: u64 = 3;

/// Plays the history of `seed`.
pub fn play(seed: u64, options: Options) -> Result<Outcome, String> {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.map_err(|error| error.to_string())?;
    // Names of files and the like, for as long as this history has the thread.
    fastrand::seed(seed);
    let rng = &mut fastrand::Rng::with_seed(seed);
    let (members, trackers) = (rng.usize(2..=4), rng.usize(1..=2));
    let sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(rng.u64(2..60)))
        .simulation_duration(Duration::from_secs(3600))
        .tcp_capacity(1 << 20)
        .build();
    let mut game = Game::new(sim, dir.path(), members, trackers).map_err(|error| error.to_string())?;
    for skew in &game.skews {
        skew.store(rng.i64(-30..=30), Relaxed);
    }
    // One of them may join when the others have files.
    let late = (members > 2 && rng.bool()).then(|| rng.usize(..members));
    game.begin(late);
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|_| Client { world: Rc::clone(&game.world), rng: rng.fork(), pause_ms: rng.u64(20..400) })
        .collect();
    game.sim.client(clients_ip(), async move {
        clients.into_iter().for_each(|client| drop(tokio::task::spawn_local(client.run())));
        std::future::pending().await
    });
    game.arrive()?;
    if options.forget {
        game.forget()?;
    }
    for round in 0..ROUNDS {
        game.world.borrow_mut().quiet = false;
        if round == 1
            && let Some(late) = late
        {
            game.join(late);
        }
        for _ in 0..rng.usize(1..=4) {
            game.strike(faults::choose(rng, members, trackers));
            game.look(faults::duration(rng))?;
        }
        game.world.borrow_mut().quiet = true;
        faults::heal(&mut game.sim, &game.world, trackers);
        game.arrive()?;
        if rng.u8(..4) == 0 {
            game.wipe(rng)?;
            game.arrive()?;
        }
    }
    let mut world = game.world.borrow_mut();
    let files = world.model.files.len() as u64;
    let counts = [("requests", world.done), ("without an answer", world.unanswered), ("files", files)];
    Ok(Outcome { history: std::mem::take(&mut world.history.lines), counts: BTreeMap::from(counts) })
}

struct Game<'a> {
    sim: Sim<'a>,
    world: Shared,
    skews: Vec<Skew>,
    trackers: usize,
    seen: Seen,
}

impl Game<'_> {
    fn new(sim: Sim<'static>, dir: &Path, members: usize, trackers: usize) -> std::io::Result<Self> {
        let skews: Vec<Skew> = (0..members).map(|_| Skew::default()).collect();
        let mut game = Self { sim, world: Shared::default(), skews, trackers, seen: Seen::new() };
        for at in 0..trackers {
            let base = dir.join(format!("tracker{at}"));
            std::fs::create_dir(&base)?;
            let base = base.to_string_lossy().into_owned();
            let settings = TrackerSettings {
                base_path: base,
                reserved_storage_space: Reserve::Bytes(0),
                ..TrackerSettings::default()
            };
            game.sim.host(tracker_ip(at), move || tracker(settings.clone()));
        }
        for at in 0..members {
            let dir = dir.join(format!("member{at}"));
            make_dirs(&dir)?;
            let member = Member { dir, storage: std::sync::Weak::new(), started: true, empty: false };
            let (settings, skew, world) =
                (settings(&member, trackers), game.skews[at].clone(), Rc::clone(&game.world));
            game.world.borrow_mut().members.push(member);
            game.sim.host(member_ip(at), move || {
                with_clock(skew.clone(), storage(settings.clone(), at, Rc::clone(&world)))
            });
        }
        game.world.borrow_mut().quiet = true;
        Ok(game)
    }

    /// All members but a late one.
    fn begin(&mut self, late: Option<usize>) {
        if let Some(late) = late {
            faults::kill(&mut self.sim, &self.world, late);
            self.world.borrow_mut().members[late].started = false;
        }
    }

    /// A new member.
    fn join(&mut self, at: usize) {
        {
            let mut world = self.world.borrow_mut();
            world.history.at(self.sim.elapsed(), &format!("member {at} joins"));
            (world.members[at].started, world.members[at].empty) = (true, true);
        }
        faults::start(&mut self.sim, &self.world, at);
    }

    fn strike(&mut self, fault: faults::Fault) {
        faults::strike(&mut self.sim, &self.world, &self.skews, fault);
    }

    /// Lets time pass, and looks at what always holds.
    fn look(&mut self, time: Duration) -> Result<(), String> {
        let end = self.sim.elapsed() + time;
        while self.sim.elapsed() < end {
            pass(&mut self.sim, &self.world, LOOK)?;
            let mut world = self.world.borrow_mut();
            check::always(&mut world, &mut self.seen);
            world.history.held()?;
            world.members.iter().for_each(|member| faults::keep_marks(&member.base().join("data/sync")));
        }
        Ok(())
    }

    /// Waits until all members have everything, and looks whether they do.
    fn arrive(&mut self) -> Result<(), String> {
        let end = self.sim.elapsed() + ALL_ARRIVES;
        let mut before = None;
        loop {
            self.look(LOOK)?;
            let now = arrived(&self.world.borrow());
            match now {
                Ok(ends) if before.as_ref() == Some(&ends) => break,
                Ok(ends) => before = Some(ends),
                Err(why) if self.sim.elapsed() > end => {
                    let text = format!("not everything has arrived in {ALL_ARRIVES:?}: {why}");
                    self.world.borrow_mut().history.at(end, &text);
                    self.world.borrow_mut().history.fail(text);
                }
                Err(_) => before = None,
            }
        }
        let mut world = self.world.borrow_mut();
        world.members.iter_mut().for_each(|member| member.empty = false);
        world.history.at(self.sim.elapsed(), "everything has arrived");
        check::agree(&mut world);
        world.history.held()
    }

    /// A member loses its store path, or everything.
    fn wipe(&mut self, rng: &mut fastrand::Rng) -> Result<(), String> {
        let (at, all) = (rng.usize(..self.skews.len()), rng.bool());
        if !self.world.borrow().members[at].started {
            return Ok(());
        }
        faults::kill(&mut self.sim, &self.world, at);
        {
            let mut world = self.world.borrow_mut();
            let what = if all { "everything" } else { "its store path" };
            world.history.at(self.sim.elapsed(), &format!("member {at} loses {what}"));
            self.seen.retain(|(member, _)| *member != at);
            let member = &mut world.members[at];
            member.empty = true;
            let lost = if all { member.dir.clone() } else { member.store() };
            std::fs::remove_dir_all(lost)
                .and_then(|()| make_dirs(&member.dir))
                .map_err(|error| error.to_string())?;
        }
        self.look(Duration::from_millis(rng.u64(100..5_000)))?;
        faults::start(&mut self.sim, &self.world, at);
        Ok(())
    }

    /// What one member has not confirmed counts as confirmed, both having been apart.
    fn forget(&mut self) -> Result<(), String> {
        self.strike(faults::Fault::Part(0, 1));
        self.world.borrow_mut().quiet = false;
        self.look(Duration::from_secs(10))?;
        self.world.borrow_mut().quiet = true;
        self.look(Duration::from_secs(5))?;
        faults::kill(&mut self.sim, &self.world, 0);
        let dir = self.world.borrow().members[0].base().join("data/sync");
        let changed = (|| -> std::io::Result<()> {
            let end = std::fs::metadata(dir.join("binlog.000"))?.len();
            let file = dir.join(format!("{}_{PORT}.mark", member_ip(1)));
            let mut mark = Mark::parse(&std::fs::read_to_string(&file)?).map_err(std::io::Error::other)?;
            mark.pos.offset = end;
            std::fs::write(file, mark.to_string())
        })();
        changed.map_err(|error| format!("the mark cannot be changed: {error}"))?;
        faults::heal(&mut self.sim, &self.world, self.trackers);
        self.arrive()
    }
}

/// Ends of all logs, when all members are active and have sent everything.
fn arrived(world: &World) -> Result<Vec<String>, String> {
    if world.asking > 0 {
        return Err(format!("{} requests are under way", world.asking));
    }
    let started = world.members.iter().filter(|member| member.started).count();
    let mut ends = Vec::new();
    for (at, member) in world.members.iter().enumerate().filter(|(_, member)| member.started) {
        let storage = member.storage.upgrade().ok_or(format!("member {at} does not serve"))?;
        let (end, lags) = (storage.binlog.end(), storage.peers.lags());
        let own = storage.members.get(&storage.identity.id).map(|own| own.status);
        if own != Some(StorageStatus::Active) {
            return Err(format!("member {at} is {own:?}"));
        }
        let sent = lags.iter().all(|(_, lag)| lag.connected && !lag.full_copy && lag.confirmed == end);
        if lags.len() + 1 != started || !sent {
            return Err(format!("member {at} has not sent everything up to {end}: {lags:?}"));
        }
        ends.push(end.to_string());
    }
    Ok(ends)
}

fn settings(member: &Member, trackers: usize) -> StorageSettings {
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    StorageSettings {
        group_name: Some(group()),
        port: PORT,
        address_family: AddressFamily::V4,
        base_path: path(member.base()),
        store_path_count: 1,
        store_paths: vec![StorePathConf { path: path(member.store()), readonly: false }],
        subdir_count_per_path: SUBDIRS,
        tracker_server: (0..trackers)
            .map(|at| Addrs { hosts: vec![tracker_ip(at).to_string()], port: TRACKER_PORT })
            .collect(),
        connect_timeout: Secs(2),
        network_timeout: Some(Secs(4)),
        heart_beat_interval: Secs(5),
        ..StorageSettings::default()
    }
}

async fn storage(settings: StorageSettings, at: usize, world: Shared) -> turmoil::Result {
    let begun = move |storage: &Arc<_>| world.borrow_mut().members[at].storage = Arc::downgrade(storage);
    Ok(fdfs_storage::run(settings, CancellationToken::new(), begun).await?)
}
