//! Replication between members in one process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod holes;
mod operations;
mod recorded;
mod support;
