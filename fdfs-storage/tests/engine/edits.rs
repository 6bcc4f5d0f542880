//! Changes inside appender files, their names, and links.

use std::io::Write;

use fdfs_core::fileid::{FileName, Kind, crc32};
use fdfs_core::ident::{Extension, GroupName};
use fdfs_core::wire::Text;
use fdfs_core::wire::edit::{Append, CreateLink, Modify, Truncate};
use fdfs_core::wire::list::stat;

use crate::bodies;
use crate::support::{Client, GROUP, Running, mtime, name_of, request, until};

const APPEND: u8 = 24;
const MODIFY: u8 = 34;
const TRUNCATE: u8 = 36;
const REGENERATE: u8 = 38;
const CREATE_LINK: u8 = 20;

fn append_body(name: &str, content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    Append { size: content.len() as u64, name: name.as_bytes() }.put(&mut body);
    [body, content.to_vec()].concat()
}

fn append(client: &mut Client, name: &str, content: &[u8]) -> (u8, Vec<u8>) {
    client.call(APPEND, &append_body(name, content))
}

fn modify(client: &mut Client, name: &str, offset: u64, content: &[u8]) -> (u8, Vec<u8>) {
    let mut body = Vec::new();
    Modify { offset, size: content.len() as u64, name: name.as_bytes() }.put(&mut body);
    client.call(MODIFY, &[body, content.to_vec()].concat())
}

fn truncate(client: &mut Client, name: &str, size: u64) -> (u8, Vec<u8>) {
    let mut body = Vec::new();
    Truncate { size, name: name.as_bytes() }.put(&mut body);
    client.call(TRUNCATE, &body)
}

fn appender(client: &mut Client, content: &[u8]) -> String {
    let (status, body) = client.call(23, &bodies::upload(0xFF, "log", content));
    assert_eq!(status, 0);
    name_of(&body)
}

const DONE: (u8, Vec<u8>) = (0, Vec::new());

#[test]
fn changes_and_their_records() {
    let running = Running::start();
    let mut client = running.client();
    let name = appender(&mut client, b"hello");
    let path = running.file(&name);
    assert_eq!(append(&mut client, &name, b" world"), DONE);
    assert_eq!(modify(&mut client, &name, 0, b"HELLO"), DONE);
    assert_eq!(modify(&mut client, &name, 11, b"!"), DONE, "a range may begin at the end");
    assert_eq!(std::fs::read(&path).unwrap(), b"HELLO world!");
    assert_eq!(truncate(&mut client, &name, 5), DONE);
    assert_eq!(truncate(&mut client, &name, 7), DONE);
    assert_eq!(std::fs::read(&path).unwrap(), b"HELLO\0\0");
    // Nothing to do: done, without a record, and with an empty body.
    assert_eq!(append(&mut client, &name, b""), DONE);
    assert_eq!(modify(&mut client, &name, 3, b""), DONE);
    assert_eq!(truncate(&mut client, &name, 7), DONE);
    let changes = ["C", "A 5 6", "M 0 5", "M 11 1", "T 12 5", "T 5 7"];
    let lines = changes.map(|change| {
        let (op, range) = change.split_once(' ').unwrap_or((change, ""));
        format!("{op} {name} {range}").trim_end().to_owned()
    });
    assert_eq!(running.log(), lines);
    let text = std::fs::read_to_string(running.storage.data_dir().join("sync/binlog.000")).unwrap();
    let last: i64 = text.lines().last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert_eq!(mtime(&path), last, "members agree on the time of the change");
    let sums = running.storage.stat.sums();
    assert_eq!((sums[stat::APPEND], sums[stat::APPEND + 1], sums[stat::APPEND_BYTES]), (2, 2, 6));
    assert_eq!((sums[stat::MODIFY], sums[stat::TRUNCATE], sums[stat::MODIFY_BYTES + 1]), (3, 3, 6));
    assert_eq!(running.tree().len(), 1, "no journal is left: {:?}", running.tree());
}

#[test]
fn large_changes() {
    let running = Running::start();
    let mut client = running.client();
    let piece: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let name = appender(&mut client, b"");
    assert_eq!(append(&mut client, &name, &piece), DONE);
    assert_eq!(append(&mut client, &name, &piece[..300_000]), DONE);
    assert_eq!(modify(&mut client, &name, 1000, &piece[..1_000_000]), DONE);
    let mut expected = [&piece[..], &piece[..300_000]].concat();
    expected[1000..1_001_000].copy_from_slice(&piece[..1_000_000]);
    assert!(client.download(&name, 0, 0) == (0, expected));
    assert_eq!(running.tree().len(), 1);
}

#[test]
fn refused_changes_change_nothing() {
    let running = Running::start();
    let mut client = running.client();
    let name = appender(&mut client, b"hello");
    let normal = client.upload("txt", b"hello");
    let missing = name.replace("M00/00/00", "M00/00/01");
    assert_eq!(append(&mut client, &missing, b"x").0, 2);
    assert_eq!(truncate(&mut client, &missing, 1).0, 2);
    assert_eq!(client.call(REGENERATE, missing.as_bytes()).0, 2);
    client.ping();
    let all: [(u8, Vec<u8>); 7] = [
        (APPEND, append_body(&normal, b"x")),
        (MODIFY, {
            let mut body = Vec::new();
            Modify { offset: 6, size: 1, name: name.as_bytes() }.put(&mut body);
            [body, b"x".to_vec()].concat()
        }),
        (APPEND, [&append_body(&name, b"x")[..], b"more"].concat()),
        (TRUNCATE, append_body(&normal, b"")),
        (APPEND, vec![0; 16]),
        (REGENERATE, normal.as_bytes().to_vec()),
        (REGENERATE, b"M00/00/00/short".to_vec()),
    ];
    for (command, body) in all {
        let mut client = running.client();
        assert_eq!(client.call(command, &body).0, 22, "{command}: {body:?}");
    }
    assert_eq!(std::fs::read(running.file(&name)).unwrap(), b"hello");
    assert_eq!(running.log().len(), 2);
}

#[test]
fn a_connection_that_breaks_leaves_the_file_as_it_was() {
    let running = Running::start();
    let mut client = running.client();
    let name = appender(&mut client, b"hello");
    for size in [100_000, 2_000_000] {
        let whole = request(APPEND, &append_body(&name, &vec![7; size]));
        let mut broken = running.client();
        broken.0.write_all(&whole[..whole.len() - 10]).unwrap();
        drop(broken);
    }
    until("both are forgotten", || running.storage.stat.sums()[stat::APPEND] == 2);
    assert_eq!(std::fs::read(running.file(&name)).unwrap(), b"hello");
    assert_eq!((running.log().len(), running.tree().len()), (1, 1));
}

#[test]
fn appends_from_many_clients_do_not_mix() {
    let running = Running::start();
    let name = appender(&mut running.client(), b"");
    std::thread::scope(|scope| {
        for writer in 0..8u8 {
            let (running, name) = (&running, &name);
            scope.spawn(move || {
                let mut client = running.client();
                for _ in 0..40 {
                    assert_eq!(append(&mut client, name, &[writer; 1000]), DONE);
                }
            });
        }
    });
    let content = std::fs::read(running.file(&name)).unwrap();
    assert_eq!(content.len(), 8 * 40 * 1000);
    assert!(content.chunks(1000).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0])));
    let mut starts: Vec<u64> = running
        .log()
        .iter()
        .filter_map(|line| line.strip_prefix(&format!("A {name} "))?.split(' ').next()?.parse().ok())
        .collect();
    starts.sort_unstable();
    assert_eq!(starts, (0..320).map(|n| n * 1000).collect::<Vec<u64>>());
}

#[test]
fn an_ordinary_name_for_an_appender() {
    let running = Running::start();
    let mut client = running.client();
    let old = appender(&mut client, b"hello");
    assert_eq!(append(&mut client, &old, b" world"), DONE);
    assert_eq!(client.set_metadata(&old, b'O', b"a\x02b"), 0);
    let (status, body) = client.call(REGENERATE, old.as_bytes());
    assert_eq!(status, 0);
    let new = name_of(&body);
    let parsed = FileName::parse(new.as_bytes(), 1).unwrap();
    let blob = parsed.blob().unwrap();
    assert_eq!((blob.kind(), blob.size(), blob.crc32), (Kind::Normal, 11, crc32(b"hello world")));
    assert_eq!((&new[..10], &new[37..]), (&old[..10], &old[37..]));
    assert_eq!(client.download(&new, 0, 0), (0, b"hello world".to_vec()));
    assert_eq!(client.get_metadata(&new), (0, b"a\x02b".to_vec()));
    assert_eq!(client.download(&old, 0, 0).0, 2);
    assert_eq!(client.call(REGENERATE, old.as_bytes()).0, 2, "the old name is gone");
    let log = running.log();
    assert_eq!(log[3..], [format!("R {new} {old}"), format!("C {new}-m"), format!("D {old}-m")]);
    assert_eq!(running.tree().len(), 2);
}

#[test]
fn links_show_their_source() {
    let running = Running::start();
    let mut client = running.client();
    let source = client.upload("txt", b"shared");
    let master = client.upload("jpg", b"master");
    let link = |master: &str, prefix: &str, source: &str| {
        let mut body = Vec::new();
        CreateLink {
            group: GroupName::new(GROUP.as_bytes()).unwrap(),
            prefix: Text::cut(prefix.as_bytes()),
            ext: Extension::new(b"txt").unwrap(),
            master: master.as_bytes(),
            source: source.as_bytes(),
            signature: &[1; 24],
        }
        .put(&mut body);
        body
    };
    let (status, body) = client.call(CREATE_LINK, &link("", "", &source));
    assert_eq!(status, 0);
    let own = name_of(&body);
    let (status, body) = client.call(CREATE_LINK, &link(&master, "_small", &source));
    assert_eq!((status, name_of(&body)), (0, master.replace(".jpg", "_small.txt")));
    let slave = name_of(&body);
    for name in [&own, &slave] {
        assert_eq!(client.download(name, 0, 0), (0, b"shared".to_vec()));
        assert!(running.file(name).is_symlink());
    }
    assert_eq!(running.log()[2..], [format!("L {own} {source}"), format!("L {slave} {source}")]);
    assert_eq!(client.call(CREATE_LINK, &link(&master, "_small", &source)).0, 17);
    let mut client = running.client();
    let missing = source.replace("M00/00/00", "M00/00/01");
    assert_eq!(client.call(CREATE_LINK, &link("", "", &missing)).0, 2);
    assert_eq!(running.client().call(CREATE_LINK, &link("", "", &own)).0, 22, "no links to links");
}

/// What a killed process leaves is completed, once.
#[test]
fn changes_under_way_are_completed_at_start() {
    let running = Running::start();
    let mut client = running.client();
    let name = appender(&mut client, b"0123456789");
    let journal = running.bases[0].join("data/.fdfs.edit");
    std::fs::create_dir_all(&journal).unwrap();
    let enter = |file: &str, content: &[u8], line: &str| {
        let end = [&(line.len() as u16).to_be_bytes()[..], b"fdfsEDIT"].concat();
        std::fs::write(journal.join(file), [content, line.as_bytes(), &end].concat()).unwrap();
    };
    let content = || std::fs::read(running.file(&name)).unwrap();
    let replay = || fdfs_storage::edit::replay(&running.storage).unwrap();

    enter("1-0", b"abc", &format!("1795332977 A {name} 10 3\n"));
    assert_eq!((replay(), content()), (1, b"0123456789abc".to_vec()));
    assert_eq!(running.log()[1], format!("A {name} 10 3"));
    // Half of it was written and logged before the kill.
    enter("1-0", b"DEF", &format!("1795332978 M {name} 2 3\n"));
    let line = format!("1795332978 M {name} 2 3\n");
    let mut log = std::fs::File::options()
        .append(true)
        .open(running.storage.data_dir().join("sync/binlog.000"))
        .unwrap();
    log.write_all(line.as_bytes()).unwrap();
    assert_eq!((replay(), content()), (1, b"01DEF56789abc".to_vec()));
    assert_eq!(running.log().iter().filter(|line| line.starts_with('M')).count(), 1, "logged once");
    enter("1-0", b"", &format!("1795332979 T {name} 13 4\n"));
    assert_eq!((replay(), content()), (1, b"01DE".to_vec()));
    // What is torn, or does not fit, is dropped.
    std::fs::write(journal.join("1-0"), b"torn").unwrap();
    enter("1-1", b"xy", &format!("1795332980 A {name} 99 2\n"));
    enter("1-2", b"", "1795332980 T M00/00/01/nothing-here-under-this-name-at-all-1234.log 1 0\n");
    assert_eq!((replay(), content()), (0, b"01DE".to_vec()));
    assert_eq!(std::fs::read_dir(&journal).unwrap().count(), 0);
    let new = name.replacen(&name[10..20], "CkIAFmsCn7", 1);
    enter("1-0", b"", &format!("1795332981 R {new} {name}\n"));
    assert_eq!((replay(), std::fs::read(running.file(&new)).unwrap()), (1, b"01DE".to_vec()));
}
