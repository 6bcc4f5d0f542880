//! What lies in the store path of a member.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::tree;

/// Something with a name below `HH/HH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    File,
    /// To this logic name.
    Link(String),
}

pub fn entries(base: &Path) -> BTreeMap<String, Entry> {
    let entry = |path: &Path| match std::fs::read_link(path) {
        Ok(target) => {
            let text = target.to_str().unwrap();
            Entry::Link(format!("M00/{}", text.rsplit_once("/data/").unwrap().1))
        }
        Err(_) => Entry::File,
    };
    tree::names(base).into_iter().map(|(name, path)| (name, entry(&path))).collect()
}

pub fn path(base: &Path, name: &str) -> PathBuf {
    base.join("data").join(&name[4..])
}

/// Whether two members have the same; else some names that differ.
pub fn compare(one: &Path, other: &Path) -> Result<(), Vec<String>> {
    let (left, right) = (entries(one), entries(other));
    let mut differs: Vec<String> = left
        .iter()
        .filter(|(name, entry)| {
            right.get(*name) != Some(*entry)
                || (**entry == Entry::File
                    && std::fs::read(path(one, name)).ok() != std::fs::read(path(other, name)).ok())
        })
        .map(|(name, _)| name.clone())
        .collect();
    differs.extend(right.keys().filter(|name| !left.contains_key(*name)).map(|name| format!("more: {name}")));
    differs.truncate(10);
    if differs.is_empty() { Ok(()) } else { Err(differs) }
}

/// Files that wait for a name, and changes under way: none while nothing happens.
pub fn leftovers(base: &Path) -> Vec<String> {
    let folders = [".fdfs.tmp", ".fdfs.edit"];
    let lists = folders.iter().filter_map(|folder| std::fs::read_dir(base.join("data").join(folder)).ok());
    lists.flatten().flatten().map(|entry| entry.path().display().to_string()).collect()
}
