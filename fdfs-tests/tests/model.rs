//! All operations of a client, at random, from several clients at once, on a storage that is killed or stopped again and
//! again, beside a model in memory. After every start the model and the disk agree: what was acknowledged is there, what
//! had no answer is there whole or not at all, and nothing else is.
//!
//! 50,000 operations in 250 rounds, of which 200 end with a kill. `FDFS_MODEL=operations,rounds` runs another length, `FDFS_MODEL_SEED=n` the
//! choices of an earlier run; what the clock and the threads do differs each time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fdfs_tests::cluster::Cluster;
use fdfs_tests::model::client::{Client, Member};
use fdfs_tests::model::random::Random;
use fdfs_tests::model::{disk, settle};
use fdfs_tests::raw::Raw;
use fdfs_tests::wait_for;

const CLIENTS: usize = 4;
const LIMIT: Duration = Duration::from_secs(60);

struct Length {
    operations: usize,
    rounds: usize,
}

fn length() -> Length {
    let text = std::env::var("FDFS_MODEL").unwrap_or_else(|_| "50000,250".into());
    let (operations, rounds) = text.split_once(',').expect("FDFS_MODEL=operations,rounds");
    Length { operations: operations.parse().unwrap(), rounds: rounds.parse().unwrap() }
}

/// Settings that may differ from start to start.
fn settings(random: &mut Random) -> String {
    let mut lines = String::from("sync_binlog_buff_interval = 1\nbuff_size = 64KB\n");
    if random.one_in(2) {
        lines += "check_file_duplicate = 1\n";
    }
    if random.one_in(6) {
        lines += "durability = group\n";
    }
    lines += ["file_distribute_path_mode = 0\n", "file_distribute_path_mode = 1\n"][random.below(2)];
    lines
}

fn wait_serving(addr: SocketAddr) {
    wait_for("the storage serves", LIMIT, || {
        let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_secs(1)) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Raw(stream).ask(111, b"").is_ok_and(|answer| answer.status == 0)
    });
}

#[test]
fn the_disk_and_the_model_agree() {
    let length = length();
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("FDFS_MODEL_SEED").map_or_else(|_| clock(), |text| text.parse().unwrap());
    println!("FDFS_MODEL={},{} FDFS_MODEL_SEED={seed}", length.operations, length.rounds);
    let mut random = Random::new(seed);
    let mut cluster = Cluster::start("model", 1);
    let addr = cluster.members[0].addr;
    let base = cluster.members[0].base.clone();
    let members: Arc<[Member]> = [Member::new(addr)].into();
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|number| Client::new(number, &members, random.number())).collect();
    let began = Instant::now();
    let (mut done, mut kills, mut doubts) = (0, 0, 0);
    for round in 0..length.rounds {
        let ops = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        // What is left of the operations, spread at random over what is left of the rounds.
        let rest = (length.operations.saturating_sub(done) / (length.rounds - round)).max(1);
        let most = 1 + random.below(2 * rest);
        let kill = !random.one_in(5);
        std::thread::scope(|scope| {
            for client in &mut clients {
                let (ops, stop) = (&ops, &stop);
                scope.spawn(move || client.work(ops, stop));
            }
            wait_for("operations are under way", LIMIT, || stop.load(Relaxed) || ops.load(Relaxed) >= most);
            // Anywhere within an operation.
            let moment = Instant::now() + Duration::from_micros(random.below(3000) as u64);
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
            match kill {
                true => cluster.storage(0).kill(),
                false => drop(cluster.storage(0).stop()),
            }
            stop.store(true, Relaxed);
        });
        done += ops.load(Relaxed);
        kills += usize::from(kill);
        cluster.start_storage_with(0, &settings(&mut random));
        wait_serving(addr);
        doubts += settle::settle(&mut clients, addr, &base);
    }
    println!(
        "{done} operations, {kills} kills, {} stops, {doubts} without an answer, {} files, {:?}",
        length.rounds - kills,
        clients.iter().map(|client| client.files.len()).sum::<usize>(),
        began.elapsed()
    );
    let mut kinds = std::collections::BTreeMap::new();
    for (kind, count) in clients.iter().flat_map(|client| &client.counts) {
        *kinds.entry(*kind).or_insert(0) += count;
    }
    println!("{kinds:?}");
    cluster.wait_active();
    let other = cluster.members[1].base.clone();
    let end = Instant::now() + LIMIT;
    while let Err(differs) = disk::compare(&base, &other) {
        assert!(Instant::now() < end, "the other member differs: {differs:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    for index in 0..2 {
        assert!(cluster.storage(index).stop().success());
        let left = disk::leftovers(&cluster.members[index].base);
        assert_eq!(left, [""; 0], "member {index}");
    }
}
