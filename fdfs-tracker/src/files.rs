//! The data files: read at start, written by a thread of their own, crash-safe.

mod set;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fdfs_core::cluster::persist::{
    CHANGELOG_FILE, Files, GROUPS_FILE, SERVERS_FILE, STATUS_FILE, SYNCED_FILE, TrackerStatus, legacy,
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

    /// The cluster as last saved, and what was wrong with the files. Files of an old version are converted and removed.
    pub fn load(&self, rules: &Rules) -> io::Result<(Cluster, Vec<String>)> {
        let mut wrong = Vec::new();
        if let Some(line) = set::complete(self)? {
            wrong.push(line);
        }
        let size = self.changelog_size();
        let old = !self.path.join(GROUPS_FILE).exists() && self.path.join(legacy::GROUPS_FILE).exists();
        let files = if old {
            let (groups, servers) = (self.text(legacy::GROUPS_FILE)?, self.text(legacy::SERVERS_FILE)?);
            let (files, lines) = legacy::convert(&groups, &servers);
            wrong.extend(lines);
            files
        } else {
            Files {
                groups: self.text(GROUPS_FILE)?,
                servers: self.text(SERVERS_FILE)?,
                synced: self.text(SYNCED_FILE)?,
            }
        };
        let (cluster, lines) = Cluster::from_files(rules, &files, size);
        wrong.extend(lines);
        if old {
            self.save(&cluster, rules.ids.is_some())?;
            self.remove(legacy::GROUPS_FILE)?;
            self.remove(legacy::SERVERS_FILE)?;
            wrong.push(format!("{} and {} were converted", legacy::GROUPS_FILE, legacy::SERVERS_FILE));
        }
        Ok((cluster, wrong))
    }

    /// Times of the last run.
    pub fn last_run(&self) -> TrackerStatus {
        self.text(STATUS_FILE).map(|text| TrackerStatus::decode(&text)).unwrap_or_default()
    }

    /// Saves the times of this run.
    pub fn save_status(&self, status: TrackerStatus) -> io::Result<()> {
        self.replace(STATUS_FILE, status.encode().as_bytes())
    }

    /// Bytes of the change log; 0 when there is none.
    pub fn changelog_size(&self) -> u64 {
        fs::metadata(self.path.join(CHANGELOG_FILE)).map_or(0, |meta| meta.len())
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

    /// Saves the cluster: after a crash all three files are the old ones or the new ones.
    pub fn save(&self, cluster: &Cluster, use_ids: bool) -> io::Result<()> {
        let Files { groups, servers, synced } = cluster.to_files(use_ids);
        set::replace(self, &[(GROUPS_FILE, &groups), (SERVERS_FILE, &servers), (SYNCED_FILE, &synced)])
    }

    /// After a crash the file holds its old content or the new one, whole.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.prepare(name, content)?;
        self.rename(name)?;
        self.sync()
    }

    /// Writes the temporary file.
    fn prepare(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.tmp(name))?;
        file.write_all(content)?;
        sync(&file)
    }

    /// Gives the temporary file its name.
    fn rename(&self, name: &str) -> io::Result<()> {
        fs::rename(self.tmp(name), self.path.join(name))
    }

    fn tmp(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.tmp"))
    }

    /// Brings names to the disk.
    fn sync(&self) -> io::Result<()> {
        sync(&File::open(&self.path)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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
