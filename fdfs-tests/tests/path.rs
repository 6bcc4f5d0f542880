//! The main job: a file goes in through a client from PyPI and comes out of every member and of nginx.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use fdfs_core::fileid::{FileName, Source, crc32};
use fdfs_tests::cluster::{Cluster, split};
use fdfs_tests::driver::Driver;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, http, wait_for};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_file_from_each_client_reaches_everything() {
    let mut cluster = Cluster::start("path", 1);
    cluster.start_nginx(0);
    cluster.start_nginx(1);
    let gateway = cluster.start_gateway();
    for (index, kind) in ["py3fdfs", "fastdfs-client"].into_iter().enumerate() {
        let mut client = Driver::start(kind, cluster.tracker(index));
        let data = content(70_000 + index, 7 + index as u64);
        let local = cluster.dir().join("local.jpg");
        std::fs::write(&local, &data).unwrap();
        let id = client.upload(&local, Some("jpg")).unwrap();
        let (group, name) = split(&id);
        assert_eq!(group, "group1");

        let file = FileName::parse(name.as_bytes(), 1).unwrap();
        let blob = file.blob().unwrap();
        assert_eq!((blob.size(), blob.crc32), (data.len() as u64, crc32(&data)));
        let Source::Ip(ip) = blob.source else { panic!("{id} has no address") };
        let source = cluster.member_at(ip.into());

        for member in [source, cluster.other(source)] {
            let path = cluster.members[member].base.join("data").join(&name[4..]);
            wait_for("the file is there", SOON, || path.exists());
            assert!(std::fs::read(&path).unwrap() == data, "{kind}: member {member} has other bytes");
            let mtime = std::os::unix::fs::MetadataExt::mtime(&std::fs::metadata(&path).unwrap());
            assert_eq!(mtime, i64::from(blob.timestamp), "the time of the file is the one in its name");
            let mut storage = Raw::connect(cluster.members[member].addr);
            let whole = storage.ask(raw::DOWNLOAD, &raw::download(0, 0, group, name)).unwrap();
            assert!(whole.status == 0 && whole.body == data);
            let part = storage.ask(raw::DOWNLOAD, &raw::download(10, 20, group, name)).unwrap();
            assert!(part.status == 0 && part.body == data[10..30]);
            let page = http::get(cluster.members[member].nginx_addr, &format!("/{id}"));
            assert!(
                page.status == 200 && page.body == data,
                "{kind}: nginx of member {member}: {}",
                page.status
            );
        }
        let page = http::get(gateway, &format!("/{id}"));
        assert!(page.status == 200 && page.body == data);
        let back = cluster.dir().join("back");
        client.download(&id, &back).unwrap();
        assert!(std::fs::read(&back).unwrap() == data);

        client.delete(&id).unwrap();
        for member in [0, 1] {
            let path = cluster.members[member].base.join("data").join(&name[4..]);
            wait_for("the file is deleted", SOON, || !path.exists());
            let mut storage = Raw::connect(cluster.members[member].addr);
            assert_eq!(storage.ask(raw::DOWNLOAD, &raw::download(0, 0, group, name)).unwrap().status, 2);
            assert_eq!(http::get(cluster.members[member].nginx_addr, &format!("/{id}")).status, 404);
        }
        assert_eq!(http::get(gateway, &format!("/{id}")).status, 404);
        assert!(client.download(&id, &back).is_err());
    }
}

#[test]
fn nginx_fetches_what_is_not_replicated_yet() {
    let mut cluster = Cluster::start("notyet", 1);
    cluster.start_nginx(0);
    cluster.start_nginx(1);
    let data = content(3_000_000, 3);
    // Replication to the second member stands still; its nginx does not.
    cluster.storage(1).signal(libc::SIGSTOP);
    let mut storage = Raw::connect(cluster.members[0].addr);
    let answer = storage.ask(raw::UPLOAD, &raw::upload(0, "bin", &data)).unwrap();
    assert_eq!(answer.status, 0);
    let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
    let url = format!("/group1/{name}");
    let copy = cluster.members[1].base.join("data").join(&name[4..]);
    let page = http::get(cluster.members[1].nginx_addr, &url);
    assert!(!copy.exists(), "replication was to stand still");
    assert!(
        page.status == 200 && page.body == data && !page.cut,
        "status {}, {} bytes",
        page.status,
        page.body.len()
    );
    cluster.storage(1).signal(libc::SIGCONT);
    wait_for("the copy arrives", Duration::from_secs(60), || copy.exists());
    assert!(std::fs::read(&copy).unwrap() == data);
    let page = http::get(cluster.members[1].nginx_addr, &url);
    assert!(page.status == 200 && page.body == data);
}

#[test]
fn metadata_goes_along() {
    let cluster = Cluster::start("meta", 1);
    let mut storage = Raw::connect(cluster.members[0].addr);
    let answer = storage.ask(raw::UPLOAD, &raw::upload(0, "txt", b"with metadata")).unwrap();
    let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
    let get = |member: usize| {
        let mut storage = Raw::connect(cluster.members[member].addr);
        storage.ask(raw::GET_METADATA, &raw::file("group1", &name)).unwrap()
    };
    assert_eq!(get(0).status, 2);
    let set = |storage: &mut Raw, mode, text: &[u8]| {
        assert_eq!(
            storage.ask(raw::SET_METADATA, &raw::set_metadata(mode, "group1", &name, text)).unwrap().status,
            0
        );
    };
    set(&mut storage, b'O', b"width\x02160\x01author\x02me");
    wait_for("metadata on both", SOON, || {
        (0..2).all(|member| get(member).body == b"author\x02me\x01width\x02160")
    });
    set(&mut storage, b'M', b"width\x02170\x01height\x0290");
    let merged = b"author\x02me\x01height\x0290\x01width\x02170";
    wait_for("merged on both", SOON, || (0..2).all(|member| get(member).body == merged));
    set(&mut storage, b'O', b"");
    wait_for("removed on both", SOON, || (0..2).all(|member| get(member).status == 2));
}
