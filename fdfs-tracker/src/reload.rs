//! SIGHUP: the config file and `storage_ids.conf` are read again, and what can change in a running tracker does.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use fdfs_core::cluster::Rules;
use fdfs_core::settings::{TrackerSettings, differences};
use fdfs_net::{AllowHosts, Live, raise_open_files};

use crate::params;
use crate::service::Shared;
use crate::start::{OWN_FILES, read_ids};

/// Fields whose change is taken at once; a change of another one is told.
pub const LIVE: &[&str] = &[
    "allow_hosts",
    "check_active_interval",
    "download_server",
    "fetch_all_layout",
    "log_level",
    "max_connections",
    "reserved_storage_space",
    "response_ip_addr_size_for",
    "storage_sync_file_max_delay",
    "storage_sync_file_max_time",
    "store_group",
    "store_lookup",
    "store_path",
    "store_server",
];

/// The settings in force, and where they come from.
pub struct Reload {
    conf: PathBuf,
    now: Mutex<TrackerSettings>,
    /// Not the state itself: a hook that outlives the daemon must not keep the owner thread alive.
    shared: Weak<Shared>,
    live: Arc<Live>,
}

impl Reload {
    /// With the settings of the start.
    pub(crate) fn new(conf: PathBuf, shared: &Arc<Shared>, live: Arc<Live>) -> Self {
        Self { conf, now: Mutex::new(shared.conf.clone()), shared: Arc::downgrade(shared), live }
    }

    /// Reads the files again. A mistake in one of them changes nothing.
    pub fn run(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let (new, mut warnings) = match TrackerSettings::load(&self.conf) {
            Ok((new, told)) => (new, told.iter().map(ToString::to_string).collect::<Vec<_>>()),
            Err(error) => {
                tracing::error!("the settings stay as they were: {error}");
                return;
            }
        };
        let ids = match read_ids(&new, &mut warnings) {
            Ok(ids) => ids,
            Err(error) => {
                tracing::error!("the settings stay as they were: {error}");
                return;
            }
        };
        warnings.iter().for_each(|line| tracing::warn!("{line}"));
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        // What needs a restart keeps the value of the start.
        let mut taken = shared.conf.clone();
        for (key, (before, after)) in differences(&*now, &new) {
            if LIVE.contains(&key.as_str()) {
                tracing::info!("{key} has changed from {before} to {after}");
            } else {
                tracing::warn!("{key} has changed from {before} to {after}: a restart is needed");
            }
        }
        take(&mut taken, &new);
        self.network(&now, &new);
        let rules = shared.rules();
        let mut next = Rules::new(&taken, rules.ids.is_some().then_some(ids).flatten());
        // Clients and storages count on the width of addresses that they met.
        next.width = rules.width;
        match (&rules.ids, &next.ids) {
            (Some(_), None) => next.ids.clone_from(&rules.ids),
            (Some(before), Some(after)) if before != after => {
                tracing::info!(
                    before = before.entries.len(),
                    after = after.entries.len(),
                    "storage_ids.conf has changed"
                );
            }
            _ => {}
        }
        shared.params.store(Arc::new(params::text(&taken, next.width)));
        shared.rules.store(Arc::new(next));
        *now = new;
    }

    fn network(&self, now: &TrackerSettings, new: &TrackerSettings) {
        if now.allow_hosts != new.allow_hosts {
            let (allow, warnings) = AllowHosts::parse(&new.allow_hosts);
            warnings.iter().for_each(|line| tracing::warn!("{line}"));
            self.live.set_allow(allow);
        }
        if now.log_level != new.log_level {
            fdfs_net::log::set_level(new.log_level);
        }
        if now.max_connections != new.max_connections {
            raise_open_files(u64::from(new.max_connections) + OWN_FILES);
            self.live.set_max_connections(usize::try_from(new.max_connections).unwrap_or(usize::MAX));
        }
    }
}

/// The fields of [`LIVE`] that decide.
fn take(to: &mut TrackerSettings, from: &TrackerSettings) {
    to.check_active_interval = from.check_active_interval;
    to.download_server = from.download_server;
    to.fetch_all_layout = from.fetch_all_layout;
    to.reserved_storage_space = from.reserved_storage_space;
    to.response_ip_addr_size_for.clone_from(&from.response_ip_addr_size_for);
    to.storage_sync_file_max_delay = from.storage_sync_file_max_delay;
    to.storage_sync_file_max_time = from.storage_sync_file_max_time;
    to.store_group.clone_from(&from.store_group);
    to.store_lookup = from.store_lookup;
    to.store_path = from.store_path;
    to.store_server = from.store_server;
}

#[cfg(test)]
mod tests {
    use super::*;
    use fdfs_core::settings::fields;

    #[test]
    fn live_keys_exist() {
        let all = fields(&TrackerSettings::default());
        assert!(LIVE.iter().all(|key| all.contains_key(*key)), "{all:?}");
    }
}
