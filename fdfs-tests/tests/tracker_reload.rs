//! SIGHUP takes what can change in a running tracker, and tells the rest.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::process::Process;
use fdfs_tests::raw::Raw;
use fdfs_tests::{programs, wait_for};

const LIMIT: Duration = Duration::from_secs(60);
const QUERY_STORE: u8 = 101;
const FETCH_STORAGE_IDS: u8 = 69;
const PARAMETERS: u8 = 75;

/// A tracker, its config file, and where it logs.
struct Running<'a> {
    process: &'a Process,
    addr: SocketAddr,
    base: PathBuf,
    fixed: String,
}

impl Running<'_> {
    /// Lines of the log, in the present file and in those that SIGHUP put aside.
    fn log(&self) -> String {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.base.join("logs")).unwrap().flatten().map(|entry| entry.path()).collect();
        files.sort();
        files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect()
    }

    /// Writes these lines behind the fixed ones, sends SIGHUP, and waits until the log says `expected` once more.
    fn reload(&self, lines: &str, expected: &str) {
        std::fs::write(self.base.join("tracker.conf"), format!("{}{lines}", self.fixed)).unwrap();
        let before = self.log().matches(expected).count();
        self.process.signal(libc::SIGHUP);
        wait_for(expected, LIMIT, || self.log().matches(expected).count() > before);
    }

    fn ask(&self, command: u8, body: &[u8]) -> (u8, Vec<u8>) {
        let answer = Raw::connect(self.addr).ask(command, body).unwrap();
        (answer.status, answer.body)
    }

    /// Waits for a status: the new rules count from the moment that the log tells of them, or a little later.
    fn answers(&self, command: u8, status: u8) {
        wait_for("the status", LIMIT, || self.ask(command, b"").0 == status);
    }

    /// Whether a new connection is served.
    fn serves(&self) -> bool {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let ping = [0, 0, 0, 0, 0, 0, 0, 0, 111, 0];
        stream.write_all(&ping).is_ok() && stream.read_exact(&mut [0; 10]).is_ok()
    }
}

#[test]
fn rules_change_in_a_running_tracker() {
    let mut cluster = Cluster::start("tracker-reload", 1);
    let addr = cluster.tracker(0);
    let base = cluster.dir().join("tracker-0");
    let fixed = std::fs::read_to_string(base.join("tracker.conf")).unwrap();
    let fixed: String =
        fixed.lines().filter(|line| !line.starts_with("reserved")).map(|line| format!("{line}\n")).collect();
    let tracker = Running { process: cluster.tracker_process(0), addr, base, fixed };
    tracker.answers(QUERY_STORE, 0);

    tracker.reload("reserved_storage_space = 99.99%\n", "reserved_storage_space has changed");
    tracker.answers(QUERY_STORE, 28);
    let (_, parameters) = tracker.ask(PARAMETERS, b"");
    assert!(String::from_utf8_lossy(&parameters).contains("99.99%"), "storages are told too");
    tracker.reload(
        "reserved_storage_space = 1%\nstore_lookup = 1\nstore_group = nogroup\n",
        "store_group has changed",
    );
    tracker.answers(QUERY_STORE, 2);
    tracker.reload("reserved_storage_space = 1%\n", "store_group has changed");
    tracker.answers(QUERY_STORE, 0);

    tracker.reload("allow_hosts = 127.99.99.99\nreserved_storage_space = 1%\n", "allow_hosts has changed");
    wait_for("new connections are refused", LIMIT, || !tracker.serves());
    tracker.reload("reserved_storage_space = 1%\n", "allow_hosts has changed");
    wait_for("new connections are served", LIMIT, || tracker.serves());

    // A mistake changes nothing, and says where it is.
    tracker.reload("reserved_storage_space = lots\n", "the settings stay as they were");
    assert!(tracker.log().contains("reserved_storage_space"));
    tracker.answers(QUERY_STORE, 0);
    tracker.reload(
        "reserved_storage_space = 1%\nwork_threads = 3\n",
        "work_threads has changed from 4 to 3: a restart is needed",
    );
    tracker.answers(QUERY_STORE, 0);
}

#[test]
fn storage_ids_change_in_a_running_tracker() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_owned();
    // A port that was free a moment ago.
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fixed = format!(
        "bind_addr = 127.0.0.1\nport = {}\nbase_path = {}\nuse_storage_id = true\n\
         id_type_in_filename = id\nstorage_ids_filename = storage_ids.conf\n",
        addr.port(),
        base.display()
    );
    let ids = |lines: &str| std::fs::write(base.join("storage_ids.conf"), lines).unwrap();
    ids("100001 group1 10.0.0.1\n");
    std::fs::write(base.join("tracker.conf"), &fixed).unwrap();
    let mut command = Command::new(programs::trackerd());
    command.arg("-N").arg(base.join("tracker.conf"));
    let mut process = Process::start("tracker", &mut command, base.join("output"));
    wait_for("it listens", LIMIT, || TcpStream::connect(addr).is_ok());
    let tracker = Running { process: &process, addr, base: base.clone(), fixed };
    let count = || tracker.ask(FETCH_STORAGE_IDS, &[0; 5]).1[..4].to_vec();
    assert_eq!(count(), [0, 0, 0, 1]);
    ids("100001 group1 10.0.0.1\n100002 group1 10.0.0.2\n");
    tracker.reload("", "storage_ids.conf has changed");
    wait_for("the new member is known", LIMIT, || count() == [0, 0, 0, 2]);
    ids("100001 group1\n");
    tracker.reload("", "the settings stay as they were");
    assert_eq!(count(), [0, 0, 0, 2]);
    assert!(process.stop().success());
}
