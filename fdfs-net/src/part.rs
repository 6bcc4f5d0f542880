//! A part of a daemon that runs beside the others, so that nothing there can delay them: a thread with a runtime of its
//! own, or on a simulated machine a task.

use std::future::Future;
use std::io;

/// A part that runs. Dropped, it goes on.
pub struct Part<T> {
    #[cfg(not(feature = "sim"))]
    thread: std::thread::JoinHandle<()>,
    #[cfg(not(feature = "sim"))]
    ended: tokio::sync::oneshot::Receiver<T>,
    #[cfg(feature = "sim")]
    task: tokio::task::JoinHandle<T>,
}

#[cfg(not(feature = "sim"))]
impl<T: Send + 'static> Part<T> {
    /// Starts a part; `work` may spawn local tasks.
    pub fn start<F: Future<Output = T>>(
        name: String,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = tokio::sync::oneshot::channel();
        let run =
            move || drop(end.send(tokio::task::LocalSet::new().block_on(&runtime, async { work().await })));
        let thread = std::thread::Builder::new().name(name).spawn(run)?;
        Ok(Self { thread, ended })
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Its end. `None`: it panicked.
    pub async fn ended(self) -> Option<T> {
        self.ended.await.ok()
    }

    /// As [`Part::ended`]. Blocks.
    pub fn join(self) -> Option<T> {
        let ended = self.ended.blocking_recv().ok();
        self.thread.join().ok().and(ended)
    }
}

#[cfg(feature = "sim")]
impl<T: 'static> Part<T> {
    /// Starts a part; `work` may spawn local tasks.
    pub fn start<F: Future<Output = T> + 'static>(
        _name: String,
        work: impl FnOnce() -> F + 'static,
    ) -> io::Result<Self> {
        Ok(Self { task: tokio::task::spawn_local(crate::net::same_clock(work())) })
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Its end. `None`: it panicked.
    pub async fn ended(self) -> Option<T> {
        self.task.await.ok()
    }
}
