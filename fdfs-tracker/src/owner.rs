//! The owner of the cluster state: one thread that applies changes in order and publishes snapshots.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use fdfs_core::cluster::{Cluster, Effects, Level, Note, Trackers};
use fdfs_net::ConnError;
use tokio::sync::{mpsc, oneshot};

use crate::files::Saver;

/// Most changes that one snapshot gathers.
const BATCH: usize = 64;

/// Everything that is known, as one value; a clone is a snapshot.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Groups and members.
    pub cluster: Cluster,
    /// Trackers and their leader.
    pub trackers: Trackers,
    /// Counts changes of any trunk server, starts at 1 (tracker 2).
    pub trunk_chg: u32,
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

/// Tells the asker, after the snapshot with its change was published.
type Finish = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&mut State, &mut Effects) -> Finish + Send>;

/// Way to the owner thread, and the latest snapshot.
#[derive(Clone)]
pub struct Owner {
    jobs: mpsc::UnboundedSender<Job>,
    view: Arc<ArcSwap<State>>,
}

impl Owner {
    /// Starts the thread; it ends when every `Owner` is gone, and saves the state then.
    pub fn start(state: State, saver: Saver) -> std::io::Result<(Self, JoinHandle<()>)> {
        // Unbounded, but never longer than the number of connections: each waits for its answer.
        let (jobs, queue) = mpsc::unbounded_channel();
        let view = Arc::new(ArcSwap::from_pointee(state.clone()));
        let published = Arc::clone(&view);
        let run = move || run(state, queue, &published, saver);
        let thread = std::thread::Builder::new().name("cluster".into()).spawn(run)?;
        Ok((Self { jobs, view }, thread))
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
        let job: Job = Box::new(move |state, out| {
            let result = change(state, out);
            Box::new(move || drop(done.send(result)))
        });
        // Only while the daemon stops is there no owner.
        self.jobs.send(job).map_err(|_| ConnError::Closed)?;
        result.await.map_err(|_| ConnError::Closed)
    }

    /// Applies a change that nobody waits for.
    pub fn tell(&self, change: impl FnOnce(&mut State, &mut Effects) + Send + 'static) {
        let job: Job = Box::new(move |state, out| {
            change(state, out);
            Box::new(|| ())
        });
        drop(self.jobs.send(job));
    }
}

fn run(mut state: State, mut queue: mpsc::UnboundedReceiver<Job>, view: &ArcSwap<State>, saver: Saver) {
    while let Some(first) = queue.blocking_recv() {
        let (mut out, mut finished) = (Effects::default(), Vec::new());
        let mut next = Some(first);
        while let Some(job) = next {
            finished.push(job(&mut state, &mut out));
            next = if finished.len() < BATCH { queue.try_recv().ok() } else { None };
        }
        out.notes.drain(..).for_each(|note| log(&note));
        state.cluster.changelog_size += out.changelog.len() as u64;
        let snapshot = Arc::new(state.clone());
        view.store(Arc::clone(&snapshot));
        if out.save || !out.changelog.is_empty() {
            saver.save(snapshot, out.changelog);
        }
        finished.into_iter().for_each(|finish| finish());
    }
    saver.save(Arc::new(state), String::new());
    saver.finish();
}

fn log(note: &Note) {
    match note.level {
        Level::Debug => tracing::debug!("{}", note.text),
        Level::Info => tracing::info!("{}", note.text),
        Level::Warn => tracing::warn!("{}", note.text),
    }
}
