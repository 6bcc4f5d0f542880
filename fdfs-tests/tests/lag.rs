//! What a peer does not have yet is visible: in the monitor, in metrics, in the log; also while it is away.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, http, wait_for};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
const PORT: u16 = 9101;
const LATE: u64 = 40;

fn upload(addr: SocketAddr, count: u64) {
    let mut client = Raw::connect(addr);
    for n in 0..count {
        let answer = client.ask(raw::UPLOAD, &raw::upload(0, "bin", &content(500, n))).unwrap();
        assert_eq!(answer.status, 0);
    }
}

/// What the monitor prints, and its exit code.
fn monitor(cluster: &Cluster, args: &[&str]) -> (String, i32) {
    let output = cluster.tool("monitor", args);
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap())
}

#[test]
fn a_peer_that_is_away_falls_behind_and_catches_up() {
    let mut cluster = Cluster::start("lag", 1);
    let addr = cluster.members[0].addr;
    upload(addr, 10);
    wait_for("both have everything", LIMIT, || {
        let (text, code) = monitor(&cluster, &["lag"]);
        code == 0 && text.matches("it has everything\n").count() == 2
    });
    cluster.storage(1).stop();
    upload(addr, LATE);
    wait_for("the monitor tells what is missing, and why", LIMIT, || {
        let (text, code) = monitor(&cluster, &["lag", "group1"]);
        code != 0
            && text.contains(&format!("{LATE} records behind"))
            && text.contains("; not connected\n      last error: ")
            && text.contains("does not tell: ")
    });
    let (json, _) = monitor(&cluster, &["lag", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let first = json.as_array().unwrap().iter().find(|one| one["addr"] == addr.to_string()).unwrap();
    let peer = &first["peers"][0];
    assert_eq!((&peer["records"], &peer["connected"]), (&LATE.into(), &false.into()), "{json}");
    assert!(
        peer["log_bytes"].as_u64().unwrap() > LATE * 40 && peer["oldest"].as_i64().unwrap() > 0,
        "{json}"
    );

    // A later process knows it too; by then the changes are old.
    cluster.storage(0).stop();
    let base = cluster.members[0].base.clone();
    let binlog = base.join("data/sync/binlog.000");
    let text = fs::read_to_string(&binlog).unwrap();
    let own = |line: &str| line.contains(" C ");
    let before = text.lines().filter(|line| own(line)).count() - usize::try_from(LATE).unwrap();
    let mut seen = 0;
    let older = |line: &str| {
        seen += usize::from(own(line));
        let (time, rest) = line.split_once(' ').unwrap();
        let time = time.parse::<i64>().unwrap() - if own(line) && seen > before { 1000 } else { 0 };
        format!("{time} {rest}\n")
    };
    let text: String = text.lines().map(older).collect();
    fs::write(&binlog, text).unwrap();
    cluster.start_storage_with(0, &format!("metrics_port = {PORT}\n"));
    let log = || fs::read_to_string(base.join("logs/storaged.log")).unwrap_or_default();
    wait_for("the log says that it is behind", LIMIT, || log().contains("the peer has fallen behind"));
    assert!(!log().contains("the peer has caught up"));
    let page = String::from_utf8(http::get(SocketAddr::new(addr.ip(), PORT), "/metrics").body).unwrap();
    let figure = |name: &str| -> u64 {
        let line =
            page.lines().find(|line| line.starts_with(&format!("fdfs_storage_peer_{name}{{"))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(figure("lag_records"), LATE, "{page}");
    assert!(figure("lag_seconds") >= 1000, "{page}");

    cluster.start_storage(1);
    wait_for("the log says that it has caught up", LIMIT, || log().contains("the peer has caught up"));
    wait_for("both have everything again", LIMIT, || {
        let (text, code) = monitor(&cluster, &["lag"]);
        code == 0 && text.matches("it has everything\n").count() == 2
    });
    assert_eq!(log().matches("the peer has fallen behind").count(), 1);
    assert_ne!(monitor(&cluster, &["lag", "nogroup"]).1, 0);
}
