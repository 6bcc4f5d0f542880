//! Where a call on a store path runs: here while its disk is quick, on the path's own threads when it is not.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::fileid::{FileName, StorePath};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::time::Instant;

use super::dir::Dir;
use super::health::{Event, SLOW};
use super::paths::StorePaths;

/// Longest wait for a call on a store path's threads. If none of its calls has come back in this time, the path counts as
/// hanging, and nothing but probes is asked of it until one works.
pub const LIMIT: Duration = Duration::from_secs(10);

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It only reads. A failure says nothing of the other files.
    Read,
    /// It changes something.
    Write,
}

impl StorePaths {
    /// Runs `work` on a path: on this thread while the disk is quick, else on the path's own threads, waiting at most
    /// [`LIMIT`]. `TIMEDOUT` when it did not come back (it may still take effect), `BUSY` when too many wait, `IO` at once
    /// when the disk hangs.
    pub async fn run<T: Send + 'static>(
        &self,
        path: StorePath,
        usage: Use,
        work: impl FnOnce(&Arc<Dir>) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let dir = self.dir(path);
        let done = if dir.is_slow() {
            self.hand_over(dir, usage, work).await
        } else {
            self.watch.around(dir, || work(dir))
        };
        if usage == Use::Write
            && let Err(error) = &done
        {
            self.note_failure(dir, error);
        }
        done
    }

    /// As [`StorePaths::run`], always on the path's threads.
    pub async fn hand_over<T: Send + 'static>(
        &self,
        dir: &Arc<Dir>,
        usage: Use,
        work: impl FnOnce(&Arc<Dir>) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if dir.health.is_hanging() {
            return Err(Errno::IO.into());
        }
        let pool = if usage == Use::Read { &dir.readers } else { &dir.writers };
        let (answer, answered) = tokio::sync::oneshot::channel();
        let on = Arc::clone(dir);
        let before = pool.done();
        let job = move || {
            let began = Instant::now();
            let done = work(&on);
            drop(answer.send((began.elapsed(), done)));
        };
        pool.submit(job).map_err(|_| Errno::BUSY)?;
        match tokio::time::timeout(LIMIT, answered).await {
            Ok(done) => {
                let (time, done) = done.map_err(|_| Errno::IO)?;
                if time >= SLOW {
                    self.watch.learn(dir, Event::Took(time));
                }
                done
            }
            Err(_) => {
                // With calls that come back the disk is overtaxed, not hanging.
                if pool.done() == before {
                    self.watch.learn(dir, Event::Stuck);
                }
                Err(Errno::TIMEDOUT.into())
            }
        }
    }

    /// Notes what a failed change says of the disk.
    pub fn note_failure(&self, dir: &Dir, error: &io::Error) {
        let Some(errno) = Errno::from_io_error(error) else { return };
        // One that does not come back was noted, with more right.
        if matches!(errno, Errno::TIMEDOUT | Errno::BUSY) || dir.health.is_hanging() {
            return;
        }
        if errno == Errno::NOSPC && !dir.is_slow() {
            // The space was less than thought: the next choice knows.
            if let Err(error) = dir.measure() {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                self.watch.learn(dir, Event::ProbeFailed(errno));
            }
            return;
        }
        self.watch.learn(dir, Event::Failed(errno));
    }

    /// Opens a file to read it. A name that the kernel has at hand is opened here; one that needs the disk is left to the
    /// path's threads.
    pub async fn open_file(&self, name: &FileName) -> io::Result<OwnedFd> {
        let dir = self.dir(name.path());
        if !dir.is_slow() {
            match self.watch.around(dir, || open_cached(dir, name)) {
                Err(Errno::AGAIN | Errno::NOSYS | Errno::INVAL | Errno::XDEV) => {}
                done => return Ok(done?),
            }
        }
        let name = *name;
        self.hand_over(dir, Use::Read, move |dir| Ok(open_here(dir, &name)?)).await
    }

    /// Returns when `len` bytes of `file` from `offset` are likely in memory: at once when they are, else a thread of the
    /// path has read them.
    pub async fn warm(&self, path: StorePath, file: &Arc<OwnedFd>, offset: u64, len: u64) -> io::Result<()> {
        let dir = self.dir(path);
        if !dir.is_slow() && in_memory(file, offset, len) {
            return Ok(());
        }
        let file = Arc::clone(file);
        self.hand_over(dir, Use::Read, move |_| read_through(&file, offset, len)).await
    }
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

fn open_cached(dir: &Dir, name: &FileName) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(dir.data(), name.true_name(), READ, Mode::empty(), ResolveFlags::CACHED)
}

fn open_here(dir: &Dir, name: &FileName) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir.data(), name.true_name(), READ, Mode::empty())
}

/// Asks for the last byte without waiting; pages before it that are missing were evicted one by one, which is rare.
fn in_memory(file: &OwnedFd, offset: u64, len: u64) -> bool {
    let Some(last) = len.checked_sub(1).and_then(|more| offset.checked_add(more)) else { return true };
    let mut byte = [0];
    let mut buffers = [io::IoSliceMut::new(&mut byte)];
    let tried = rustix::io::preadv2(file.as_fd(), &mut buffers, last, ReadWriteFlags::NOWAIT);
    // Some file systems in memory do not know the question.
    !matches!(tried, Err(Errno::AGAIN))
}

fn read_through(file: &OwnedFd, offset: u64, len: u64) -> io::Result<()> {
    let mut buffer = [0; 64 << 10];
    let (mut at, mut left) = (offset, len);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match rustix::io::pread(file, &mut buffer[..most], at) {
            Ok(0) => break,
            Ok(got) => (at, left) = (at + got as u64, left - got as u64),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
