//! Bad requests get the documented status, and nothing else breaks.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw, download, field, file, set_metadata, upload};

/// What a server does with a request.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Does {
    /// Answers the status and keeps the connection.
    Keeps(u8),
    /// Answers the status and closes.
    Closes(u8),
    /// Closes without an answer.
    Hangs,
}
use Does::{Closes, Hangs, Keeps};

fn check(what: &str, addr: SocketAddr, bytes: &[u8], good: (u8, &[u8]), expected: Does) {
    let mut server = Raw::connect(addr);
    // A server may close before it has read all of it.
    let _ = server.send(bytes);
    let found = match server.answer() {
        Err(_) => Hangs,
        Ok(answer) => {
            assert!(answer.body.is_empty(), "{what}: an error with a body");
            match server.ask(good.0, good.1) {
                Ok(next) if next.status == 0 => Keeps(answer.status),
                Ok(next) => panic!("{what}: the next request on the connection got {}", next.status),
                Err(_) => Closes(answer.status),
            }
        }
    };
    assert_eq!(found, expected, "{what}");
    let next = Raw::connect(addr).ask(good.0, good.1).unwrap();
    assert_eq!(next.status, 0, "after {what}: a good request on a new connection");
}

fn request(cmd: u8, body: &[u8]) -> Vec<u8> {
    [&Raw::head(body.len() as i64, cmd, 0)[..], body].concat()
}

#[test]
fn storage_and_tracker() {
    let mut cluster = Cluster::start("bad", 1);
    storage(&cluster);
    tracker(&cluster);
    for index in 0..2 {
        assert!(cluster.storage(index).is_running() && cluster.tracker_process(index).is_running());
    }
}

fn storage(cluster: &Cluster) {
    let addr = cluster.members[0].addr;
    let answer = Raw::connect(addr).ask(raw::UPLOAD, &upload(0, "txt", b"good")).unwrap();
    let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
    let good = download(0, 0, "group1", &name);
    let good = (raw::DOWNLOAD, good.as_slice());
    let missing = name.replace(&name[10..14], "AAAA");
    let named = |name: &str| request(raw::DELETE, &file("group1", name));
    let mut short_upload = upload(0, "txt", b"four");
    short_upload[8] = 5;
    let mut negative_size = upload(0, "txt", b"");
    negative_size[1] = 0x80;
    let mut overlapping = set_metadata(b'O', "group1", &name, b"a\x02b");
    overlapping[7] = 200;
    let cases: Vec<(&str, Vec<u8>, Does)> = vec![
        ("an unknown command", request(250, b""), Closes(22)),
        ("an unknown command with a body", request(250, &[1; 100]), Closes(22)),
        ("a negative length", Raw::head(-1, raw::DOWNLOAD, 0).to_vec(), Hangs),
        ("the most negative length", Raw::head(i64::MIN, raw::UPLOAD, 0).to_vec(), Hangs),
        ("a body of an exabyte", Raw::head(1 << 60, raw::DOWNLOAD, 0).to_vec(), Closes(22)),
        ("an active test with a body", request(111, b"x"), Closes(22)),
        ("an upload shorter than its head", request(raw::UPLOAD, &[0; 14]), Closes(22)),
        ("an upload whose lengths contradict", request(raw::UPLOAD, &short_upload), Closes(22)),
        ("an upload of a negative size", request(raw::UPLOAD, &negative_size), Closes(22)),
        ("an upload with a bad extension", request(raw::UPLOAD, &upload(0, "a/b", b"x")), Closes(22)),
        ("an upload to a path that is not there", request(raw::UPLOAD, &upload(9, "txt", b"x")), Closes(22)),
        ("a download shorter than its head", request(raw::DOWNLOAD, &[0; 31]), Closes(22)),
        (
            "a download from a negative offset",
            request(raw::DOWNLOAD, &download(u64::MAX, 0, "group1", &name)),
            Closes(22),
        ),
        (
            "a download from behind the end",
            request(raw::DOWNLOAD, &download(5, 0, "group1", &name)),
            Closes(22),
        ),
        ("a download of another group", request(raw::DOWNLOAD, &download(0, 0, "group2", &name)), Closes(22)),
        ("a download of no group", request(raw::DOWNLOAD, &download(0, 0, "", &name)), Closes(22)),
        ("a missing file", request(raw::DOWNLOAD, &download(0, 0, "group1", &missing)), Keeps(2)),
        ("a missing file to delete", named(&missing), Keeps(2)),
        ("a directory", named("M00/00/00/."), Closes(22)),
        ("a name that leaves the store", named("M00/../../../etc/passwd"), Closes(22)),
        ("a name with a deeper path", named("M00/00/00/../../secret"), Closes(22)),
        ("a name with a path that is not there", named(&name.replace("M00", "M07")), Closes(22)),
        ("a name in lower case directories", named("M00/0a/0b/wKgB0FmsFrjaAJNn.txt"), Closes(22)),
        ("a name without directories", named("M00/wKgB0FmsFrjaAJNnAAAAAvfh4Ts735.txt"), Closes(22)),
        ("a name of ten bytes", named("M00/00/00/"), Closes(22)),
        ("a name of 310 bytes", named(&format!("M00/00/00/{}", "x".repeat(300))), Closes(22)),
        ("a name with a NUL", named("M00/00/00/abc\0def.txt"), Closes(22)),
        ("no name", request(raw::DELETE, &field("group1", 16)), Closes(22)),
        (
            "metadata of 310 bytes of name",
            request(raw::GET_METADATA, &file("group1", &"M".repeat(310))),
            Closes(22),
        ),
        ("metadata that is not there", request(raw::GET_METADATA, &file("group1", &name)), Keeps(2)),
        ("metadata whose lengths contradict", request(raw::SET_METADATA, &overlapping), Closes(22)),
        (
            "metadata with an unknown flag",
            request(raw::SET_METADATA, &set_metadata(b'X', "group1", &name, b"")),
            Closes(22),
        ),
        (
            "metadata of a missing file",
            request(raw::SET_METADATA, &set_metadata(b'O', "group1", &missing, b"a\x02b")),
            Keeps(2),
        ),
        ("info of a short name", request(raw::FILE_INFO, &file("group1", "M00/00/00/short.txt")), Closes(22)),
        ("info of a missing file", request(raw::FILE_INFO, &file("group1", &missing)), Keeps(2)),
        ("a server id of the wrong length", request(9, b"short"), Closes(22)),
        ("a copy whose lengths contradict", request(16, &[0xFF; 60]), Closes(22)),
        ("a replicated delete without a name", request(17, &[0; 20]), Closes(22)),
    ];
    for (what, bytes, expected) in cases {
        check(what, addr, &bytes, good, expected);
    }
    // The body of a refused upload is full of requests; none may be executed.
    let smuggled = request(raw::DELETE, &file("group1", &name)).repeat(30_000);
    check(
        "requests inside a refused body",
        addr,
        &request(raw::UPLOAD, &upload(9, "txt", &smuggled)),
        good,
        Closes(22),
    );
}

fn tracker(cluster: &Cluster) {
    let addr = cluster.tracker(0);
    let good: (u8, &[u8]) = (91, b"");
    let cases: Vec<(&str, Vec<u8>, Does)> = vec![
        ("an unknown command", request(250, b""), Keeps(22)),
        ("a negative length", Raw::head(-1, 101, 0).to_vec(), Hangs),
        ("a body of an exabyte", Raw::head(1 << 60, 101, 0).to_vec(), Hangs),
        ("a body of 4 GiB", Raw::head(1 << 32, 101, 0).to_vec(), Hangs),
        ("a store query with a body", request(101, b"group1"), Keeps(22)),
        ("a store query for a group of the wrong length", request(104, b"group1"), Keeps(22)),
        ("a store query for an unknown group", request(104, &field("nothere", 16)), Keeps(2)),
        ("a fetch query without a name", request(102, &field("group1", 16)), Keeps(22)),
        (
            "a fetch query of an unknown group",
            request(102, &file("nothere", "M00/00/00/wKgB0FmsFrjaAJNnAAAAAvfh4Ts735.txt")),
            Keeps(2),
        ),
        ("a list of the storages of an unknown group", request(92, &field("nothere", 16)), Keeps(2)),
        ("a beat of nobody", request(83, b""), Keeps(13)),
        ("a join that is too short", request(81, &[0; 144]), Keeps(22)),
        ("a join of no group", request(81, &[0; 145]), Keeps(22)),
    ];
    for (what, bytes, expected) in cases {
        check(what, addr, &bytes, good, expected);
    }
}
