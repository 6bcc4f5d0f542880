//! FastDFS as values: wire layouts, file ids, config files, binlog and cluster rules.
//!
//! Nothing here opens a socket or reads a clock, and the only files read are configuration files
//! (through [`conf`]). Whatever can be decided without waiting is decided here and tested with plain values.
#![forbid(unsafe_code)]

pub mod binlog;
pub mod cluster;
pub mod conf;
pub mod dist;
pub mod fileid;
pub mod fuzzing;
pub mod http;
pub mod ident;
pub mod metadata;
pub mod settings;
pub mod wire;

#[cfg(test)]
mod testing;
