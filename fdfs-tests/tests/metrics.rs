//! The figures of both daemons, as a Prometheus reads them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::prometheus::{self, Sample};
use fdfs_tests::raw::{Raw, field};
use fdfs_tests::{content, http, wait_for};

const PORT: u16 = 9101;
const LIMIT: Duration = Duration::from_secs(20);

/// The samples of a page.
struct Samples(Vec<Sample>);

impl Samples {
    fn of(addr: SocketAddr) -> Self {
        let answer = http::get(addr, "/metrics");
        assert_eq!((answer.status, answer.cut), (200, false));
        Self(prometheus::samples(&answer.body))
    }

    /// The sum of the samples with that name and these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |all: &BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| all.get(*key).is_some_and(|found| found == value))
        };
        let found = self.0.iter().filter(|(one, all, _)| one == name && has(all)).map(|(_, _, value)| *value);
        let found: Vec<f64> = found.collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }
}

#[test]
#[allow(clippy::float_cmp)] // Counts are exact.
fn figures_are_those_of_what_happened() {
    let mut cluster = Cluster::start("metrics", 1);
    let figures = |addr: SocketAddr| SocketAddr::new(addr.ip(), PORT);
    let (tracker, storage) = (figures(cluster.tracker(0)), figures(cluster.members[0].addr));
    assert!(TcpStream::connect(tracker).is_err() && TcpStream::connect(storage).is_err(), "off by default");

    cluster.tracker_process(0).stop();
    cluster.start_tracker_with(0, &format!("metrics_port = {PORT}\n"));
    for member in 0..2 {
        cluster.storage(member).stop();
        cluster.start_storage_with(member, &format!("metrics_port = {PORT}\n"));
    }
    cluster.wait_active();

    let file = cluster.dir().join("some");
    std::fs::write(&file, content(5000, 1)).unwrap();
    let conf = cluster.client_conf();
    let members = [0, 1].map(|member| cluster.members[member].addr);
    for _ in 0..5 {
        let uploaded = cluster.bare_tool(
            "fdfs_upload_file",
            &[conf.to_str().unwrap(), file.to_str().unwrap(), &members[0].to_string()],
        );
        assert!(uploaded.status.success(), "{uploaded:?}");
    }
    // Refusals: a storage that is none, a file that is not there, a command that nobody knows.
    let mut raw = Raw::connect(cluster.tracker(0));
    assert_eq!(raw.ask(83, &[]).unwrap().status, 13);
    assert_eq!(raw.ask(250, &[]).unwrap().status, 22);
    let name = b"M00/00/00/wKgB0WUpLg2AMxYMAAAAEwTf3Kw1234.x";
    let mut raw = Raw::connect(members[0]);
    assert_eq!(raw.ask(22, &[&field("group1", 16)[..], name].concat()).unwrap().status, 2);

    let told = Samples::of(storage);
    let requests = |command, status| {
        told.sum("fdfs_storage_requests_total", &[("command", command), ("status", status)])
    };
    assert_eq!(requests("upload_file", "0"), Some(5.0));
    assert_eq!(requests("query_file_info", "2"), Some(1.0));
    assert_eq!(told.sum("fdfs_storage_request_seconds_count", &[("command", "upload_file")]), Some(5.0));
    for stage in ["place", "receive", "publish"] {
        assert_eq!(told.sum("fdfs_storage_stage_seconds_count", &[("stage", stage)]), Some(5.0), "{stage}");
    }
    let bytes = told.sum("fdfs_storage_bytes_total", &[("operation", "upload"), ("result", "success")]);
    assert_eq!(bytes, Some(25_000.0));
    assert_eq!(told.sum("fdfs_storage_path_condition", &[("condition", "good")]), Some(1.0));
    assert!(told.sum("fdfs_storage_path_free_bytes", &[]) > Some(0.0));

    // The other member has all of it: nothing is behind any more.
    wait_for("replication", LIMIT, || {
        let told = Samples::of(storage);
        let lag = |what: &str| told.sum(&format!("fdfs_storage_peer_{what}"), &[]);
        lag("lag_records") == Some(0.0) && lag("connected") == Some(1.0)
    });
    let there = Samples::of(figures(members[1]));
    let came = there.0.iter().filter(|(name, labels, _)| {
        name == "fdfs_storage_requests_total"
            && labels["command"].starts_with("sync_")
            && labels["status"] == "0"
    });
    assert!(came.map(|(_, _, value)| *value).sum::<f64>() >= 5.0);

    let told = Samples::of(tracker);
    assert_eq!(told.sum("fdfs_tracker_groups", &[]), Some(1.0));
    assert_eq!(told.sum("fdfs_tracker_members", &[("group", "group1"), ("status", "ACTIVE")]), Some(2.0));
    assert_eq!(told.sum("fdfs_tracker_members", &[("group", "group1"), ("status", "OFFLINE")]), Some(0.0));
    assert_eq!(told.sum("fdfs_tracker_group_writable_members", &[("group", "group1")]), Some(2.0));
    // This tracker was started again: it may still be finding out who leads.
    wait_for("the tracker knows a leader", LIMIT, || {
        Samples::of(tracker).sum("fdfs_tracker_leader", &[]) == Some(1.0)
    });
    let refused = |command| told.sum("fdfs_tracker_refusals_total", &[("command", command)]);
    assert_eq!(refused("storage_beat"), Some(1.0));
    assert_eq!(refused("250"), Some(1.0));
    let reason = "the connection has not joined as a storage";
    assert_eq!(told.sum("fdfs_tracker_refusals_total", &[("reason", reason)]), Some(1.0));
    assert!(told.sum("fdfs_tracker_connections", &[]) >= Some(3.0), "two members and this test");

    // A member that dies is seen.
    cluster.storage(1).kill();
    wait_for("the member is seen to be gone", LIMIT, || {
        Samples::of(tracker).sum("fdfs_tracker_members", &[("status", "OFFLINE")]) == Some(1.0)
    });
}

#[test]
fn nobody_who_asks_badly_keeps_others_from_asking() {
    let mut cluster = Cluster::start("metrics-rude", 1);
    cluster.tracker_process(0).stop();
    cluster.start_tracker_with(0, &format!("metrics_port = {PORT}\n"));
    cluster.wait_active();
    let addr = SocketAddr::new(cluster.tracker(0).ip(), PORT);
    assert_eq!(http::get(addr, "/").status, 404);
    let status = |request: &[u8]| {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let _ = stream.write_all(request);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert!(status(b"POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert!(status(b"\0\0\0\0\0\0\0\0\x6f\0").starts_with("HTTP/1.1 400"));
    assert!(
        status(&[b"GET /metrics HTTP/1.1\r\n".to_vec(), vec![b'a'; 20_000]].concat())
            .starts_with("HTTP/1.1 431")
    );
    let head = status(b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    // More silent ones than are served at once: they are given up, and the next is served.
    let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let mut one = TcpStream::connect(addr).unwrap();
    one.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    one.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut page = String::new();
    one.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    // Queries do not notice.
    assert_eq!(Raw::connect(cluster.tracker(0)).ask(91, &[]).unwrap().status, 0);
    drop(silent);
    assert!(cluster.tracker_process(0).stop().success(), "it stops while somebody may still be connected");
}
