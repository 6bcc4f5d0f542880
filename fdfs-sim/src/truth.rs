//! What the driver does to the machines, and what the checker saw: shared within one simulation.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use crate::history::History;

/// Trackers.
pub const TRACKERS: usize = 3;
/// Storages, three in each group.
pub const STORAGES: usize = 12;
/// Port of every tracker.
pub const PORT: u16 = 22122;

/// Address of a tracker.
pub fn tracker_ip(at: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(at + 1).unwrap_or(u8::MAX)).into()
}

/// Address of a storage, which is its id as well.
pub fn storage_ip(at: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 1, u8::try_from(at + 1).unwrap_or(u8::MAX)).into()
}

/// Where a tracker listens.
pub fn tracker_addr(at: usize) -> SocketAddr {
    SocketAddr::new(tracker_ip(at), PORT)
}

/// Group of a storage.
pub fn group_of(at: usize) -> String {
    format!("group{}", at / 3 + 1)
}

/// State of the simulation as those outside of it know it.
#[derive(Default)]
pub struct Truth {
    /// Trackers that run since this time and are not frozen.
    pub up: [Option<Duration>; TRACKERS],
    /// Storages that run.
    pub storage_up: [bool; STORAGES],
    /// Since when nothing is broken; `None` while something is.
    pub healed: Option<Duration>,
    /// A storage that an administrator removes, and whether the trackers have confirmed that.
    pub removed: Option<(usize, bool)>,
    /// Whether the administrator may act now.
    pub remove_now: bool,
    /// Members that each tracker has told of.
    pub told: [BTreeSet<String>; TRACKERS],
    /// Leader as each storage knows it.
    pub leader_of_storage: BTreeMap<usize, SocketAddr>,
    /// Leader that all agreed on last.
    pub agreed: Option<SocketAddr>,
    /// How often another one was agreed on.
    pub leader_changes: u64,
    /// The end has come.
    pub over: bool,
    /// What happened.
    pub history: History,
}

/// Shared by the driver and all machines of a simulation.
pub type Shared = Rc<RefCell<Truth>>;

impl AsRef<History> for Truth {
    fn as_ref(&self) -> &History {
        &self.history
    }
}
