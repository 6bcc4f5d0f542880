//! Answers that wait for a peer wait for their own files alone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use fdfs_core::binlog::Op;
use fdfs_core::fileid::Kind;
use fdfs_core::settings::{Millis, OnTimeout};

use crate::proxy::Proxy;
use crate::support::{LIMIT, Member, name_of, until};

/// Uploads to a member; its status.
fn upload(member: &Member, content: &[u8]) -> u8 {
    let mut stream = TcpStream::connect(member.addr).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let size = content.len() as u64;
    let head = [&(size + 15).to_be_bytes()[..], &[11, 0, 0], &size.to_be_bytes(), b"bin\0\0\0"].concat();
    stream.write_all(&[&head, content].concat()).unwrap();
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).unwrap();
    answer[9]
}

/// A member whose answers wait for another one.
fn waiting(dir: &Path) -> Member {
    Member::start_with(dir, 1, |settings| {
        settings.min_copies = 2;
        settings.min_copies_timeout = Millis(60_000);
        settings.min_copies_on_timeout = OnTimeout::Fail;
    })
}

#[test]
fn a_file_that_is_refused_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let two = Member::start(dir.path(), 2);
    let mut one = waiting(dir.path());
    // A folder stands where this file should be.
    let poison = name_of(one.storage.identity.source, Kind::Normal, b"poison");
    std::fs::create_dir_all(two.path_of(&poison)).unwrap();
    std::fs::write(one.path_of(&poison), b"poison").unwrap();
    one.log(Op::Create, &poison, None);
    one.send_to(&[(2, two.addr)]);
    until("the record is set aside", || one.storage.peers.lags().iter().any(|(_, lag)| lag.aside > 0));
    let began = Instant::now();
    for n in 0..20 {
        assert_eq!(upload(&one, &[n; 100]), 0);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_member_that_comes_back_in_time_counts() {
    let dir = tempfile::tempdir().unwrap();
    let two = Member::start(dir.path(), 2);
    let mut one = waiting(dir.path());
    let proxy = Proxy::start(two.addr);
    one.send_to(&[(2, proxy.addr)]);
    until("replication runs", || one.storage.peers.lags().iter().any(|(_, lag)| lag.connected));
    proxy.cut(true);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..100u16)
            .map(|n| {
                scope.spawn({
                    let one = &one;
                    move || upload(one, &n.to_be_bytes())
                })
            })
            .collect();
        let log = || one.records().len() == 100;
        until("all are logged", log);
        assert!(waiting.iter().all(|one| !one.is_finished()), "nobody has a copy");
        proxy.pass();
        assert!(waiting.into_iter().all(|one| one.join().unwrap() == 0));
    });
    assert_eq!(two.records().len(), 100);
    proxy.end();
}
