//! SIGKILL in the middle of uploads, again and again: nothing acknowledged is lost, nothing partial is seen.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, tree, wait_for};

const KILLS: usize = 20;
const UPLOADERS: u64 = 4;

#[test]
fn twenty_kills() {
    let mut cluster = Cluster::start("killed", 1);
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
    let addr = cluster.members[0].addr;
    let uploaders: Vec<_> = (0..UPLOADERS)
        .map(|uploader| {
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            std::thread::spawn(move || upload(addr, uploader, &stop, &acknowledged))
        })
        .collect();
    for kill in 0..KILLS {
        let before = acknowledged.lock().unwrap().len();
        // Not at the same moment of an upload each time.
        wait_for("uploads are under way", Duration::from_secs(60), || {
            acknowledged.lock().unwrap().len() > before + 3 + kill * 2
        });
        cluster.storage(0).kill();
        assert_eq!(tree::untrue(&cluster.members[0].base), [""; 0], "partial files after kill {kill}");
        assert_eq!(tree::untrue(&cluster.members[1].base), [""; 0], "partial copies after kill {kill}");
        cluster.start_storage(0);
    }
    stop.store(true, Relaxed);
    for uploader in uploaders {
        uploader.join().unwrap();
    }
    let acknowledged = acknowledged.lock().unwrap();
    println!("{} acknowledged uploads, {KILLS} kills", acknowledged.len());
    assert!(acknowledged.len() > KILLS * 3);
    for (member, state) in cluster.members.iter().zip(["source", "copy"]) {
        let data = member.base.join("data");
        wait_for("everything acknowledged is there", Duration::from_secs(30), || {
            acknowledged.keys().all(|name| data.join(&name[4..]).exists())
        });
        for (name, seed) in acknowledged.iter() {
            let found = std::fs::read(data.join(&name[4..])).unwrap();
            assert!(found == content(size(*seed), *seed), "the {state} of {name} differs");
        }
    }
    cluster.wait_active();
    for member in 0..2 {
        cluster.storage(member).stop();
        let base = &cluster.members[member].base;
        assert_eq!(tree::untrue(base), [""; 0]);
        assert_eq!(tree::unexplained(base), [""; 0], "member {member}");
    }
}

fn size(seed: u64) -> usize {
    match seed % 7 {
        0 => 3_000_000,
        1 => 300_000,
        _ => 2_000 + (seed % 1000) as usize * 20,
    }
}

/// Uploads until told to stop; a connection that breaks is made anew.
fn upload(
    addr: std::net::SocketAddr,
    uploader: u64,
    stop: &AtomicBool,
    acknowledged: &Mutex<BTreeMap<String, u64>>,
) {
    let mut connection = None;
    let mut n = 0;
    while !stop.load(Relaxed) {
        let Some(storage) = connection.as_mut() else {
            connection = TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok().map(|stream| {
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                Raw(stream)
            });
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        n += 1;
        let seed = uploader * 1_000_000 + n;
        match storage.ask(raw::UPLOAD, &raw::upload(0, "bin", &content(size(seed), seed))) {
            Ok(answer) if answer.status == 0 => {
                let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
                acknowledged.lock().unwrap().insert(name, seed);
            }
            Ok(answer) => panic!("upload answered {}", answer.status),
            Err(_) => connection = None,
        }
    }
}
