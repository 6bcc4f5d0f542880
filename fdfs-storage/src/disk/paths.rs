//! The store paths of this storage: folders, free space, choice for a new file.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use fdfs_core::fileid::StorePath;
use fdfs_core::settings::{Reserve, StorePathConf};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

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

struct One {
    base: PathBuf,
    data: OwnedFd,
    readonly: bool,
    total_mib: AtomicU64,
    free_mib: AtomicU64,
    /// Its directories were made by this start.
    fresh: bool,
}

/// All store paths.
pub struct StorePaths {
    all: Vec<One>,
    next: AtomicUsize,
}

impl StorePaths {
    /// Opens the store paths: makes what is missing, removes what a killed process left, measures the space.
    pub fn open(confs: &[StorePathConf], subdirs: u16) -> io::Result<Self> {
        let mut all = Vec::new();
        for conf in confs {
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("store path {}: {error}", conf.path));
            all.push(open_one(conf, subdirs).map_err(named)?);
        }
        let paths = Self { all, next: AtomicUsize::new(0) };
        paths.measure()?;
        Ok(paths)
    }

    /// Number of store paths.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The folder that holds `data`.
    pub fn base(&self, path: StorePath) -> &Path {
        &self.all[path.index()].base
    }

    /// The open `data` folder.
    pub fn data(&self, path: StorePath) -> BorrowedFd<'_> {
        self.all[path.index()].data.as_fd()
    }

    /// Whether this start made the directories.
    pub fn is_fresh(&self, path: StorePath) -> bool {
        self.all[path.index()].fresh
    }

    /// All indexes.
    pub fn indexes(&self) -> impl Iterator<Item = StorePath> + use<> {
        let count = self.all.len();
        (0..count).filter_map(move |index| StorePath::new(u8::try_from(index).ok()?, count))
    }

    /// Makes one pair of directories.
    pub fn make_dir(&self, path: StorePath, (high, low): (u8, u8)) -> io::Result<()> {
        let data = self.data(path);
        mkdir(data, &format!("{high:02X}"))?;
        mkdir(data, &format!("{high:02X}/{low:02X}"))
    }

    /// Asks the file systems for their space and keeps it for the choice of a path.
    pub fn measure(&self) -> io::Result<Vec<Space>> {
        self.all
            .iter()
            .map(|one| {
                let stat = rustix::fs::fstatvfs(&one.data)?;
                let mib = |blocks: u64| blocks.saturating_mul(stat.f_frsize) >> 20;
                let space = Space { total_mib: mib(stat.f_blocks), free_mib: mib(stat.f_bavail) };
                one.total_mib.store(space.total_mib, Relaxed);
                one.free_mib.store(space.free_mib, Relaxed);
                Ok(space)
            })
            .collect()
    }

    /// Space when last measured.
    pub fn space(&self, path: StorePath) -> Space {
        let one = &self.all[path.index()];
        Space { total_mib: one.total_mib.load(Relaxed), free_mib: one.free_mib.load(Relaxed) }
    }

    /// A store path for a new file of `size` bytes; the one that was asked for unless it is read-only. `None` when
    /// no path keeps its reserve (storage 10).
    pub fn choose(
        &self,
        wanted: Option<StorePath>,
        choose: Choose,
        reserve: Reserve,
        size: u64,
    ) -> Option<StorePath> {
        let writable = |path: &StorePath| !self.all[path.index()].readonly;
        let fits = |path: &StorePath| writable(path) && self.has_room(*path, reserve, size);
        if let Some(path) = wanted.filter(writable) {
            return Some(path).filter(fits);
        }
        if choose == Choose::MostFree {
            return self.indexes().filter(fits).max_by_key(|path| self.space(*path).free_mib);
        }
        let start = self.next.load(Relaxed);
        let count = self.count();
        let found = (0..count)
            .filter_map(|step| StorePath::new(u8::try_from((start + step) % count).ok()?, count))
            .find(fits)?;
        self.next.store((found.index() + 1) % count, Relaxed);
        Some(found)
    }

    /// Whether a file of `size` bytes leaves the reserve free.
    pub fn has_room(&self, path: StorePath, reserve: Reserve, size: u64) -> bool {
        let space = self.space(path);
        let free_mib = space.free_mib.saturating_sub(size >> 20);
        match reserve {
            Reserve::Bytes(bytes) => free_mib > (bytes >> 20) / self.count() as u64,
            Reserve::Percent(percent) => {
                space.total_mib > 0 && free_mib as f64 / space.total_mib as f64 > percent / 100.0
            }
        }
    }
}

fn open_one(conf: &StorePathConf, subdirs: u16) -> io::Result<One> {
    let base = PathBuf::from(&conf.path);
    let path = base.join("data");
    // The store path itself must be there: a disk that is not mounted must not fill the one below it.
    match fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let data = rustix::fs::open(&path, flags, Mode::empty())?;
    let fresh = make_dirs(data.as_fd(), subdirs)?;
    clean(&path.join(TEMP_DIR))?;
    Ok(One {
        base,
        data,
        readonly: conf.readonly,
        total_mib: AtomicU64::new(0),
        free_mib: AtomicU64::new(0),
        fresh,
    })
}

/// Makes all directories unless the first and the last are there.
fn make_dirs(data: BorrowedFd<'_>, subdirs: u16) -> io::Result<bool> {
    let last = subdirs.saturating_sub(1);
    let there = |name: String| rustix::fs::statat(data, name, rustix::fs::AtFlags::empty()).is_ok();
    if there("00/00".into()) && there(format!("{last:02X}/{last:02X}")) {
        return Ok(false);
    }
    for high in 0..subdirs {
        mkdir(data, &format!("{high:02X}"))?;
        for low in 0..subdirs {
            mkdir(data, &format!("{high:02X}/{low:02X}"))?;
        }
    }
    Ok(true)
}

fn mkdir(data: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::mkdirat(data, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes what was being written when the last process was killed.
fn clean(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for entry in fs::read_dir(dir)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}
