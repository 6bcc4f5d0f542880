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
mod compress;
pub mod copies;
pub mod disk;
pub mod dups;
pub mod durable;
pub mod edit;
pub mod identity;
mod lag;
pub mod link;
mod members;
mod metrics;
mod publish;
pub mod rebuild;
pub mod recovery;
mod reload;
mod run;
mod schedule;
pub mod scrub;
pub mod service;
mod stages;
mod start;
pub mod state;
mod storage;
pub mod sync;

pub use members::{Member, Members};
pub use run::{LOG_NAME, Start, load, run};
pub use storage::{Storage, now};
