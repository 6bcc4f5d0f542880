//! Watches the disks: calls that do not come back, and probes once a second on a thread of each store path.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::watch;
use tokio::time::Instant;

use super::dir::Dir;
use super::health::{Event, SLOW};

/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A probe that takes longer says that the disk hangs.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at calls and probes under way.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Threads whose calls are watched one by one; more share.
const SLOTS: usize = 64;
const IDLE: u64 = 0;

static NEXT: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % SLOTS);
}

/// Start of the call that a thread is in: milliseconds since the watch began shifted by 8, with the store path.
#[repr(align(64))]
struct Slot(AtomicU64);

/// The watch over all store paths.
pub(super) struct Watch {
    began: Instant,
    slots: Box<[Slot; SLOTS]>,
    stop: AtomicBool,
    wait: Mutex<()>,
    wake: Condvar,
    /// Number of changes of condition, for those who report them.
    pub changes: watch::Sender<u64>,
}

impl Watch {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            slots: Box::new(std::array::from_fn(|_| Slot(AtomicU64::new(IDLE)))),
            stop: AtomicBool::new(false),
            wait: Mutex::new(()),
            wake: Condvar::new(),
            changes: watch::Sender::new(0),
        })
    }

    /// Starts no thread: nothing happens to the disk of a simulated machine, whose time stands still during a call.
    #[cfg(feature = "sim")]
    pub fn start(self: &Arc<Self>, _: &[Arc<Dir>], _: u16) -> std::io::Result<()> {
        Ok(())
    }

    /// Starts the threads.
    #[cfg(not(feature = "sim"))]
    pub fn start(self: &Arc<Self>, dirs: &[Arc<Dir>], subdirs: u16) -> std::io::Result<()> {
        for dir in dirs {
            let (watch, dir) = (Arc::clone(self), Arc::clone(dir));
            let probed = Arc::new(AtomicU64::new(0));
            let seen = Arc::clone(&probed);
            let looked = Arc::clone(&dir);
            let name = dir.path().index();
            thread(format!("probe-{name}"), {
                let watch = Arc::clone(&watch);
                move || watch.probe_all(&dir, &probed, subdirs)
            })?;
            thread(format!("watch-{name}"), move || watch.look(&looked, &seen))?;
        }
        Ok(())
    }

    /// Ends the threads; one whose disk hangs is left to the end of the process.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
        self.wake.notify_all();
    }

    /// Notes something about a disk.
    pub fn learn(&self, dir: &Dir, event: Event) {
        if dir.learn(event) {
            self.changes.send_modify(|n| *n += 1);
        }
    }

    /// Runs a call on this thread, watched.
    pub fn around<T>(&self, dir: &Dir, work: impl FnOnce() -> T) -> T {
        let slot = &self.slots[MINE.with(Cell::get)].0;
        let began = Instant::now();
        slot.store((self.millis(began) << 8) | u64::from(dir.path().byte()), Relaxed);
        let done = work();
        slot.store(IDLE, Relaxed);
        let time = began.elapsed();
        if time >= SLOW {
            self.learn(dir, Event::Took(time));
        }
        done
    }

    /// From 1, so that no call looks idle.
    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.began).as_millis()).unwrap_or(0) + 1
    }

    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    fn pause(&self, time: Duration) {
        let guard = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.wake.wait_timeout_while(guard, time, |()| !self.stopped());
    }

    fn probe_all(&self, dir: &Dir, probed: &AtomicU64, subdirs: u16) {
        if dir.is_unmade()
            && let Err(error) = dir.make_all(subdirs, || self.stopped())
        {
            tracing::warn!(%error, path = %dir.base().display(), "the directories are made when files need them");
        }
        while !self.stopped() {
            let began = Instant::now();
            probed.store(self.millis(began), Relaxed);
            let trouble = !dir.health.takes_files();
            let tried = dir.measure().and_then(|_| if trouble { dir.try_write() } else { Ok(()) });
            probed.store(IDLE, Relaxed);
            let event = match tried {
                Ok(()) => Event::Probed(began.elapsed()),
                Err(error) => Event::ProbeFailed(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            };
            self.learn(dir, event);
            self.pause(PROBE_EVERY);
        }
    }

    /// Finds calls and probes that do not come back.
    fn look(&self, dir: &Dir, probed: &AtomicU64) {
        while !self.stopped() {
            self.pause(LOOK_EVERY);
            let now = self.millis(Instant::now());
            let late = |since: u64, limit: Duration| {
                since != IDLE && u128::from(now.saturating_sub(since)) > limit.as_millis()
            };
            if late(probed.load(Relaxed), PROBE_LIMIT) {
                self.learn(dir, Event::Stuck);
            }
            for slot in self.slots.iter() {
                let value = slot.0.load(Relaxed);
                if value & 0xFF == u64::from(dir.path().byte()) && late(value >> 8, SLOW) {
                    self.learn(dir, Event::Took(SLOW));
                }
            }
        }
    }
}

fn thread(name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name).stack_size(128 << 10).spawn(work).map(drop)
}
