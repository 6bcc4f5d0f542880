//! Members come, go, lose files and return; in the end all have the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, programs, tree, wait_for};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);

fn upload(addr: SocketAddr, bytes: &[u8]) -> String {
    let answer = Raw::connect(addr).ask(raw::UPLOAD, &raw::upload(0, "bin", bytes)).unwrap();
    assert_eq!(answer.status, 0);
    String::from_utf8(answer.body[16..].to_vec()).unwrap()
}

/// Waits until the stores at `bases` have the same files, `least` at least.
fn wait_same(what: &str, bases: &[&Path], least: usize) {
    wait_for(what, LIMIT, || {
        let first = tree::files(bases[0]);
        first.len() >= least && bases[1..].iter().all(|base| tree::files(base) == first)
    });
}

/// Uploads to each address until stopped; answers how many.
struct Load {
    stop: Arc<AtomicBool>,
    names: Arc<Mutex<Vec<String>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(addrs: &[SocketAddr]) -> Self {
        let (stop, names) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<String>>>::default());
        let threads = addrs
            .iter()
            .enumerate()
            .map(|(uploader, &addr)| {
                let (stop, names) = (Arc::clone(&stop), Arc::clone(&names));
                std::thread::spawn(move || {
                    let mut n = uploader as u64 * 1_000_000;
                    while !stop.load(Relaxed) {
                        n += 1;
                        let name = upload(addr, &content(500 + (n % 50) as usize * 100, n));
                        names.lock().unwrap().push(name);
                        std::thread::sleep(Duration::from_millis(1));
                    }
                })
            })
            .collect();
        Self { stop, names, threads }
    }

    fn count(&self) -> usize {
        self.names.lock().unwrap().len()
    }

    fn end(self) -> usize {
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.names.lock().unwrap().len()
    }
}

#[test]
fn a_member_joins_while_files_come_and_one_is_wiped() {
    let mut cluster = Cluster::start("joins", 1);
    let load = Load::start(&[cluster.members[0].addr, cluster.members[1].addr]);
    wait_for("there are files", LIMIT, || load.count() > 300);
    let third = cluster.add_member("group1");
    cluster.start_storage(third);
    let before = load.count();
    cluster.wait_active();
    wait_for("files came meanwhile", LIMIT, || load.count() > before + 100);
    let count = load.end();
    let bases: Vec<_> = cluster.members.iter().map(|member| member.base.clone()).collect();
    let bases: Vec<&Path> = bases.iter().map(|base| base.as_path()).collect();
    wait_same("all three have everything", &bases, count);

    // All data of one are gone while it is down; no operator edits anything.
    cluster.storage(1).stop();
    std::fs::remove_dir_all(cluster.members[1].base.join("data")).unwrap();
    let late = upload(cluster.members[0].addr, b"while it was down");
    cluster.start_storage(1);
    cluster.wait_active();
    wait_same("the wiped one has everything again", &bases, count + 1);
    assert!(cluster.members[1].base.join("data").join(&late[4..]).exists());
    // It serves and sends like before.
    upload(cluster.members[1].addr, b"after all that");
    wait_same("and it sends", &bases, count + 2);
}

#[test]
fn a_member_is_deleted_and_comes_again() {
    let mut cluster = Cluster::start("deleted", 1);
    for n in 0..50 {
        upload(cluster.members[0].addr, &content(1000, n));
    }
    let bases: Vec<_> = cluster.members.iter().map(|member| member.base.clone()).collect();
    let bases: Vec<&Path> = bases.iter().map(|base| base.as_path()).collect();
    wait_same("both have everything", &bases, 50);
    cluster.storage(1).stop();
    let id = cluster.members[1].addr.ip().to_string();
    for index in 0..2 {
        let mut body = raw::field("group1", 16);
        body.extend_from_slice(id.as_bytes());
        wait_for("the tracker deletes it", LIMIT, || {
            let answer = Raw::connect(cluster.tracker(index)).ask(93, &body).unwrap();
            matches!(answer.status, 0 | 114)
        });
    }
    let mark = cluster.members[0].base.join(format!("data/sync/{id}_23000.mark"));
    wait_for("its mark is put aside", LIMIT, || !mark.exists());
    for n in 50..80 {
        upload(cluster.members[0].addr, &content(1000, n));
    }
    cluster.start_storage(1);
    cluster.wait_active();
    wait_same("it has what came meanwhile", &bases, 80);
}

fn two_paths(cluster: &Cluster, member: usize) -> (std::path::PathBuf, String) {
    let second = cluster.members[member].base.with_extension("second");
    std::fs::create_dir_all(&second).unwrap();
    let more =
        format!("store_path_count = 2\nstore_path1 = {}\ndisk_recovery_threads = 3\n", second.display());
    (second, more)
}

#[test]
fn a_lost_store_path_comes_back() {
    let mut cluster = Cluster::start("recovery", 1);
    let mut seconds = Vec::new();
    for member in 0..2 {
        cluster.storage(member).stop();
        let (second, more) = two_paths(&cluster, member);
        cluster.start_storage_with(member, &more);
        seconds.push((second, more));
    }
    cluster.wait_active();
    let mut storage = Raw::connect(cluster.members[0].addr);
    for n in 0..400u64 {
        let body = raw::upload((n % 2) as u8, "bin", &content(3000, n));
        assert_eq!(storage.ask(raw::UPLOAD, &body).unwrap().status, 0);
    }
    let first: Vec<_> = cluster.members.iter().map(|member| member.base.clone()).collect();
    let first: Vec<&Path> = first.iter().map(|base| base.as_path()).collect();
    let second: Vec<&Path> = seconds.iter().map(|(base, _)| base.as_path()).collect();
    wait_same("the first path", &first, 200);
    wait_same("the second path", &second, 200);

    // The disk of the second path is replaced by an empty one; the other member is frozen at first.
    cluster.storage(1).stop();
    std::fs::remove_dir_all(second[1].join("data")).unwrap();
    cluster.storage(0).signal(libc::SIGSTOP);
    cluster.start_storage_with(1, &seconds[1].1);
    let kept = tree::files(first[1]);
    let (name, bytes) = kept.iter().next().unwrap();
    fdfs_tests::cluster::wait_listening(cluster.members[1].addr);
    let answer =
        Raw::connect(cluster.members[1].addr).ask(raw::DOWNLOAD, &raw::download(0, 0, "group1", name));
    assert!(answer.unwrap().body == *bytes, "the other path is served meanwhile");
    let flag = second[1].join("data/.recovery.flag");
    wait_for("recovery has begun", LIMIT, || flag.exists());
    // Killed in the middle, it goes on with the next start.
    cluster.storage(1).kill();
    cluster.storage(0).signal(libc::SIGCONT);
    cluster.start_storage_with(1, &seconds[1].1);
    wait_same("the second path again", &second, 200);
    wait_for("recovery is over", LIMIT, || !flag.exists());
    cluster.wait_active();
    upload(cluster.members[0].addr, b"afterwards");
    wait_same("replication goes on", &first, 201);
    let hidden: Vec<String> = std::fs::read_dir(second[1].join("data"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("recovery"))
        .collect();
    assert_eq!(hidden, [""; 0]);
}

#[test]
fn damaged_and_lost_files_are_found_and_healed() {
    let mut cluster = Cluster::start("scrub", 1);
    let mut files = BTreeMap::new();
    for n in 0..30 {
        let bytes = content(20_000, n);
        files.insert(upload(cluster.members[0].addr, &bytes), bytes);
    }
    let bases: Vec<_> = cluster.members.iter().map(|member| member.base.clone()).collect();
    let bases: Vec<&Path> = bases.iter().map(|base| base.as_path()).collect();
    wait_same("both have everything", &bases, 30);
    let data = bases[1].join("data");

    // A byte is another one.
    let bad = files.keys().next().unwrap().clone();
    let mut bytes = files[&bad].clone();
    bytes[777] ^= 1;
    std::fs::write(data.join(&bad[4..]), &bytes).unwrap();
    cluster.storage(1).stop();
    cluster.start_storage_with(1, "scrub_bandwidth = 20MB\nscrub_interval = 1\n");
    wait_for("the scrub heals it", LIMIT, || {
        std::fs::read(data.join(&bad[4..])).is_ok_and(|found| found == files[&bad])
    });
    let aside: Vec<_> = std::fs::read_dir(data.join(".fdfs.damaged")).unwrap().flatten().collect();
    assert_eq!(aside.len(), 1);
    assert!(std::fs::read(aside[0].path()).unwrap() == bytes, "what was damaged is kept for the operator");
    cluster.wait_active();

    // One is removed by hand, another added at the other member only.
    let lost: Vec<String> = files.keys().skip(1).take(3).cloned().collect();
    for name in &lost {
        std::fs::remove_file(data.join(&name[4..])).unwrap();
    }
    let other = files.keys().nth(10).unwrap().clone();
    std::fs::remove_file(bases[0].join("data").join(&other[4..])).unwrap();
    let verify = |args: &[&str]| {
        let members = [0, 1].map(|index| cluster.members[index].addr.to_string());
        let mut command = Command::new(programs::verify());
        let output = command.arg("group1").args(&members).args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = verify(&[]);
    assert_eq!(code, Some(1), "{text}");
    for name in &lost {
        assert!(text.contains(&format!("missing at {}: {name}", cluster.members[1].addr)), "{text}");
    }
    assert!(text.contains(&format!("missing at {}: {other}", cluster.members[0].addr)), "{text}");
    let (code, text) = verify(&["--repair"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("repaired: 4"), "{text}");
    wait_same("all is there again", &bases, 30);
    let (code, text) = verify(&["--deep"]);
    assert_eq!((code, text.lines().count()), (Some(0), 1), "{text}");

    // A folder that cannot be read is no empty one: nothing is said of its files.
    let folder = data.join(&bad[4..9]);
    let kept = folder.with_extension("kept");
    std::fs::rename(&folder, &kept).unwrap();
    std::fs::write(&folder, "").unwrap();
    let (code, text) = verify(&["--repair"]);
    assert_eq!((code, text.contains("missing")), (Some(2), false), "{text}");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&kept, &folder).unwrap();
    assert_eq!(verify(&[]).0, Some(0));
}
