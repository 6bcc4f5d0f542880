//! Content that has to wait: in memory while it is small, then in a file without a name in nginx's
//! `client_body_temp_path`. Whatever ends the worker, nothing of it stays.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// Written once from start to end, then read.
pub struct Spool {
    dir: PathBuf,
    memory_max: usize,
    memory: Vec<u8>,
    file: Option<File>,
    len: u64,
}

/// A part of it.
pub enum Part<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In this file, at the same place.
    File(&'a File),
}

impl Spool {
    /// At most `memory_max` bytes stay in memory.
    pub fn new(dir: PathBuf, memory_max: usize) -> Self {
        Self { dir, memory_max, memory: Vec::new(), file: None, len: 0 }
    }

    /// Bytes written.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Adds bytes at the end. The page cache takes them, as it takes the request bodies of nginx.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() > self.memory_max {
            let mut file = tempfile::tempfile_in(&self.dir)?;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The bytes from `from` on, or where they are.
    pub fn part(&self, from: u64, len: u64) -> Part<'_> {
        match &self.file {
            Some(file) => Part::File(file),
            None => {
                let end = usize::try_from(from.saturating_add(len)).unwrap_or(usize::MAX);
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                Part::Bytes(self.memory.get(from..end).unwrap_or_default())
            }
        }
    }
}
