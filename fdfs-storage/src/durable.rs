//! What a power cut may take: nothing acknowledged, when `durability = group`.
//!
//! A thread for each file system brings everything of it to the disk in rounds, one after the other while somebody waits.
//! All who asked before a round began share it: one flush of the disk for the uploads of some milliseconds.
//!
//! A new file takes two rounds: its content first, then its name and its record. With one, a power cut between the
//! commit of the directory and the writing of the content would leave an empty file under a valid name.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fdfs_core::fileid::StorePath;
use fdfs_core::settings::Durability;
use rustix::io::Errno;
use tokio::sync::oneshot;

use crate::disk::StorePaths;

/// Longest wait for a round.
const LIMIT: Duration = Duration::from_secs(30);

/// The rounds of all file systems.
pub struct Durable {
    /// By store path.
    paths: Vec<Arc<Rounds>>,
    /// Of the binlog.
    log: Option<Arc<Rounds>>,
}

struct Rounds {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<oneshot::Sender<io::Result<()>>>,
    closed: bool,
}

impl Durable {
    /// Starts the threads for `group`; for `os` nothing waits.
    pub fn start(durability: Durability, paths: &StorePaths, log: impl AsFd) -> io::Result<Self> {
        if durability == Durability::Os {
            return Ok(Self { paths: Vec::new(), log: None });
        }
        let mut by_device = BTreeMap::new();
        let mut rounds = |folder: &dyn AsFd| -> io::Result<Arc<Rounds>> {
            let fd = folder.as_fd().try_clone_to_owned()?;
            let device = rustix::fs::fstat(&fd)?.st_dev;
            if let Some(rounds) = by_device.get(&device) {
                return Ok(Arc::clone(rounds));
            }
            let rounds = Arc::new(Rounds { state: Mutex::default(), wake: Condvar::new() });
            let working = Arc::clone(&rounds);
            std::thread::Builder::new().name("durable".into()).spawn(move || working.work(&fd))?;
            by_device.insert(device, Arc::clone(&rounds));
            Ok(rounds)
        };
        let log = Some(rounds(&log)?);
        let paths = paths.indexes().map(|path| rounds(&paths.data(path))).collect::<io::Result<_>>()?;
        Ok(Self { paths, log })
    }

    /// Whether anything is waited for.
    pub fn waits(&self) -> bool {
        self.log.is_some()
    }

    /// Returns when all that was written below a store path before is on the disk; at once with `durability = os`.
    pub async fn content(&self, path: StorePath) -> io::Result<()> {
        match self.paths.get(path.index()) {
            Some(rounds) => rounds.wait().await,
            None => Ok(()),
        }
    }

    /// Returns when all changes below a store path and all records before are on the disk; at once with
    /// `durability = os`. To be called after a change is visible and logged, before its answer.
    pub async fn commit(&self, path: StorePath) -> io::Result<()> {
        let (Some(rounds), Some(log)) = (self.paths.get(path.index()), &self.log) else { return Ok(()) };
        if Arc::ptr_eq(rounds, log) {
            return rounds.wait().await;
        }
        let (content, record) = tokio::join!(rounds.wait(), log.wait());
        content.and(record)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        for rounds in self.paths.iter().chain(&self.log) {
            rounds.lock().closed = true;
            rounds.wake.notify_all();
        }
    }
}

impl Rounds {
    async fn wait(&self) -> io::Result<()> {
        let (done, wait) = oneshot::channel();
        self.lock().waiting.push(done);
        self.wake.notify_one();
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(done) => done.unwrap_or(Err(Errno::IO.into())),
            Err(_) => Err(Errno::TIMEDOUT.into()),
        }
    }

    fn work(&self, fd: &OwnedFd) {
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() {
                if state.closed {
                    return;
                }
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            let done = rustix::fs::syncfs(fd);
            if let Err(error) = done {
                tracing::error!(%error, changes = waiting.len(), "changes could not be brought to the disk");
            }
            for one in waiting {
                // Who no longer waits needs no answer.
                drop(one.send(done.map_err(Into::into)));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
