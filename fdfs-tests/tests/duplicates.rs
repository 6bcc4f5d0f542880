//! Equal content is stored once, whenever the storage is killed, and when its index is lost.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, tree, wait_for};

const ON: &str = "check_file_duplicate = 1\nsync_binlog_buff_interval = 1\n";
const KILLS: usize = 15;
const CLIENTS: u64 = 4;
/// Different contents.
const CONTENTS: u64 = 6;
const LIMIT: Duration = Duration::from_secs(60);

fn bytes(seed: u64) -> Vec<u8> {
    content([0, 700, 5000, 60_000, 200_000, 900_000][seed as usize], seed + 1)
}

fn connect(addr: SocketAddr) -> Option<Raw> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    Some(Raw(stream))
}

/// Links, with what they point to, and files of a store path.
fn tree_of(base: &Path) -> (BTreeMap<String, PathBuf>, BTreeSet<PathBuf>) {
    let (mut links, mut files) = (BTreeMap::new(), BTreeSet::new());
    for (name, path) in tree::names(base) {
        match std::fs::read_link(&path) {
            Ok(target) => drop(links.insert(name, target)),
            Err(_) => drop(files.insert(path)),
        }
    }
    (links, files)
}

/// What clients were told.
#[derive(Default)]
struct Told {
    /// Links and their contents.
    there: BTreeMap<String, u64>,
    gone: BTreeSet<String>,
    /// A delete that was not answered.
    open: BTreeSet<String>,
}

fn client(addr: SocketAddr, number: u64, stop: &AtomicBool, done: &AtomicUsize, told: &Mutex<Told>) {
    let (mut connection, mut own, mut n) = (None, Vec::new(), number);
    while !stop.load(Relaxed) {
        let Some(storage) = connection.as_mut() else {
            connection = connect(addr);
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = (n >> 33) as usize;
        if own.len() > 8 && pick.is_multiple_of(2) {
            let name: String = own.swap_remove(pick / 2 % own.len());
            told.lock().unwrap().there.remove(&name);
            match storage.ask(raw::DELETE, &raw::file("group1", &name)) {
                Ok(answer) => {
                    assert_eq!(answer.status, 0, "delete of {name}");
                    told.lock().unwrap().gone.insert(name);
                }
                Err(_) => {
                    told.lock().unwrap().open.insert(name);
                    connection = None;
                }
            }
        } else {
            let seed = pick as u64 / 2 % CONTENTS;
            match storage.ask(raw::UPLOAD, &raw::upload(0, "bin", &bytes(seed))) {
                Ok(answer) => {
                    assert_eq!(answer.status, 0, "upload");
                    let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
                    told.lock().unwrap().there.insert(name.clone(), seed);
                    own.push(name);
                }
                Err(_) => connection = None,
            }
        }
        done.fetch_add(1, Relaxed);
    }
}

fn log(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.members[0].base.join("logs/storaged.log")).unwrap()
}

fn upload(storage: &mut Raw, bytes: &[u8]) -> String {
    let answer = storage.ask(raw::UPLOAD, &raw::upload(0, "bin", bytes)).unwrap();
    assert_eq!(answer.status, 0);
    String::from_utf8(answer.body[16..].to_vec()).unwrap()
}

#[test]
fn stored_once_through_kills_and_without_its_index() {
    let mut cluster = Cluster::start("duplicates", 1);
    cluster.storage(0).stop();
    cluster.start_storage_with(0, ON);
    cluster.wait_active();
    let addr = cluster.members[0].addr;
    let (stop, done, told) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Told::default()));
    std::thread::scope(|scope| {
        let (stop, done, told) = (&stop, &done, &told);
        for number in 0..CLIENTS {
            scope.spawn(move || {
                let work = std::panic::AssertUnwindSafe(|| client(addr, number, stop, done, told));
                let ended = std::panic::catch_unwind(work);
                stop.store(true, Relaxed);
                ended.unwrap();
            });
        }
        for kill in 0..KILLS {
            let before = done.load(Relaxed);
            wait_for("requests are under way", LIMIT, || {
                stop.load(Relaxed) || done.load(Relaxed) > before + 30 + kill * 7
            });
            cluster.storage(0).kill();
            cluster.start_storage_with(0, ON);
        }
        let before = done.load(Relaxed);
        wait_for("requests after the last kill", LIMIT, || {
            stop.load(Relaxed) || done.load(Relaxed) > before + 100
        });
        stop.store(true, Relaxed);
    });
    let told = told.into_inner().unwrap();
    println!("{} requests, {KILLS} kills, {} links", done.load(Relaxed), told.there.len());
    cluster.wait_active();
    for member in &cluster.members {
        let data = member.base.join("data");
        for (name, seed) in &told.there {
            let path = data.join(&name[4..]);
            wait_for("the link is there", LIMIT, || path.exists());
            assert!(std::fs::read(&path).unwrap() == bytes(*seed), "{name}");
        }
        for name in &told.gone {
            wait_for("the deleted link is gone", LIMIT, || data.join(&name[4..]).symlink_metadata().is_err());
        }
        wait_for("no file is without a link, no link without its file", LIMIT, || {
            let (links, files) = tree_of(&member.base);
            links.values().cloned().collect::<BTreeSet<_>>() == files
        });
        let (_, files) = tree_of(&member.base);
        assert!(files.len() as u64 <= CONTENTS, "{} files of {CONTENTS} contents", files.len());
    }
    assert!(log(&cluster).contains("index of equal content: took what was not saved"));

    // The counts are right: all links but those of one content go, and their files with them.
    let base = cluster.members[0].base.clone();
    let kept = tree_of(&base).0[told.there.keys().next().unwrap()].clone();
    let mut storage = Raw::connect(addr);
    for (link, target) in tree_of(&base).0 {
        if target != kept {
            assert_eq!(storage.ask(raw::DELETE, &raw::file("group1", &link)).unwrap().status, 0);
        }
    }
    assert_eq!(tree_of(&base).1, BTreeSet::from([kept]));

    // The index is lost: it is made from the binlog, and equal content is found again.
    cluster.storage(0).stop();
    std::fs::remove_dir_all(base.join("data/duplicates")).unwrap();
    let (before, _) = tree_of(&base);
    cluster.start_storage_with(0, ON);
    cluster.wait_active();
    wait_for("the index is made anew", LIMIT, || {
        log(&cluster).contains("index of equal content: made from the binlog")
    });
    let mut storage = Raw::connect(addr);
    let seed = *told.there.values().next().unwrap();
    let link = upload(&mut storage, &bytes(seed));
    let (links, _) = tree_of(&base);
    let old = told.there.iter().find(|(_, other)| **other == seed).unwrap().0;
    assert_eq!(links[&link], before[old], "the upload is no link to the content that is here");

    let content = links[&link].clone();
    for name in links.iter().filter(|(_, target)| **target == content).map(|(name, _)| name) {
        assert!(content.exists());
        assert_eq!(storage.ask(raw::DELETE, &raw::file("group1", name)).unwrap().status, 0);
    }
    assert!(!content.exists(), "the links of before the loss were not counted");

    // Switched off, the links of before are counted all the same.
    let new = upload(&mut storage, b"content of its own");
    let content = tree_of(&base).0[&new].clone();
    drop(storage);
    cluster.storage(0).kill();
    cluster.start_storage_with(0, "check_file_duplicate = 0\n");
    cluster.wait_active();
    let mut storage = Raw::connect(addr);
    let plain = upload(&mut storage, b"content of its own");
    assert!(base.join("data").join(&plain[4..]).symlink_metadata().unwrap().is_file());
    assert!(content.exists());
    assert_eq!(storage.ask(raw::DELETE, &raw::file("group1", &new)).unwrap().status, 0);
    assert!(!content.exists());
}
