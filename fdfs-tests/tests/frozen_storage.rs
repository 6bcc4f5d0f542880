//! A frozen storage does not slow the local files of the nginx worker that waits for it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, http, wait_for};

const REQUESTS: usize = 400;

#[test]
fn local_files_do_not_wait() {
    let mut cluster = Cluster::start("frozen", 1);
    cluster.start_nginx(1);
    let nginx = cluster.members[1].nginx_addr;
    let data = content(20_000, 5);
    let local = upload(&cluster, 1, &data);
    // On the first member alone: the second is stopped while it is uploaded.
    cluster.storage(1).signal(libc::SIGSTOP);
    let remote = upload(&cluster, 0, &content(50_000, 6));
    let seen = http::get(nginx, &remote);
    assert_eq!(seen.status, 200, "the storage that has the file answers before the freeze");
    let before = latencies(nginx, &local, &data);

    cluster.storage(0).signal(libc::SIGSTOP);
    let stop = AtomicBool::new(false);
    let (during, waited) = std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let began = Instant::now();
                    let mut asked = 0;
                    while !stop.load(Relaxed) {
                        let page = http::get(nginx, &remote);
                        assert!(
                            page.status >= 500 || page.status == 404 || page.status == 0,
                            "{}",
                            page.status
                        );
                        asked += 1;
                    }
                    (asked, began.elapsed())
                })
            })
            .collect();
        // The frozen storage holds requests now.
        std::thread::sleep(Duration::from_millis(300));
        let during = latencies(nginx, &local, &data);
        stop.store(true, Relaxed);
        let waited: Vec<_> = waiting.into_iter().map(|thread| thread.join().unwrap()).collect();
        (during, waited)
    });
    println!("local requests before the freeze: {}", describe(&before));
    println!("local requests during the freeze: {}", describe(&during));
    for (asked, time) in waited {
        assert!(
            time / asked < Duration::from_secs(20),
            "a request to a frozen storage ends: {time:?} for {asked}"
        );
    }
    // A worker that waits for a peer would wait for its timeouts, which are seconds, again and again.
    assert!(during[REQUESTS * 99 / 100] < Duration::from_millis(500), "{}", describe(&during));
    cluster.storage(0).signal(libc::SIGCONT);
    cluster.storage(1).signal(libc::SIGCONT);
    wait_for("the file can be had again", Duration::from_secs(40), || {
        http::get(nginx, &remote).status == 200
    });
}

fn upload(cluster: &Cluster, member: usize, data: &[u8]) -> String {
    let answer =
        Raw::connect(cluster.members[member].addr).ask(raw::UPLOAD, &raw::upload(0, "bin", data)).unwrap();
    assert_eq!(answer.status, 0);
    format!("/group1/{}", String::from_utf8(answer.body[16..].to_vec()).unwrap())
}

fn latencies(nginx: std::net::SocketAddr, url: &str, data: &[u8]) -> Vec<Duration> {
    let mut all: Vec<Duration> = (0..REQUESTS)
        .map(|_| {
            let began = Instant::now();
            let page = http::get(nginx, url);
            assert!(page.status == 200 && page.body == data);
            began.elapsed()
        })
        .collect();
    all.sort();
    all
}

fn describe(sorted: &[Duration]) -> String {
    let at = |share: usize| sorted[(sorted.len() - 1) * share / 100];
    format!("p50 {:.2?}, p99 {:.2?}, longest {:.2?}", at(50), at(99), at(100))
}
