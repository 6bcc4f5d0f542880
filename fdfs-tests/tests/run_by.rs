//! `run_by_user` and `run_by_group`: root opens the sockets, somebody else serves. Needs root; CI has it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{programs, wait_for};

const USER: &str = "nobody";
/// Not the user's own.
const GROUP: &str = "games";
const LIMIT: Duration = Duration::from_secs(30);

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        eprintln!("only root becomes somebody else: this test checked nothing");
    }
    root || std::env::var("FDFS_DISKS").is_ok_and(|value| value == "required")
}

fn id(option: &str, user: &str) -> Vec<u32> {
    let output = Command::new("id").args([option, user]).output().unwrap();
    assert!(output.status.success(), "id {option} {user}");
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(|id| id.parse().unwrap()).collect()
}

fn group_id(name: &str) -> u32 {
    let output = Command::new("getent").args(["group", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(':').nth(2).unwrap().parse().unwrap()
}

/// Numbers of a line of `/proc/PID/task/*/status`, which must be the same in all threads.
fn ids(pid: u32, key: &str) -> Vec<u32> {
    let mut all: Vec<Vec<u32>> = std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok())
        .map(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
            line.split_whitespace().map(|id| id.parse().unwrap()).collect()
        })
        .collect();
    assert!(all.len() > 1, "threads");
    all.dedup();
    assert_eq!(all.len(), 1, "{key} {all:?}");
    all.remove(0)
}

/// Whatever below a folder has another owner.
fn others(path: &Path, owner: (u32, u32), found: &mut Vec<String>) {
    let meta = path.symlink_metadata().unwrap();
    if (meta.uid(), meta.gid()) != owner {
        found.push(path.display().to_string());
    }
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            others(&entry.unwrap().path(), owner, found);
        }
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[test]
fn a_cluster_of_root_goes_on_as_somebody_else() {
    if !is_root() {
        return;
    }
    let lines = format!("run_by_user = {USER}\nrun_by_group = {GROUP}\n");
    let (uid, gid) = (id("-u", USER)[0], group_id(GROUP));
    let mut cluster = Cluster::start("run-by", 1);
    std::fs::set_permissions(cluster.dir(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let addr = cluster.members[0].addr;
    let base = cluster.members[0].base.clone();
    let name = |answer: raw::Answer| {
        assert_eq!(answer.status, 0);
        String::from_utf8(answer.body[16..].to_vec()).unwrap()
    };
    // Files that root made, one of them to be changed by the other user.
    let mut storage = Raw::connect(addr);
    let old = name(storage.ask(raw::UPLOAD, &raw::upload(0, "bin", b"of root")).unwrap());
    let appender = name(storage.ask(23, &raw::upload(0, "log", b"of root, ")).unwrap());
    drop(storage);
    cluster.storage(0).stop();
    cluster.tracker_process(0).stop();
    cluster.start_tracker_with(0, &format!("check_active_interval = 10\n{lines}"));
    cluster.start_storage_with(0, &format!("{lines}use_access_log = true\n"));
    cluster.wait_active();

    let mut wanted = id("-G", USER);
    wanted.retain(|group| *group != id("-g", USER)[0]);
    wanted.push(gid);
    wanted.sort_unstable();
    for pid in [cluster.storage(0).pid(), cluster.tracker_process(0).pid()] {
        assert_eq!(ids(pid, "Uid:"), [uid; 4]);
        assert_eq!(ids(pid, "Gid:"), [gid; 4]);
        assert_eq!(ids(pid, "Groups:"), wanted);
    }

    let mut storage = Raw::connect(addr);
    let append =
        [&(appender.len() as u64).to_be_bytes()[..], &8u64.to_be_bytes(), appender.as_bytes(), b"and more"]
            .concat();
    assert_eq!(storage.ask(24, &append).unwrap().status, 0);
    let read = storage.ask(raw::DOWNLOAD, &raw::download(0, 0, "group1", &appender)).unwrap();
    assert_eq!(read.body, b"of root, and more");
    assert_eq!(storage.ask(raw::DELETE, &raw::file("group1", &old)).unwrap().status, 0);
    let new = name(storage.ask(raw::UPLOAD, &raw::upload(0, "bin", b"of the other")).unwrap());
    assert_eq!(
        storage.ask(raw::SET_METADATA, &raw::set_metadata(b'O', "group1", &new, b"a\x02b")).unwrap().status,
        0
    );
    let copy = cluster.members[1].base.join("data").join(&new[4..]);
    wait_for("the new file is replicated", LIMIT, || copy.exists());
    drop(storage);

    assert!(cluster.storage(0).stop().success());
    assert!(cluster.tracker_process(0).stop().success());
    for folder in [base.clone(), cluster.dir().join("tracker-0")] {
        for part in ["data", "logs"] {
            let mut found = Vec::new();
            others(&folder.join(part), (uid, gid), &mut found);
            assert_eq!(found, [""; 0]);
        }
        for pid in ["data/fdfs_storaged.pid", "data/fdfs_trackerd.pid"] {
            assert!(!folder.join(pid).exists());
        }
    }
    let log = std::fs::read_to_string(base.join("logs/storaged.log")).unwrap();
    assert!(log.contains("privileges are dropped"));

    // The second start has nothing to give away.
    let given = log.matches("given away").count();
    cluster.start_tracker_with(0, &format!("check_active_interval = 10\n{lines}"));
    cluster.start_storage_with(0, &lines);
    cluster.wait_active();
    let log = std::fs::read_to_string(base.join("logs/storaged.log")).unwrap();
    assert_eq!((given, log.matches("given away").count()), (2, 2), "data and logs, at the first start");
}

#[test]
fn a_port_of_root_and_refusals() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let conf = dir.path().join("tracker.conf");
    let write = |more: &str| {
        let base = dir.path().join("base");
        std::fs::create_dir_all(&base).unwrap();
        let text = format!("bind_addr = 127.0.0.1\nport = 822\nbase_path = {}\n{more}", base.display());
        std::fs::write(&conf, text).unwrap();
    };
    let run = |action: &str| Command::new(programs::trackerd()).arg(&conf).arg(action).output().unwrap();
    write(&format!("run_by_user = {USER}\n"));
    let started = run("start");
    assert!(started.status.success(), "{}", text(&started));
    std::net::TcpStream::connect("127.0.0.1:822").unwrap();
    let pid = std::fs::read_to_string(dir.path().join("base/data/fdfs_trackerd.pid")).unwrap();
    assert_eq!(ids(pid.parse().unwrap(), "Uid:"), [id("-u", USER)[0]; 4]);
    assert_eq!(ids(pid.parse().unwrap(), "Gid:"), [id("-g", USER)[0]; 4]);
    assert!(run("stop").status.success());

    for (line, wanted) in [
        ("run_by_user = no-such-user", "run_by_user = no-such-user: there is no user of this name"),
        ("run_by_group = no-such-group", "run_by_group = no-such-group: there is no group of this name"),
    ] {
        write(&format!("{line}\n"));
        let refused = run("start");
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused).contains(wanted), "{}", text(&refused));
    }
    // Whoever is not root can only stay who he is.
    write("run_by_user = root\n");
    let nobody = id("-u", USER)[0];
    let refused = Command::new(programs::trackerd()).arg(&conf).uid(nobody).gid(nobody).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused).contains("run_by_user = root: only root can become somebody else"),
        "{}",
        text(&refused)
    );
}
