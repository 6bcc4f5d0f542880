//! A network and mounts that only this test has.

use std::path::Path;

use fdfs_tests::network::{self, run};
use rustix::thread::UnshareFlags;

/// Whether the links between members can be cut and their disks be full here. Who is not root is told so; with
/// `FDFS_DISKS=required`, as in CI, the test runs and fails.
pub fn possible() -> bool {
    let possible = rustix::process::geteuid().is_root();
    if !possible {
        eprintln!("only root can cut links and mount disks: these faults are left out");
    }
    possible || std::env::var("FDFS_DISKS").is_ok_and(|value| value == "required")
}

/// From here on the calling thread, and what it starts, are in a network and with mounts of their own.
pub fn enter() {
    network::own();
    // SAFETY: neither descriptors nor memory are unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    run("mount", &["--make-rprivate", "/"], "");
}

/// Mounts a small disk.
pub fn mount(at: &Path, mib: u32) -> Mount<'_> {
    run("mount", &["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs", at.to_str().unwrap()], "");
    Mount(at)
}

/// Gone when dropped, whoever still uses it.
pub struct Mount<'a>(&'a Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()], "");
    }
}
