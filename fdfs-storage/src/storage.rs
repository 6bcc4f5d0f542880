//! What all parts of the daemon share.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use arc_swap::{ArcSwap, ArcSwapOption};
use fdfs_core::binlog::{Op, Record};
use fdfs_core::dist::{self, Dist};
use fdfs_core::fileid::FileName;
use fdfs_core::settings::StorageSettings;
use fdfs_core::wire::list::stat;
pub use fdfs_net::unix_now as now;
use tokio::sync::Notify;

use crate::access::AccessLog;
use crate::binlog::{Binlog, Pending};
use crate::copies::Copies;
use crate::disk::StorePaths;
use crate::dups::Dups;
use crate::durable::Durable;
use crate::identity::{Identity, Params};
use crate::link::Answers;
use crate::members::Members;
use crate::schedule::Schedule;
use crate::scrub::Scrubbed;
use crate::stages::Stages;
use crate::state::{InitFlag, Stat, save};
use crate::sync::{Fences, Peers, Synced};

/// Locks for read-change-write of one file's metadata: names share them by hash.
const NAME_LOCKS: usize = 64;

/// One storage.
pub struct Storage {
    /// `storage.conf`.
    pub settings: StorageSettings,
    /// Those of the settings that SIGHUP changes: times and rates.
    pub schedule: ArcSwap<Schedule>,
    /// Tells the scrub that it has changed.
    pub rescheduled: Notify,
    /// Who it is.
    pub identity: Identity,
    /// What the trackers decide.
    pub params: ArcSwap<Params>,
    /// What the trackers said of both; empty when nobody asks again.
    pub said: ArcSwapOption<Answers>,
    /// Where its files are.
    pub paths: StorePaths,
    /// What a power cut may take.
    pub durable: Durable,
    /// The replication log.
    pub binlog: Arc<Binlog>,
    /// Counters.
    pub stat: Stat,
    /// The members of its group.
    pub members: Members,
    /// Up to when each member's changes have arrived here.
    pub synced: Synced,
    /// A line per request, when it is switched on.
    pub access: Option<AccessLog>,
    /// Which content is here already, when that is asked.
    pub dups: Option<Dups>,
    /// How long stages take, when somebody asks.
    pub stages: Option<Stages>,
    /// What the scrub found.
    pub scrubbed: Scrubbed,
    /// Start, Unix seconds.
    pub started: i64,
    /// How far replication to each member is.
    pub peers: Peers,
    /// How many answers had the copies that were wanted.
    pub copies: Copies,
    /// The streams of each member that sends here.
    pub fences: Fences,
    init: Mutex<InitFlag>,
    dist: Mutex<Dist>,
    names: [Mutex<()>; NAME_LOCKS],
}

impl Storage {
    /// Puts the parts together.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        settings: StorageSettings,
        identity: Identity,
        params: Params,
        paths: StorePaths,
        binlog: Arc<Binlog>,
        stat: Stat,
        dist: Dist,
        init: InitFlag,
    ) -> io::Result<Arc<Self>> {
        let folder = std::fs::File::open(&settings.base_path)?;
        let durable = Durable::start(settings.durability, &paths, folder)?;
        let access = AccessLog::open(&settings)?;
        let dups = Dups::open(&settings, &PathBuf::from(&settings.base_path).join("data"));
        Ok(Arc::new(Self {
            access,
            dups,
            stages: Stages::new(settings.metrics_port),
            scrubbed: Scrubbed::default(),
            started: now(),
            schedule: ArcSwap::from_pointee(Schedule::of(&settings)),
            rescheduled: Notify::new(),
            durable,
            settings,
            identity,
            params: ArcSwap::from_pointee(params),
            said: ArcSwapOption::empty(),
            paths,
            binlog,
            stat,
            members: Members::default(),
            synced: Synced::default(),
            peers: Peers::default(),
            copies: Copies::default(),
            fences: Fences::default(),
            init: Mutex::new(init),
            dist: Mutex::new(dist),
            names: std::array::from_fn(|_| Mutex::new(())),
        }))
    }

    /// `base_path/data`.
    pub fn data_dir(&self) -> PathBuf {
        PathBuf::from(&self.settings.base_path).join("data")
    }

    /// What was agreed with the trackers.
    pub fn init(&self) -> InitFlag {
        lock(&self.init).clone()
    }

    /// Changes it, on disk first.
    pub fn update_init(&self, change: impl FnOnce(&mut InitFlag)) -> io::Result<()> {
        let mut init = lock(&self.init);
        let mut next = init.clone();
        change(&mut next);
        if next != *init {
            next.save()?;
            *init = next;
        }
        Ok(())
    }

    /// Directory for a new file; `name` are the 27 characters of its name.
    pub fn next_dir(&self, name: &[u8]) -> (u8, u8) {
        let subdirs = self.settings.subdir_count_per_path;
        match self.settings.file_distribute_path_mode {
            0 => lock(&self.dist).next(subdirs, self.settings.file_distribute_rotate_count),
            _ => dist::by_hash(name, subdirs),
        }
    }

    /// Appends the record of a name that is given for a client. Its time may be later than asked for, when the name was deleted
    /// before and the clock was put back since.
    pub fn log(&self, timestamp: i64, op: Op, name: &FileName, more: Option<String>) -> io::Result<Pending> {
        self.stat.at(stat::LAST_SOURCE_UPDATE, timestamp);
        let mut record = Record { timestamp, op, replica: false, name: name.logic(), more };
        if !name.is_unique() {
            record.timestamp = timestamp.max(self.binlog.tombs().earliest(&record.name));
        }
        self.binlog.append(&record)
    }

    /// Holds off other changes of this file and of its metadata. Never held over a wait for the network, nor two at once.
    pub fn lock_name(&self, name: &FileName) -> MutexGuard<'_, ()> {
        lock(self.name_lock(name))
    }

    /// Whether somebody holds the lock of [`Storage::lock_name`]: then it is better waited for on another thread.
    pub fn is_locked(&self, name: &FileName) -> bool {
        matches!(self.name_lock(name).try_lock(), Err(TryLockError::WouldBlock))
    }

    fn name_lock(&self, name: &FileName) -> &Mutex<()> {
        let name = name.master().unwrap_or(*name);
        let hash = crc32fast::hash(name.true_name()) as usize;
        &self.names[hash % NAME_LOCKS]
    }

    /// Saves the counters.
    pub fn save_stat(&self) -> io::Result<()> {
        let dist = *lock(&self.dist);
        save(&self.data_dir().join("storage_stat.dat"), self.stat.text(dist).as_bytes())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
