//! The owner of the cluster state: one thread that applies changes in order and publishes snapshots.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use fdfs_core::cluster::{Cluster, Effects, Level, Note, Refusal, Trackers};
use fdfs_core::wire::Status;
use fdfs_net::ConnError;
use tokio::sync::oneshot;

use crate::saver::{Saver, Waiter};
use crate::service::Stop;

/// Most changes that one snapshot gathers.
const BATCH: usize = 64;
/// Longest wait for the disk.
pub const DISK_TIME: Duration = Duration::from_secs(10);

/// Everything that is known, as one value; a clone is a snapshot.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Groups and members.
    pub cluster: Cluster,
    /// Trackers and their leader.
    pub trackers: Trackers,
    /// Counts changes of any trunk server, starts at 1 (tracker 2).
    pub trunk_chg: u32,
    /// Counts the changes that are saved.
    pub saves: u64,
    /// What the followers of this leader told last, by their address in the tracker list.
    pub followers: HashMap<SocketAddr, Follower>,
}

/// A follower's figures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Follower {
    /// Connections allocated, open now, most ever open.
    pub connections: [i32; 3],
    /// Version text.
    pub version: [u8; 8],
    /// Its start, Unix seconds.
    pub up_time: i64,
    /// Its last ping, Unix seconds.
    pub last_ping: i64,
}

/// When and how the asker is told: once the snapshot with its change is published, or once that is on the disk.
enum Finish {
    Published(Box<dyn FnOnce() + Send>),
    Saved(Waiter),
}
type Job = Box<dyn FnOnce(&mut State, &mut Effects) -> Finish + Send>;

/// Applies changes and publishes snapshots.
struct Core {
    state: State,
    view: Arc<ArcSwap<State>>,
    saver: Saver,
}

impl Core {
    /// Applies `first` and what follows it, as one snapshot.
    fn apply(&mut self, first: Job, mut next: impl FnMut() -> Option<Job>) {
        let (mut out, mut published, mut saved) = (Effects::default(), Vec::new(), Vec::new());
        let mut job = Some(first);
        let mut jobs = 0;
        while let Some(change) = job {
            match change(&mut self.state, &mut out) {
                Finish::Published(finish) => published.push(finish),
                Finish::Saved(waiter) => saved.push(waiter),
            }
            jobs += 1;
            job = if jobs < BATCH { next() } else { None };
        }
        out.notes.drain(..).for_each(|note| log(&note));
        self.state.cluster.changelog_size += out.changelog.len() as u64;
        let save = out.save || !out.changelog.is_empty();
        self.state.saves += u64::from(save);
        let snapshot = Arc::new(self.state.clone());
        self.view.store(Arc::clone(&snapshot));
        if save {
            self.saver.save(snapshot, out.changelog, saved);
        } else {
            saved.into_iter().for_each(|waiter| waiter(true));
        }
        published.into_iter().for_each(|finish| finish());
    }
}

/// Way to the owner of the state, and the latest snapshot.
#[derive(Clone)]
pub struct Owner {
    jobs: Jobs,
    view: Arc<ArcSwap<State>>,
}

/// Where changes are sent: to the owner thread, or in a simulation, which has one thread, to the state itself.
#[cfg(not(feature = "sim"))]
type Jobs = tokio::sync::mpsc::UnboundedSender<Job>;
#[cfg(feature = "sim")]
type Jobs = Arc<std::sync::Mutex<Core>>;

impl Owner {
    /// Starts the thread; it ends when every `Owner` is gone, and saves the state then.
    #[cfg(not(feature = "sim"))]
    pub fn start(state: State, saver: Saver) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        // Unbounded, but never longer than the number of connections: each waits for its answer.
        let (jobs, mut queue) = tokio::sync::mpsc::unbounded_channel::<Job>();
        let view = Arc::new(ArcSwap::from_pointee(state.clone()));
        let mut core = Core { state, view: Arc::clone(&view), saver };
        let run = move || {
            while let Some(first) = queue.blocking_recv() {
                core.apply(first, || queue.try_recv().ok());
            }
            core.saver.save(Arc::new(core.state), String::new(), Vec::new());
            core.saver.finish();
        };
        let thread = std::thread::Builder::new().name("cluster".into()).spawn(run)?;
        Ok((Self { jobs, view }, thread))
    }

    /// Changes are applied where they are told.
    #[cfg(feature = "sim")]
    pub fn start(state: State, saver: Saver) -> std::io::Result<(Self, ())> {
        let view = Arc::new(ArcSwap::from_pointee(state.clone()));
        let core = Core { state, view: Arc::clone(&view), saver };
        Ok((Self { jobs: Arc::new(std::sync::Mutex::new(core)), view }, ()))
    }

    /// The latest snapshot.
    pub fn view(&self) -> arc_swap::Guard<Arc<State>> {
        self.view.load()
    }

    /// Applies a change; its result comes back once the snapshot with it is published.
    pub async fn apply<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State, &mut Effects) -> R + Send + 'static,
    ) -> Result<R, ConnError> {
        let (done, result) = oneshot::channel();
        self.hand_over(Box::new(move |state, out| {
            let result = change(state, out);
            Finish::Published(Box::new(move || drop(done.send(result))))
        }));
        // Only while the daemon stops is there no owner.
        result.await.map_err(|_| ConnError::Closed)
    }

    /// Applies a change that an administrator or an address change asks for; its result comes back once it is on the disk.
    ///
    /// # Errors
    /// 5 when it is in force but could not be saved (yet), or not within [`DISK_TIME`].
    pub async fn apply_saved<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State, &mut Effects) -> Result<R, Refusal> + Send + 'static,
    ) -> Result<R, Stop> {
        let (done, result) = oneshot::channel();
        self.hand_over(Box::new(move |state, out| {
            let result = change(state, out);
            Finish::Saved(Box::new(move |written| drop(done.send((result, written)))))
        }));
        let unsaved = Refusal::new(Status::IO, "in force, but the disk does not take it");
        match tokio::time::timeout(DISK_TIME, result).await {
            Err(_) => Err(unsaved.into()),
            Ok(Err(_)) => Err(ConnError::Closed.into()),
            Ok(Ok((Ok(_), false))) => Err(unsaved.into()),
            Ok(Ok((result, _))) => Ok(result?),
        }
    }

    /// Applies a change that nobody waits for.
    pub fn tell(&self, change: impl FnOnce(&mut State, &mut Effects) + Send + 'static) {
        self.hand_over(Box::new(move |state, out| {
            change(state, out);
            Finish::Published(Box::new(|| ()))
        }));
    }

    #[cfg(not(feature = "sim"))]
    fn hand_over(&self, job: Job) {
        drop(self.jobs.send(job));
    }

    #[cfg(feature = "sim")]
    fn hand_over(&self, job: Job) {
        let mut core = self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        core.apply(job, || None);
    }
}

fn log(note: &Note) {
    match note.level {
        Level::Debug => tracing::debug!("{}", note.text),
        Level::Info => tracing::info!("{}", note.text),
        Level::Warn => tracing::warn!("{}", note.text),
    }
}
