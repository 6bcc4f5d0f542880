//! One settings struct per program. Field names are the keys of its file, in both forms: the classic one and
//! `.toml`.
//!
//! `load` reads a file, fills in what is not written, and refuses what cannot be meant: every error says file,
//! line, key and what is expected, every unknown key is a warning. Where the existing daemons took garbage for
//! 0 or false, that is an error here. Source: tracker 9, storage 2 and 18, protocol 7.1, nginx-module 2 and 3.

mod addrs;
mod check;
mod client;
mod diff;
mod http;
mod log;
mod module;
mod storage;
mod storage_ids;
mod store_paths;
mod tracker;
mod types;
mod width_for;

use std::path::Path;

use serde::de::DeserializeOwned;

pub use addrs::{Addrs, STORAGE_PORT, TRACKER_PORT};
pub use client::ClientSettings;
pub use diff::{differences, fields};
pub use http::HttpSettings;
pub use log::{AccessLogSettings, LogSettings};
pub use module::{ModGroup, ModSettings};
pub use storage::StorageSettings;
pub use storage_ids::{StorageIdEntry, StorageIds};
pub use store_paths::StorePathConf;
pub use tracker::TrackerSettings;
pub use types::{
    AddrWidth, AddressFamily, BadText, ConnectFirstBy, Durability, FetchAllLayout, IdType, LogFormat,
    LogLevel, Millis, OnTimeout, Reserve, ResponseMode, Secs, Size, SyncThreads, TimeOfDay, TimePrecision,
};
pub use width_for::WidthFor;

pub use crate::conf::{ConfError, Env, Severity, Warning};

use crate::conf::{self, Ini, Rules};
use check::Check;

/// A settings struct, and what its file may hold beside its fields.
trait Settings: DeserializeOwned {
    const RULES: Rules;
    /// Rewrites keys of older versions.
    fn adopt(_: &mut Ini) {}
    /// Checks values against one another and fills in what depends on others.
    fn finish(&mut self, check: &mut Check<'_>) -> Result<(), ConfError>;
}

fn build<T: Settings>(mut ini: Ini, mut warnings: Vec<Warning>) -> Result<(T, Vec<Warning>), ConfError> {
    T::adopt(&mut ini);
    let mut settings: T = conf::read(&ini, &T::RULES, &mut warnings)?;
    settings.finish(&mut Check { ini: &ini, warnings: &mut warnings })?;
    Ok((settings, warnings))
}

fn load<T: Settings>(path: &Path, env: &Env) -> Result<(T, Vec<Warning>), ConfError> {
    let (ini, warnings) = conf::load(path, env)?;
    build(ini, warnings)
}

/// The same three ways to get each settings struct.
macro_rules! entry_points {
    ($($type:ty),*) => {$(
        impl $type {
            /// Reads the file at `path`: TOML if its name ends in `.toml`, else the classic form. A file that
            /// asks for local addresses (`#@if %{LOCAL_IP}`) is refused: [`Self::load_with`] gives them.
            pub fn load(path: impl AsRef<Path>) -> Result<(Self, Vec<Warning>), ConfError> {
                load(path.as_ref(), &Env::default())
            }

            /// Reads the file at `path`, on the machine `env`.
            pub fn load_with(path: impl AsRef<Path>, env: &Env) -> Result<(Self, Vec<Warning>), ConfError> {
                load(path.as_ref(), env)
            }

            /// The settings in a file that was read before.
            pub fn from_ini(ini: Ini, warnings: Vec<Warning>) -> Result<(Self, Vec<Warning>), ConfError> {
                build(ini, warnings)
            }
        }
    )*};
}
entry_points!(TrackerSettings, StorageSettings, ClientSettings, ModSettings);

#[cfg(test)]
mod tests;
