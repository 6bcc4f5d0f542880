//! A member that is new to a living group, and trackers that have not heard of everybody yet.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::Raw;
use fdfs_tests::wait_for;
use socket2::{Domain, Socket, Type};

const JOIN: u8 = 81;
const SYNC_NOTIFY: u8 = 88;
const NOENT: u8 = 2;
const LIMIT: Duration = Duration::from_secs(60);

/// How many notices a tracker got, and how many of them it accepted.
#[derive(Default)]
struct Seen {
    joins: AtomicU32,
    notices: AtomicU32,
    accepted: AtomicU32,
}

/// In front of a tracker: the first notice of who brings the old files is answered like one by a tracker that does not
/// know the source yet. Everything else passes.
fn in_front_of(tracker: SocketAddr, member: IpAddr, seen: &Arc<Seen>) -> SocketAddr {
    let listener = TcpListener::bind((member, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let seen = seen.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let seen = seen.clone();
            std::thread::spawn(move || pass(client, tracker, member, &seen));
        }
    });
    addr
}

fn pass(mut client: TcpStream, tracker: SocketAddr, member: IpAddr, seen: &Seen) -> std::io::Result<()> {
    // The tracker knows a storage by the address that it comes from.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(member, 0).into())?;
    socket.connect(&tracker.into())?;
    let mut tracker = Raw(socket.into());
    loop {
        let mut head = [0; 10];
        client.read_exact(&mut head)?;
        let len = usize::try_from(i64::from_be_bytes(head[..8].try_into().unwrap())).unwrap();
        let mut body = vec![0; len];
        client.read_exact(&mut body)?;
        let command = head[8];
        if command == JOIN {
            seen.joins.fetch_add(1, SeqCst);
        }
        if command == SYNC_NOTIFY && seen.notices.fetch_add(1, SeqCst) == 0 {
            client.write_all(&Raw::head(0, 100, NOENT))?;
            continue;
        }
        let answer = tracker.ask(command, &body)?;
        if command == SYNC_NOTIFY && answer.status == 0 {
            seen.accepted.fetch_add(1, SeqCst);
        }
        let len = i64::try_from(answer.body.len()).unwrap();
        client.write_all(&[&Raw::head(len, 100, answer.status)[..], &answer.body].concat())?;
    }
}

#[test]
fn a_tracker_that_does_not_know_the_source_yet_is_told_again() {
    let mut cluster = Cluster::start("joining", 1);
    let member = cluster.add_member("group1");
    let ip = cluster.members[member].addr.ip();
    let seen: [Arc<Seen>; 2] = Default::default();
    let mut text = cluster.storage_conf(member);
    for (index, seen) in seen.iter().enumerate() {
        let tracker = cluster.tracker(index);
        let front = in_front_of(tracker, ip, seen);
        text = text.replace(&format!("tracker_server = {tracker}\n"), &format!("tracker_server = {front}\n"));
    }
    cluster.start_storage_as(member, &text);
    cluster.wait_active();
    for seen in &seen {
        wait_for("the notice comes again", LIMIT, || seen.accepted.load(SeqCst) > 0);
    }
    let notices = || seen.each_ref().map(|seen| (seen.joins.load(SeqCst), seen.notices.load(SeqCst)));
    // Once a tracker knows it, it is not told again: four more beats come without it.
    let before = notices();
    let beats = || cluster.statuses(0);
    let began = std::time::Instant::now();
    wait_for("some beats", LIMIT, || !beats().is_empty() && began.elapsed() > Duration::from_secs(4));
    for ((joins, had), (joins_now, have)) in before.into_iter().zip(notices()) {
        assert!(have - had <= joins_now - joins, "{had} notices became {have}, with {joins_now} joins");
    }
}
