//! What tests share.

use std::path::PathBuf;

/// Folder of the captured vectors: `FDFS_VECTORS`, or beside the project. Says so when it is absent.
pub(crate) fn vectors() -> Option<PathBuf> {
    let dir = std::env::var_os("FDFS_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    );
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("captured vectors are absent ({}): this test checked nothing", dir.display());
    None
}
