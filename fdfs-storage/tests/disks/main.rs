//! Disks that are full, read-only, hanging, failing or without power, under a storage in this process.
//!
//! They need root, loop devices and FUSE, and fail with a clear message without devices. Without root they check nothing,
//! unless `FDFS_DISKS=required`.
#![allow(clippy::unwrap_used, dead_code)]

#[path = "../engine/bodies.rs"]
mod bodies;
mod full;
mod hanging;
mod hanging_fs;
mod mount;
mod power;
mod readonly;
#[path = "../engine/support.rs"]
mod support;
