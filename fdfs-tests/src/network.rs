//! A loopback network of a test's own, in which packets can be lost. Needs root, `ip` and `nft`.

use std::io::Write;
use std::process::{Command, Stdio};

use rustix::thread::UnshareFlags;

/// From here on the calling thread, which has no socket yet, and what it starts are in a network that nobody else has.
pub fn own() {
    // SAFETY: neither descriptors nor memory are unshared.
    let done = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) };
    done.expect("no network of its own, which needs root");
    run("ip", &["link", "set", "lo", "up"], "");
}

/// These rules of nftables at `input` or `output` of this network's only device, and no others.
pub fn filter(hook: &str, rules: &str) {
    let table = "table inet faults";
    let chain = format!("chain {hook} {{\ntype filter hook {hook} priority 0\n{rules}}}");
    run("nft", &["-f", "-"], &format!("{table}\ndelete {table}\n{table} {{\n{chain}\n}}\n"));
}

/// Runs a program that changes network or mounts.
pub fn run(program: &str, args: &[&str], input: &str) {
    let missing = |error| panic!("{program}: {error}; see ci/packages test");
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(missing);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}
