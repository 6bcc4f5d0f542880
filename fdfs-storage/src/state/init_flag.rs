//! `.data_init_flag`: what this storage has agreed with its trackers (storage 6.2).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::save;
use crate::disk::PathMark;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitFlag {
    file: PathBuf,
    /// First start, s.
    pub join_time: i64,
    /// The source of the old files was negotiated once.
    pub sync_old_done: bool,
    /// That source, empty for none.
    pub sync_src_server: String,
    /// Up to when files are old, s.
    pub sync_until_timestamp: i64,
    /// Own addresses, joined by commas.
    pub last_ip_addr: String,
    /// Own port.
    pub last_server_port: u16,
    /// Marks of the store paths.
    pub marks: BTreeMap<usize, PathMark>,
    /// Values that are kept for others: trunk state and keys of other versions.
    trunk: [String; 3],
}

const TRUNK: [&str; 3] = ["current_trunk_file_id", "trunk_last_compress_time", "trunk_binlog_compress_stage"];
const MARK: &str = "store_path_mark";

impl InitFlag {
    /// Reads `data/.data_init_flag`, or makes it. A torn or empty file is made anew from the time of its folder: it
    /// says that old files were negotiated, since a storage with data must not be filled from a peer as if new.
    pub fn open(data: &Path, now_secs: i64) -> io::Result<Self> {
        let file = data.join(".data_init_flag");
        let text = match std::fs::read(&file) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let fresh = Self {
            file: file.clone(),
            join_time: now_secs,
            sync_old_done: false,
            sync_src_server: String::new(),
            sync_until_timestamp: 0,
            last_ip_addr: String::new(),
            last_server_port: 0,
            marks: BTreeMap::new(),
            trunk: ["0".into(), "0".into(), "0".into()],
        };
        let flag = match text {
            None => fresh,
            Some(text) => match fresh.clone().parse(&text) {
                Some(flag) => return Ok(flag),
                None => {
                    tracing::error!(file = %file.display(), "torn: join time and sync state are made anew");
                    Self { sync_old_done: true, ..fresh }
                }
            },
        };
        flag.save()?;
        Ok(flag)
    }

    /// Replaces the file.
    pub fn save(&self) -> io::Result<()> {
        save(&self.file, self.text().as_bytes())
    }

    fn parse(mut self, text: &str) -> Option<Self> {
        let all: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect();
        self.join_time = all.get("storage_join_time")?.parse().ok()?;
        self.sync_old_done = matches!(*all.get("sync_old_done")?, "1" | "true" | "yes" | "on");
        self.sync_src_server = (*all.get("sync_src_server")?).to_owned();
        let number = |key: &str| all.get(key).and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
        self.sync_until_timestamp = number("sync_until_timestamp");
        self.last_ip_addr = all.get("last_ip_addr").copied().unwrap_or_default().to_owned();
        self.last_server_port = u16::try_from(number("last_server_port")).unwrap_or(0);
        for (kept, key) in self.trunk.iter_mut().zip(TRUNK) {
            *kept = number(key).to_string();
        }
        self.marks = all
            .iter()
            .filter_map(|(key, value)| {
                let index = key.strip_prefix(MARK)?.parse().ok()?;
                (!value.is_empty()).then(|| (index, PathMark((*value).to_owned())))
            })
            .collect();
        Some(self)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "storage_join_time={}\nsync_old_done={}\nsync_src_server={}\nsync_until_timestamp={}\nlast_ip_addr={}\n\
             last_server_port={}\n",
            self.join_time,
            u8::from(self.sync_old_done),
            self.sync_src_server,
            self.sync_until_timestamp,
            self.last_ip_addr,
            self.last_server_port
        );
        for (value, key) in self.trunk.iter().zip(TRUNK) {
            text += &format!("{key}={value}\n");
        }
        for (index, mark) in &self.marks {
            text += &format!("{MARK}{index}={}\n", mark.0);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "storage_join_time=1795332970\nsync_old_done=1\nsync_src_server=10.77.0.21\n\
        sync_until_timestamp=1795332971\nlast_ip_addr=10.77.0.22\nlast_server_port=23000\ncurrent_trunk_file_id=7\n\
        trunk_last_compress_time=0\ntrunk_binlog_compress_stage=0\nstore_path_mark0=abc\nstore_path_mark1=def\n";

    #[test]
    fn the_file_round_trips() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".data_init_flag"), SAMPLE).unwrap();
        let flag = InitFlag::open(dir.path(), 5).unwrap();
        assert_eq!((flag.join_time, flag.marks.len()), (1_795_332_970, 2));
        flag.save().unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join(".data_init_flag")).unwrap(), SAMPLE);
    }

    #[test]
    fn new_and_torn() {
        let dir = tempfile::tempdir().unwrap();
        let flag = InitFlag::open(dir.path(), 5).unwrap();
        assert!(!flag.sync_old_done && flag.join_time == 5);
        assert_eq!(InitFlag::open(dir.path(), 9).unwrap(), flag);
        for torn in ["", "storage_join_ti", "storage_join_time=17\nsync_old_done=1\n"] {
            std::fs::write(dir.path().join(".data_init_flag"), torn).unwrap();
            assert!(InitFlag::open(dir.path(), 7).unwrap().sync_old_done, "{torn}");
        }
    }
}
