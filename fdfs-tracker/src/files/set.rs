//! Several files that change together: renames cannot be made at once, so a note of them is on the disk before the first.

use std::fmt::Write;
use std::fs;
use std::io::{self, ErrorKind};
use std::time::SystemTime;

use fdfs_core::fileid::crc32;

use super::DataDir;

/// The note: a line per file, its name, length and crc32 (decimal). It is here only while files are being renamed.
pub(super) const NOTE: &str = ".tracker_saving";

/// Replaces all `files`, name and content, or none of them.
pub(super) fn replace(dir: &DataDir, files: &[(&str, &str)]) -> io::Result<()> {
    announce(dir, files)?;
    for (name, _) in files {
        dir.rename(name)?;
    }
    dir.sync()?;
    dir.remove(NOTE)
}

/// Writes the temporary files, then the note.
fn announce(dir: &DataDir, files: &[(&str, &str)]) -> io::Result<()> {
    let mut note = String::new();
    for (name, content) in files {
        dir.prepare(name, content.as_bytes())?;
        let _ = writeln!(note, "{name} {} {}", content.len(), crc32(content.as_bytes()));
    }
    dir.replace(NOTE, note.as_bytes())
}

/// Finishes what a crash interrupted; tells of it in a line. Nothing is finished that a daemon without notes has saved over since.
pub(super) fn complete(dir: &DataDir) -> io::Result<Option<String>> {
    let path = dir.path.join(NOTE);
    let noted = match fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        meta => meta?.modified()?,
    };
    let text = fs::read_to_string(&path)?;
    let files: Vec<(&str, usize, u32)> = text.lines().filter_map(line).collect();
    let mut waiting = Vec::new();
    let mut current = true;
    for (name, len, crc) in &files {
        current &= modified(dir, name)?.is_none_or(|at| at <= noted);
        let as_noted = |content: &Vec<u8>| content.len() == *len && crc32(content) == *crc;
        match fs::read(dir.tmp(name)) {
            Ok(content) if as_noted(&content) => waiting.push(*name),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            // Renamed already, or of a later save.
            _ => {}
        }
    }
    if current {
        waiting.iter().try_for_each(|name| dir.rename(name))?;
        dir.sync()?;
    }
    dir.remove(NOTE)?;
    let what = if current { "was finished" } else { "is older than the files, and was left" };
    Ok(Some(format!("a save of the cluster's state that was interrupted {what}")))
}

fn modified(dir: &DataDir, name: &str) -> io::Result<Option<SystemTime>> {
    match fs::metadata(dir.path.join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        meta => meta?.modified().map(Some),
    }
}

fn line(line: &str) -> Option<(&str, usize, u32)> {
    let mut fields = line.split(' ');
    let name = fields.next().filter(|name| !name.contains('/') && !name.is_empty())?;
    Some((name, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn all(content: &str) -> [(&str, &str); 3] {
        NAMES.map(|name| (name, content))
    }

    fn read(dir: &DataDir) -> [Option<String>; 3] {
        NAMES.map(|name| fs::read_to_string(dir.path.join(name)).ok())
    }

    fn dir() -> (tempfile::TempDir, DataDir) {
        let base = tempfile::tempdir().unwrap();
        let dir = DataDir::open(base.path()).unwrap();
        (base, dir)
    }

    /// Stops after `renames` of the three renames, with the note written.
    fn interrupted(dir: &DataDir, content: &str, renames: usize) {
        announce(dir, &all(content)).unwrap();
        NAMES.iter().take(renames).for_each(|name| dir.rename(name).unwrap());
    }

    #[test]
    fn an_interrupted_save_is_finished() {
        for renames in 0..=3 {
            let (_base, dir) = dir();
            replace(&dir, &all("old")).unwrap();
            assert_eq!(complete(&dir).unwrap(), None);
            interrupted(&dir, "new", renames);
            assert!(complete(&dir).unwrap().unwrap().ends_with("was finished"), "{renames}");
            assert_eq!(read(&dir), NAMES.map(|_| Some("new".to_owned())), "{renames}");
            assert_eq!(complete(&dir).unwrap(), None);
            assert_eq!(fs::read_dir(&dir.path).unwrap().count(), 3);
        }
    }

    #[test]
    fn without_a_note_temporary_files_are_nothing() {
        let (_base, dir) = dir();
        replace(&dir, &all("old")).unwrap();
        dir.prepare("a", b"half").unwrap();
        assert_eq!(complete(&dir).unwrap(), None);
        assert_eq!(read(&dir), NAMES.map(|_| Some("old".to_owned())));
        replace(&dir, &all("newer")).unwrap();
        assert_eq!(read(&dir), NAMES.map(|_| Some("newer".to_owned())));
    }

    #[test]
    fn a_daemon_without_notes_has_saved_since() {
        let (_base, dir) = dir();
        replace(&dir, &all("old")).unwrap();
        interrupted(&dir, "new", 1);
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        fs::write(dir.path.join("b"), "theirs").unwrap();
        fs::File::options().write(true).open(dir.path.join("b")).unwrap().set_modified(later).unwrap();
        assert!(complete(&dir).unwrap().unwrap().contains("older"));
        assert_eq!(read(&dir), ["new", "theirs", "old"].map(|text| Some(text.to_owned())));
        assert_eq!(complete(&dir).unwrap(), None);
    }

    #[test]
    fn a_damaged_note_does_nothing() {
        let (_base, dir) = dir();
        replace(&dir, &all("old")).unwrap();
        dir.prepare("a", b"x").unwrap();
        fs::write(dir.path.join(NOTE), "a 1 0\n../b 1 1\nc\n").unwrap();
        complete(&dir).unwrap();
        assert_eq!(read(&dir), NAMES.map(|_| Some("old".to_owned())));
    }
}
