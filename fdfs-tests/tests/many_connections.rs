//! Thousands of idle connections, and clients that send or read a byte now and then: everybody else is served, memory stays small, and
//! who makes no progress is cut off.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, wait_for};
use rustix::process::{Resource, getrlimit, setrlimit};

const IDLE: usize = 5000;
const SLOW: usize = 40;
const LIMIT: Duration = Duration::from_secs(60);

/// Resident memory of a process, MiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// An upload and a download, and how long both took.
fn works(addr: SocketAddr, seed: u64) -> Duration {
    let began = Instant::now();
    let data = content(20_000, seed);
    let mut client = Raw::connect(addr);
    let answer = client.ask(raw::UPLOAD, &raw::upload(0, "bin", &data)).unwrap();
    assert_eq!(answer.status, 0);
    let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
    let back = client.ask(raw::DOWNLOAD, &raw::download(0, 0, "group1", &name)).unwrap();
    assert!(back.status == 0 && back.body == data);
    began.elapsed()
}

#[test]
fn idle_and_slow_clients_harm_nobody() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    // A machine that allows fewer open files sees fewer clients.
    let most = limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap());
    let idle = IDLE.min(most.saturating_sub(1000));
    let mut cluster = Cluster::start("many", 1);
    assert!(cluster.storage(0).stop().success());
    cluster.start_storage_with(0, "max_connections = 6000\nnetwork_timeout = 4\n");
    cluster.wait_active();
    let (addr, pid) = (cluster.members[0].addr, cluster.storage(0).pid());
    let large = content(8 << 20, 1);
    let answer = Raw::connect(addr).ask(raw::UPLOAD, &raw::upload(0, "bin", &large)).unwrap();
    let large = String::from_utf8(answer.body[16..].to_vec()).unwrap();
    let before = descriptors(pid);

    let mut open: Vec<TcpStream> = Vec::with_capacity(idle);
    for _ in 0..idle {
        let mut client = Raw::connect(addr);
        assert_eq!(client.ask(111, b"").unwrap().status, 0);
        open.push(client.0);
    }
    // Who announces a file and sends a piece of it, and who asks for one and reads nothing.
    let writers: Vec<TcpStream> = (0..SLOW)
        .map(|_| {
            let mut stream = TcpStream::connect(addr).unwrap();
            let body = raw::upload(0, "bin", &vec![1; 1 << 20]);
            let request =
                [&Raw::head(i64::try_from(body.len()).unwrap(), raw::UPLOAD, 0)[..], &body[..200_000]]
                    .concat();
            stream.write_all(&request).unwrap();
            stream
        })
        .collect();
    let readers: Vec<TcpStream> = (0..SLOW)
        .map(|_| {
            let mut stream = TcpStream::connect(addr).unwrap();
            let body = raw::download(0, 0, "group1", &large);
            let head = Raw::head(i64::try_from(body.len()).unwrap(), raw::DOWNLOAD, 0);
            stream.write_all(&[&head[..], &body].concat()).unwrap();
            stream
        })
        .collect();
    let slowest = (0..200).map(|n| works(addr, n)).max().unwrap();
    let used = memory(pid);
    println!(
        "{idle} idle, {SLOW} that do not send, {SLOW} that do not read: slowest pair of requests {slowest:?}, {used} MiB"
    );
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert!(used < 150, "{used} MiB");
    for stream in &mut open {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        assert_eq!(Raw(stream.try_clone().unwrap()).ask(111, b"").unwrap().status, 0);
    }
    // Without progress for network_timeout they are cut off; the idle ones stay.
    wait_for("the descriptors of the slow ones are free", LIMIT, || descriptors(pid) <= before + idle + 8);
    drop((open, writers, readers));
    wait_for("all descriptors are free", LIMIT, || descriptors(pid) <= before + 8);
    works(addr, 1);
}
