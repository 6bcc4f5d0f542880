//! A tracker over real sockets: scripted storages, recorded requests, several trackers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod commands;
mod daemon;
mod election;
mod joining;
mod kept;
mod listeners;
mod missed;
mod recorded;
mod robust;
mod support;
mod trunk;
mod wrong;
