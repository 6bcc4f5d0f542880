//! The machines of one history, and what the driver, the clients and the checks share.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use fdfs_core::fileid::FileName;
use fdfs_core::ident::{GroupName, StorageStatus};
use fdfs_storage::Storage;

use super::model::Model;
use crate::history::History;

/// Port of every storage.
pub const PORT: u16 = 23000;
/// Store paths have so many directories a level.
pub const SUBDIRS: u16 = 2;

/// The only group.
pub fn group() -> GroupName {
    GroupName::new(b"group1").unwrap_or_else(|_| unreachable!("a name of six letters"))
}

/// Address of a member, which is its id as well.
pub fn member_ip(at: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 1, u8::try_from(at + 1).unwrap_or(u8::MAX)).into()
}

/// Where a member listens.
pub fn member_addr(at: usize) -> SocketAddr {
    SocketAddr::new(member_ip(at), PORT)
}

/// Address of the clients' machine.
pub fn clients_ip() -> IpAddr {
    Ipv4Addr::new(10, 0, 2, 1).into()
}

/// A member as those outside of it know it.
pub struct Member {
    /// Folder of its `base` and `store`.
    pub dir: PathBuf,
    /// Its latest process.
    pub storage: Weak<Storage>,
    /// It was started once.
    pub started: bool,
    /// It is without its files, or was when all members agreed last: nothing is asked of it.
    pub empty: bool,
}

impl Member {
    /// The process, if it runs and is active in its own view.
    pub fn serving(&self) -> Option<Arc<Storage>> {
        let storage = self.storage.upgrade().filter(|_| !self.empty)?;
        let own = storage.members.get(&storage.identity.id)?;
        (own.status == StorageStatus::Active).then_some(storage)
    }

    /// `base_path`.
    pub fn base(&self) -> PathBuf {
        self.dir.join("base")
    }

    /// Its store path.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.store().join("data").join(name.get(4..).unwrap_or_default())
    }

    /// All files that a client could get, by name.
    pub fn tree(&self) -> Vec<(String, PathBuf)> {
        let data = self.store().join("data");
        let pairs =
            (0..SUBDIRS).flat_map(|high| (0..SUBDIRS).map(move |low| format!("{high:02X}/{low:02X}")));
        let mut found = Vec::new();
        for pair in pairs {
            let Ok(entries) = std::fs::read_dir(data.join(&pair)) else { continue };
            for entry in entries.flatten() {
                let name = format!("M00/{pair}/{}", entry.file_name().to_string_lossy());
                found.push((name, entry.path()));
            }
        }
        found.sort();
        found
    }

    /// Lines of its log that speak of a file.
    pub fn records(&self, name: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.base().join("data/sync/binlog.000")).unwrap_or_default();
        log.lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
    }
}

/// Everything.
#[derive(Default)]
pub struct World {
    pub history: History,
    pub model: Model,
    pub members: Vec<Member>,
    /// Clients ask for nothing new while this is set.
    pub quiet: bool,
    /// Requests under way.
    pub asking: usize,
    /// Requests that were answered with success.
    pub done: u64,
    /// Requests without an answer.
    pub unanswered: u64,
}

impl AsRef<History> for World {
    fn as_ref(&self) -> &History {
        &self.history
    }
}

/// Shared by the driver and all machines of a simulation.
pub type Shared = Rc<RefCell<World>>;

/// A name, parsed.
pub fn parse(name: &str) -> Option<FileName> {
    FileName::parse(name.as_bytes(), 1).ok()
}

/// Makes the folders of a member that are missing.
pub fn make_dirs(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir.join("base/data")).and_then(|()| std::fs::create_dir_all(dir.join("store")))
}
