//! When the data files are written: by a thread of their own, or at once in a simulation.

use std::io;
use std::sync::Arc;

use crate::files::DataDir;
use crate::owner::State;

/// What is written, and where.
struct Work {
    dir: DataDir,
    use_ids: bool,
    /// Lines of the change log that could not be written yet.
    unwritten: String,
}

impl Work {
    fn write(&mut self, state: &State) {
        if !self.unwritten.is_empty() {
            match self.dir.append_changelog(&self.unwritten) {
                Ok(()) => self.unwritten.clear(),
                Err(error) => tracing::error!(%error, "the change log cannot be written"),
            }
        }
        if let Err(error) = self.dir.save(&state.cluster, self.use_ids) {
            tracing::error!(%error, "the state of the cluster cannot be saved");
        }
    }
}

#[cfg(not(feature = "sim"))]
pub use thread::Saver;

#[cfg(not(feature = "sim"))]
mod thread {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::JoinHandle;

    use super::{Arc, DataDir, State, Work, io};

    struct Save {
        state: Arc<State>,
        changelog: String,
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
            let work = Work { dir, use_ids, unwritten: String::new() };
            let run = move || run(work, &saves);
            Ok(Self { queue, thread: std::thread::Builder::new().name("save".into()).spawn(run)? })
        }

        /// Writes `changelog` and the state soon.
        pub fn save(&mut self, state: Arc<State>, changelog: String) {
            drop(self.queue.send(Save { state, changelog }));
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
        while let Ok(mut latest) = saves.recv() {
            work.unwritten.push_str(&latest.changelog);
            while let Ok(later) = saves.try_recv() {
                work.unwritten.push_str(&later.changelog);
                latest = later;
            }
            work.write(&latest.state);
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
        Ok(Self(Work { dir, use_ids, unwritten: String::new() }))
    }

    /// Writes `changelog` and the state.
    pub fn save(&mut self, state: Arc<State>, changelog: String) {
        self.0.unwritten.push_str(&changelog);
        self.0.write(&state);
    }
}
