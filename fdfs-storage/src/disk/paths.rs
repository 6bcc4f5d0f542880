//! The store paths of this storage: folders, free space, choice for a new file.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fdfs_core::fileid::StorePath;
use fdfs_core::settings::{Reserve, StorePathConf};
use rustix::io::Errno;

use super::dir::{Claim, Dir, Threads};
use super::health::Condition;
use super::watch::Watch;

/// Hidden folder below `data` for files that wait for their name; emptied at start.
pub(super) const TEMP_DIR: &str = ".fdfs.tmp";

/// Space of a store path in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// All.
    pub total_mib: u64,
    /// Available to an ordinary user.
    pub free_mib: u64,
}

/// How a store path is chosen when the client leaves it open (tracker's `store_path`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choose {
    /// The next one with room.
    InTurn,
    /// The one with the most room.
    MostFree,
}

/// All store paths.
pub struct StorePaths {
    all: Vec<Arc<Dir>>,
    next: AtomicUsize,
    pub(super) watch: Arc<Watch>,
}

impl StorePaths {
    /// As [`StorePaths::with_threads`], with one thread of each kind per path.
    pub fn open(confs: &[StorePathConf], subdirs: u16) -> io::Result<Self> {
        Self::with_threads(confs, subdirs, Threads { read: 1, write: 1 })
    }

    /// Opens the store paths: makes what is missing, removes what a killed process left, measures the space. From
    /// now on the disks are watched.
    pub fn with_threads(confs: &[StorePathConf], subdirs: u16, threads: Threads) -> io::Result<Self> {
        let mut all = Vec::new();
        for (index, conf) in confs.iter().enumerate() {
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("store path {}: {error}", conf.path));
            let index = u8::try_from(index).ok().and_then(|index| StorePath::new(index, confs.len()));
            let path = index.ok_or_else(|| named(Errno::INVAL.into()))?;
            all.push(Arc::new(Dir::open(path, conf, subdirs, threads).map_err(named)?));
        }
        let watch = Watch::new();
        watch.start(&all, subdirs)?;
        Ok(Self { all, next: AtomicUsize::new(0), watch })
    }

    /// Number of store paths.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// One of them.
    pub fn dir(&self, path: StorePath) -> &Arc<Dir> {
        &self.all[path.index()]
    }

    /// The folder that holds `data`.
    pub fn base(&self, path: StorePath) -> &Path {
        self.dir(path).base()
    }

    /// The open `data` folder.
    pub fn data(&self, path: StorePath) -> BorrowedFd<'_> {
        self.dir(path).data()
    }

    /// Whether this start made the directories.
    pub fn is_fresh(&self, path: StorePath) -> bool {
        self.dir(path).is_fresh()
    }

    /// Follows the number of changes in the condition of the disks.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.watch.changes.subscribe()
    }

    /// What is known of a path's disk.
    pub fn condition(&self, path: StorePath) -> Condition {
        self.dir(path).health.condition()
    }

    /// Switches new files on a path off or on.
    pub fn set_readonly(&self, path: StorePath, readonly: bool) {
        self.dir(path).set_readonly(readonly);
        self.watch.changes.send_modify(|n| *n += 1);
    }

    /// All indexes.
    pub fn indexes(&self) -> impl Iterator<Item = StorePath> + use<> {
        let count = self.all.len();
        (0..count).filter_map(move |index| StorePath::new(u8::try_from(index).ok()?, count))
    }

    /// Makes one pair of directories.
    pub fn make_dir(&self, path: StorePath, pair: (u8, u8)) -> io::Result<()> {
        self.dir(path).make_dir(pair)
    }

    /// Asks the file systems for their space and keeps it for the choice of a path. Blocks; otherwise done once a
    /// second by the watch.
    pub fn measure(&self) -> io::Result<Vec<Space>> {
        self.all.iter().map(|dir| dir.measure()).collect()
    }

    /// Space when last measured.
    pub fn space(&self, path: StorePath) -> Space {
        self.dir(path).space()
    }

    /// Space to tell the trackers: a path that takes no new files for the trouble it is in has none.
    pub fn reported(&self, path: StorePath) -> Space {
        let dir = self.dir(path);
        let space = dir.space();
        let free_mib = if dir.health.takes_files() { space.free_mib } else { 0 };
        Space { free_mib, ..space }
    }

    /// A store path for a new file of `size` bytes: the one that was asked for unless it takes no new files. `None`
    /// when no path keeps its reserve (storage 10). The bytes are promised as long as the claim lives.
    pub fn choose(
        &self,
        wanted: Option<StorePath>,
        choose: Choose,
        reserve: Reserve,
        size: u64,
    ) -> Option<Claim> {
        let count = self.count();
        let fits = |dir: &&Arc<Dir>| dir.takes_files() && dir.has_room(reserve, size, count);
        let found = match wanted.map(|path| self.dir(path)).filter(|dir| dir.takes_files()) {
            Some(dir) => Some(dir).filter(fits),
            None if choose == Choose::MostFree => {
                self.all.iter().filter(fits).max_by_key(|dir| (dir.health.is_good(), dir.left_mib()))
            }
            None => self.in_turn(fits),
        };
        found.map(|dir| Claim::new(dir, size))
    }

    /// The next one that fits, quick disks before slow ones.
    fn in_turn(&self, fits: impl Fn(&&Arc<Dir>) -> bool) -> Option<&Arc<Dir>> {
        let (start, count) = (self.next.load(Relaxed), self.count());
        let turn = || (0..count).map(|step| &self.all[(start + step) % count]);
        let quick = turn().filter(|dir| dir.health.is_good()).find(&fits);
        let found = quick.or_else(|| turn().find(&fits))?;
        self.next.store((found.path().index() + 1) % count, Relaxed);
        Some(found)
    }
}

impl Drop for StorePaths {
    fn drop(&mut self) {
        self.watch.stop();
    }
}
