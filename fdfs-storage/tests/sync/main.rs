//! Replication between members in one process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod copies;
mod histories;
mod holes;
mod link;
mod operations;
mod proxy;
mod recorded;
mod recovery;
mod support;
