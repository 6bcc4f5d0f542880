//! SIGHUP: the config file is read again, and what can change in a running daemon does.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use fdfs_core::settings::{StorageSettings, differences};
use fdfs_net::{AllowHosts, Live};

use crate::schedule::{KEYS, Schedule};
use crate::storage::Storage;

/// Fields whose change is taken at once, as are those of the [`Schedule`]; a change of another one is told.
pub const LIVE: &[&str] = &["allow_hosts", "log_level", "max_connections", "store_paths"];

/// Whether a change of this field is taken at once.
fn is_live(key: &str) -> bool {
    LIVE.contains(&key) || KEYS.contains(&key)
}

/// The settings in force, and where they come from.
pub struct Reload {
    conf: PathBuf,
    now: Mutex<StorageSettings>,
    storage: Arc<Storage>,
    live: Arc<Live>,
}

impl Reload {
    /// With the settings of the start.
    pub fn new(conf: PathBuf, storage: &Arc<Storage>, live: Arc<Live>) -> Self {
        let now = Mutex::new(storage.settings.clone());
        Self { conf, now, storage: Arc::clone(storage), live }
    }

    /// Reads the file again. A file with a mistake changes nothing.
    pub fn run(&self) {
        let (new, warnings) = match StorageSettings::load(&self.conf) {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!("the settings stay as they were: {error}");
                return;
            }
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, (before, after)) in differences(&now, &new) {
            if !is_live(&key) {
                tracing::warn!("{key} has changed from {before} to {after}: a restart is needed");
                continue;
            }
            tracing::info!("{key} has changed from {before} to {after}");
            match key.as_str() {
                "allow_hosts" => self.allow(&new),
                "log_level" => fdfs_net::log::set_level(new.log_level),
                "max_connections" => {
                    let most = usize::try_from(new.max_connections).unwrap_or(usize::MAX);
                    fdfs_net::raise_open_files(u64::from(new.max_connections) * 2 + crate::run::OWN_FILES);
                    self.live.set_max_connections(most);
                }
                "store_paths" => self.readonly(&now, &new),
                // A part of the schedule, which is swapped as a whole.
                _ => {}
            }
        }
        let schedule = Schedule::of(&new);
        if **self.storage.schedule.load() != schedule {
            self.storage.schedule.store(Arc::new(schedule));
            self.storage.rescheduled.notify_one();
        }
        *now = new;
    }

    fn allow(&self, new: &StorageSettings) {
        let (allow, warnings) = AllowHosts::parse(&new.allow_hosts);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        self.live.set_allow(allow);
    }

    /// Which paths take new files can change, not where they are.
    fn readonly(&self, now: &StorageSettings, new: &StorageSettings) {
        let folders = |settings: &StorageSettings| -> Vec<String> {
            settings.store_paths.iter().map(|one| one.path.clone()).collect()
        };
        if folders(now) != folders(new) {
            tracing::warn!("the store paths are others: a restart is needed");
            return;
        }
        for (path, conf) in self.storage.paths.indexes().zip(&new.store_paths) {
            if self.storage.paths.dir(path).is_readonly() != conf.readonly {
                let word = if conf.readonly { "takes no new files" } else { "takes new files again" };
                tracing::info!(path = %conf.path, "the store path {word}");
                self.storage.paths.set_readonly(path, conf.readonly);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fdfs_core::settings::fields;

    #[test]
    fn live_keys_exist() {
        let all = fields(&StorageSettings::default());
        assert!(LIVE.iter().chain(&KEYS).all(|key| all.contains_key(*key)), "{all:?}");
    }
}
