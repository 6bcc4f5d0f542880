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
    let done = tokio::task::spawn_blocking(move || save(&path, text.as_bytes()));
    done.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
