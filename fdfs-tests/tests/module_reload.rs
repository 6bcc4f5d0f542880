//! Reloads and an upgrade of the binary under load cost no request, and memory does not grow.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::module::server::{Answer, parse};
use fdfs_tests::{content, http, programs, wait_for};

const LOCATIONS: &str =
    "location = /upload { fastdfs_upload on; CONF } location = /status { fastdfs_status; }";

/// A whole exchange over a new connection; an error when it did not come to its end.
fn ask(addr: SocketAddr, method: &str, url: &str, body: &[u8]) -> Result<Answer, String> {
    let told = |error: std::io::Error| format!("{method} {url}: {error}");
    let mut stream = TcpStream::connect(addr).map_err(told)?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(told)?;
    let head = format!(
        "{method} {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).map_err(told)?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).map_err(told)?;
    if raw.is_empty() { Err(format!("{method} {url}: no answer")) } else { Ok(parse(&raw, false)) }
}

/// What clients ask for all the time: a file of this machine, one of the other group, and new files.
struct Load {
    addr: SocketAddr,
    data: Vec<u8>,
    urls: Vec<String>,
}

impl Load {
    /// Stores files until there is one of each group.
    fn new(cluster: &Cluster) -> Self {
        let addr = cluster.members[0].nginx_addr;
        let data = content(600_000, 5);
        let mut urls: Vec<String> = Vec::new();
        for group in ["/group1/", "/group2/"] {
            wait_for("a file of each group", Duration::from_secs(20), || {
                let answer = ask(addr, "POST", "/upload", &data).unwrap();
                let url = answer.header("location").unwrap_or_default().to_owned();
                let fits = url.starts_with(group) && ask(addr, "GET", &url, b"").unwrap().body == data;
                if fits {
                    urls.push(url);
                }
                fits
            });
        }
        Self { addr, data, urls }
    }

    /// Runs it beside `body`; how many requests there were, and what went wrong.
    fn beside(&self, body: impl FnOnce()) -> (usize, Vec<String>) {
        let (over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let failures = std::thread::scope(|scope| {
            let client = |n: usize| {
                let (over, count) = (&over, &count);
                move || {
                    let mut failures = Vec::new();
                    while !over.load(SeqCst) {
                        let good = match self.urls.get(n) {
                            Some(url) => ask(self.addr, "GET", url, b"")
                                .map(|answer| answer.status == 200 && answer.body == self.data),
                            None => ask(self.addr, "POST", "/upload", &self.data[..5000])
                                .map(|answer| answer.status == 201),
                        };
                        count.fetch_add(1, SeqCst);
                        match good {
                            Ok(true) => {}
                            Ok(false) => failures.push(format!("client {n}: a wrong answer")),
                            Err(why) => failures.push(why),
                        }
                    }
                    failures
                }
            };
            let clients: Vec<_> = (0..3).map(|n| scope.spawn(client(n))).collect();
            {
                let _end = End(&over);
                body();
            }
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        (count.into_inner(), failures)
    }
}

/// Ends the clients, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Children of a process.
fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Resident memory, bytes.
fn resident(pid: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn reload(workers: usize) {
    let mut cluster = Cluster::start("reload", 2);
    cluster.nginx_workers = workers;
    cluster.start_nginx_serving(0, "", LOCATIONS);
    let load = Load::new(&cluster);
    let master = cluster.nginx_process(0);
    let (count, failures) = load.beside(|| {
        for _ in 0..100 {
            let before = children(master.pid());
            master.signal(libc::SIGHUP);
            wait_for("new workers", Duration::from_secs(20), || {
                let now = children(master.pid());
                now.iter().filter(|pid| !before.contains(pid)).count() == workers
            });
        }
    });
    assert_eq!(failures, Vec::<String>::new(), "of {count}");
    assert!(count > 100, "only {count} requests");
    wait_for("old workers end", Duration::from_secs(30), || children(master.pid()).len() == workers);
    let log = std::fs::read_to_string(cluster.nginx_home(0).join("error.log")).unwrap();
    let bad =
        |line: &&str| ["[alert]", "[crit]", "[emerg]", "panicked"].iter().any(|word| line.contains(word));
    assert_eq!(log.lines().find(bad), None);
}

#[test]
fn a_hundred_reloads_cost_one_worker_no_request() {
    reload(1);
}

#[test]
fn a_hundred_reloads_cost_four_workers_no_request() {
    reload(4);
}

/// An nginx in the background, as an upgrade needs it; ended by the pid in its file.
struct Daemon(PathBuf);

impl Daemon {
    fn start(home: &Path) -> Self {
        let text = std::fs::read_to_string(home.join("nginx.conf")).unwrap();
        let conf = home.join("daemon.conf");
        std::fs::write(&conf, text.replace("daemon off;", "daemon on;")).unwrap();
        let mut command = Command::new(programs::nginx());
        command.arg("-e").arg(home.join("error.log")).arg("-p").arg(home).arg("-c").arg(conf);
        assert!(command.status().unwrap().success());
        Self(home.join("pid"))
    }

    fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(&self.0).ok()?.trim().parse().ok()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            signal(pid, libc::SIGTERM);
        }
    }
}

/// To a process of this test.
fn signal(pid: u32, signal: libc::c_int) {
    // SAFETY: kill touches nothing of this process.
    assert_eq!(unsafe { libc::kill(pid.cast_signed(), signal) }, 0);
}

#[test]
fn an_upgrade_costs_no_request() {
    let mut cluster = Cluster::start("upgrade", 2);
    cluster.start_nginx_serving(0, "", LOCATIONS);
    cluster.nginx_process(0).stop();
    let daemon = Daemon::start(&cluster.nginx_home(0));
    let load = Load::new(&cluster);
    let (count, failures) = load.beside(|| {
        let old = daemon.pid().unwrap();
        signal(old, libc::SIGUSR2);
        wait_for("a new master", Duration::from_secs(20), || {
            daemon.pid().is_some_and(|new| new != old && !children(new).is_empty())
        });
        signal(old, libc::SIGQUIT);
        wait_for("the old one ends", Duration::from_secs(30), || {
            !Path::new(&format!("/proc/{old}")).exists()
        });
        for _ in 0..20 {
            assert_eq!(ask(load.addr, "GET", &load.urls[0], b"").unwrap().body, load.data);
        }
    });
    drop(daemon);
    wait_for("the new master ends", Duration::from_secs(20), || TcpStream::connect(load.addr).is_err());
    assert_eq!(failures, Vec::<String>::new(), "of {count}");
}

/// The mix of requests over and over, from four clients; the memory of every worker stays.
fn memory(workers: usize) {
    const CLIENTS: usize = 4;
    // More on demand; a round is five requests.
    let rounds = std::env::var("FDFS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1500);
    let mut cluster = Cluster::start("memory", 2);
    cluster.nginx_workers = workers;
    cluster.start_nginx_serving(0, "", LOCATIONS);
    let load = Load::new(&cluster);
    let pids = children(cluster.nginx_process(0).pid());
    let round = || {
        for url in load.urls.iter().map(String::as_str).chain(["/group1/M00/no", "/status"]) {
            assert!(matches!(http::get(load.addr, url).status, 200 | 400));
        }
        assert_eq!(ask(load.addr, "POST", "/upload", &load.data[..2000]).unwrap().status, 201);
    };
    let after = |rounds: usize| -> Vec<usize> {
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| (0..rounds.div_ceil(CLIENTS)).for_each(|_| round()));
            }
        });
        pids.iter().map(|pid| resident(*pid)).collect()
    };
    let first = after(300 * workers);
    let tenth = after(rounds / 10);
    let last = after(rounds - rounds / 10);
    println!("resident, bytes, first, after {}, {rounds} rounds: {first:?} {tenth:?} {last:?}", rounds / 10);
    let grew = first.iter().zip(&last).any(|(before, after)| *after > before + (1 << 20));
    assert!(!grew, "{first:?} became {last:?}");
}

#[test]
fn the_memory_of_one_worker_stays() {
    memory(1);
}

#[test]
fn the_memory_of_four_workers_stays() {
    memory(4);
}
