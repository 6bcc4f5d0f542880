//! The nginx module against members that lie, hang or die.
//!
//! Needs nginx (`FDFS_NGINX`) and the built module (`FDFS_NGINX_MODULE`, default
//! `target/fast/ngx_http_fastdfs_module.so`, from `ci/build-module`).

#![allow(clippy::unwrap_used, clippy::expect_used)] // A failing helper fails the test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fdfs_core::fileid::Kind;
use fdfs_tests::module::id;
use fdfs_tests::module::member::{Lie, Member};
use fdfs_tests::module::server::{Nginx, Setup, parse, raw};

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// The content of chunks.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let end = body.windows(2).position(|at| at == b"\r\n").unwrap();
        let len = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if len == 0 {
            return content;
        }
        content.extend_from_slice(&body[end + 2..end + 2 + len]);
        body = &body[end + 2 + len + 2..];
    }
}

#[test]
fn local_files_are_served_like_any_static_file() {
    let nginx = Nginx::start("local", &[]);
    let data = content(100_000);
    let name = id(&data, Kind::Normal, "127.0.3.1", 1);
    nginx.store(&name, &data);
    let url = format!("/group1/{name}");
    let whole = nginx.get(&url, &[]);
    assert_eq!((whole.status, whole.body == data), (200, true));
    assert_eq!(whole.header("etag"), Some("\"65000000-186a0\""));
    let etag = whole.header("etag").unwrap().to_owned();

    let part = nginx.get(&url, &["Range: bytes=10-19"]);
    assert_eq!((part.status, part.body == data[10..20]), (206, true));
    assert_eq!(nginx.get(&url, &["Range: bytes=100000-"]).status, 416);
    let same = nginx.get(&url, &[&format!("If-None-Match: {etag}")]);
    assert_eq!((same.status, same.body.len()), (304, 0));
    let head = nginx.ask("HEAD", &url, &[]);
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("100000"), 0));
    assert_eq!(nginx.ask("POST", &url, &[]).status, 405);
    assert_eq!(nginx.get(&format!("/group1/{}", id(b"no", Kind::Normal, "127.0.3.1", 2)), &[]).status, 404);
    assert_eq!(nginx.get("/group1/M00/00/../../../etc/passwd", &[]).status, 400);
    assert_eq!(nginx.get(&url.replace("M00", "M01"), &[]).status, 400);
    assert_eq!(nginx.get(&format!("{url}-m"), &[]).status, 404);

    // A torn copy is not the file.
    let torn = id(&data, Kind::Normal, "127.0.3.1", 3);
    nginx.store(&torn, &data[..50_000]);
    assert_eq!(nginx.get(&format!("/group1/{torn}"), &[]).status, 404);
}

#[test]
fn files_elsewhere_come_from_a_member() {
    let (first, second) = (Member::start("127.0.3.11"), Member::start("127.0.3.12"));
    let nginx = Nginx::start("remote", &[&first, &second]);
    let data = content(300_000);
    let name = id(&data, Kind::Normal, "127.0.3.11", 1);
    first.store(&name, &data);
    let url = format!("/group1/{name}");
    let whole = nginx.get(&url, &[]);
    assert_eq!(
        (whole.status, whole.body == data, whole.header("etag")),
        (200, true, Some("\"65000000-493e0\""))
    );
    let etag = whole.header("etag").unwrap().to_owned();

    let part = nginx.get(&url, &["Range: bytes=-5"]);
    assert_eq!((part.status, part.body == data[299_995..]), (206, true));
    assert_eq!(part.header("content-range"), Some("bytes 299995-299999/300000"));
    assert_eq!(nginx.get(&url, &["Range: bytes=300000-"]).status, 416);
    let head = nginx.ask("HEAD", &url, &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("300000")));
    let before = first.requests();
    assert_eq!(nginx.get(&url, &[&format!("If-None-Match: {etag}")]).status, 304);
    assert_eq!(first.requests(), before);
    assert_eq!(first.connections(), 1, "connections are kept");

    let replica = id(&data, Kind::Normal, "127.0.3.11", 2);
    second.store(&replica, &data);
    assert_eq!(nginx.get(&format!("/group1/{replica}"), &[]).body, data);
    let empty = id(b"", Kind::Normal, "127.0.3.11", 3);
    assert_eq!(nginx.get(&format!("/group1/{empty}"), &[]).status, 404);
    first.store(&empty, b"");
    assert_eq!(nginx.get(&format!("/group1/{empty}"), &[]).status, 200);
    let appender = id(b"x", Kind::Appender, "127.0.3.11", 4);
    first.store(&appender, &data);
    let url = format!("/group1/{appender}");
    assert_eq!(nginx.get(&url, &[]).body, data);
    assert_eq!(nginx.get(&url, &["Range: bytes=5-9"]).body, data[5..10]);
}

#[test]
fn an_address_in_an_id_is_contacted_only_when_it_is_a_member() {
    let (member, stranger) = (Member::start("127.0.3.21"), Member::start("127.0.3.66"));
    let nginx = Nginx::start("stranger", &[&member]);
    let name = id(b"made up", Kind::Normal, "127.0.3.66", 1);
    assert_eq!(nginx.get(&format!("/group1/{name}"), &[]).status, 404);
    assert_eq!((member.connections(), stranger.connections()), (1, 0));
}

#[test]
fn lies_never_become_an_answer() {
    let (first, second) = (Member::start("127.0.3.31"), Member::start("127.0.3.32"));
    let data = content(1000);
    for (row, lie) in Lie::ALL.into_iter().enumerate() {
        // A fresh worker remembers no failures.
        let nginx = Nginx::start(&format!("lie{row}"), &[&first, &second]);
        let name = id(&data, Kind::Normal, "127.0.3.31", row as u32);
        first.store(&name, &data);
        second.store(&name, &data);
        let url = format!("/group1/{name}");
        first.tell(Some(lie));
        let answer = nginx.get(&url, &[]);
        if lie == Lie::CutBody {
            assert!(answer.cut && answer.status == 200, "{lie:?}");
        } else {
            assert_eq!(
                (answer.status, answer.body == data),
                (200, true),
                "{lie:?}: the other member answers"
            );
            second.tell(Some(lie));
            let want = if lie == Lie::TooMuch { 200 } else { 502 };
            let answer = nginx.get(&url, &[]);
            assert_eq!(
                (answer.status, want != 200 || answer.body == data),
                (want, true),
                "{lie:?}: both lie"
            );
        }
        first.tell(None);
        second.tell(None);
        assert_eq!(nginx.get(&url, &[]).body, data, "{lie:?}: the truth again");
    }
}

#[test]
fn a_lie_between_two_ranges_cuts_the_answer() {
    let member = Member::start("127.0.3.35");
    let nginx = Nginx::start("between", &[&member]);
    let data = content(1000);
    let name = id(&data, Kind::Normal, "127.0.3.35", 1);
    member.store(&name, &data);
    let ask = || nginx.get(&format!("/group1/{name}"), &["Range: bytes=0-9,100-299,500-501"]);
    let truth = ask();
    assert_eq!((truth.status, truth.cut), (206, false));
    for lie in Lie::ALL {
        for count in [1, 2] {
            member.tell_after(count, lie);
            let answer = ask();
            // What is too much behind the last range is thrown away.
            let whole = lie == Lie::TooMuch && count == 2;
            assert_eq!((answer.status, answer.cut), (206, !whole), "{lie:?} after {count}");
            // What came is right: the boundary differs, the bytes before it do not.
            assert!(!whole || answer.body.len() == truth.body.len(), "{lie:?}");
        }
        member.tell(None);
        assert_eq!(ask().body.len(), truth.body.len(), "{lie:?}: the truth again");
    }
}

#[test]
fn a_large_file_comes_whole_or_is_cut() {
    let member = Member::start("127.0.3.51");
    let nginx = Nginx::with(
        "large",
        &Setup {
            members: &[&member],
            http: "log_format sent '$status $body_bytes_sent $upstream_response_length'; access_log ROOT/access.log sent;",
            more: "location /copied/ { sendfile off; rewrite ^/copied(/.*) $1 break; MODULE }
                location /filtered/ { sub_filter_types *; sub_filter aaaa bbbb; rewrite ^/filtered(/.*) $1 break; MODULE }
                location /longer/ { addition_types *; add_after_body /end; rewrite ^/longer(/.*) $1 break; MODULE }
                location = /end { return 200 end; }",
            ..Setup::default()
        },
    );
    let size = 5_000_000;
    let data = [content(size - 4), b"aaaa".to_vec()].concat();
    let name = id(&data, Kind::Normal, "127.0.3.51", 1);
    member.store(&name, &data);
    let url = format!("/group1/{name}");
    for _ in 0..2 {
        assert!(nginx.get(&url, &[]).body == data);
        assert!(nginx.get(&format!("/copied{url}"), &[]).body == data);
        let part = nginx.get(&url, &["Range: bytes=1000-"]);
        assert!(part.status == 206 && part.body == data[1000..]);
        assert!(
            nginx.get(&format!("/filtered{url}"), &[]).body.ends_with(b"bbbb\r\n0\r\n\r\n"),
            "who needs the bytes sees them"
        );
        let longer = [data.as_slice(), b"end"].concat();
        assert!(
            unchunked(&nginx.get(&format!("/longer{url}"), &[]).body) == longer,
            "chunks have their heads"
        );
    }
    assert_eq!(member.connections(), 1, "connections are kept");
    let lines = std::fs::read_to_string(nginx.dir().join("access.log")).unwrap();
    assert!(lines.starts_with(&format!("200 {size} {size}\n200 {size} {size}\n")), "{lines}");

    // A client that reads in small pieces, then two that leave.
    let ask = |len: usize| {
        let mut stream = TcpStream::connect(("127.0.0.1", nginx.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {url} HTTP/1.0\r\n\r\n").unwrap();
        let mut all = Vec::new();
        let mut piece = vec![0; 3000];
        while all.len() < len {
            match stream.read(&mut piece).unwrap() {
                0 => break,
                got => all.extend_from_slice(&piece[..got]),
            }
        }
        all
    };
    assert!(ask(usize::MAX).ends_with(&data));
    ask(1000);
    ask(1_000_000);

    member.tell(Some(Lie::TooMuch));
    assert!(nginx.get(&url, &[]).body == data);
    member.tell(Some(Lie::CutBody));
    // The end of a connection that would be kept is what tells the client.
    let request = format!("GET {url} HTTP/1.1\r\nHost: test\r\n\r\n");
    let cut = parse(&raw(nginx.port, request.as_bytes()), false);
    assert_eq!((cut.status, cut.cut, data.starts_with(&cut.body)), (200, true, true));
    member.tell(None);
    assert!(nginx.get(&url, &[]).body == data);
}

#[test]
fn a_frozen_member_delays_only_those_who_wait_for_it() {
    let member = Member::start("127.0.3.41");
    let nginx = Nginx::start("frozen", &[&member]);
    let data = content(5000);
    let (here, there) = (id(&data, Kind::Normal, "127.0.3.41", 1), id(&data, Kind::Normal, "127.0.3.41", 2));
    nginx.store(&here, &data);
    member.store(&there, &data);
    member.tell(Some(Lie::Frozen));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| nginx.get(&format!("/group1/{there}"), &[]).status);
        let asked = Instant::now() + Duration::from_secs(5);
        while member.requests() == 0 {
            assert!(Instant::now() < asked, "the member was not asked");
            std::thread::yield_now();
        }
        let start = Instant::now();
        for _ in 0..100 {
            assert_eq!(nginx.get(&format!("/group1/{here}"), &[]).body, data);
        }
        assert!(!waiting.is_finished() && start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(waiting.join().unwrap(), 504);
    });
}
