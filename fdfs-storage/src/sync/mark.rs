//! A peer's mark file.

use std::io;
use std::path::PathBuf;

use fdfs_core::binlog::Mark;
use fdfs_core::ident::StorageId;

use crate::state::save;
use crate::storage::Storage;

/// Where it is: `<id>.mark` with storage ids, else `<address>_<own port>.mark`.
pub fn path(storage: &Storage, peer: &StorageId) -> PathBuf {
    let dir = storage.data_dir().join("sync");
    match storage.params.load().use_storage_id {
        true => dir.join(format!("{peer}.mark")),
        false => dir.join(format!("{peer}_{}.mark", storage.identity.port)),
    }
}

/// Reads it. `None` when there is none, or a torn one: the log is then read from its beginning.
pub fn load(storage: &Storage, peer: &StorageId) -> io::Result<Option<Mark>> {
    let path = path(storage, peer);
    let text = match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match Mark::parse(&text) {
        Ok(mark) if mark.pos <= storage.binlog.end() => Ok(Some(mark)),
        Ok(mark) => {
            tracing::error!(file = %path.display(), pos = %mark.pos, "behind the end of the log: sending from its beginning");
            Ok(None)
        }
        Err(error) => {
            tracing::error!(file = %path.display(), %error, "cannot be used: sending from the beginning of the log");
            Ok(None)
        }
    }
}

/// Replaces it, on a thread that may wait for the disk.
pub async fn store(storage: &Storage, peer: &StorageId, mark: &Mark) -> io::Result<()> {
    let (path, text) = (path(storage, peer), mark.to_string());
    fdfs_net::blocking(move || save(&path, text.as_bytes())).await
}

/// First start of the peer when its mark was made, s. Kept beside the mark, whose format has no place for it.
pub fn born(storage: &Storage, peer: &StorageId) -> Option<i64> {
    let text = std::fs::read_to_string(path(storage, peer).with_extension("peer")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("born=")?.trim().parse().ok())
}

/// Keeps it.
pub fn set_born(storage: &Storage, peer: &StorageId, born: i64) -> io::Result<()> {
    save(&path(storage, peer).with_extension("peer"), format!("born={born}\n").as_bytes())
}

/// Puts the mark of a deleted member aside: if it comes again, it begins anew (replication 10.3).
pub fn retire(storage: &Storage, peer: &StorageId) {
    let path = path(storage, peer);
    let mut aside = path.as_os_str().to_owned();
    let now = fdfs_net::log::local_time();
    aside.push(format!(
        ".{:04}{:02}{:02}{:02}{:02}{:02}",
        now.year, now.month, now.day, now.hour, now.minute, now.second
    ));
    match std::fs::rename(&path, &aside) {
        Ok(()) => tracing::info!(%peer, "its mark is put aside"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::error!(%peer, %error, "its mark cannot be put aside"),
    }
    let _ = std::fs::remove_file(path.with_extension("peer"));
}
