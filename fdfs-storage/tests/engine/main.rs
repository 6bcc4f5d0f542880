//! The storage engine in this process, on loopback, without a tracker.
#![allow(clippy::unwrap_used)]

mod access;
mod bodies;
mod duplicates;
mod edits;
mod faults;
mod files;
mod metadata;
mod recorded;
mod refused;
mod support;
