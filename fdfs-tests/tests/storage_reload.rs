//! SIGHUP takes what can change in a running storage, and tells the rest.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

struct Reloaded {
    cluster: Cluster,
    fixed: String,
}

impl Reloaded {
    fn log(&self) -> String {
        std::fs::read_to_string(self.cluster.members[0].base.join("logs/storaged.log")).unwrap()
    }

    /// Writes these lines behind the fixed ones, sends SIGHUP, and waits for a line in the log.
    fn reload(&mut self, lines: &str, expected: &str) {
        let base = self.cluster.members[0].base.clone();
        let text = self.cluster.storage_conf(0) + &self.fixed + lines;
        std::fs::write(base.join("storage.conf"), text).unwrap();
        let before = self.log().len();
        self.cluster.storage(0).signal(libc::SIGHUP);
        wait_for(expected, LIMIT, || self.log()[before..].contains(expected));
    }

    /// Whether a new connection is served.
    fn serves(&self) -> bool {
        let mut stream = TcpStream::connect(self.cluster.members[0].addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let ping = [0, 0, 0, 0, 0, 0, 0, 0, 111, 0];
        let mut answer = [0; 10];
        std::io::Write::write_all(&mut stream, &ping).is_ok() && stream.read_exact(&mut answer).is_ok()
    }

    fn upload(&self, path: u8) -> String {
        let answer =
            Raw::connect(self.cluster.members[0].addr).ask(raw::UPLOAD, &raw::upload(path, "bin", b"x"));
        let answer = answer.unwrap();
        assert_eq!(answer.status, 0);
        String::from_utf8(answer.body[16..].to_vec()).unwrap()
    }
}

#[test]
fn settings_change_in_a_running_storage() {
    let mut cluster = Cluster::start("reload", 1);
    assert!(cluster.storage(0).stop().success());
    let second = cluster.dir().join("second");
    std::fs::create_dir(&second).unwrap();
    // SIGHUP would begin a new log.
    let fixed = format!(
        "log_file_rotate_everyday = false\nstore_path_count = 2\nstore_path1 = {}\n",
        second.display()
    );
    cluster.start_storage_with(0, &fixed);
    let mut storage = Reloaded { cluster, fixed };
    let addr = storage.cluster.members[0].addr;
    wait_for("it serves", LIMIT, || TcpStream::connect(addr).is_ok());
    assert!(storage.upload(1).starts_with("M01/"));

    storage.reload("store_path1_readonly = true\n", "the store path takes no new files");
    assert!(storage.upload(1).starts_with("M00/"));
    storage.reload("", "the store path takes new files again");
    assert!(storage.upload(1).starts_with("M01/"));

    // Replication stops outside of its hours, and goes on when they change.
    let hour =
        String::from_utf8(std::process::Command::new("date").arg("+%H").output().unwrap().stdout).unwrap();
    let hour: u32 = hour.trim().parse().unwrap();
    let closed =
        format!("sync_start_time = {}:00\nsync_end_time = {}:00\n", (hour + 3) % 24, (hour + 4) % 24);
    storage.reload(&closed, "outside of sync_start_time to sync_end_time");
    let name = storage.upload(0);
    let copy = storage.cluster.members[1].base.join("data").join(&name[4..]);
    storage.reload("sync_max_bandwidth = 1MB\n", "sync_max_bandwidth has changed");
    wait_for("the copy when the hours are over", LIMIT, || copy.exists());
    storage.reload("scrub_bandwidth = 100MB\nscrub_interval = 1\n", "scrub: all files were read");
    storage.reload("", "scrub_bandwidth has changed");

    let mut open = Raw::connect(addr);
    storage.reload("allow_hosts = 127.99.99.99\n", "allow_hosts has changed");
    assert!(!storage.serves());
    // Who is connected stays.
    assert_eq!(open.ask(raw::UPLOAD, &raw::upload(0, "bin", b"y")).unwrap().status, 0);
    storage.reload("", "allow_hosts has changed");
    assert!(storage.serves());

    assert!(!storage.log().contains("] DEBUG - "));
    storage.reload("log_level = debug\n", "log_level has changed");
    assert_eq!(open.ask(12, &raw::file("group1", "M00/00/00/no-such-file")).unwrap().status, 2);
    wait_for("a line for debugging", LIMIT, || storage.log().contains("] DEBUG - "));

    // A connection with a request under way is not closed to make room.
    let mut busy = TcpStream::connect(addr).unwrap();
    let upload = raw::upload(0, "bin", &[1; 1000]);
    let head = [&(upload.len() as u64).to_be_bytes()[..], &[raw::UPLOAD, 0]].concat();
    std::io::Write::write_all(&mut busy, &[&head[..], &upload[..500]].concat()).unwrap();
    storage.reload("max_connections = 1\n", "max_connections has changed");
    wait_for("the limit", LIMIT, || !storage.serves());
    storage.reload("max_connections = what\n", "the settings stay as they were");
    assert!(!storage.serves());
    storage.reload(
        "subdir_count_per_path = 9\n",
        "subdir_count_per_path has changed from 8 to 9: a restart is needed",
    );
    assert!(storage.serves());
}
