//! How far a recovery is, on disk, in the files of the existing daemon (replication 11.2).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fdfs_core::fileid::StorePath;
use fdfs_core::ident::StorageStatus;

use crate::state::save;
use crate::storage::Storage;

/// The flag file, and where the lists are.
pub(super) struct State {
    pub path: StorePath,
    dir: PathBuf,
    saved_status: u8,
    fetched: bool,
    threads: i64,
}

/// Number for "none".
const NONE: u8 = 99;

impl State {
    /// Whether a recovery was begun.
    pub fn exists(storage: &Storage, path: StorePath) -> bool {
        let dir = storage.paths.base(path).join("data");
        dir.join(FLAG).exists() || dir.join(".recovery.mark").exists()
    }

    /// The one that was begun, or a new one.
    pub fn open(storage: &Storage, path: StorePath) -> io::Result<Self> {
        let dir = storage.paths.base(path).join("data");
        let mut state = Self { path, dir, saved_status: NONE, fetched: false, threads: -1 };
        let text = match fs::read_to_string(state.dir.join(FLAG)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                state.adopt_old()?;
                state.save()?;
                return Ok(state);
            }
            Err(error) => return Err(error),
        };
        let number = |key: &str| -> Option<i64> {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.trim().parse().ok())
        };
        state.saved_status =
            number("saved_storage_status").and_then(|n| u8::try_from(n).ok()).unwrap_or(NONE);
        state.fetched = number("fetch_binlog_done") == Some(1);
        state.threads = number("recovery_threads").unwrap_or(-1);
        let lists = state.threads > 0 && (0..state.threads).all(|index| state.list(index).exists());
        if state.fetched && !lists {
            // A list is lost: from the beginning. What is there already is not fetched again.
            (state.fetched, state.threads) = (false, -1);
            state.save()?;
        }
        Ok(state)
    }

    /// The two files of versions with one thread.
    fn adopt_old(&mut self) -> io::Result<()> {
        let mark = self.dir.join(".recovery.mark");
        let Ok(text) = fs::read_to_string(&mark) else { return Ok(()) };
        let number = |key: &str| -> Option<i64> {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.trim().parse().ok())
        };
        self.saved_status = number("saved_storage_status").and_then(|n| u8::try_from(n).ok()).unwrap_or(NONE);
        self.fetched = number("fetch_binlog_done") == Some(1) && self.dir.join(".binlog.recovery").exists();
        if self.fetched {
            fs::rename(self.dir.join(".binlog.recovery"), self.list(0))?;
            self.save_offset(0, number("binlog_offset").and_then(|n| u64::try_from(n).ok()).unwrap_or(0))?;
            self.threads = 1;
        }
        fs::remove_file(mark)
    }

    fn save(&self) -> io::Result<()> {
        let text = format!(
            "saved_storage_status={}\nfetch_binlog_done={}\nrecovery_threads={}\n",
            self.saved_status,
            u8::from(self.fetched),
            self.threads
        );
        save(&self.dir.join(FLAG), text.as_bytes())
    }

    pub fn saved_status(&self) -> Option<StorageStatus> {
        StorageStatus::from_wire(self.saved_status).ok().filter(|_| self.saved_status != NONE)
    }

    /// Keeps the status before the recovery.
    pub fn save_status(&mut self, status: StorageStatus) -> io::Result<()> {
        if self.saved_status != NONE || status == StorageStatus::Recovery {
            return Ok(());
        }
        self.saved_status = status.wire();
        self.save()
    }

    pub fn is_fetched(&self) -> bool {
        self.fetched
    }

    pub fn threads(&self) -> i64 {
        self.threads
    }

    /// The lists are complete, one for each thread.
    pub fn set_lists(&mut self, threads: i64) -> io::Result<()> {
        (self.fetched, self.threads) = (true, threads);
        self.save()
    }

    /// They are not.
    pub fn forget_lists(&mut self) -> io::Result<()> {
        self.fetched = false;
        self.save()
    }

    pub fn list(&self, index: i64) -> PathBuf {
        self.dir.join(format!(".binlog.recovery.{index}"))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn mark(&self, index: i64) -> PathBuf {
        self.dir.join(format!(".recovery.mark.{index}"))
    }

    /// Bytes of a list that are done.
    pub fn offset(&self, index: i64) -> u64 {
        let text = fs::read_to_string(self.mark(index)).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("binlog_offset=")?.trim().parse().ok()).unwrap_or(0)
    }

    pub fn save_offset(&self, index: i64, offset: u64) -> io::Result<()> {
        save(&self.mark(index), format!("binlog_offset={offset}\n").as_bytes())
    }

    pub fn remove_list(&self, index: i64) {
        let _ = fs::remove_file(self.list(index));
        let _ = fs::remove_file(self.mark(index));
    }

    /// The recovery is over. The flag goes last.
    pub fn remove(&self) -> io::Result<()> {
        for index in 0..self.threads.max(1) {
            self.remove_list(index);
        }
        match fs::remove_file(self.dir.join(FLAG)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

const FLAG: &str = ".recovery.flag";
