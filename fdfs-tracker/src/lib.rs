//! The tracker daemon: knows groups and storages, and tells clients where to store and fetch.
//!
//! One owner thread applies every change ([`fdfs_core::cluster`]) and publishes snapshots; the workers answer
//! queries from the latest snapshot. Elections run on a thread of their own, files are written by another.

mod admin;
mod elect;
mod explain;
mod files;
mod follow;
mod link;
mod meet;
#[cfg(not(feature = "sim"))]
mod metrics;
mod owner;
mod params;
mod peers;
mod queries;
mod refusals;
#[cfg(not(feature = "sim"))]
mod reload;
mod reports;
mod saver;
mod service;
mod start;
mod transfer;
mod trunk;

pub use start::{Ready, Start, StartError};

/// Version told to clients and other servers: the level of the protocol that is spoken.
pub const PROTOCOL_VERSION: &str = "6.16.1";

pub(crate) use fdfs_net::unix_now as now;
