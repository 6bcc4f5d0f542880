//! When the data files are written: by a thread of their own, or at once in a simulation.

use std::io;
use std::sync::Arc;

use crate::files::DataDir;
use crate::owner::State;

/// Told whether the state that it waits for is on the disk.
pub type Waiter = Box<dyn FnOnce(bool) + Send>;

/// What is written, and where.
struct Work {
    dir: DataDir,
    use_ids: bool,
    /// Lines of the change log that could not be written yet.
    unwritten: String,
    /// The last try failed, and was told.
    failing: bool,
}

impl Work {
    /// Whether everything is on the disk. The begin and the end of a trouble are told.
    fn write(&mut self, state: &State) -> bool {
        let done = self.try_write(state);
        match (&done, self.failing) {
            (Err(error), false) => {
                tracing::error!(%error, "the state of the cluster cannot be saved, which is tried again every second");
            }
            (Ok(()), true) => tracing::info!("the state of the cluster is saved again"),
            _ => {}
        }
        self.failing = done.is_err();
        done.is_ok()
    }

    fn try_write(&mut self, state: &State) -> io::Result<()> {
        if !self.unwritten.is_empty() {
            self.dir.append_changelog(&self.unwritten)?;
            self.unwritten.clear();
        }
        self.dir.save(&state.cluster, self.use_ids)
    }
}

#[cfg(not(feature = "sim"))]
pub use thread::Saver;

#[cfg(not(feature = "sim"))]
mod thread {
    use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
    use std::thread::JoinHandle;
    use std::time::Duration;

    use super::{Arc, DataDir, State, Waiter, Work, io};

    /// Between two tries while the disk takes nothing.
    const AGAIN: Duration = Duration::from_secs(1);

    struct Save {
        state: Arc<State>,
        changelog: String,
        waiters: Vec<Waiter>,
    }

    /// The thread that writes the files. Of several states that wait only the latest is written.
    pub struct Saver {
        queue: Sender<Save>,
        thread: JoinHandle<()>,
    }

    impl Saver {
        /// Starts the thread.
        pub fn start(dir: DataDir, use_ids: bool) -> io::Result<Self> {
            let (queue, saves) = channel();
            let work = Work { dir, use_ids, unwritten: String::new(), failing: false };
            let run = move || run(work, &saves);
            Ok(Self { queue, thread: std::thread::Builder::new().name("save".into()).spawn(run)? })
        }

        /// Writes `changelog` and the state soon. The waiters hear of the first try: when that fails, the change is in force, and
        /// saved later.
        pub fn save(&mut self, state: Arc<State>, changelog: String, waiters: Vec<Waiter>) {
            drop(self.queue.send(Save { state, changelog, waiters }));
        }

        /// Waits until everything is written.
        pub fn finish(self) {
            drop(self.queue);
            if self.thread.join().is_err() {
                tracing::error!("the thread that saves the state panicked");
            }
        }
    }

    fn run(mut work: Work, saves: &Receiver<Save>) {
        let mut failed: Option<Arc<State>> = None;
        loop {
            let next = match failed {
                None => saves.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) => saves.recv_timeout(AGAIN),
            };
            let mut waiters = Vec::new();
            let mut latest = match (next, failed.take()) {
                (Ok(save), _) => {
                    work.unwritten.push_str(&save.changelog);
                    waiters.extend(save.waiters);
                    save.state
                }
                (Err(RecvTimeoutError::Timeout), Some(state)) => state,
                // The last state of all was written or tried.
                (Err(_), _) => return,
            };
            while let Ok(later) = saves.try_recv() {
                work.unwritten.push_str(&later.changelog);
                waiters.extend(later.waiters);
                latest = later.state;
            }
            let written = work.write(&latest);
            waiters.into_iter().for_each(|waiter| waiter(written));
            if !written {
                failed = Some(latest);
            }
        }
    }
}

/// Writes the files at once.
#[cfg(feature = "sim")]
pub struct Saver(Work);

#[cfg(feature = "sim")]
impl Saver {
    /// Nothing to start.
    pub fn start(dir: DataDir, use_ids: bool) -> io::Result<Self> {
        Ok(Self(Work { dir, use_ids, unwritten: String::new(), failing: false }))
    }

    /// Writes `changelog` and the state.
    pub fn save(&mut self, state: Arc<State>, changelog: String, waiters: Vec<Waiter>) {
        self.0.unwritten.push_str(&changelog);
        let written = self.0.write(&state);
        waiters.into_iter().for_each(|waiter| waiter(written));
    }
}

#[cfg(all(test, not(feature = "sim")))]
mod tests {
    use std::time::{Duration, Instant};

    use fdfs_core::cluster::persist::{CHANGELOG_FILE, GROUPS_FILE, SYNCED_FILE};

    use super::*;

    fn until(what: &str, done: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < end, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The state is saved as soon as that is possible, without another change, and each line of the change log once.
    #[test]
    fn a_failed_save_is_tried_again() {
        let base = tempfile::tempdir().unwrap();
        let dir = DataDir::open(base.path()).unwrap();
        let at = |name: &str| base.path().join("data").join(name);
        let in_the_way = at(&format!("{GROUPS_FILE}.tmp"));
        std::fs::create_dir(&in_the_way).unwrap();
        let mut saver = Saver::start(dir, false).unwrap();
        let (told, first) = std::sync::mpsc::channel();
        let waiter = Box::new(move |written| told.send(written).unwrap());
        saver.save(Arc::new(State::default()), "1 group1 a b\n".into(), vec![waiter]);
        assert!(!first.recv_timeout(Duration::from_secs(60)).unwrap());
        assert!(at(CHANGELOG_FILE).exists() && !at(GROUPS_FILE).exists());
        std::fs::remove_dir(&in_the_way).unwrap();
        until("the state is saved", || at(SYNCED_FILE).exists());
        saver.finish();
        assert!(at(GROUPS_FILE).exists());
        assert_eq!(std::fs::read_to_string(at(CHANGELOG_FILE)).unwrap(), "1 group1 a b\n");
    }
}
