//! One store path: its folder, its space, its disk.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use fdfs_core::fileid::StorePath;
use fdfs_core::settings::{Reserve, StorePathConf};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;

use super::health::{Event, Health};
use super::paths::{Space, TEMP_DIR};
use super::pool::Pool;

/// Up to this many directories per level are made before the store path is served.
const AT_ONCE: u16 = 16;
/// There while the directories of a new store path are being made.
const MAKING: &str = ".fdfs.tmp/directories-are-being-made";

/// Threads of a store path.
#[derive(Debug, Clone, Copy)]
pub struct Threads {
    /// That read.
    pub read: usize,
    /// That write.
    pub write: usize,
}

/// One store path.
pub struct Dir {
    path: StorePath,
    base: PathBuf,
    data: OwnedFd,
    readonly: AtomicBool,
    /// A network file system, or one in another process: any call may hang.
    remote: bool,
    /// Its directories were made by this start.
    fresh: bool,
    /// They are still to be made.
    unmade: bool,
    total: AtomicU64,
    free: AtomicU64,
    /// Bytes that uploads have announced and not written.
    announced: AtomicU64,
    /// Bytes written since the space was measured.
    written: AtomicU64,
    pub(super) health: Health,
    pub(super) readers: Pool,
    pub(super) writers: Pool,
}

impl Dir {
    /// Opens it and makes what is missing.
    pub(super) fn open(
        path: StorePath,
        conf: &StorePathConf,
        subdirs: u16,
        threads: Threads,
    ) -> io::Result<Self> {
        let base = PathBuf::from(&conf.path);
        let folder = base.join("data");
        // The store path itself must be there: a disk that is not mounted must not fill the one below it.
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let data = rustix::fs::open(&folder, flags, Mode::empty())?;
        let fresh = !is_complete(data.as_fd(), subdirs);
        clean(&folder.join(TEMP_DIR))?;
        let later = fresh && subdirs > AT_ONCE;
        if later {
            fs::write(folder.join(MAKING), "")?;
        }
        let name = |kind: &str| format!("{kind}-{}", path.index());
        let dir = Self {
            path,
            base,
            readonly: AtomicBool::new(conf.readonly),
            remote: is_remote(data.as_fd())?,
            fresh,
            unmade: later,
            data,
            total: AtomicU64::new(0),
            free: AtomicU64::new(0),
            announced: AtomicU64::new(0),
            written: AtomicU64::new(0),
            health: Health::new(),
            readers: Pool::new(name("read"), threads.read),
            writers: Pool::new(name("write"), threads.write),
        };
        if fresh && !later {
            dir.make_all(subdirs, || false)?;
        }
        // A file system that is read-only or full is served all the same.
        match dir.measure() {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull
                ) =>
            {
                Err(error)
            }
            _ => Ok(dir),
        }
    }

    /// Its index.
    pub fn path(&self) -> StorePath {
        self.path
    }

    /// The folder that holds `data`.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The open `data` folder.
    pub fn data(&self) -> BorrowedFd<'_> {
        self.data.as_fd()
    }

    /// Whether this start made the directories.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether directories are left to be made while it is served.
    pub(super) fn is_unmade(&self) -> bool {
        self.unmade
    }

    /// Whether calls are left to its own threads.
    pub fn is_slow(&self) -> bool {
        self.remote || self.health.is_slow()
    }

    /// Whether the operator wants no new files here.
    pub fn is_readonly(&self) -> bool {
        self.readonly.load(Relaxed)
    }

    pub(super) fn set_readonly(&self, readonly: bool) {
        self.readonly.store(readonly, Relaxed);
    }

    /// Whether new files may go here.
    pub fn takes_files(&self) -> bool {
        !self.is_readonly() && self.health.takes_files()
    }

    /// Makes one pair of directories.
    pub fn make_dir(&self, (high, low): (u8, u8)) -> io::Result<()> {
        mkdir(self.data(), &format!("{high:02X}"))?;
        mkdir(self.data(), &format!("{high:02X}/{low:02X}"))
    }

    /// Makes all directories, the last one last, until `stop` says so. Files that need one meanwhile bring it with them.
    pub(super) fn make_all(&self, subdirs: u16, stop: impl Fn() -> bool) -> io::Result<()> {
        for high in 0..subdirs {
            mkdir(self.data(), &format!("{high:02X}"))?;
            for low in 0..subdirs {
                if stop() {
                    return Ok(());
                }
                mkdir(self.data(), &format!("{high:02X}/{low:02X}"))?;
            }
        }
        match rustix::fs::unlinkat(self.data(), MAKING, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the file system for its space. An error `ROFS` for one that cannot be written.
    pub fn measure(&self) -> io::Result<Space> {
        let written = self.written.load(Relaxed);
        let stat = rustix::fs::fstatvfs(&self.data)?;
        // What was written meanwhile counts twice until the next time, which is the safe side.
        self.written.fetch_sub(written, Relaxed);
        self.total.store(stat.f_blocks.saturating_mul(stat.f_frsize), Relaxed);
        self.free.store(stat.f_bavail.saturating_mul(stat.f_frsize), Relaxed);
        if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(Errno::ROFS.into());
        }
        // File systems without a fixed number of inodes tell zero of zero.
        if stat.f_favail == 0 && stat.f_files > 0 {
            return Err(Errno::NOSPC.into());
        }
        Ok(self.space())
    }

    /// Space when last measured.
    pub fn space(&self) -> Space {
        Space { total_mib: self.total.load(Relaxed) >> 20, free_mib: self.free.load(Relaxed) >> 20 }
    }

    /// MiB that are neither taken nor promised.
    pub fn left_mib(&self) -> u64 {
        let promised = self.announced.load(Relaxed).saturating_add(self.written.load(Relaxed));
        self.free.load(Relaxed).saturating_sub(promised) >> 20
    }

    /// Whether a file of `size` bytes leaves the reserve free (storage 10); the reserve is shared by `paths` paths.
    pub fn has_room(&self, reserve: Reserve, size: u64, paths: usize) -> bool {
        let left = self.left_mib().saturating_sub(size >> 20);
        match reserve {
            Reserve::Bytes(bytes) => left > (bytes >> 20) / paths.max(1) as u64,
            Reserve::Percent(percent) => {
                let total = self.space().total_mib;
                total > 0 && left as f64 / total as f64 > percent / 100.0
            }
        }
    }

    /// Learns something about the disk and says so when it changes its condition; whether it did.
    pub(super) fn learn(&self, event: Event) -> bool {
        let Some((before, after)) = self.health.learn(event) else { return false };
        let (path, free_mib) = (self.base.display(), self.space().free_mib);
        if after.takes_files() {
            tracing::info!(%path, free_mib, "the store path is {after}; it was {before}");
        } else {
            tracing::error!(%path, free_mib, "the store path takes no new files, it is {after}; it was {before}");
        }
        true
    }

    /// Whether the disk takes a file: what brings back one that did not.
    pub(super) fn try_write(&self) -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let file = match rustix::fs::openat(self.data(), ".", flags, mode) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                let name = format!("{TEMP_DIR}/probe");
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
                let file = rustix::fs::openat(self.data(), &name, flags, mode)?;
                rustix::fs::unlinkat(self.data(), &name, rustix::fs::AtFlags::empty())?;
                file
            }
            opened => opened?,
        };
        let content = [0x5A; 4096];
        if rustix::io::pwrite(&file, &content, 0)? != content.len() {
            return Err(Errno::NOSPC.into());
        }
        Ok(rustix::fs::fdatasync(&file)?)
    }
}

/// Bytes of a store path that are promised to one upload, until this is dropped.
pub struct Claim {
    dir: Arc<Dir>,
    left: u64,
}

impl Claim {
    pub(super) fn new(dir: &Arc<Dir>, size: u64) -> Self {
        dir.announced.fetch_add(size, Relaxed);
        Self { dir: Arc::clone(dir), left: size }
    }

    /// Where.
    pub fn path(&self) -> StorePath {
        self.dir.path
    }

    /// So many bytes have been written.
    pub fn written(&mut self, bytes: u64) {
        let bytes = bytes.min(self.left);
        self.left -= bytes;
        self.dir.written.fetch_add(bytes, Relaxed);
        self.dir.announced.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.dir.announced.fetch_sub(self.left, Relaxed);
    }
}

/// File systems whose calls depend on another machine or process.
fn is_remote(data: BorrowedFd<'_>) -> io::Result<bool> {
    const FUSE: i64 = 0x6573_5546;
    const NFS: i64 = 0x6969;
    const CIFS: i64 = 0xFF53_4D42;
    const SMB2: i64 = 0xFE53_4D42;
    const CEPH: i64 = 0x00C3_6400;
    const NINE_P: i64 = 0x0102_1997;
    const LUSTRE: i64 = 0x0BD0_0BD0;
    const OCFS2: i64 = 0x7461_636F;
    const GFS2: i64 = 0x0116_1970;
    const AFS: i64 = 0x5346_414F;
    let kind = rustix::fs::fstatfs(data)?.f_type & 0xFFFF_FFFF;
    Ok([FUSE, NFS, CIFS, SMB2, CEPH, NINE_P, LUSTRE, OCFS2, GFS2, AFS].contains(&kind))
}

/// Whether the store path has all its directories: the first and the last are what the existing daemon looks at, so the
/// last one is made when all others are there. Until then a marker stays, for a last one that came with a file.
fn is_complete(data: BorrowedFd<'_>, subdirs: u16) -> bool {
    let last = subdirs.saturating_sub(1);
    let there = |name: &str| rustix::fs::statat(data, name, rustix::fs::AtFlags::empty()).is_ok();
    there("00/00") && there(&format!("{last:02X}/{last:02X}")) && !there(MAKING)
}

pub(super) fn mkdir(data: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::mkdirat(data, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes what was being written when the last process was killed.
fn clean(dir: &Path) -> io::Result<()> {
    match fs::create_dir_all(dir).and_then(|()| fs::read_dir(dir)) {
        Ok(entries) => {
            for entry in entries {
                fs::remove_file(entry?.path())?;
            }
            Ok(())
        }
        // A read-only file system has nothing to be cleaned of, and is still read.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        Err(error) => Err(error),
    }
}
