//! What was answered is on the disk: through kills at any moment, and when the disk is full.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fdfs_core::wire::cmd;
use fdfs_core::wire::list::StorageRecord;

use crate::daemon::{Daemon, free_port};
use crate::support::{Client, named, until};

const KILLS: u64 = 50;

/// Members whose removal was asked for, and those for whom it was confirmed.
#[derive(Default)]
struct Told {
    asked: BTreeSet<String>,
    confirmed: BTreeSet<String>,
}

fn living(tracker: SocketAddr) -> BTreeSet<String> {
    let mut client = Client::from(tracker, "127.0.0.1");
    let (status, body) = client.call(cmd::LIST_STORAGE, &named("group1", &[]));
    assert_eq!(status, 0);
    let records = StorageRecord::parse_list(&body).unwrap();
    let gone = |status: u8| matches!(status, 3 | 4);
    let alive = records.iter().filter(|record| !gone(record.head.status));
    alive.map(|record| record.head.id.as_str().to_owned()).collect()
}

/// Adds a member and removes it, again and again, until the tracker is killed.
fn come_and_go(
    tracker: SocketAddr,
    numbers: &mut std::ops::RangeFrom<u32>,
    told: &Mutex<Told>,
) -> Option<()> {
    loop {
        let number = numbers.next()?;
        let ip = format!("127.{}.{}.{}", 1 + number / 62_500, number / 250 % 250, 2 + number % 250);
        let mut client = Client::try_from(tracker, &ip).ok()?;
        let body = client.join_body(&[tracker], "group1", |head| (head.init_flag, head.status) = (0, 7));
        match client.try_call(cmd::STORAGE_JOIN, &body)?.0 {
            0 => drop(client),
            // The group is full of members that are gone: they leave with a restart.
            28 => return None,
            status => panic!("{ip} joins: {status}"),
        }
        let mut admin = Client::try_from(tracker, "127.0.0.1").ok()?;
        told.lock().unwrap().asked.insert(ip.clone());
        loop {
            match admin.try_call(cmd::DELETE_STORAGE, &named("group1", ip.as_bytes()))?.0 {
                // The end of its connection has not been seen yet.
                16 => std::thread::yield_now(),
                0 => break,
                status => panic!("{ip}: {status}"),
            }
        }
        told.lock().unwrap().confirmed.insert(ip);
    }
}

#[test]
fn a_removal_is_kept_through_kills() {
    let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut tracker = Daemon::start(addr);
    tracker.serves();
    let mut stays = Client::from(addr, "127.0.0.1");
    stays.join(&[addr], "group1", |head| (head.init_flag, head.status) = (0, 7)).unwrap();
    until("the first save", || {
        Some(()).filter(|()| tracker.file("storage_servers_new.dat").contains("127.0.0.1"))
    });
    let (told, mut numbers) = (Arc::new(Mutex::new(Told::default())), 0..);
    for kill in 0..KILLS {
        let worker = {
            let told = Arc::clone(&told);
            std::thread::spawn(move || {
                come_and_go(addr, &mut numbers, &told);
                numbers
            })
        };
        // Every other time it may not have come to a removal yet.
        if kill % 2 == 0 {
            let before = told.lock().unwrap().confirmed.len();
            until("a removal", || (told.lock().unwrap().confirmed.len() > before).then_some(()));
        }
        // A different moment each time: nothing is waited for.
        std::thread::sleep(Duration::from_micros(kill * 997 % 20_000));
        tracker.kill();
        numbers = worker.join().unwrap();
        tracker.again();
        tracker.serves();
        let (alive, told) = (living(addr), told.lock().unwrap());
        assert!(alive.contains("127.0.0.1"), "kill {kill}: {alive:?}");
        let back: Vec<_> = alive.intersection(&told.confirmed).collect();
        assert!(back.is_empty(), "kill {kill}: {back:?} came back");
        let log = tracker.file("storage_changelog.dat");
        for ip in &told.confirmed {
            assert!(
                log.contains(&format!(" group1 {ip} 4 \n")),
                "kill {kill}: {ip} is not in the change log"
            );
        }
        assert!(log.is_empty() || log.ends_with('\n'), "kill {kill}: {log:?}");
    }
    let told = told.lock().unwrap();
    eprintln!("{KILLS} kills, {} removals confirmed of {}", told.confirmed.len(), told.asked.len());
    assert!(told.confirmed.len() >= KILLS as usize / 2);
    // No start had anything to complain about but an interrupted save.
    let log = tracker.log();
    let complaints: Vec<&str> =
        log.lines().filter(|line| line.contains("section") || line.contains("not understood")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// A small file system in memory; unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        if !root && std::env::var("FDFS_DISKS").is_ok_and(|value| value != "required") {
            eprintln!("only root can mount disks: this test checked nothing");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(dir.path()).status();
        assert!(done.unwrap().success());
        Some(Self(dir))
    }

    /// Takes all room that is left.
    fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.0.path().join("full");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write(&[0; 512]).is_ok_and(|written| written > 0) {}
        path
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(std::thread::panicking() || done.unwrap().success());
    }
}

#[test]
fn a_full_disk() {
    let Some(disk) = Small::mount() else { return };
    let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut tracker = Daemon::start_in(disk.path(), addr);
    tracker.serves();
    for ip in ["127.0.0.21", "127.0.0.22", "127.0.0.23"] {
        let mut client = Client::from(addr, ip);
        client.join(&[addr], "group1", |head| (head.init_flag, head.status) = (0, 7)).unwrap();
    }
    until("the first save", || tracker.file("storage_servers_new.dat").contains("127.0.0.23").then_some(()));
    let full = disk.fill();
    let remove = |ip: &str| {
        let mut admin = Client::from(addr, "127.0.0.1");
        until("the end of the connection to be seen", || {
            let (status, _) = admin.call(cmd::DELETE_STORAGE, &named("group1", ip.as_bytes()));
            (status != 16).then_some(status)
        })
    };
    assert_eq!(remove("127.0.0.22"), 5, "in force, but not on the disk");
    assert_eq!(living(addr).len(), 2, "queries are answered");
    // What a kill leaves is the state before, and the tracker starts on the full disk.
    tracker.kill();
    tracker.again();
    tracker.serves();
    assert_eq!(living(addr).len(), 3, "the state before");
    assert_eq!(remove("127.0.0.22"), 5);
    std::fs::remove_file(full).unwrap();
    until("the change to be saved", || {
        tracker.file("storage_changelog.dat").contains("127.0.0.22 4").then_some(())
    });
    until("the state to be saved", || {
        (!tracker.file("storage_servers_new.dat").contains("127.0.0.22")).then_some(())
    });
    assert_eq!(remove("127.0.0.23"), 0);
    tracker.kill();
    tracker.again();
    tracker.serves();
    assert_eq!(living(addr), BTreeSet::from(["127.0.0.21".to_owned()]));
    drop(tracker);
}
