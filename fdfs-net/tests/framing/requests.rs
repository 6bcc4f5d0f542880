use std::io::{Read, Write};
use std::os::fd::AsFd;

use fdfs_core::wire::{Header, cmd};
use fdfs_net::{Peer, Timeouts};

use crate::echo::{ECHO, FILE, PIECES, REFUSE, answer, ask, frame, rest, start, start_with};

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = start(|_| {});
    let mut stream = server.connect();
    let all: Vec<u8> =
        (0..100u8).flat_map(|n| frame(if n % 2 == 0 { ECHO } else { PIECES }, &[n; 9])).collect();
    stream.write_all(&all).unwrap();
    for n in 0..100u8 {
        assert_eq!(answer(&mut stream), (0, vec![n; 9]));
    }
    assert_eq!(ask(&mut stream, cmd::ACTIVE_TEST, b""), (0, vec![]));
    stream.write_all(&frame(cmd::QUIT, b"")).unwrap();
    assert!(rest(&mut stream).is_empty());
}

#[test]
fn requests_arrive_byte_by_byte() {
    let server = start(|_| {});
    let mut stream = server.connect();
    stream.set_nodelay(true).unwrap();
    for byte in [frame(PIECES, b"slow hello"), frame(ECHO, b"again")].concat() {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(answer(&mut stream), (0, b"slow hello".to_vec()));
    assert_eq!(answer(&mut stream), (0, b"again".to_vec()));
}

#[test]
fn lengths_that_cannot_be_meant_close_without_an_answer() {
    let server = start(|conf| conf.buff_size = 1000);
    for len in [-1, i64::MIN, 1001, i64::MAX] {
        let mut stream = server.connect();
        stream.write_all(&Header { len, cmd: ECHO, status: 0 }.encode()).unwrap();
        assert!(rest(&mut stream).is_empty(), "{len}");
    }
    assert_eq!(ask(&mut server.connect(), ECHO, &[7; 1000]), (0, vec![7; 1000]));
}

#[test]
fn a_refused_body_is_never_a_request() {
    let server = start(|_| {});
    let mut stream = server.connect();
    // The body is full of requests; none may be answered, and the reply must arrive in spite of the unread bytes.
    let body = frame(ECHO, b"smuggled").repeat(50_000);
    stream.write_all(&Header::request(REFUSE, body.len() as u64).encode()).unwrap();
    let _ = stream.write_all(&body);
    assert_eq!(answer(&mut stream), (28, vec![]));
    assert!(rest(&mut stream).is_empty());
}

#[test]
fn half_a_request_is_given_up() {
    let server = start(|conf| conf.network_timeout = std::time::Duration::from_millis(300));
    for part in [&b""[..], &frame(ECHO, b"abc")[..4], &frame(ECHO, b"abc")[..12]] {
        let mut stream = server.connect();
        stream.write_all(part).unwrap();
        assert!(rest(&mut stream).is_empty());
    }
    // One that has asked before may be silent for longer.
    let mut stream = server.connect();
    ask(&mut stream, ECHO, b"1");
    let mut other = server.connect();
    assert!(rest(&mut other).is_empty());
    assert_eq!(ask(&mut stream, ECHO, b"2"), (0, b"2".to_vec()));
}

#[test]
fn files_go_out_whole_to_a_slow_reader() {
    let mut file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..6_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    file.write_all(&content).unwrap();
    let server = start_with(Some((file, content.len() as u64)), |_| {});
    let mut stream = server.connect();
    stream.write_all(&[frame(FILE, b""), frame(ECHO, b"after")].concat()).unwrap();
    let mut head = [0; 10];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(Header::decode(&head).len, content.len() as i64);
    let mut got = vec![0; content.len()];
    for piece in got.chunks_mut(100_000) {
        stream.read_exact(piece).unwrap();
    }
    assert!(got == content);
    assert_eq!(answer(&mut stream), (0, b"after".to_vec()));
}

#[test]
fn a_file_that_is_too_short_ends_the_connection() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"only this").unwrap();
    let server = start_with(Some((file, 20)), |_| {});
    let mut stream = server.connect();
    stream.write_all(&frame(FILE, b"")).unwrap();
    let got = rest(&mut stream);
    assert_eq!(&got[10..], b"only this");
}

#[test]
fn peers_call_and_stream() {
    let server = start(|_| {});
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let wait = std::time::Duration::from_secs(5);
        let timeouts = Timeouts { connect: wait, network: wait };
        let from = "127.0.0.9".parse().unwrap();
        let mut peer = Peer::connect(server.addr, timeouts, Some(from)).await.unwrap();
        assert_eq!(peer.local().unwrap().ip(), from);
        assert_eq!(&peer.ask(ECHO, b"one", 100).await.unwrap()[..], b"one");
        assert_eq!(peer.ask(99, b"", 100).await.unwrap_err().status().unwrap().0, 22);
        assert!(!peer.is_stale());
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let head = Header::request(ECHO, 1000);
        peer.send_file(&head.encode(), file.as_fd(), 0, 1000).await.unwrap();
        peer.send(Header::request(ECHO, 6), &[b"abc", b"", b"def"]).await.unwrap();
        assert_eq!(&peer.recv(2000).await.unwrap().body[..4], b"\x7fELF");
        assert_eq!(&peer.recv(10).await.unwrap().body[..], b"abcdef");
        peer.send(Header::request(ECHO, 3), &[b"big"]).await.unwrap();
        assert!(peer.recv(2).await.unwrap_err().to_string().contains("at most 2"));
        assert!(Peer::connect("127.0.0.1:1".parse().unwrap(), timeouts, None).await.is_err());
    });
}

#[test]
fn an_active_test_with_a_body_is_refused() {
    for close in [true, false] {
        let server = start(|conf| conf.close_on_bad_test = close);
        let mut stream = server.connect();
        assert_eq!(ask(&mut stream, cmd::ACTIVE_TEST, b"x"), (22, vec![]));
        if close {
            assert!(rest(&mut stream).is_empty());
        } else {
            assert_eq!(ask(&mut stream, cmd::ACTIVE_TEST, b""), (0, vec![]));
        }
    }
}
