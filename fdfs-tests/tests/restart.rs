//! Stops and starts: data, statuses and uploads survive them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::driver::Driver;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, wait_for};

#[test]
fn a_whole_cluster_comes_back() {
    let mut cluster = Cluster::start("restart", 1);
    let data = content(10_000, 9);
    let answer =
        Raw::connect(cluster.members[0].addr).ask(raw::UPLOAD, &raw::upload(0, "bin", &data)).unwrap();
    let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
    let copy = cluster.members[1].base.join("data").join(&name[4..]);
    wait_for("the copy", Duration::from_secs(60), || copy.exists());
    for index in 0..2 {
        assert!(cluster.storage(index).stop().success());
    }
    for index in 0..2 {
        assert!(cluster.tracker_process(index).stop().success());
    }
    for index in 0..2 {
        cluster.start_tracker(index);
    }
    for index in 0..2 {
        cluster.start_storage(index);
    }
    cluster.wait_active();
    for member in &cluster.members {
        let found =
            Raw::connect(member.addr).ask(raw::DOWNLOAD, &raw::download(0, 0, "group1", &name)).unwrap();
        assert!(found.status == 0 && found.body == data);
    }
    // Replication goes on in both directions.
    for (from, to) in [(0, 1), (1, 0)] {
        let answer = Raw::connect(cluster.members[from].addr)
            .ask(raw::UPLOAD, &raw::upload(0, "bin", b"more"))
            .unwrap();
        let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
        let copy = cluster.members[to].base.join("data").join(&name[4..]);
        wait_for("the copy after the restart", Duration::from_secs(60), || copy.exists());
    }
}

#[test]
fn uploads_go_on_without_one_tracker() {
    let mut cluster = Cluster::start("failover", 1);
    let local = cluster.dir().join("local");
    std::fs::write(&local, b"content").unwrap();
    for dead in 0..2 {
        cluster.tracker_process(dead).kill();
        let other = 1 - dead;
        let kind = ["py3fdfs", "fastdfs-client"][other];
        let mut client = Driver::start(kind, cluster.tracker(other));
        client.upload(&local, Some("txt")).unwrap();
        let output = cluster.tool("upload_file", &[&local.to_string_lossy()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        cluster.start_tracker(dead);
        cluster.wait_active();
    }
}

#[test]
fn a_member_that_was_away_catches_up() {
    let mut cluster = Cluster::start("away", 1);
    cluster.storage(1).kill();
    let mut storage = Raw::connect(cluster.members[0].addr);
    let names: Vec<String> = (0..200u64)
        .map(|n| {
            let answer = storage.ask(raw::UPLOAD, &raw::upload(0, "bin", &content(3000, n))).unwrap();
            String::from_utf8(answer.body[16..].to_vec()).unwrap()
        })
        .collect();
    for name in &names[..50] {
        assert_eq!(storage.ask(raw::DELETE, &raw::file("group1", name)).unwrap().status, 0);
    }
    cluster.start_storage(1);
    let data = cluster.members[1].base.join("data");
    wait_for("everything arrives", Duration::from_secs(60), || {
        names[50..].iter().all(|name| data.join(&name[4..]).exists())
    });
    assert!(names[..50].iter().all(|name| !data.join(&name[4..]).exists()));
    for (n, name) in names.iter().enumerate().skip(50) {
        assert!(std::fs::read(data.join(&name[4..])).unwrap() == content(3000, n as u64));
    }
}
