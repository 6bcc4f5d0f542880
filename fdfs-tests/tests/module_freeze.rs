//! Storages and trackers that stand still (SIGSTOP) do not slow what nginx serves from its own disk, and nothing waits for ever.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fdfs_tests::cluster::{Cluster, split};
use fdfs_tests::{content, http, tree, wait_for};

/// 99th percentile of the time of a GET of this file, of 1,000.
fn p99(addr: SocketAddr, url: &str, data: &[u8]) -> Duration {
    let mut times: Vec<Duration> = (0..1000)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(http::get(addr, url).body, data);
            began.elapsed()
        })
        .collect();
    times.sort();
    times[989]
}

#[test]
fn frozen_servers_delay_only_those_who_need_them() {
    let mut cluster = Cluster::start("freeze", 1);
    let data = content(20_000, 1);
    let path = cluster.dir().join("a.txt");
    std::fs::write(&path, &data).unwrap();
    let upload = |cluster: &Cluster| {
        let out = cluster.tool("fdfs_upload_file", &[&path.display().to_string()]);
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    // A file that both have; nginx beside the first one.
    let id = upload(&cluster);
    let url = format!("/{id}");
    wait_for("both have it", Duration::from_secs(10), || {
        cluster.members.iter().all(|member| tree::files(&member.base).contains_key(split(&id).1))
    });
    cluster.start_nginx(0);
    let addr = cluster.members[0].nginx_addr;
    wait_for("nginx knows the members", Duration::from_secs(10), || {
        http::get(addr, &url.replace(".txt", ".txx")).status == 404
    });
    let before = p99(addr, &url, &data);
    (0..2).for_each(|index| cluster.storage(index).signal(libc::SIGSTOP));
    (0..2).for_each(|index| cluster.tracker_process(index).signal(libc::SIGSTOP));
    // Some wait for what is not here; the others do not notice.
    let waiting = std::thread::spawn(move || {
        let began = Instant::now();
        let answer = http::get(addr, &format!("/{}", id.replace("/00/", "/01/")));
        (answer.status, began.elapsed())
    });
    let during = p99(addr, &url, &data);
    let (status, took) = waiting.join().unwrap();
    // Twice the sum of the time limits, which are 1 s and 2 s.
    assert!(matches!(status, 502..=504) && took < Duration::from_secs(8), "{status} after {took:?}");
    assert!(during < before * 3 + Duration::from_millis(5), "{before:?} became {during:?}");
    // The other member brings what is not here, while the one beside nginx stands still.
    (0..2).for_each(|index| cluster.storage(index).signal(libc::SIGCONT));
    (0..2).for_each(|index| cluster.tracker_process(index).signal(libc::SIGCONT));
    let gone = tree::names(&cluster.members[0].base).into_iter().map(|(_, path)| path);
    gone.for_each(|path| std::fs::remove_file(path).unwrap());
    cluster.storage(0).signal(libc::SIGSTOP);
    let began = Instant::now();
    wait_for("the other member brings it", Duration::from_secs(20), || http::get(addr, &url).body == data);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    cluster.storage(0).signal(libc::SIGCONT);
}
