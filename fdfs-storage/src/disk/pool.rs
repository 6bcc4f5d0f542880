//! Threads of a store path, for calls that may block for long.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Calls that wait for a thread.
const QUEUE: usize = 1024;
/// A thread without work for this long ends.
const IDLE: Duration = Duration::from_secs(10);
const STACK: usize = 256 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// Up to a number of threads that are started when there is work.
pub struct Pool {
    shared: Arc<Shared>,
    name: String,
    most: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    done: AtomicU64,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

/// The queue is full, or no thread can be started.
#[derive(Debug)]
pub struct Busy;

impl Pool {
    /// With at most `most` threads of this name.
    pub fn new(name: String, most: usize) -> Self {
        Self { shared: Arc::default(), name, most: most.max(1) }
    }

    /// Calls that have come back.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Relaxed)
    }

    /// Does a call at once: a simulated machine has one thread, and waits for no disk.
    #[cfg(feature = "sim")]
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        job();
        self.shared.done.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Leaves a call to a thread.
    #[cfg(not(feature = "sim"))]
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let mut state = self.shared.lock();
        if state.jobs.len() >= QUEUE {
            return Err(Busy);
        }
        if state.idle <= state.jobs.len() && state.threads < self.most {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name(self.name.clone()).stack_size(STACK);
            match thread.spawn(move || shared.work()) {
                Ok(_) => state.threads += 1,
                Err(_) if state.threads == 0 => return Err(Busy),
                Err(_) => {}
            }
        }
        state.jobs.push_back(Box::new(job));
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    /// Threads end after what they are doing; one that hangs is left to the end of the process.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a call on a thread of a store path panicked");
                }
                self.done.fetch_add(1, Relaxed);
                state = self.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let waited = self.wake.wait_timeout(state, IDLE);
            let (next, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn work_goes_on_behind_a_panic_and_is_refused_behind_a_full_queue() {
        let pool = Pool::new("test".into(), 1);
        let (done, finished) = mpsc::channel();
        pool.submit(|| panic!("on purpose")).unwrap();
        let told = done.clone();
        pool.submit(move || told.send(1).unwrap()).unwrap();
        assert_eq!(finished.recv_timeout(LIMIT), Ok(1));

        let (release, hold) = mpsc::channel::<()>();
        let told = done.clone();
        pool.submit(move || {
            told.send(2).unwrap();
            let _ = hold.recv_timeout(LIMIT);
        })
        .unwrap();
        assert_eq!(finished.recv_timeout(LIMIT), Ok(2));
        for n in 0..QUEUE {
            let told = done.clone();
            pool.submit(move || told.send(n).unwrap()).unwrap();
        }
        assert!(pool.submit(|| {}).is_err());
        drop(release);
        for n in 0..QUEUE {
            assert_eq!(finished.recv_timeout(LIMIT), Ok(n));
        }
    }
}
