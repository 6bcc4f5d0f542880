//! The replication log on disk: `base_path/data/sync/binlog.NNN` (replication 2).

mod compress;
mod reader;
mod recover;
mod source;
mod tombs;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fdfs_core::binlog::{Pos, Record};
use tokio::sync::watch;

pub use compress::Compressed;
pub use reader::{Item, Reader};
pub use tombs::Tombs;

/// A file is closed when it has reached this many bytes (replication 2.4).
pub const SEGMENT: u64 = 1 << 30;

/// The log. Appending is one write(2) under a mutex.
///
/// A record is written before the file it speaks of becomes visible, so that nothing can be in the tree without a
/// record. Until then it is unsettled ([`Pending`]), and readers stop before it.
pub struct Binlog {
    dir: PathBuf,
    /// A file is closed when it has reached this many bytes.
    segment: u64,
    state: Mutex<State>,
    /// End of what readers may read.
    readable: watch::Sender<Pos>,
    /// Changes when readers may read another record of an own change.
    news: watch::Sender<()>,
    /// Records appended by this process.
    records: AtomicU64,
    tombs: Tombs,
}

struct State {
    file: File,
    end: Pos,
    /// Starts of unsettled records, with their number.
    open: BTreeMap<Pos, ()>,
    /// End of the last record of an own change.
    own_end: Pos,
    /// End of the last record that is settled, whatever is open before it.
    settled: Pos,
    /// A failed write left bytes that could not be removed.
    torn: bool,
}

impl Binlog {
    /// Opens the log, and removes a line that was not written to its end.
    pub fn open(dir: &Path) -> io::Result<Arc<Self>> {
        Self::open_with(dir, SEGMENT)
    }

    /// As [`Binlog::open`] with files of another size, bytes.
    pub fn open_with(dir: &Path, segment_bytes: u64) -> io::Result<Arc<Self>> {
        fs::create_dir_all(dir)?;
        let index = recover::current_index(dir)?;
        let path = segment(dir, index);
        let file = File::options().create(true).append(true).read(true).open(&path)?;
        let offset = recover::cut_torn_line(&file, &path)?;
        let end = Pos { index, offset };
        let state = State { file, end, open: BTreeMap::new(), own_end: end, settled: end, torn: false };
        let log = Arc::new(Self {
            dir: dir.to_owned(),
            segment: segment_bytes,
            state: Mutex::new(state),
            readable: watch::Sender::new(end),
            news: watch::Sender::new(()),
            records: AtomicU64::new(0),
            tombs: Tombs::default(),
        });
        log.remember()?;
        Ok(log)
    }

    /// Appends a record. On an error nothing of it stays in the log.
    pub fn append(self: &Arc<Self>, record: &Record) -> io::Result<Pending> {
        self.append_all(std::slice::from_ref(record))
    }

    /// Appends records that belong together. On an error nothing of them stays in the log.
    pub fn append_all(self: &Arc<Self>, records: &[Record]) -> io::Result<Pending> {
        let mut lines = String::new();
        for record in records {
            let start = lines.len();
            let _ = write!(lines, "{record}");
            if lines.len() - start >= Record::LINE_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the record is too long"));
            }
        }
        let mut state = self.lock();
        state.repair()?;
        if state.end.offset >= self.segment {
            self.rotate(&mut state)?;
        }
        if let Err(error) = state.file.write_all(lines.as_bytes()) {
            state.torn = true;
            // If this fails too, the next append tries again before it writes.
            let _ = state.repair();
            return Err(error);
        }
        let start = state.end;
        state.end.offset += lines.len() as u64;
        let end = state.end;
        state.open.insert(start, ());
        if records.iter().any(|record| !record.replica) {
            state.own_end = state.end;
        }
        self.records.fetch_add(records.len() as u64, Relaxed);
        drop(state);
        records.iter().for_each(|record| self.tombs.note(record));
        let time = records.first().map_or(0, |record| record.timestamp);
        Ok(Pending { log: Arc::clone(self), start, end, time })
    }

    /// Asks the disk to keep what was appended. Appends go on meanwhile.
    pub fn sync(&self) -> io::Result<()> {
        let file = self.lock().file.try_clone()?;
        file.sync_data()
    }

    /// Where the log ends, settled or not.
    pub fn end(&self) -> Pos {
        self.lock().end
    }

    /// Records appended by this process.
    pub fn records(&self) -> u64 {
        self.records.load(Relaxed)
    }

    /// What was deleted.
    pub fn tombs(&self) -> &Tombs {
        &self.tombs
    }

    /// Lines and bytes from `pos` to the end of what is readable. Reads all of it.
    pub fn behind(self: &Arc<Self>, pos: Pos) -> io::Result<(u64, u64)> {
        let (mut reader, mut lines, mut bytes) = (self.reader(pos), 0, 0);
        while let Some(item) = reader.read()? {
            lines += 1;
            bytes += item.end.offset - item.start.offset;
        }
        Ok((lines, bytes))
    }

    /// Learns from the last part of the log what was deleted.
    fn remember(self: &Arc<Self>) -> io::Result<()> {
        const MOST: u64 = 64 << 20;
        let end = self.end();
        let from = Pos { index: end.index, offset: end.offset.saturating_sub(MOST) };
        let mut reader = self.reader(from);
        // The first line is a part of one unless it is the first of the file.
        while let Some(item) = reader.read()? {
            if let Ok(record) = &item.record {
                self.tombs.note(record);
            }
        }
        Ok(())
    }

    /// Follows how far readers may read.
    pub fn readable(&self) -> watch::Receiver<Pos> {
        self.readable.subscribe()
    }

    /// Tells of own changes that may be read: copies of others' wake nobody.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Reads from `pos`, which is the start of a record.
    pub fn reader(self: &Arc<Self>, pos: Pos) -> Reader {
        Reader::new(Arc::clone(self), pos)
    }

    /// A place that is not before the end of any record that was settled until now.
    pub fn settled(&self) -> Pos {
        self.lock().settled
    }

    fn settle(&self, start: Pos, end: Pos) {
        let mut state = self.lock();
        state.settled = state.settled.max(end);
        state.open.remove(&start);
        let readable = state.open.first_key_value().map_or(state.end, |(first, ())| *first);
        let mut news = false;
        // Under the lock, so that it never goes back.
        self.readable.send_if_modified(|old| {
            let moved = readable > *old;
            if moved {
                news = *old < state.own_end;
                *old = readable;
            }
            moved
        });
        if news {
            self.news.send_replace(());
        }
    }

    fn rotate(&self, state: &mut State) -> io::Result<()> {
        let index = state.end.index + 1;
        let path = segment(&self.dir, index);
        let file = File::options().create(true).truncate(true).write(true).open(&path)?;
        drop(file);
        state.file = File::options().append(true).read(true).open(&path)?;
        state.end = Pos { index, offset: 0 };
        recover::save_index(&self.dir, index, None)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes what a failed write left.
    fn repair(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.end.offset)?;
            self.torn = false;
        }
        Ok(())
    }
}

/// Records whose effect is not visible yet. Dropped, it is settled: readers may read it.
#[must_use = "dropping it says that the effect of the record is visible"]
pub struct Pending {
    log: Arc<Binlog>,
    start: Pos,
    end: Pos,
    time: i64,
}

impl Pending {
    /// Time of the first of them, s.
    pub fn time(&self) -> i64 {
        self.time
    }

    /// The effect is visible, or will never be: then a reader finds no file and steps over them.
    pub fn settle(self) {}
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.log.settle(self.start, self.end);
    }
}

fn segment(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("binlog.{index:03}"))
}

fn packed(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("binlog.{index:03}.gz"))
}

#[cfg(test)]
mod tests;
