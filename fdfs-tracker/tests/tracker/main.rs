//! A tracker over real sockets: scripted storages, recorded requests, several trackers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod election;
mod joining;
mod listeners;
mod recorded;
mod robust;
mod support;
mod wrong;
