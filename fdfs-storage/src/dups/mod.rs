//! Equal content is stored once (`check_file_duplicate`, storage 13).
//!
//! An upload becomes a file that no client knows, the content, and a symbolic link to it, whose name the client gets.
//! Later uploads of the same bytes become links alone. The index counts the links; the content goes with the last one.
//!
//! Each member looks among what was uploaded to itself: only it makes links to its contents, so that it can count them
//! without asking anybody. Links and contents reach the other members as any other file. Signatures find what may be
//! equal; the bytes are compared before a link replaces them.

mod changing;
mod index;
mod name;
mod recover;
mod signature;
mod store;
mod upload;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fdfs_core::fileid::FileName;
use fdfs_core::settings::StorageSettings;
use rustix::io::Errno;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

pub(crate) use changing::{finish, linking, removing};
pub(crate) use recover::{run, settle};
pub use signature::{Signature, Signer};
pub(crate) use upload::{New, Stored, store};

use crate::disk::{LIMIT, Pool};
use index::Index;
use store::Store;

/// Locks of contents: signatures share them.
const LOCKS: usize = 256;
/// Work on the index that takes this long had to wait for a disk: for some time it is left to a thread.
const SLOW: Duration = Duration::from_millis(20);
const SLOW_FOR: Duration = Duration::from_secs(10);

/// The index of equal content. Rows of a content and of its links change under the lock of its signature.
pub struct Dups {
    index: Arc<Index>,
    thread: Pool,
    locks: [Arc<Mutex<()>>; LOCKS],
    looks: bool,
    opened: Instant,
    /// Milliseconds since then.
    slow_until: AtomicU64,
}

impl Dups {
    /// `None` when nothing is looked for and nothing was. An index that was made is kept up for the links that are there,
    /// whatever `check_file_duplicate` says now.
    pub fn open(settings: &StorageSettings, data: &Path) -> Option<Self> {
        let dir = data.join("duplicates");
        if !settings.check_file_duplicate && !Store::exists(&dir) {
            return None;
        }
        let opened = Store::open(&dir);
        let store = opened.inspect_err(|error| {
            tracing::error!(%error, dir = %dir.display(),
                "index of equal content: it cannot be opened; equal content is stored each time, and stays when its last link goes");
        });
        Some(Self {
            index: Arc::new(Index::new(store.ok()?)),
            thread: Pool::new("duplicates".into(), 1),
            locks: std::array::from_fn(|_| Arc::default()),
            looks: settings.check_file_duplicate,
            opened: Instant::now(),
            slow_until: AtomicU64::new(0),
        })
    }

    /// Whether uploads look for equal content.
    pub fn looks(&self) -> bool {
        self.looks
    }

    /// Brings the index to the disk.
    pub fn save(&self) -> io::Result<()> {
        self.index.store().save()
    }

    /// Links to a content of this name; `None` for no content.
    pub fn links(&self, content: &str) -> io::Result<Option<u64>> {
        Ok(self.index.content(content)?.map(|content| content.links))
    }

    /// Whether this is a link that is counted.
    pub fn counts(&self, name: &FileName) -> bool {
        self.index.shown_by(&name.logic()).is_ok_and(|content| content.is_some())
    }

    /// Works on the index: here while its disk is quick, else on a thread of its own.
    async fn on<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Index) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let index = Arc::clone(&self.index);
        let (began, until) = (self.opened.elapsed().as_millis(), u128::from(self.slow_until.load(Relaxed)));
        let timed = move || {
            let began = Instant::now();
            (work(&index), began.elapsed())
        };
        let (done, took) = if began >= until {
            timed()
        } else {
            let (answer, answered) = oneshot::channel();
            self.thread.submit(move || drop(answer.send(timed()))).map_err(|_| Errno::BUSY)?;
            let answered = tokio::time::timeout(LIMIT, answered).await.map_err(|_| Errno::TIMEDOUT)?;
            answered.map_err(|_| Errno::IO)?
        };
        if took >= SLOW {
            let until = self.opened.elapsed() + SLOW_FOR;
            self.slow_until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Relaxed);
        }
        done
    }

    /// Holds off other changes of the contents with this signature.
    async fn alone(&self, signature: &Signature) -> OwnedMutexGuard<()> {
        let lock = usize::from(signature[23]) % LOCKS;
        Arc::clone(&self.locks[lock]).lock_owned().await
    }
}
