//! Hosts whose packets get lost: connections neither open nor close, and no byte comes back. In a network of the test's own; needs
//! root, `ip` and `nft`.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use fdfs_tests::cluster::{Cluster, split};
use fdfs_tests::{content, http, tree, wait_for};

/// Runs a program that configures the network.
fn run(program: &str, args: &str) {
    let out = Command::new(program).args(args.split(' ')).output();
    let out = out.unwrap_or_else(|error| panic!("{program}: {error} (ci/packages test installs it)"));
    assert!(out.status.success(), "{program} {args}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A loopback network for this thread, what it starts, and nobody else.
fn own_network() {
    // SAFETY: only this thread changes its network, and it has no socket yet.
    let done = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(done, 0, "no network of its own, which needs root: {}", std::io::Error::last_os_error());
    run("ip", "link set lo up");
    run("nft", "add table ip test");
    run("nft", "add set ip test lost { type ipv4_addr ; }");
    run("nft", "add chain ip test in { type filter hook input priority 0 ; }");
    run("nft", "add rule ip test in ip daddr @lost drop");
    run("nft", "add rule ip test in ip saddr @lost drop");
}

/// What goes to this host or comes from it is lost from now on.
fn lose(addr: SocketAddr) {
    run("nft", &format!("add element ip test lost {{ {} }}", addr.ip()));
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
    own_network();
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
        lose(member);
        let (answer, meanwhile) = beside(addr, &far, near);
        assert!(answer.status == 200 && answer.body == small, "{member}: {}", answer.status);
        run("nft", "flush set ip test lost");
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
    members.into_iter().for_each(lose);
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    assert!(
        end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "it stays open"
    );
    assert!(rest.len() < large.len() - begin.len(), "{} bytes", rest.len());

    // Without the trackers too; what is here goes on.
    (0..2).for_each(|index| lose(cluster.tracker(index)));
    for url in [&far, &far.replace("/00/", "/01/")] {
        let (answer, meanwhile) = beside(addr, url, near);
        assert!(matches!(answer.status, 502..=504) && meanwhile > 0, "{url}: {} {meanwhile}", answer.status);
    }
    run("nft", "flush set ip test lost");
    wait_for("the members again", Duration::from_secs(60), comes);
}
