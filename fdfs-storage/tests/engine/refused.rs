//! Bad input gets its status, and nothing else happens.

use fdfs_core::wire::Header;

use crate::bodies;
use crate::support::{Running, request};

#[test]
fn every_bad_request_has_its_status() {
    let running = Running::start();
    let mut client = running.client();
    let name = client.upload("txt", b"content");
    let missing = name.replace("M00/00/00", "M00/00/01");
    let other_group = [bodies::group("group2"), name.clone().into()].concat();
    let long = format!("M00/00/00/{}", "x".repeat(410));
    let with_group = |range: &[u8], group: &[u8]| [range, group].concat();
    let table: Vec<(&str, u8, Vec<u8>, u8)> = vec![
        ("upload: short head", 11, vec![0xFF; 9], 22),
        ("upload: no body", 11, vec![], 22),
        ("upload: store path", 11, bodies::upload(3, "txt", b"x"), 22),
        ("upload: size too large", 11, bodies::upload_saying(0, 9, "txt", b"x"), 22),
        ("upload: size too small", 11, bodies::upload_saying(0, 1, "txt", b"xyz"), 22),
        ("upload: negative size", 11, bodies::upload_saying(0, -1, "txt", b""), 22),
        ("upload: extension", 11, bodies::upload(0xFF, "a/b", b"x"), 22),
        ("appender: extension", 23, bodies::upload(0xFF, "a b", b"x"), 22),
        ("slave: empty prefix", 21, bodies::slave(&name, "", "txt", b"x"), 22),
        ("slave: prefix", 21, bodies::slave(&name, "../", "txt", b"x"), 22),
        ("slave: metadata", 21, bodies::slave(&name, "-m", "", b"x"), 22),
        ("slave: short", 21, vec![0; 20], 22),
        ("slave: no master", 21, bodies::slave(&missing, "_s", "txt", b"x"), 2),
        ("delete: missing", 12, bodies::name(&missing), 2),
        ("delete: group", 12, other_group.clone(), 22),
        ("delete: no name", 12, bodies::group("group1"), 22),
        ("delete: empty", 12, vec![], 22),
        ("delete: bad group", 12, bodies::name(&name).split_off(2), 22),
        ("set metadata: missing", 13, bodies::metadata(&missing, b'O', b"a\x02b"), 2),
        ("set metadata: flag", 13, bodies::metadata(&name, b'X', b"a\x02b"), 22),
        ("set metadata: short", 13, vec![0; 33], 22),
        ("set metadata: lengths", 13, [&bodies::metadata(&name, b'O', b"a\x02b"), &b"?"[..]].concat(), 22),
        ("get metadata: missing", 15, bodies::name(&missing), 2),
        ("get metadata: none", 15, bodies::name(&name), 2),
        ("get metadata: dots", 15, bodies::name("M00/00/../../.data_init_flag"), 22),
        ("download: missing", 14, bodies::download(&missing, 0, 0), 2),
        ("download: behind the end", 14, bodies::download(&name, 8, 0), 22),
        ("download: negative offset", 14, bodies::download(&name, -1, 0), 22),
        ("download: negative count", 14, bodies::download(&name, 0, -1), 22),
        ("download: short", 14, vec![0; 31], 22),
        ("download: group", 14, with_group(&[0; 16], &other_group), 22),
        ("download: store path", 14, bodies::download(&name.replace("M00", "M01"), 0, 0), 22),
        ("download: no hex", 14, bodies::download(&name.replace("M00", "MZZ"), 0, 0), 22),
        ("download: lower case", 14, bodies::download(&name.replace("00/00/", "0a/00/"), 0, 0), 22),
        ("download: dots", 14, bodies::download("M00/00/00/..", 0, 0), 22),
        ("download: upwards", 14, bodies::download("M00/../../../../etc/passwd", 0, 0), 22),
        ("download: absolute", 14, bodies::download("/etc/passwd-and-more", 0, 0), 22),
        ("download: slash", 14, bodies::download("M00/00/00/a/../../x", 0, 0), 22),
        ("download: NUL", 14, bodies::download("M00/00/00/abc\0def", 0, 0), 22),
        ("download: long", 14, bodies::download(&long, 0, 0), 22),
        ("info: missing", 22, bodies::name(&missing), 2),
        ("info: short", 22, bodies::name("M00/00/00/abcdefgh"), 22),
        ("info: not base64", 22, bodies::name(&format!("M00/00/00/{}", "~".repeat(34))), 2),
        ("info: long", 22, bodies::name(&long), 22),
        ("peer: id", 9, vec![0; 15], 22),
        ("peer: copy", 16, vec![0; 20], 22),
        ("peer: delete", 17, vec![0; 10], 22),
        ("unknown", 251, vec![1, 2, 3], 22),
        ("a tracker's", 101, vec![], 22),
    ];
    let (before, records) = (running.tree(), running.log());
    for (what, cmd, body, status) in table {
        let mut client = running.client();
        assert_eq!(client.call(cmd, &body), (status, vec![]), "{what}");
        // 22 closes, as clients know it; all else leaves the connection in order.
        if status == 22 {
            assert!(client.closed(), "{what}");
        } else {
            client.ping();
        }
        assert_eq!(running.tree(), before, "{what}");
    }
    assert_eq!(running.log(), records);
    assert_eq!(client.download(&name, 0, 0), (0, b"content".to_vec()));
}

#[test]
fn lengths_that_cannot_be() {
    let running = Running::start();
    for cmd in [9, 11, 12, 13, 14, 15, 16, 17, 21, 22, 23, 251] {
        let mut client = running.client();
        client.send(&Header { len: -1, cmd, status: 0 }.encode());
        assert!(client.closed(), "{cmd}");
        for len in [i64::MAX, 1 << 40] {
            let mut client = running.client();
            client.send(&Header { len, cmd, status: 0 }.encode());
            if matches!(cmd, 9 | 12 | 13 | 14 | 15 | 17 | 22 | 251) {
                assert_eq!(client.answer().0, 22, "{cmd}");
                assert!(client.closed(), "{cmd}");
            } else {
                // Commands with content wait for their fixed part, which does not add up.
                client.send(&[0; 64]);
                assert_eq!(client.answer().0, 22, "{cmd}");
            }
        }
    }
    running.client().ping();
}

#[test]
fn a_refused_body_is_no_request() {
    let running = Running::start();
    let mut client = running.client();
    let name = client.upload("txt", b"content");
    let hidden = request(12, &bodies::name(&name)).repeat(50);
    // Refused with 22: closed.
    let mut bad = running.client();
    assert_eq!(bad.call(11, &bodies::upload(9, "txt", &hidden)).0, 22);
    assert!(bad.closed());
    // Refused with another status: thrown away, and the connection goes on.
    assert_eq!(client.call(21, &bodies::slave(&name, "_s", "txt", b"1")).0, 0);
    assert_eq!(client.call(21, &bodies::slave(&name, "_s", "txt", &hidden)).0, 17);
    client.ping();
    assert_eq!(client.download(&name, 0, 0), (0, b"content".to_vec()));
}
