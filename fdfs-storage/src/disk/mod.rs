//! The store paths: where files are, how they appear and disappear. All access to payload files goes through here.

mod dir;
mod health;
mod mark;
mod new_file;
mod paths;
#[cfg_attr(feature = "sim", allow(dead_code))]
mod pool;
mod run;
#[cfg_attr(feature = "sim", allow(dead_code))]
mod watch;

pub use dir::{Claim, Dir, Threads};
pub use health::Condition;
pub use mark::PathMark;
pub use new_file::NewFile;
pub use paths::{Choose, Space, StorePaths};
pub(crate) use pool::Pool;
pub use run::{LIMIT, Use};

use std::io;
use std::os::fd::OwnedFd;

use fdfs_core::fileid::FileName;
use rustix::fs::{AtFlags, Mode, OFlags, Stat};

/// Opens a file to read it.
pub fn open(paths: &StorePaths, name: &FileName) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    Ok(rustix::fs::openat(paths.data(name.path()), name.true_name(), flags, Mode::empty())?)
}

/// What is there under a name, not following a link.
pub fn lstat(paths: &StorePaths, name: &FileName) -> io::Result<Stat> {
    Ok(rustix::fs::statat(paths.data(name.path()), name.true_name(), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// What is there under a name, following a link.
pub fn stat(paths: &StorePaths, name: &FileName) -> io::Result<Stat> {
    Ok(rustix::fs::statat(paths.data(name.path()), name.true_name(), AtFlags::empty())?)
}

/// The file that a link points to, if it lies in one of the store paths.
pub fn link_target(paths: &StorePaths, link: &FileName) -> io::Result<Option<FileName>> {
    let target = rustix::fs::readlinkat(paths.data(link.path()), link.true_name(), Vec::new())?;
    // Another machine may have had its store paths elsewhere: what counts is behind the last `/data/`.
    let text = target.to_bytes();
    let Some(at) = memchr::memmem::rfind(text, DATA) else { return Ok(None) };
    let (base, name) = (&text[..at], &text[at + DATA.len()..]);
    let path = paths.indexes().find(|path| paths.base(*path).as_os_str().as_encoded_bytes() == base);
    let logic = path.map(|path| [format!("M{:02X}/", path.byte()).as_bytes(), name].concat());
    Ok(logic.and_then(|logic| FileName::parse(&logic, paths.count()).ok()))
}

const DATA: &[u8] = b"/data/";

/// Makes `link` point to `target`, by the absolute path that the existing daemon writes too.
pub fn make_link(paths: &StorePaths, link: &FileName, target: &FileName) -> io::Result<()> {
    let base = paths.base(target.path()).as_os_str().as_encoded_bytes();
    let text = [base, DATA, target.true_name()].concat();
    let make = || rustix::fs::symlinkat(&*text, paths.data(link.path()), link.true_name());
    match make() {
        Err(rustix::io::Errno::NOENT) => {
            paths.make_dir(link.path(), link.dir())?;
            Ok(make()?)
        }
        done => Ok(done?),
    }
}

/// Sets access and modification time of a file, or of a link itself.
pub fn set_mtime(paths: &StorePaths, name: &FileName, unix_secs: i64) -> io::Result<()> {
    let time = rustix::fs::Timespec { tv_sec: unix_secs, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::utimensat(paths.data(name.path()), name.true_name(), &times, flags)?)
}

/// Gives a file another name, unless something has that name.
pub fn rename(paths: &StorePaths, old: &FileName, new: &FileName) -> io::Result<()> {
    use rustix::io::Errno;
    let (from, to) = (paths.data(old.path()), paths.data(new.path()));
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    let once = || rustix::fs::renameat_with(from, old.true_name(), to, new.true_name(), flags);
    match once() {
        // Either name may be what is missing.
        Err(Errno::NOENT) if lstat(paths, old).is_ok() => {
            paths.make_dir(new.path(), new.dir())?;
            Ok(once()?)
        }
        // A file system without this flag: two steps, of which the first fails if the name is taken.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(from, old.true_name(), to, new.true_name(), AtFlags::empty())?;
            Ok(rustix::fs::unlinkat(from, old.true_name(), AtFlags::empty())?)
        }
        done => Ok(done?),
    }
}

/// Removes a name.
pub fn remove(paths: &StorePaths, name: &FileName) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(paths.data(name.path()), name.true_name(), AtFlags::empty())?)
}

/// Whether this is a regular file.
pub fn is_file(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file()
}

/// Whether this is a symbolic link.
pub fn is_link(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink()
}

/// Size in bytes.
pub fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}
