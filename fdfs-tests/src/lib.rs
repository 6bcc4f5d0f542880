//! What the black-box tests share: real processes on loopback addresses of their own, and plain clients.
//!
//! The programs under test come from the environment, ours by default: `FDFS_TRACKERD`, `FDFS_STORAGED`, `FDFS_TOOLS`
//! (folder with `fdfs_upload_file` and the others, or the one program behind them), `FDFS_NGINX`, `FDFS_NGINX_MODULE`,
//! `FDFS_PYTHON` (with the clients from PyPI; `ci/venv` prints it).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A failing helper fails the test.

pub mod cluster;
pub mod driver;
pub mod http;
pub mod model;
pub mod module;
pub mod network;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod raw;
pub mod tree;

use std::time::{Duration, Instant};

/// Waits until `done`; fails the test after `limit`.
pub fn wait_for(what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    began.elapsed()
}

/// Content that differs with `seed`, without a random generator.
pub fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
