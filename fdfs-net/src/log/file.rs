//! One log file, its rotation and its old versions.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fdfs_core::settings::LogSettings;

use super::time::{LocalTime, local_time};
use crate::net::unix_now;

/// A log file that threads append whole lines to. Old versions are named `NAME.log.YYYYMMDD_hhmmss`.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    settings: LogSettings,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    bytes: u64,
    /// Unix time of the next daily rotation.
    next: i64,
}

impl LogFile {
    /// Opens `path` to append; its folder is made when missing.
    pub fn open(path: &Path, settings: LogSettings) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot open the log file {}: {error}", path.display()))
        };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(named)?;
        }
        let file = append_to(path).map_err(named)?;
        let bytes = file.metadata().map_err(named)?.len();
        let state = Mutex::new(State { file, bytes, next: next_daily(&settings) });
        Ok(Self { path: path.to_owned(), settings, state })
    }

    /// Whether the log is rotated daily, so that SIGHUP rotates it too.
    pub fn rotates_daily(&self) -> bool {
        self.settings.log_file_rotate_everyday
    }

    /// Starts a new file; the old one gets the time as a suffix.
    pub fn rotate(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.rotate_locked(&mut state)
    }

    fn rotate_locked(&self, state: &mut State) -> io::Result<()> {
        let now = local_time();
        let base = format!(
            "{}.{:04}{:02}{:02}_{:02}{:02}{:02}",
            self.path.display(),
            now.year,
            now.month,
            now.day,
            now.hour,
            now.minute,
            now.second
        );
        let mut old = PathBuf::from(&base);
        for n in 1..1000 {
            if !old.exists() {
                break;
            }
            old = PathBuf::from(format!("{base}.{n}"));
        }
        state.next = next_daily(&self.settings);
        fs::rename(&self.path, &old)?;
        state.file = append_to(&self.path)?;
        state.bytes = 0;
        self.delete_old();
        Ok(())
    }

    /// Deletes versions older than `log_file_keep_days`.
    fn delete_old(&self) {
        let keep_days = u64::from(self.settings.log_file_keep_days);
        let (Some(dir), Some(name)) = (self.path.parent(), self.path.file_name().and_then(|n| n.to_str()))
        else {
            return;
        };
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let file = entry.file_name();
            let suffix = file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('.'));
            let is_version = suffix.is_some_and(|suffix| suffix.starts_with(|c: char| c.is_ascii_digit()));
            let age_secs = entry
                .metadata()
                .and_then(|meta| meta.modified())
                .ok()
                .and_then(|time| time.elapsed().ok())
                .map_or(0, |age| age.as_secs());
            if is_version && keep_days > 0 && age_secs > keep_days * 86_400 {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn due(&self, state: &State) -> bool {
        let size = self.settings.log_file_rotate_on_size.0;
        (size > 0 && state.bytes >= size) || (self.rotates_daily() && unix_now() >= state.next)
    }
}

impl Write for &LogFile {
    /// Appends a line; the subscriber hands over whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.bytes > 0 && self.due(&state) {
            // A line that cannot go to a new file goes to the old one.
            let _ = self.rotate_locked(&mut state);
        }
        state.file.write_all(line)?;
        state.bytes += line.len() as u64;
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Unix time of the next `log_file_rotate_time`.
fn next_daily(settings: &LogSettings) -> i64 {
    let now = unix_now();
    let today = i64::from(LocalTime::of(now).second_of_day());
    let at = i64::from(settings.log_file_rotate_time.seconds());
    let wait = (at - today).rem_euclid(86_400);
    now + if wait == 0 { 86_400 } else { wait }
}
