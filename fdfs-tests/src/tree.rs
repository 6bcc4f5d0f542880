//! What lies in a store path, and what its binlog explains.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fdfs_core::fileid::{FileName, crc32};

/// Every file below `HH/HH`, by logic name, with its content.
pub fn files(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (name, path) in names(store) {
        if let Ok(content) = std::fs::read(&path) {
            found.insert(name, content);
        }
    }
    found
}

/// Every file below `HH/HH`: logic name and path.
pub fn names(store: &Path) -> Vec<(String, std::path::PathBuf)> {
    let mut found = Vec::new();
    for high in dirs(&store.join("data")) {
        for low in dirs(&high) {
            for entry in std::fs::read_dir(&low).unwrap().flatten() {
                let path = entry.path();
                let part = path.strip_prefix(store.join("data")).unwrap().to_string_lossy().into_owned();
                found.push((format!("M00/{part}"), path));
            }
        }
    }
    found
}

/// Directories named by two hex digits.
fn dirs(path: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.len() == 2 && name.chars().all(|c| c.is_ascii_hexdigit()) && path.is_dir()
        })
        .collect()
}

/// Files with a name that their content belies: partial or altered ones.
pub fn untrue(store: &Path) -> Vec<String> {
    files(store)
        .into_iter()
        .filter(|(name, content)| {
            let name = FileName::parse(name.as_bytes(), 1).unwrap();
            let blob = name.blob().unwrap();
            name.is_normal() && (blob.size(), blob.crc32) != (content.len() as u64, crc32(content))
        })
        .map(|(name, _)| name)
        .collect()
}

/// Anything that no record of the binlog speaks of, temporary files included.
pub fn unexplained(base: &Path) -> Vec<String> {
    let mut known = BTreeSet::new();
    for entry in std::fs::read_dir(base.join("data/sync")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix("binlog.").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit())) {
            let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
            known.extend(text.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned));
        }
    }
    let mut found: Vec<String> =
        names(base).into_iter().map(|(name, _)| name).filter(|name| !known.contains(name)).collect();
    for entry in std::fs::read_dir(base.join("data")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let state = [
            ".data_init_flag",
            ".fdfs_trackers_said",
            ".fastdfs_vars",
            "storage_stat.dat",
            "fdfs_storaged.pid",
            "sync",
            ".fdfs.tmp",
            ".fdfs.edit",
        ];
        let hex = name.len() == 2 && name.chars().all(|c| c.is_ascii_hexdigit());
        if !hex && !state.contains(&name.as_str()) {
            found.push(name);
        }
    }
    if let Ok(temp) = std::fs::read_dir(base.join("data/.fdfs.tmp")) {
        found.extend(temp.flatten().map(|entry| entry.path().display().to_string()));
    }
    found
}
