//! A network and mounts that only this test has.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

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
    // SAFETY: neither descriptors nor memory are unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
    run("mount", &["--make-rprivate", "/"], "");
    run("ip", &["link", "set", "lo", "up"], "");
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

/// These rules of nftables, for what leaves this network's only device, and no others.
pub fn filter(rules: &str) {
    let table = "table inet histories";
    let chain = format!("chain out {{\ntype filter hook output priority 0\n{rules}}}");
    run("nft", &["-f", "-"], &format!("{table}\ndelete {table}\n{table} {{\n{chain}\n}}\n"));
}

fn run(program: &str, args: &[&str], input: &str) {
    let missing = |error| panic!("{program}: {error}; see ci/packages test");
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(missing);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}
