//! A FastDFS client: asks trackers for storages and storages for files.
//!
//! [`Client`] works on any tokio runtime. Every wait is bounded by the timeouts of `client.conf`; a tracker that does
//! not answer is stepped over and asked last for a while. [`tools`] are the command-line programs.

mod client;
mod error;
mod file_id;
pub mod tools;
mod trackers;
mod transfer;

pub use client::{Client, Target};
pub use error::{ClientError, ErrorKind};
pub use file_id::FileId;
