//! `store_path_count`, `store_path0`, … and `store_path0_readonly`, …

use super::check::{Check, without_slash};
use crate::conf::{ConfError, GLOBAL, Warning};

/// Store paths that the index byte of an upload and of a file id can name.
const MAX_PATHS: u32 = 256;

/// One store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePathConf {
    /// Folder that holds `data`, without `/` at its end.
    pub path: String,
    /// No new files here.
    pub readonly: bool,
}

/// Whether `key` is one of these keys, except the count.
pub(super) fn is_key(key: &str) -> bool {
    index_of(key).is_some()
}

fn index_of(key: &str) -> Option<u32> {
    let number = key.strip_prefix("store_path")?;
    let number = number.strip_suffix("_readonly").unwrap_or(number);
    let plain = number == "0" || !number.starts_with('0');
    number.parse().ok().filter(|_| plain && number.bytes().all(|c| c.is_ascii_digit()))
}

impl Check<'_> {
    /// The paths of a section; `first` is what `store_path0` is when it is not there.
    pub fn store_paths(
        &mut self,
        section: &str,
        count: u32,
        first: Option<&str>,
    ) -> Result<Vec<StorePathConf>, ConfError> {
        if !(1..=MAX_PATHS).contains(&count) {
            return Err(self.bad(section, "store_path_count", "a whole number 1..256"));
        }
        let mut paths: Vec<StorePathConf> = Vec::new();
        for index in 0..count {
            let key = format!("store_path{index}");
            let written = self.ini.get(section, &key).map(|entry| entry.value.as_str());
            let path = match written.or(first.filter(|_| index == 0)) {
                Some(path) if !path.is_empty() => without_slash(path),
                _ => {
                    let why = format!("the folder of store path {index}, because store_path_count = {count}");
                    return Err(self.bad(section, &key, why));
                }
            };
            if paths.iter().any(|other| other.path == path) {
                return Err(self.bad(section, &key, "a folder that no other store path has"));
            }
            let readonly = self.bool(section, &format!("{key}_readonly"), false)?;
            paths.push(StorePathConf { path, readonly });
        }
        self.unused_paths(section, count);
        Ok(paths)
    }

    fn unused_paths(&mut self, section: &str, count: u32) {
        let entries = self.ini.section(section).map_or(&[][..], |section| &section.entries);
        for entry in entries {
            if index_of(&entry.key).is_some_and(|index| index >= count) {
                let text = format!("{} is not used: store_path_count is {count}", entry.key);
                self.warnings.push(Warning::new(entry.at.clone(), text));
            }
        }
    }

    /// The paths of the global section, the first one `base_path` unless written.
    pub fn global_store_paths(
        &mut self,
        count: u32,
        base_path: &str,
    ) -> Result<Vec<StorePathConf>, ConfError> {
        self.store_paths(GLOBAL, count, Some(base_path))
    }
}

#[cfg(test)]
mod tests {
    use super::is_key;

    #[test]
    fn names_of_store_paths() {
        for key in ["store_path0", "store_path17", "store_path3_readonly"] {
            assert!(is_key(key), "{key}");
        }
        for key in [
            "store_path",
            "store_path_count",
            "store_path01",
            "store_path+1",
            "store_path1_ro",
            "store_pathx",
        ] {
            assert!(!is_key(key), "{key}");
        }
    }
}
