//! The work lists: one line a file, for as many threads as are configured.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::FileName;

use super::state::State;
use crate::storage::Storage;

/// Writes the lists anew if their number is not the configured one. A file has one line, and so has a trunk file.
pub(super) fn distribute(storage: &Storage, state: &mut State) -> io::Result<()> {
    let threads = i64::from(storage.settings.disk_recovery_threads.max(1));
    let before = state.threads();
    if before == threads && (0..threads).any(|index| state.offset(index) > 0) {
        return Ok(());
    }
    let dir = state.dir().to_owned();
    let temp = |index: i64| dir.join(format!(".binlog.recovery.{index}.tmp"));
    let mut files = Vec::new();
    for index in 0..threads {
        files.push(BufWriter::new(File::create(temp(index))?));
    }
    let mut seen = HashSet::new();
    for index in 0..before {
        let mut from = BufReader::new(File::open(state.list(index))?);
        from.seek(SeekFrom::Start(state.offset(index)))?;
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line)? > 0 {
            if let Some(key) = key(storage, &line)
                && seen.insert(key)
            {
                let to = usize::try_from(key % threads.unsigned_abs()).unwrap_or(0);
                files[to].write_all(&line)?;
            }
            line.clear();
        }
    }
    for file in files {
        file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    }
    // Killed between two lists, the next start begins anew.
    state.forget_lists()?;
    for index in 0..threads {
        fs::rename(temp(index), state.list(index))?;
        state.save_offset(index, 0)?;
    }
    for index in threads..before {
        state.remove_list(index);
    }
    state.set_lists(threads)
}

/// What a line brings: the same for two lines that bring the same file.
fn key(storage: &Storage, line: &[u8]) -> Option<u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let record = Record::parse(line.strip_suffix(b"\n").unwrap_or(line)).ok()?;
    let name = FileName::parse(record.name.as_bytes(), storage.paths.count()).ok()?;
    let mut hasher = DefaultHasher::new();
    match name.trunk_slot() {
        Some(slot) if record.op == Op::Create => (name.dir(), slot.file).hash(&mut hasher),
        _ => record.name.hash(&mut hasher),
    }
    Some(hasher.finish())
}
