//! Small files are replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use fdfs_core::settings::StorePathConf;

/// Writes `path` so that a crash leaves the old content or the new: temporary file, fsync, rename, fsync of the folder.
pub fn save(path: &Path, content: &[u8]) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()));
    let mut temp = path.as_os_str().to_owned();
    temp.push(".tmp");
    let written = File::create(&temp).and_then(|mut file| {
        file.write_all(content)?;
        sync(&file)?;
        fs::rename(&temp, path)
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&temp);
        named(error)
    })?;
    match path.parent() {
        Some(dir) => File::open(dir).and_then(|dir| sync(&dir)).map_err(named),
        None => Ok(()),
    }
}

/// To the disk. A simulated machine is killed, but never loses its power.
fn sync(file: &File) -> io::Result<()> {
    if cfg!(feature = "sim") { Ok(()) } else { file.sync_all() }
}

/// Removes what a killed process left of such writes, and of replicas that the existing daemon was receiving
/// (`.cp<n>.tmp`).
pub fn clean(data: &Path, store_paths: &[StorePathConf]) -> io::Result<()> {
    let stores = store_paths.iter().map(|store| Path::new(&store.path).join("data"));
    for dir in [data.to_owned(), data.join("sync")].into_iter().chain(stores) {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "tmp")
                && entry.file_type()?.is_file()
            {
                tracing::info!(file = %entry.path().display(), "removed what a killed process left");
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}
