use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::echo::{ECHO, SLOW, answer, ask, frame, rest, start};

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn the_longest_idle_make_room_for_new_ones() {
    let server = start(|conf| conf.max_connections = 16);
    let mut all = Vec::new();
    for n in 0..60 {
        // The connection before this one has been counted when it was answered; a refused one is tried again.
        let mut tries = 0;
        let stream = loop {
            let mut stream = server.connect();
            stream.write_all(&frame(ECHO, b"hi")).unwrap();
            let mut first = [0; 12];
            if std::io::Read::read_exact(&mut stream, &mut first).is_ok() {
                break stream;
            }
            tries += 1;
            assert!(tries < 100, "connection {n} was never served");
        };
        all.push(stream);
    }
    assert!(*server.echo.live.lock().unwrap() <= 16);
    assert_eq!(ask(all.last_mut().unwrap(), ECHO, b"newest"), (0, b"newest".to_vec()));
    assert!(rest(&mut all[0]).is_empty());
}

#[test]
fn busy_connections_are_never_closed_and_peers_have_slots() {
    let server = start(|conf| {
        conf.max_connections = 5;
        conf.reserved_peers = 2;
        conf.is_peer = Arc::new(|ip| ip.is_loopback() && ip != std::net::Ipv4Addr::new(127, 0, 0, 1));
    });
    let mut busy: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for stream in &mut busy {
        stream.write_all(&frame(SLOW, b"")).unwrap();
    }
    wait_until("three busy", || *server.echo.live.lock().unwrap() == 3);
    assert!(rest(&mut server.connect()).is_empty(), "a fourth client is refused");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let wait = Duration::from_secs(5);
    let timeouts = fdfs_net::Timeouts { connect: wait, network: wait };
    runtime.block_on(async {
        let from = Some("127.0.0.2".parse().unwrap());
        let mut peer = fdfs_net::Peer::connect(server.addr, timeouts, from).await.unwrap();
        assert_eq!(&peer.ask(ECHO, b"peer", 9).await.unwrap()[..], b"peer");
    });
    server.echo.gate.cancel();
    for stream in &mut busy {
        assert_eq!(answer(stream), (0, b"done".to_vec()));
    }
}

#[test]
fn a_stop_lets_requests_finish_and_closes_the_idle() {
    let mut server = start(|_| {});
    let mut idle = server.connect();
    ask(&mut idle, ECHO, b"x");
    let mut busy = server.connect();
    busy.write_all(&frame(SLOW, b"")).unwrap();
    wait_until("both are served", || *server.echo.live.lock().unwrap() == 2);
    server.stop.cancel();
    assert!(rest(&mut idle).is_empty());
    server.echo.gate.cancel();
    assert_eq!(answer(&mut busy), (0, b"done".to_vec()));
    server.join();
    assert!(std::net::TcpStream::connect(server.addr).is_err());
}

#[test]
fn a_stop_is_bounded() {
    let mut server = start(|conf| conf.drain = Duration::from_millis(200));
    let mut busy = server.connect();
    busy.write_all(&frame(SLOW, b"")).unwrap();
    wait_until("it is served", || *server.echo.live.lock().unwrap() == 1);
    server.stop.cancel();
    server.join();
    assert!(rest(&mut busy).is_empty());
}

#[test]
fn hosts_that_are_not_allowed_get_nothing() {
    let server = start(|conf| conf.allow = fdfs_net::AllowHosts::parse(&["127.0.0.5"]).0);
    assert!(rest(&mut server.connect()).is_empty());
}
