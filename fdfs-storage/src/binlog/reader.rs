//! Reads settled records in order, across files.

use std::io;
use std::sync::Arc;

use fdfs_core::binlog::{BadRecord, Pos, Record};
use tokio::sync::watch;

use super::Binlog;
use super::source::Source;

/// Bytes per read.
const STEP: usize = 64 << 10;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The record, or why the line is none.
    pub record: Result<Record, BadRecord>,
    /// Where it begins.
    pub start: Pos,
    /// Where the next one begins.
    pub end: Pos,
}

/// Reads on from a position.
pub struct Reader {
    log: Arc<Binlog>,
    limit: watch::Receiver<Pos>,
    pos: Pos,
    file: Option<Source>,
    /// Bytes at `pos`.
    buffer: Vec<u8>,
    used: usize,
}

impl Reader {
    pub(super) fn new(log: Arc<Binlog>, pos: Pos) -> Self {
        let limit = log.readable();
        Self { log, limit, pos, file: None, buffer: Vec::new(), used: 0 }
    }

    /// Start of the next record.
    pub fn pos(&self) -> Pos {
        self.pos
    }

    /// The next record that is settled; `None` when there is none yet.
    pub fn read(&mut self) -> io::Result<Option<Item>> {
        let limit = *self.limit.borrow_and_update();
        loop {
            if self.pos >= limit {
                return Ok(None);
            }
            let bytes = &self.buffer[self.used..];
            if let Some(len) = memchr::memchr(b'\n', bytes) {
                let start = self.pos;
                let record = Record::parse(&bytes[..len]);
                self.used += len + 1;
                self.pos.offset += len as u64 + 1;
                return Ok(Some(Item { record, start, end: self.pos }));
            }
            if !self.fill(limit)? {
                self.next_file()?;
            }
        }
    }

    /// Waits until there may be more to read.
    pub async fn wait(&mut self) {
        while *self.limit.borrow_and_update() <= self.pos {
            if self.limit.changed().await.is_err() {
                return;
            }
        }
    }

    /// Reads more bytes; `false` at the end of a file that is not the last.
    fn fill(&mut self, limit: Pos) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let file = match &mut self.file {
            Some(file) => file,
            none => match Source::open(&self.log.dir, self.pos.index) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.pos.index < limit.index => {
                    tracing::error!(
                        file = self.pos.index,
                        "a file of the replication log is gone: fdfs_rebuild_binlog adds what it told"
                    );
                    return Ok(false);
                }
                source => none.insert(source?),
            },
        };
        let at = self.pos.offset + self.buffer.len() as u64;
        // Bytes of unsettled records may change until they are settled, so none of them are kept.
        let most = if limit.index == self.pos.index { limit.offset.saturating_sub(at) } else { STEP as u64 };
        let have = self.buffer.len();
        self.buffer.resize(have + STEP.min(usize::try_from(most).unwrap_or(STEP)), 0);
        let got = file.read_at(&mut self.buffer[have..], at)?;
        self.buffer.truncate(have + got);
        if got == 0 && limit.index == self.pos.index {
            let text = format!("the log ends before {limit}, at {at}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(got > 0)
    }

    fn next_file(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            tracing::warn!(pos = %self.pos, bytes = self.buffer.len(), "a torn last record is stepped over");
        }
        self.buffer.clear();
        self.file = None;
        self.pos = Pos { index: self.pos.index + 1, offset: 0 };
        Ok(())
    }
}
