//! Small files are replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes `path` so that a crash leaves the old content or the new: temporary file, fsync, rename, fsync of the folder.
pub fn save(path: &Path, content: &[u8]) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()));
    let mut temp = path.as_os_str().to_owned();
    temp.push(".tmp");
    let mut file = File::create(&temp).map_err(named)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(named)?;
    fs::rename(&temp, path).map_err(named)?;
    match path.parent() {
        Some(dir) => File::open(dir).and_then(|dir| dir.sync_all()).map_err(named),
        None => Ok(()),
    }
}
