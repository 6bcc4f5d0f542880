//! Groups and their members as values.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Cause;
use crate::conf::address_class;
use crate::ident::{GroupName, ReadWrite, StorageId, StorageStatus};
use crate::wire::Text;
use crate::wire::list::{StatBlock, stat};

/// Members a group may have: storages hold no more.
pub const MEMBERS_MAX: usize = 32;

/// A rotation index that every snapshot shares. Lost updates only repeat a turn.
#[derive(Debug, Clone, Default)]
pub struct Cursor(Arc<AtomicUsize>);

impl Cursor {
    /// The index; the caller checks it against the list.
    pub fn get(&self) -> usize {
        self.0.load(Relaxed)
    }
    /// Sets the index.
    pub fn set(&self, index: usize) {
        self.0.store(index, Relaxed);
    }
    /// The present index within `len` entries; the next one becomes current.
    pub(super) fn advance(&self, len: usize) -> usize {
        let turn = |at: usize| if at >= len { 0 } else { at };
        let next = |at: usize| turn(turn(at) + 1);
        turn(self.0.fetch_update(Relaxed, Relaxed, |at| Some(next(at))).unwrap_or(0))
    }
}

/// Space of one store path in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathSpace {
    /// Total.
    pub total_mb: i64,
    /// Free for ordinary users.
    pub free_mb: i64,
}

/// One member of a group.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Its identity in the group.
    pub id: StorageId,
    /// One or two addresses, the inner one first.
    pub ips: Vec<IpAddr>,
    /// Index of the address it last joined from.
    pub current_ip: usize,
    /// Its port; 0 unknown.
    pub port: u16,
    /// What it may be used for.
    pub rw: ReadWrite,
    /// Its version text.
    pub version: Text<8>,
    /// Store paths.
    pub path_count: usize,
    /// Subdirectories per level.
    pub subdir_count: i64,
    /// Smaller is preferred.
    pub upload_priority: i64,
    /// Time of its first start, s.
    pub join_time: i64,
    /// Time of this start, s; 0 while not connected.
    pub up_time: i64,
    /// Copies the old files to it.
    pub source: Option<StorageId>,
    /// Files up to this time are old, s.
    pub sync_until: i64,
    /// Bytes of the change log it has read.
    pub changelog_offset: u64,
    /// Space per store path; empty until the first report.
    pub paths: Vec<PathSpace>,
    /// Sum over its paths, MiB.
    pub total_mb: i64,
    /// Sum over its paths, MiB.
    pub free_mb: i64,
    /// Store path of the next upload.
    pub write_path: Cursor,
    /// Its status.
    pub status: StorageStatus,
    /// Time at which it got this status, s; 0 when that was before this run of the tracker.
    pub since: i64,
    /// Why it got this status.
    pub cause: Cause,
    /// Its counters, last synced timestamp and last heart beat.
    pub stat: StatBlock,
    /// Time of its last report of any kind, s.
    pub last_seen: i64,
    /// Change counter of the group that it was told last.
    pub sent_chg: u32,
    /// Trunk change counter of the group that it was told last.
    pub sent_trunk_chg: u32,
    /// Number of the connection that joined last; 0 for none.
    pub session: u64,
}

impl Storage {
    /// A member of which nothing else is known.
    pub fn new(id: StorageId, ips: Vec<IpAddr>, rw: ReadWrite) -> Self {
        Self {
            id,
            ips,
            current_ip: 0,
            port: 0,
            rw,
            version: Text::EMPTY,
            path_count: 0,
            subdir_count: 0,
            upload_priority: 0,
            join_time: 0,
            up_time: 0,
            source: None,
            sync_until: 0,
            changelog_offset: 0,
            paths: Vec::new(),
            total_mb: 0,
            free_mb: 0,
            write_path: Cursor::default(),
            status: StorageStatus::Init,
            since: 0,
            cause: Cause::Loaded,
            stat: StatBlock::default(),
            last_seen: 0,
            sent_chg: 0,
            sent_trunk_chg: 0,
            session: 0,
        }
    }

    /// Changes the status, and notes why and when (s). The same status again keeps both.
    pub(super) fn turn(&mut self, status: StorageStatus, cause: Cause, now: i64) {
        if self.status != status || self.cause == Cause::Loaded {
            (self.status, self.since, self.cause) = (status, now, cause);
        }
    }

    /// The address it last joined from.
    pub fn ip(&self) -> IpAddr {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.ips.get(self.current_ip).or(self.ips.first()).copied().unwrap_or(unknown)
    }

    /// The address that `receiver` should use: of two the second if it is of the receiver's class (tracker 9.5).
    pub fn ip_for(&self, receiver: IpAddr) -> IpAddr {
        match self.ips[..] {
            [_, second] if address_class(&second) == address_class(&receiver) => second,
            [first, ..] => first,
            [] => self.ip(),
        }
    }

    /// [`Self::ip_for`] with the port.
    pub fn addr_for(&self, receiver: IpAddr) -> SocketAddr {
        SocketAddr::new(self.ip_for(receiver), self.port)
    }

    /// Everything up to this time (s) has arrived from its sources.
    pub fn last_synced(&self) -> i64 {
        self.stat.counters[stat::LAST_SYNCED].get()
    }

    /// Time of its last heart beat, s.
    pub fn last_beat(&self) -> i64 {
        self.stat.counters[stat::LAST_HEART_BEAT].get()
    }

    /// Active and allowed to be read.
    pub fn readable(&self) -> bool {
        self.status == StorageStatus::Active && self.rw.can_read()
    }

    /// Active and allowed to be written.
    pub fn writable(&self) -> bool {
        self.status == StorageStatus::Active && self.rw.can_write()
    }

    /// A record kept only so that others learn of its end.
    pub fn is_gone(&self) -> bool {
        matches!(self.status, StorageStatus::Deleted | StorageStatus::IpChanged)
    }
}

/// Port of a group's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupPort {
    /// Nobody joined yet.
    #[default]
    Unknown,
    /// All members.
    One(u16),
    /// Each its own: only with ids in file names.
    Mixed,
}

impl GroupPort {
    /// The number in files and list answers: 0 unknown, -1 mixed.
    pub const fn number(self) -> i64 {
        match self {
            Self::Unknown => 0,
            Self::One(port) => port as i64,
            Self::Mixed => -1,
        }
    }
    /// The port for this number.
    pub fn from_number(number: i64) -> Self {
        match u16::try_from(number) {
            Ok(0) => Self::Unknown,
            Ok(port) => Self::One(port),
            Err(_) if number == -1 => Self::Mixed,
            Err(_) => Self::Unknown,
        }
    }
}

/// One group.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Store paths of every member; 0 unknown.
    pub path_count: usize,
    /// Subdirectories per level; 0 unknown.
    pub subdir_count: i64,
    /// Port of the members.
    pub port: GroupPort,
    /// Members in the order they joined.
    pub(super) members: Vec<Arc<Storage>>,
    /// Indexes of [`Self::members`] by id; of the readable, of the writable ones.
    pub(super) sorted: Vec<usize>,
    pub(super) readable: Vec<usize>,
    pub(super) writable: Vec<usize>,
    /// Manages the trunk files.
    pub trunk_server: Option<StorageId>,
    /// The one before a change.
    pub last_trunk_server: Option<StorageId>,
    /// Number of the newest trunk file.
    pub trunk_file_id: i64,
    /// Space of the writable member with least free space, MiB.
    pub total_mb: i64,
    /// Its free space, MiB.
    pub free_mb: i64,
    /// Free space inside trunk files, MiB.
    pub trunk_free_mb: i64,
    /// Rotation of downloads.
    pub read_turn: Cursor,
    /// Rotation of uploads.
    pub write_turn: Cursor,
    /// Source and destination to the time (s) up to which the destination has everything.
    pub(super) synced: HashMap<(StorageId, StorageId), i32>,
    /// Counts changes of members and statuses.
    pub chg: u32,
    /// Counts changes of the trunk server.
    pub trunk_chg: u32,
}

impl Group {
    /// An empty group.
    pub fn new(name: GroupName) -> Self {
        Self {
            name,
            path_count: 0,
            subdir_count: 0,
            port: GroupPort::Unknown,
            members: Vec::new(),
            sorted: Vec::new(),
            readable: Vec::new(),
            writable: Vec::new(),
            trunk_server: None,
            last_trunk_server: None,
            trunk_file_id: 0,
            total_mb: 0,
            free_mb: 0,
            trunk_free_mb: 0,
            read_turn: Cursor::default(),
            write_turn: Cursor::default(),
            synced: HashMap::new(),
            chg: 0,
            trunk_chg: 0,
        }
    }

    /// Members by id.
    pub fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.pick(&self.sorted)
    }

    /// Members that may be read, by id.
    pub fn readable(&self) -> impl Iterator<Item = &Storage> {
        self.pick(&self.readable)
    }

    /// Members that may be written, by id.
    pub fn writable(&self) -> impl Iterator<Item = &Storage> {
        self.pick(&self.writable)
    }

    /// Members in the order they joined.
    pub fn in_join_order(&self) -> impl Iterator<Item = &Storage> {
        self.members.iter().map(AsRef::as_ref)
    }

    /// The member with this id.
    pub fn storage(&self, id: &StorageId) -> Option<&Storage> {
        self.at(id).and_then(|at| self.members.get(at)).map(AsRef::as_ref)
    }

    pub(super) fn pick<'a>(&'a self, list: &'a [usize]) -> impl Iterator<Item = &'a Storage> {
        list.iter().filter_map(|at| self.members.get(*at)).map(AsRef::as_ref)
    }

    pub(super) fn at(&self, id: &StorageId) -> Option<usize> {
        self.members.iter().position(|member| member.id == *id)
    }

    pub(super) fn storage_mut(&mut self, id: &StorageId) -> Option<&mut Storage> {
        let at = self.at(id)?;
        self.members.get_mut(at).map(Arc::make_mut)
    }

    /// Adds a member; the caller checked that the id is new.
    pub(super) fn add(&mut self, storage: Storage) {
        self.members.push(Arc::new(storage));
        self.refresh();
    }

    /// Recomputes the lists after a change of members or statuses.
    pub(super) fn refresh(&mut self) {
        self.sorted = (0..self.members.len()).collect();
        let members = &self.members;
        self.sorted.sort_by_key(|at| members.get(*at).map(|member| member.id));
        let only = |keep: fn(&Storage) -> bool| {
            let kept = |at: &&usize| members.get(**at).is_some_and(|member| keep(member));
            self.sorted.iter().filter(kept).copied().collect::<Vec<_>>()
        };
        self.readable = only(Storage::readable);
        self.writable = only(Storage::writable);
    }

    /// Notes a change of members or statuses: lists and the counter that the members compare.
    pub(super) fn changed(&mut self) {
        self.refresh();
        self.chg = self.chg.wrapping_add(1);
    }

    /// The member for uploads when there is no rotation (tracker 6.3): lowest id, or lowest priority value.
    pub fn store_server(&self, store_server: u8) -> Option<&Storage> {
        if store_server == 2 {
            return self.writable().min_by_key(|member| member.upload_priority);
        }
        self.writable().next()
    }
}

/// Everything the tracker knows of its storages.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    pub(super) groups: BTreeMap<GroupName, Arc<Group>>,
    /// Rotation of groups.
    pub write_group: Cursor,
    /// Size of the change log, bytes.
    pub changelog_size: u64,
    pub(super) sessions: u64,
    pub(super) beats: u64,
    pub(super) sync_reports: u64,
}

impl Cluster {
    /// Groups by name.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().map(AsRef::as_ref)
    }

    /// Whether no group is known.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The group with this name.
    pub fn group(&self, name: &GroupName) -> Option<&Group> {
        self.groups.get(name).map(AsRef::as_ref)
    }

    /// Whether a member has this address.
    pub fn has_ip(&self, ip: IpAddr) -> bool {
        self.groups().flat_map(Group::in_join_order).any(|member| member.ips.contains(&ip))
    }

    pub(super) fn group_mut(&mut self, name: &GroupName) -> Option<&mut Group> {
        self.groups.get_mut(name).map(Arc::make_mut)
    }
}
