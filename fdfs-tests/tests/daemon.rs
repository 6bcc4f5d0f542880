//! The daemons as an operator runs them: start, status, restart, stop, readiness, errors at the terminal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use fdfs_tests::{programs, wait_for};

struct Tracker {
    dir: tempfile::TempDir,
    conf: PathBuf,
    port: u16,
}

impl Tracker {
    fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let conf = dir.path().join("tracker.conf");
        let text =
            format!("bind_addr = 127.0.0.1\nport = {port}\nbase_path = {}\n{more}", dir.path().display());
        std::fs::write(&conf, text).unwrap();
        Self { dir, conf, port }
    }

    fn run(&self, action: &str) -> Output {
        Command::new(programs::trackerd()).arg(&self.conf).arg(action).output().unwrap()
    }

    fn pid(&self) -> Option<i32> {
        std::fs::read_to_string(self.dir.path().join("data/fdfs_trackerd.pid")).ok()?.parse().ok()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("logs/trackerd.log")).unwrap()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if self.pid().is_some() {
            self.run("stop");
        }
    }
}

/// A process that has ended but was not waited for has no command line.
fn lives(pid: i32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[test]
fn the_actions() {
    let tracker = Tracker::new("");
    assert_eq!(tracker.run("status").status.code(), Some(2));
    assert_eq!(tracker.run("stop").status.code(), Some(2));
    assert!(tracker.run("start").status.success());
    // Whoever typed `start` may connect at once.
    std::net::TcpStream::connect(("127.0.0.1", tracker.port)).unwrap();
    let pid = tracker.pid().unwrap();
    let status = tracker.run("status");
    assert!(status.status.success() && said(&status).contains(&format!("Running, pid: {pid}")));
    let again = tracker.run("start");
    assert_eq!(again.status.code(), Some(17));
    assert!(said(&again).contains("already running"), "{}", said(&again));
    assert!(tracker.run("restart").status.success());
    let new = tracker.pid().unwrap();
    assert_ne!(pid, new);
    assert!(!lives(pid));
    let stop = tracker.run("stop");
    assert!(stop.status.success() && said(&stop).contains(&format!("pid [{new}] exit.")), "{}", said(&stop));
    assert!(tracker.pid().is_none() && !lives(new));
    assert_eq!(tracker.run("dance").status.code(), Some(22));
}

#[test]
fn a_port_in_use_is_told_where_start_was_typed() {
    let tracker = Tracker::new("");
    let _taken = TcpListener::bind(("127.0.0.1", tracker.port)).unwrap();
    let output = tracker.run("start");
    assert!(!output.status.success());
    assert!(
        said(&output).contains(&tracker.port.to_string()) && said(&output).contains("in use"),
        "{}",
        said(&output)
    );
}

#[test]
fn readiness_is_told_to_systemd() {
    let tracker = Tracker::new("");
    let path = tracker.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = Command::new(programs::trackerd());
    command.arg("-N").arg(&tracker.conf).env("NOTIFY_SOCKET", &path);
    let mut process =
        fdfs_tests::process::Process::start("tracker", &mut command, tracker.dir.path().join("output"));
    let mut buffer = [0; 64];
    let got = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..got], b"READY=1");
    std::net::TcpStream::connect(("127.0.0.1", tracker.port)).unwrap();
    assert!(process.stop().success());
    let got = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..got], b"STOPPING=1");
}

#[test]
fn the_log_in_both_layouts_and_a_new_file_on_hup() {
    let tracker = Tracker::new("log_format = json\n");
    assert!(tracker.run("start").status.success());
    for line in tracker.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    tracker.run("stop");

    let tracker = Tracker::new("");
    assert!(tracker.run("start").status.success());
    let first = tracker.log().lines().next().unwrap().to_owned();
    let (stamp, rest) = first.split_at(21);
    assert!(stamp.starts_with("[20") && stamp.ends_with(']') && rest.starts_with(" INFO - "), "{first}");
    let hup = Command::new("kill").args(["-HUP", &tracker.pid().unwrap().to_string()]).status().unwrap();
    assert!(hup.success());
    wait_for("an old log", Duration::from_secs(60), || {
        let logs = std::fs::read_dir(tracker.dir.path().join("logs")).unwrap();
        logs.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("trackerd.log.20"))
    });
    wait_for("the new log", Duration::from_secs(60), || tracker.log().contains("SIGHUP"));
}
