//! The tracker's data files (tracker 8): written byte for byte like those of the existing daemon, read tolerantly.
//!
//! A torn, empty or contradicting file is no reason not to start: what can be read is kept, the rest is reported
//! and comes back when the storages join.

mod groups;
pub mod legacy;
mod sections;
mod servers;
mod status;
mod synced;

pub use status::TrackerStatus;

use super::{Cluster, Rules};

/// File of the groups.
pub const GROUPS_FILE: &str = "storage_groups_new.dat";
/// File of the members.
pub const SERVERS_FILE: &str = "storage_servers_new.dat";
/// File of the sync progress.
pub const SYNCED_FILE: &str = "storage_sync_timestamp.dat";
/// File of deletions and address changes.
pub const CHANGELOG_FILE: &str = "storage_changelog.dat";
/// File of the times of the last run.
pub const STATUS_FILE: &str = ".tracker_status";

/// Contents of the three data files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// [`GROUPS_FILE`].
    pub groups: String,
    /// [`SERVERS_FILE`].
    pub servers: String,
    /// [`SYNCED_FILE`].
    pub synced: String,
}

impl Cluster {
    /// The three files.
    pub fn to_files(&self, use_ids: bool) -> Files {
        Files {
            groups: groups::encode(self),
            servers: servers::encode(self, use_ids),
            synced: synced::encode(self),
        }
    }

    /// The state in the three files, an absent one as an empty text, and what was wrong with them.
    pub fn from_files(rules: &Rules, files: &Files, changelog_size: u64) -> (Self, Vec<String>) {
        let mut cluster = Self { changelog_size, ..Self::default() };
        let mut wrong = Vec::new();
        groups::decode(&mut cluster, &files.groups, &mut wrong);
        servers::decode(&mut cluster, rules, &files.servers, &mut wrong);
        synced::decode(&mut cluster, rules, &files.synced, &mut wrong);
        (cluster, wrong)
    }
}
