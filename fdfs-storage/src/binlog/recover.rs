//! The log as the last process left it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::state::save;

/// Number of the file that is written: `binlog_index.dat`, or `binlog.index` of older versions, or the newest file.
pub(super) fn current_index(dir: &Path) -> io::Result<u32> {
    let read = |name: &str| match fs::read_to_string(dir.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let current = read("binlog_index.dat")?;
    let is_current = current.is_some();
    let saved = match current {
        Some(text) => text.lines().find_map(|line| line.strip_prefix("current_write=")?.trim().parse().ok()),
        None => read("binlog.index")?.and_then(|text| text.trim().parse().ok()),
    };
    // A file behind the saved one means that the process ended between the two steps of a rotation.
    let newest = fs::read_dir(dir)?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix("binlog.")?;
            match number.strip_suffix(".gz") {
                // What is compressed is closed.
                Some(number) => number.parse::<u32>().ok()?.checked_add(1),
                None => number.parse().ok(),
            }
        })
        .max();
    let index = saved.max(newest).unwrap_or(0);
    if saved != Some(index) || !is_current {
        save_index(dir, index, None)?;
    }
    Ok(index)
}

/// First file that is not known to be compressed.
pub(super) fn compressed(dir: &Path) -> u32 {
    let text = fs::read_to_string(dir.join("binlog_index.dat")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("current_compress=")?.trim().parse().ok()).unwrap_or(0)
}

/// Writes `binlog_index.dat`: the file that is written, and the first one that is not compressed, `None`: as before.
pub(super) fn save_index(dir: &Path, index: u32, compressed_before: Option<u32>) -> io::Result<()> {
    let path = dir.join("binlog_index.dat");
    let compressed = compressed_before.unwrap_or_else(|| compressed(dir));
    save(&path, format!("current_write={index}\ncurrent_compress={compressed}\n").as_bytes())
}

/// Cuts a last line that has no end: its file was never acknowledged. Answers the length that is left.
pub(super) fn cut_torn_line(file: &File, path: &Path) -> io::Result<u64> {
    const STEP: u64 = 4096;
    let len = file.metadata()?.len();
    let mut end = len;
    while end > 0 {
        let from = end.saturating_sub(STEP);
        let mut bytes = vec![0; usize::try_from(end - from).unwrap_or_default()];
        file.read_exact_at(&mut bytes, from)?;
        if let Some(at) = bytes.iter().rposition(|&byte| byte == b'\n') {
            end = from + at as u64 + 1;
            break;
        }
        end = from;
    }
    if end < len {
        tracing::warn!(file = %path.display(), bytes = len - end, "a torn last record is removed");
        file.set_len(end)?;
    }
    Ok(end)
}
