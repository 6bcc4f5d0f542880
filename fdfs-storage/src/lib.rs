//! The storage daemon.
//!
//! - [`disk`]: the store paths; files appear under their name whole or not at all;
//! - [`copies`]: answers that wait for other members;
//! - [`durable`]: what a power cut may take;
//! - [`dups`]: equal content is stored once;
//! - [`edit`]: changes inside appender files, whole or not at all;
//! - [`state`]: small files that outlive the process;
//! - [`binlog`]: the replication log;
//! - [`service`]: what clients and peers ask;
//! - [`sync`]: replication, both ends;
//! - [`link`]: the trackers;
//! - [`recovery`]: a store path that lost its files;
//! - [`scrub`]: finding and replacing damaged files.

mod access;
pub mod binlog;
#[cfg_attr(feature = "sim", allow(dead_code))]
mod compress;
pub mod copies;
pub mod disk;
#[cfg_attr(feature = "sim", allow(dead_code, unused_imports))]
pub mod dups;
pub mod durable;
pub mod edit;
pub mod identity;
mod lag;
pub mod link;
mod members;
#[cfg(not(feature = "sim"))]
mod metrics;
mod parts;
mod publish;
pub mod rebuild;
pub mod recovery;
#[cfg(not(feature = "sim"))]
mod reload;
#[cfg(not(feature = "sim"))]
mod run;
mod schedule;
#[cfg_attr(feature = "sim", allow(dead_code, unused_imports))]
pub mod scrub;
pub mod service;
#[cfg(feature = "sim")]
mod simulated;
mod stages;
mod start;
pub mod state;
mod storage;
pub mod sync;

pub use members::{Member, Members};
#[cfg(not(feature = "sim"))]
pub use run::{LOG_NAME, Start, load, run};
#[cfg(feature = "sim")]
pub use simulated::run;
pub use storage::{Storage, now};
