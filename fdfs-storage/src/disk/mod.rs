//! The store paths: where files are, how they appear and disappear. All access to payload files goes through here.

mod mark;
mod new_file;
mod paths;

pub use mark::PathMark;
pub use new_file::NewFile;
pub use paths::{Choose, Space, StorePaths};

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
