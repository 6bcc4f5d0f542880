//! A replication log that is lost or cut is made whole from the files that are there (`fdfs_rebuild_binlog`).
//!
//! What has no record in the log gets one, as a copy (`c`, `l`): nobody knows any more which member it came from. Copies are
//! sent to peers as offers, which replace nothing, and only within a full copy: the mark of each peer says that one is due
//! from where it stands, or from the beginning when the log is shorter than that.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use fdfs_core::binlog::{Mark, Op, Pos, Record};
use fdfs_core::fileid::FileName;
use fdfs_core::settings::StorageSettings;

use crate::binlog::Binlog;
use crate::state::save;
use crate::storage::now;

/// Beside the marks: time of the rebuild, Unix seconds. A peer without a mark gets a full copy of what is older.
const REBUILT: &str = ".rebuilt";

/// What was found and done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// Files and links in the store paths.
    pub files: u64,
    /// Of those, without a record.
    pub missing: u64,
    /// Lines of the log that are no records.
    pub bad_lines: u64,
    /// Container files, whose slots cannot be told from what is in them.
    pub containers: u64,
    /// Links that lead out of the store paths: they are left out.
    pub outside: u64,
    /// Peers that will be offered everything.
    pub peers: u64,
}

/// Compares the log with the files, and with `write` adds what is missing to it. The daemon must not run.
pub fn rebuild(settings: &StorageSettings, write: bool) -> io::Result<Rebuilt> {
    let sync = Path::new(&settings.base_path).join("data/sync");
    let log = Binlog::open(&sync)?;
    let mut done = Rebuilt::default();
    let known = known(&log, &mut done)?;
    let mut missing = Vec::new();
    for path in 0..settings.store_paths.len() {
        missing_in(settings, path, &known, &mut done, &mut missing)?;
    }
    missing.sort_by(|one, other| (one.timestamp, &one.name).cmp(&(other.timestamp, &other.name)));
    done.missing = missing.len() as u64;
    let end = log.end();
    let marks = marks(&sync)?;
    let behind = marks.iter().any(|(_, mark)| mark.as_ref().is_none_or(|mark| mark.pos > end));
    if !write || (missing.is_empty() && !behind) {
        return Ok(done);
    }
    // Marks first: killed in between, the next run finds what is left.
    let time = now();
    for (file, mark) in marks {
        let mark = mark.filter(|mark| mark.pos <= end).unwrap_or_default();
        let mark = Mark { need_sync_old: true, sync_old_done: false, until_timestamp: time, ..mark };
        save(&file, mark.to_string().as_bytes())?;
        done.peers += 1;
    }
    save(&sync.join(REBUILT), format!("{time}\n").as_bytes())?;
    for record in &missing {
        log.append(record)?.settle();
    }
    log.sync()?;
    Ok(done)
}

/// When the log was rebuilt, Unix seconds.
pub(crate) fn rebuilt(sync: &Path) -> Option<i64> {
    fs::read_to_string(sync.join(REBUILT)).ok()?.trim().parse().ok()
}

/// Files that the log says are there.
fn known(log: &Arc<Binlog>, done: &mut Rebuilt) -> io::Result<HashSet<String>> {
    let mut known = HashSet::new();
    let mut reader = log.reader(Pos::default());
    while let Some(item) = reader.read()? {
        let Ok(record) = item.record else {
            done.bad_lines += 1;
            continue;
        };
        match record.op {
            Op::Create | Op::Update | Op::Link => drop(known.insert(record.name)),
            Op::Delete => drop(known.remove(&record.name)),
            Op::Rename => {
                record.source().map(|old| known.remove(old));
                known.insert(record.name);
            }
            // They say nothing to who does not have the file.
            Op::Append | Op::Modify | Op::Truncate => {}
        }
    }
    Ok(known)
}

/// Records for the files of one store path that are not known.
fn missing_in(
    settings: &StorageSettings,
    path: usize,
    known: &HashSet<String>,
    done: &mut Rebuilt,
    missing: &mut Vec<Record>,
) -> io::Result<()> {
    let Some(store) = settings.store_paths.get(path) else { return Ok(()) };
    let data = Path::new(&store.path).join("data");
    for high in folders(&data)? {
        for low in folders(&data.join(&high))? {
            let dir = data.join(&high).join(&low);
            for entry in fs::read_dir(&dir)? {
                let entry = entry?;
                let part = entry.file_name();
                let logic = [format!("M{path:02X}/{high}/{low}/").as_bytes(), part.as_bytes()].concat();
                if part.as_bytes().len() == 6 && part.as_bytes().iter().all(u8::is_ascii_digit) {
                    done.containers += 1;
                    continue;
                }
                let Ok(name) = FileName::parse(&logic, settings.store_paths.len()) else { continue };
                if name.blob().is_none() {
                    continue;
                }
                let name = name.logic();
                let meta = entry.metadata()?;
                if !meta.is_file() && !meta.is_symlink() {
                    continue;
                }
                done.files += 1;
                if known.contains(&name) {
                    continue;
                }
                let (op, more) = match meta.is_symlink() {
                    false => (Op::Create, None),
                    true => match target(settings, &fs::read_link(entry.path())?) {
                        Some(target) => (Op::Link, Some(target)),
                        None => {
                            done.outside += 1;
                            continue;
                        }
                    },
                };
                missing.push(Record { timestamp: meta.mtime(), op, replica: true, name, more });
            }
        }
    }
    Ok(())
}

/// Names of two hexadecimal digits.
fn folders(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let is_hex =
        |name: &String| name.len() == 2 && name.bytes().all(|byte| b"0123456789ABCDEF".contains(&byte));
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok().filter(is_hex)));
    names.filter_map(Result::transpose).collect()
}

/// The logic name that a link leads to.
fn target(settings: &StorageSettings, target: &Path) -> Option<String> {
    let bases = settings.store_paths.iter().enumerate();
    let mut inside = bases.rev().filter_map(|(at, store)| Some((at, target.strip_prefix(&store.path).ok()?)));
    let (at, inside) = inside.next()?;
    let logic =
        [format!("M{at:02X}/").as_bytes(), inside.strip_prefix("data").ok()?.as_os_str().as_bytes()].concat();
    FileName::parse(&logic, settings.store_paths.len()).ok().map(|name| name.logic())
}

/// The mark of each peer; `None`: it cannot be read.
fn marks(sync: &Path) -> io::Result<Vec<(std::path::PathBuf, Option<Mark>)>> {
    let mut marks = Vec::new();
    for entry in fs::read_dir(sync)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "mark") {
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            marks.push((path, Mark::parse(&text).ok()));
        }
    }
    Ok(marks)
}

#[cfg(test)]
mod tests;
