//! Hosts whose packets get lost: connections neither open nor close, and no byte comes back. In a network of the test's own; needs
//! root, `ip` and `nft`.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use fdfs_tests::cluster::{Cluster, split};
use fdfs_tests::{content, http, network, tree, wait_for};

/// What goes to these hosts or comes from them is lost from now on, and nothing else.
fn lose(hosts: &[SocketAddr]) {
    let rules = |host: &SocketAddr| format!("ip daddr {0} drop\nip saddr {0} drop\n", host.ip());
    network::filter("input", &hosts.iter().map(rules).collect::<String>());
}

/// Status of a GET, and how many GETs of `near` were answered while it waited.
fn beside(addr: SocketAddr, url: &str, near: (&str, &[u8])) -> (http::Answer, usize) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut count = 0;
            while !over.load(SeqCst) {
                assert!(http::get(addr, near.0).body == near.1);
                count += 1;
            }
            count
        });
        let answer = http::get(addr, url);
        over.store(true, SeqCst);
        (answer, others.join().unwrap())
    })
}

/// Stores content in this group; the URL, when both members have it.
fn stored(cluster: &Cluster, group: &str, data: &[u8]) -> String {
    let path = cluster.dir().join("a.bin");
    std::fs::write(&path, data).unwrap();
    let mut id = String::new();
    wait_for("a file of the group", Duration::from_secs(30), || {
        let out = cluster.tool("fdfs_upload_file", &[&path.display().to_string()]);
        assert!(out.status.success(), "{out:?}");
        id = String::from_utf8(out.stdout).unwrap().trim().to_owned();
        split(&id).0 == group
    });
    wait_for("both members have it", Duration::from_secs(30), || {
        let mut members = cluster.members.iter().filter(|member| member.group == group);
        members.all(|member| tree::files(&member.base).contains_key(split(&id).1))
    });
    format!("/{id}")
}

#[test]
fn lost_packets_delay_only_those_who_need_them() {
    network::own();
    let mut cluster = Cluster::start("packets", 2);
    let (small, large) = (content(100_000, 1), content(40 << 20, 2));
    let near = stored(&cluster, "group1", &small);
    let [far, long] = [&small, &large].map(|data| stored(&cluster, "group2", data));
    cluster.start_nginx(0);
    let addr = cluster.members[0].nginx_addr;
    let near = (near.as_str(), small.as_slice());
    let comes = || http::get(addr, &far).body == small;
    wait_for("nginx knows the members", Duration::from_secs(30), comes);
    let members = [cluster.members[2].addr, cluster.members[3].addr];

    // One of them is the one that nginx is connected with; the other one answers for it.
    let waited = members.map(|member| {
        lose(&[member]);
        let (answer, meanwhile) = beside(addr, &far, near);
        assert!(answer.status == 200 && answer.body == small, "{member}: {}", answer.status);
        lose(&[]);
        meanwhile
    });
    assert!(waited.iter().any(|count| *count > 10), "{waited:?} answers meanwhile");

    // In the middle of a file nobody can take over: the client is told by the end of its connection.
    wait_for("both members again", Duration::from_secs(30), comes);
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET {long} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut begin = [0; 1000];
    stream.read_exact(&mut begin).unwrap();
    assert!(begin.starts_with(b"HTTP/1.1 200 "));
    lose(&members);
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    assert!(
        end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "it stays open"
    );
    assert!(rest.len() < large.len() - begin.len(), "{} bytes", rest.len());

    // Without the trackers too; what is here goes on.
    lose(&[members[0], members[1], cluster.tracker(0), cluster.tracker(1)]);
    for url in [&far, &far.replace("/00/", "/01/")] {
        let (answer, meanwhile) = beside(addr, url, near);
        assert!(matches!(answer.status, 502..=504) && meanwhile > 0, "{url}: {} {meanwhile}", answer.status);
    }
    lose(&[]);
    wait_for("the members again", Duration::from_secs(60), comes);
}
