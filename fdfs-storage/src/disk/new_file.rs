//! A file that has no public name yet.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fdfs_core::fileid::{FileName, StorePath};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::dir::Dir;
use super::paths::{StorePaths, TEMP_DIR};

/// A file being written. It has no name (`O_TMPFILE`), or, where the file system cannot do that, one in a hidden
/// folder outside the public tree that is emptied at start. Dropped, it is gone.
pub struct NewFile {
    dir: Arc<Dir>,
    file: Arc<File>,
    temp: Option<String>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl NewFile {
    /// Starts a file on a store path, mode 0644.
    pub fn create(paths: &StorePaths, path: StorePath) -> io::Result<Self> {
        Self::create_in(paths.dir(path))
    }

    /// As [`NewFile::create`].
    pub fn create_in(dir: &Arc<Dir>) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        match rustix::fs::openat(dir.data(), ".", flags, MODE) {
            Ok(fd) => return Ok(Self { dir: Arc::clone(dir), file: Arc::new(fd.into()), temp: None }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        Self::named(dir)
    }

    /// As [`NewFile::create`], on a file system that has no unnamed files.
    fn named(dir: &Arc<Dir>) -> io::Result<Self> {
        let name = temp_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd: OwnedFd = rustix::fs::openat(dir.data(), &name, flags, MODE)?;
        Ok(Self { dir: Arc::clone(dir), file: Arc::new(fd.into()), temp: Some(name) })
    }

    /// Its store path.
    pub fn path(&self) -> StorePath {
        self.dir.path()
    }

    /// Its modification time, seconds since 1970. A simulated machine's clock is not the file system's.
    pub fn mtime(&self) -> io::Result<i64> {
        if cfg!(feature = "sim") {
            self.set_mtime(fdfs_net::unix_now())?;
        }
        Ok(rustix::fs::fstat(&self.file)?.st_mtime)
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The open file, for a call on another thread.
    pub fn share(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Appends to it.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.file).write_all(bytes)
    }

    /// The file to read it from its beginning. It lives on until this is closed.
    pub fn reopen(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Sets access and modification time.
    pub fn set_mtime(&self, unix_secs: i64) -> io::Result<()> {
        let time = Timespec { tv_sec: unix_secs, tv_nsec: 0 };
        Ok(rustix::fs::futimens(&self.file, &Timestamps { last_access: time, last_modification: time })?)
    }

    /// Its store path.
    pub(crate) fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// Gives the file a name outside the public tree, in a folder of the store path that is made when it is missing.
    pub(crate) fn keep_as(&mut self, folder: &str, name: &str) -> io::Result<()> {
        let data = self.dir.data();
        let once = |temp: &Option<String>| match temp {
            Some(temp) => rustix::fs::renameat_with(data, temp, data, name, RenameFlags::NOREPLACE),
            None => link_unnamed(&self.file, data, name.as_bytes()),
        };
        match once(&self.temp) {
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(data, folder, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                once(&self.temp)?;
            }
            done => done?,
        }
        self.temp = None;
        Ok(())
    }

    /// Gives the file its name. An error of kind `AlreadyExists` when there is one of that name.
    pub fn publish(&mut self, name: &FileName) -> io::Result<()> {
        debug_assert_eq!(name.path(), self.dir.path(), "a file stays on its store path");
        match self.link(name) {
            // Directories are made at start; one that an operator removed comes back.
            Err(Errno::NOENT) => {
                self.dir.make_dir(name.dir())?;
                self.link(name)
            }
            done => done,
        }
        .map_err(Into::into)
    }

    /// Gives the file its name, in place of what has it.
    pub fn replace(&mut self, name: &FileName) -> io::Result<()> {
        let data = self.dir.data();
        let temp = match &self.temp {
            Some(temp) => temp.clone(),
            None => {
                let temp = temp_name();
                link_unnamed(&self.file, data, temp.as_bytes())?;
                self.temp = Some(temp.clone());
                temp
            }
        };
        match rustix::fs::renameat(data, &temp, data, name.true_name()) {
            Err(Errno::NOENT) => {
                self.dir.make_dir(name.dir())?;
                rustix::fs::renameat(data, &temp, data, name.true_name())?;
            }
            done => done?,
        }
        self.temp = None;
        Ok(())
    }

    fn link(&mut self, name: &FileName) -> Result<(), Errno> {
        let data = self.dir.data();
        let Some(temp) = &self.temp else { return link_unnamed(&self.file, data, name.true_name()) };
        match rustix::fs::renameat_with(data, temp, data, name.true_name(), RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(data, temp, data, name.true_name(), AtFlags::empty())?;
            }
            done => {
                done?;
                self.temp = None;
            }
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temp) = &self.temp {
            let _ = rustix::fs::unlinkat(self.dir.data(), temp, AtFlags::empty());
        }
    }
}

const MODE: Mode = Mode::from_raw_mode(0o644);

fn temp_name() -> String {
    format!("{TEMP_DIR}/{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed))
}

fn link_unnamed(file: &File, data: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    // linkat(2) of an open descriptor without privileges goes through its name in /proc.
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, from, data, name, AtFlags::SYMLINK_FOLLOW)
}

#[cfg(test)]
mod tests {
    use fdfs_core::settings::StorePathConf;

    use super::*;

    type Make = fn(&StorePaths, StorePath) -> io::Result<NewFile>;

    #[test]
    fn both_ways_publish_whole_files_only() {
        let makes: [Make; 2] =
            [|paths, path| NewFile::create(paths, path), |paths, path| NewFile::named(paths.dir(path))];
        for make in makes {
            let dir = tempfile::tempdir().unwrap();
            let conf = StorePathConf { path: dir.path().display().to_string(), readonly: false };
            let paths = StorePaths::open(&[conf], 2).unwrap();
            let path = StorePath::new(0, 1).unwrap();
            let name = FileName::parse(b"M00/01/01/a-file.txt", 1).unwrap();
            let at = dir.path().join("data/01/01/a-file.txt");
            let content = || std::fs::read(&at).unwrap();
            let temp = || std::fs::read_dir(dir.path().join("data").join(TEMP_DIR)).unwrap().count();

            drop(make(&paths, path).unwrap());
            let mut file = make(&paths, path).unwrap();
            file.write_all(b"one").unwrap();
            assert!(!at.exists());
            file.publish(&name).unwrap();
            drop(file);
            assert_eq!((content(), temp()), (b"one".to_vec(), 0));

            let mut file = make(&paths, path).unwrap();
            file.write_all(b"two").unwrap();
            assert_eq!(file.publish(&name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(content(), b"one");
            file.replace(&name).unwrap();
            drop(file);
            assert_eq!((content(), temp()), (b"two".to_vec(), 0));

            // A directory that an operator removed comes back.
            std::fs::remove_dir_all(dir.path().join("data/01")).unwrap();
            let mut file = make(&paths, path).unwrap();
            file.publish(&name).unwrap();
            drop(file);
            assert_eq!((content(), temp()), (Vec::new(), 0));
        }
    }
}
