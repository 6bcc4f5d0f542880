//! The data files: read at start, written by a thread of their own, crash-safe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fdfs_core::cluster::persist::{
    CHANGELOG_FILE, Files, GROUPS_FILE, SERVERS_FILE, STATUS_FILE, SYNCED_FILE, TrackerStatus,
};
use fdfs_core::cluster::{Cluster, Rules};

/// The folder `base_path/data`.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// Opens the folder, made if need be.
    pub fn open(base_path: &Path) -> io::Result<Self> {
        let path = base_path.join("data");
        fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    /// The cluster as last saved, and what was wrong with the files.
    pub fn load(&self, rules: &Rules) -> io::Result<(Cluster, Vec<String>)> {
        let files = Files {
            groups: self.text(GROUPS_FILE)?,
            servers: self.text(SERVERS_FILE)?,
            synced: self.text(SYNCED_FILE)?,
        };
        let size = match fs::metadata(self.path.join(CHANGELOG_FILE)) {
            Ok(meta) => meta.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Cluster::from_files(rules, &files, size))
    }

    /// Times of the last run.
    pub fn last_run(&self) -> TrackerStatus {
        self.text(STATUS_FILE).map(|text| TrackerStatus::decode(&text)).unwrap_or_default()
    }

    /// Saves the times of this run.
    pub fn save_status(&self, status: TrackerStatus) -> io::Result<()> {
        self.replace(STATUS_FILE, status.encode().as_bytes())
    }

    /// At most `most` bytes of the change log from `offset` on.
    pub fn changelog(&self, offset: u64, most: u64) -> io::Result<Vec<u8>> {
        let mut made = Vec::new();
        let mut file = match File::open(self.path.join(CHANGELOG_FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(made),
            file => file?,
        };
        file.seek(SeekFrom::Start(offset))?;
        file.take(most).read_to_end(&mut made)?;
        Ok(made)
    }

    fn text(&self, name: &str) -> io::Result<String> {
        match fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// Saves the cluster.
    pub fn save(&self, cluster: &Cluster, use_ids: bool) -> io::Result<()> {
        let files = cluster.to_files(use_ids);
        self.replace(GROUPS_FILE, files.groups.as_bytes())?;
        self.replace(SERVERS_FILE, files.servers.as_bytes())?;
        self.replace(SYNCED_FILE, files.synced.as_bytes())
    }

    /// After a crash the file holds its old content or the new one, whole.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let tmp = self.path.join(format!("{name}.tmp"));
        let mut file = File::create(&tmp)?;
        file.write_all(content)?;
        sync(&file)?;
        fs::rename(&tmp, self.path.join(name))?;
        sync(&File::open(&self.path)?)
    }

    /// Appends lines to the change log.
    pub fn append_changelog(&self, lines: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path.join(CHANGELOG_FILE))?;
        let before = file.metadata()?.len();
        let done = file.write_all(lines.as_bytes()).and_then(|()| sync(&file));
        if done.is_err() {
            // All of it is written again: no part of it may stay.
            file.set_len(before)?;
        }
        done
    }
}

/// To the disk. A simulated machine is killed, but never loses its power.
fn sync(file: &File) -> io::Result<()> {
    if cfg!(feature = "sim") { Ok(()) } else { file.sync_all() }
}
