//! Every operation arrives.

use fdfs_core::binlog::Op;
use fdfs_core::fileid::Kind;

use crate::support::{Member, until};

#[test]
fn all_eight() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = (Member::start(dir.path(), 1), Member::start(dir.path(), 2));
    one.send_to(&[(2, two.addr)]);
    let sent = |what: &str, done: &dyn Fn() -> bool| until(what, done);

    let small = one.create(Kind::Normal, b"small");
    let large = one.create(Kind::Normal, &vec![7; 3 << 20]);
    let empty = one.create(Kind::Normal, b"");
    sent("create", &|| [&small, &large, &empty].iter().all(|name| two.read(name) == one.read(name)));

    let metadata = format!("{small}-m");
    std::fs::write(one.path_of(&metadata), "a\x02b").unwrap();
    one.log(Op::Create, &metadata, None);
    sent("metadata", &|| two.read(&metadata).is_some());
    std::fs::write(one.path_of(&metadata), "a\x02c").unwrap();
    one.log(Op::Update, &metadata, None);
    sent("update", &|| two.read(&metadata).unwrap() == b"a\x02c");

    let appender = one.create(Kind::Appender, b"0123456789");
    sent("appender", &|| two.read(&appender).is_some());
    one.append(&appender, b"abc");
    sent("append", &|| two.read(&appender).unwrap() == b"0123456789abc");
    one.modify(&appender, 2, b"XYZ");
    sent("modify", &|| two.read(&appender).unwrap() == b"01XYZ56789abc");
    one.append(&appender, &vec![9; 600 << 10]);
    sent("large append", &|| two.read(&appender) == one.read(&appender));
    one.modify(&appender, 5, &vec![8; 700 << 10]);
    sent("large modify", &|| two.read(&appender) == one.read(&appender));
    one.truncate(&appender, 4);
    sent("truncate", &|| two.read(&appender).unwrap() == b"01XY");
    one.truncate(&appender, 8);
    sent("extension", &|| two.read(&appender).unwrap() == b"01XY\0\0\0\0");
    let renamed = one.rename(&appender);
    sent("rename", &|| two.read(&appender).is_none() && two.read(&renamed).unwrap() == b"01XY\0\0\0\0");

    let link = small.replace(".txt", "_link.txt");
    std::os::unix::fs::symlink(one.path_of(&small), one.path_of(&link)).unwrap();
    one.log(Op::Link, &link, Some(small.clone()));
    sent("link", &|| two.path_of(&link).is_symlink() && two.read(&link).unwrap() == b"small");
    assert_eq!(std::fs::read_link(two.path_of(&link)).unwrap(), two.path_of(&small));

    for name in [&link, &metadata, &small, &large, &renamed] {
        one.delete(name);
    }
    sent("delete", &|| [&link, &small, &large, &renamed].iter().all(|name| !two.path_of(name).exists()));
    one.wait_sent(1);

    let records = two.records();
    let source: Vec<String> =
        one.records().iter().map(|line| line[..1].to_lowercase() + &line[1..]).collect();
    let mut ordered = (records.clone(), source.clone());
    ordered.0.sort();
    ordered.1.sort();
    assert_eq!(ordered.0, ordered.1, "the peer's log tells the same");
    drop(one);
}

#[test]
fn thousands_keep_their_order_per_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = (Member::start(dir.path(), 1), Member::start(dir.path(), 2));
    let files: Vec<String> = (0..20).map(|n| one.create(Kind::Appender, &[n])).collect();
    one.send_to(&[(2, two.addr)]);
    for round in 0..100u8 {
        for name in &files {
            let done = match round % 10 {
                9 => one.truncate(name, 3),
                5 => one.modify(name, 1, &[round; 2]),
                _ => one.append(name, &[round; 3]),
            };
            assert!(done);
        }
        // Not the same files each round while they are appended to.
        one.create(Kind::Normal, &[round; 100]);
    }
    one.wait_sent(1);
    for name in one.records().iter().filter_map(|line| line.split(' ').nth(1)) {
        assert!(one.read(name) == two.read(name), "{name}");
    }
    assert_eq!(one.storage.peers.lags()[0].1.aside, 0);
    let lag = &one.storage.peers.lags()[0].1;
    assert_eq!((lag.records, lag.log_bytes, lag.oldest, lag.error.clone()), (0, 0, None, None));
}
