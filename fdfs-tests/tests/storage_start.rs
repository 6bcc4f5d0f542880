//! How a storage starts and stops: quickly, and without a tracker once it has been a member.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

fn upload(cluster: &Cluster, index: usize, content: &[u8]) -> String {
    let mut storage = Raw::connect(cluster.members[index].addr);
    let answer = storage.ask(raw::UPLOAD, &raw::upload(0, "bin", content)).unwrap();
    assert_eq!(answer.status, 0);
    String::from_utf8(answer.body[16..].to_vec()).unwrap()
}

fn listens(cluster: &Cluster, index: usize) -> bool {
    std::net::TcpStream::connect(cluster.members[index].addr).is_ok()
}

#[test]
fn a_member_serves_without_trackers_and_joins_when_one_comes() {
    let mut cluster = Cluster::start("alone", 1);
    let before = upload(&cluster, 0, b"before");
    let copy = |cluster: &Cluster, name: &str| cluster.members[1].base.join("data").join(&name[4..]);
    wait_for("the copy", LIMIT, || copy(&cluster, &before).exists());
    for index in 0..2 {
        assert!(cluster.storage(index).stop().success());
        assert!(cluster.tracker_process(index).stop().success());
    }
    cluster.start_storage(0);
    wait_for("it serves", LIMIT, || listens(&cluster, 0));
    let mut storage = Raw::connect(cluster.members[0].addr);
    let found = storage.ask(raw::DOWNLOAD, &raw::download(0, 0, "group1", &before)).unwrap();
    assert_eq!((found.status, found.body), (0, b"before".to_vec()));
    let alone = upload(&cluster, 0, b"alone");
    for index in 0..2 {
        cluster.start_tracker(index);
    }
    cluster.start_storage(1);
    cluster.wait_active();
    wait_for("what was uploaded without trackers", LIMIT, || copy(&cluster, &alone).exists());
}

#[test]
fn directories_of_a_new_path_are_made_while_it_is_served() {
    let mut cluster = Cluster::start("fresh", 1);
    assert!(cluster.storage(0).stop().success());
    let path = cluster.dir().join("another");
    std::fs::create_dir(&path).unwrap();
    let more =
        format!("store_path_count = 2\nstore_path1 = {}\nsubdir_count_per_path = 64\n", path.display());
    let began = Instant::now();
    cluster.start_storage_with(0, &more);
    wait_for("it serves", LIMIT, || listens(&cluster, 0));
    let started = began.elapsed();
    let mut storage = Raw::connect(cluster.members[0].addr);
    let answer = storage.ask(raw::UPLOAD, &raw::upload(1, "bin", b"early")).unwrap();
    assert_eq!(answer.status, 0);
    let last = path.join("data/3F/3F");
    wait_for("all directories", LIMIT, || last.exists());
    let made = began.elapsed();
    assert!(path.join("data/1F/20").exists());
    let began = Instant::now();
    assert!(cluster.storage(0).stop().success());
    println!("served after {started:?}, 4096 directories after {made:?}, stopped in {:?}", began.elapsed());
    let began = Instant::now();
    cluster.start_storage_with(0, &more);
    wait_for("it serves again", LIMIT, || listens(&cluster, 0));
    println!("served again after {:?}", began.elapsed());
}

#[test]
fn what_the_trackers_said_need_not_be_kept() {
    let mut cluster = Cluster::start("unkept", 1);
    let before = upload(&cluster, 0, b"before");
    assert!(cluster.storage(0).stop().success());
    // It can no more be written than on a full disk.
    let kept = cluster.members[0].base.join("data/.fdfs_trackers_said");
    std::fs::remove_file(&kept).unwrap();
    std::fs::create_dir(&kept).unwrap();
    cluster.start_storage(0);
    cluster.wait_active();
    let answer =
        Raw::connect(cluster.members[0].addr).ask(raw::DOWNLOAD, &raw::download(0, 0, "group1", &before));
    assert_eq!(answer.unwrap().body, b"before");
}
