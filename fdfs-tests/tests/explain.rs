//! `fdfs_monitor explain`: what members wait for and who must act, from one tracker, two that disagree, an existing one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::Raw;
use fdfs_tests::wait_for;

const EXPLAIN: u8 = 206;
const INVAL: u8 = 22;
const LIMIT: Duration = Duration::from_secs(60);

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// In front of a tracker: knows the commands of the existing tracker only.
fn existing_tracker(tracker: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((tracker.ip(), 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || pass(client, tracker));
        }
    });
    addr
}

fn pass(mut client: TcpStream, tracker: SocketAddr) -> std::io::Result<()> {
    let mut tracker = Raw::connect(tracker);
    loop {
        let mut head = [0; 10];
        client.read_exact(&mut head)?;
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[6], head[7]]))];
        client.read_exact(&mut body)?;
        if head[8] == EXPLAIN {
            client.write_all(&Raw::head(0, 100, INVAL))?;
            continue;
        }
        let answer = tracker.ask(head[8], &body)?;
        let len = i64::try_from(answer.body.len()).unwrap();
        client.write_all(&[&Raw::head(len, 100, answer.status)[..], &answer.body].concat())?;
    }
}

#[test]
fn reasons_and_views() {
    let mut cluster = Cluster::start("explain", 1);
    let parts = [
        (1, " leads\n"),
        (1, " follows "),
        (2, "    ACTIVE since "),
        (2, "): it sent a heart beat or its disk usage\n"),
        (2, "waits for: nothing: it serves\n    must act: nobody\n"),
    ];
    let mut said = None;
    // A follower may have another status for a beat or two after the first start.
    wait_for("both trackers have both members active", LIMIT, || {
        let output = cluster.tool("monitor", &["explain"]);
        assert!(output.status.success(), "{output:?}");
        let text = out(said.insert(output));
        parts.iter().all(|(count, part)| text.matches(part).count() == *count)
    });
    let group = out(&cluster.tool("monitor", &["explain", "group1"]));
    assert_eq!(group.lines().count(), out(&said.unwrap()).lines().count(), "{group}");
    let unknown = cluster.tool("monitor", &["explain", "nogroup"]);
    assert!(!unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("nogroup"));

    // A member that knows one of the trackers only is offline at the other.
    let other = format!("tracker_server = {}\n", cluster.tracker(1));
    let text = cluster.storage_conf(1).replace(&other, "");
    cluster.storage(1).stop();
    cluster.start_storage_as(1, &text);
    let mut text = String::new();
    wait_for("one tracker has it active, the other offline", LIMIT, || {
        text = out(&cluster.tool("monitor", &["explain"]));
        text.matches("      ACTIVE since ").count() == 1 && text.matches("      OFFLINE since ").count() == 1
    });
    let (agreed, parted) = text.split_once("    the trackers disagree:\n").unwrap();
    assert!(agreed.contains(&format!("Storage {} at ", cluster.members[0].addr.ip())), "{text}");
    let offline = parted.split_once(&format!("    tracker {}\n", cluster.tracker(1))).unwrap().1;
    let start = format!("start it at {}, or see in its log", cluster.members[1].addr);
    for part in ["): its connection ended\n      last heard of: ", &start, "      must act: the operator\n"] {
        assert!(offline.contains(part), "{part}: {text}");
    }
    let json = out(&cluster.tool("monitor", &["explain", "--json"]));
    assert!(
        json.contains("\"agreed\":false") && json.contains("\"cause\":\"its connection ended\""),
        "{json}"
    );

    // What an existing tracker tells is less, and the sentence is the same.
    let conf = cluster.dir().join("existing.conf");
    std::fs::write(&conf, format!("tracker_server = {}\n", existing_tracker(cluster.tracker(1)))).unwrap();
    let existing = cluster.bare_tool("monitor", &[conf.to_str().unwrap(), "explain"]);
    let text = out(&existing);
    assert!(existing.status.success(), "{existing:?}");
    assert!(text.contains("    ACTIVE\n    waits for: nothing: it serves\n"), "{text}");
    assert!(text.contains("    OFFLINE\n") && text.contains(&start), "{text}");

    // A tracker that is down is named, the others tell nevertheless.
    cluster.tracker_process(1).kill();
    let partly = cluster.tool("monitor", &["explain"]);
    let text = out(&partly);
    assert!(
        !partly.status.success() && text.contains(&format!("tracker {} does not tell: ", cluster.tracker(1)))
    );
    assert_eq!(text.matches("    ACTIVE since ").count(), 2, "{text}");
}

/// The list as JSON has what the text has.
#[test]
fn the_list_as_json() {
    let cluster = Cluster::start("monitor-json", 1);
    let output = cluster.tool("monitor", &["list", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let storages = json["groups"][0]["storages"].as_array().unwrap();
    assert_eq!((json["groups"][0]["name"].as_str(), storages.len()), (Some("group1"), 2));
    for (storage, member) in storages.iter().zip(&cluster.members) {
        assert_eq!(storage["status"], "ACTIVE");
        assert_eq!(storage["ip"], member.addr.ip().to_string());
        assert_eq!(storage["counters"]["upload_count"]["total"], 0);
    }
}
