//! A lost store path is filled from an existing member: with its recorded list, and with what was on its disk.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::Kind;
use fdfs_core::ident::StorageStatus;
use fdfs_core::wire::list::{GroupRecord, StorageRecord};
use fdfs_core::wire::storage::Download;
use fdfs_core::wire::{AddrWidth, Header, Text, cmd};
use fdfs_net::{CancellationToken, Part};
use fdfs_storage::link::Calls;
use fdfs_storage::recovery;
use serde_json::Value;
use zerocopy::{FromZeros, IntoBytes};

use crate::recorded::{bytes, vectors};
use crate::support::{GROUP, Member, existing, id};

#[test]
fn from_the_recorded_list() {
    let Some(dir) = vectors() else { return };
    let plain = dir.join("plain");
    let text = fs::read_to_string(plain.join("client.jsonl")).unwrap();
    let line = text.lines().find(|line| line.contains("\"fetch-one-path-binlog\"")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let [asked, told] = ["request", "response"].map(|key| bytes(line[key].as_str().unwrap()));
    assert_eq!(told[..10], [4, 0, 0, 0, 0, 0, 0, 0, 100, 0], "2^58");
    let left = tempfile::tempdir().unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.arg("xzf").arg(plain.join("tree-s11.tar.gz")).arg("-C").arg(left.path());
    assert!(tar.status().unwrap().success());
    let disk: PathBuf = left.path().join("data/fastdfs/storage/data");

    let requests: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let source = existing({
        let (disk, told, requests) = (disk.clone(), told[10..].to_vec(), Arc::clone(&requests));
        move |_, request| match request[8] {
            cmd::FETCH_ONE_PATH_BINLOG => {
                requests.lock().unwrap().push(request.to_vec());
                (0, told.clone())
            }
            cmd::DOWNLOAD_FILE => {
                let name = Download::parse(&request[10..]).unwrap().file.name;
                match fs::read(disk.join(std::str::from_utf8(&name[4..]).unwrap())) {
                    // As it does since 6.15.4.
                    Ok(content) if content.is_empty() => (22, content),
                    Ok(content) => (0, content),
                    Err(_) => (2, Vec::new()),
                }
            }
            _ => (0, Vec::new()),
        }
    });
    let statuses: Arc<Mutex<Vec<u8>>> = Arc::default();
    let tracker = existing({
        let statuses = Arc::clone(&statuses);
        move |_, request| match request[8] {
            cmd::LIST_ONE_GROUP => {
                let mut group = GroupRecord::new_zeroed();
                (group.name, group.store_path_count) = (Text::cut(GROUP.as_bytes()), 1.into());
                (0, group.as_bytes().to_vec())
            }
            cmd::LIST_STORAGE => {
                let mut out = Vec::new();
                for (n, status) in [(1, StorageStatus::Offline), (2, StorageStatus::Active)] {
                    let mut record = StorageRecord::parse_list(&[0; 487]).unwrap()[0];
                    (record.head.status, record.head.id) = (status.wire(), id(n).field());
                    record.ip = Text::cut(source.ip().to_string().as_bytes());
                    record.tail.port = i64::from(source.port()).into();
                    record.put(&mut out, AddrWidth::V4);
                }
                (0, out)
            }
            cmd::REPORT_STATUS => {
                statuses.lock().unwrap().push(request[10 + 16]);
                (0, Vec::new())
            }
            _ => (0, Vec::new()),
        }
    });

    let temp = tempfile::tempdir().unwrap();
    let member = Member::start(temp.path(), 1);
    member.storage.update_init(|init| init.sync_old_done = true).unwrap();
    let calls = Calls::new(&member.storage, &[vec![tracker]]);
    let storage = Arc::clone(&member.storage);
    let part = Part::start("recovery".into(), move || async move {
        recovery::run(&storage, &calls, &CancellationToken::new()).await
    });
    part.unwrap().join().unwrap().unwrap();

    assert_eq!(*requests.lock().unwrap(), [asked], "as the recorded request");
    assert_eq!(
        *statuses.lock().unwrap(),
        [StorageStatus::Recovery, StorageStatus::Offline].map(|one| one.wire())
    );
    let lines = std::str::from_utf8(&told[10..told.len() - 8]).unwrap();
    let mut times: HashMap<String, Vec<i64>> = HashMap::new();
    for line in lines.lines() {
        let record = Record::parse(line.as_bytes()).unwrap();
        times.entry(record.name).or_default().push(record.timestamp);
    }
    let (mut whole, mut gone) = (0, 0);
    for (name, times) in &times {
        let there = fs::read(disk.join(&name[4..])).ok();
        assert_eq!(member.read(name), there, "{name}");
        match there {
            None => gone += 1,
            Some(_) => {
                let mtime = fs::metadata(member.path_of(name)).unwrap().mtime();
                assert!(times.contains(&mtime), "{name}: {mtime} of {times:?}");
                whole += 1;
            }
        }
    }
    println!("{whole} files, {gone} that the source has lost since");
    assert!(whole > 15, "{whole}");
    let leftover = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains("recovery");
    let data = fs::read_dir(member.base.join("data")).unwrap().map(Result::unwrap);
    assert_eq!(data.filter(leftover).count(), 0, "no state is left");
}

/// A slave that was made again has its own time, not that of the one before: a delete that comes later is told apart by it.
#[test]
fn the_list_has_the_times_of_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let member = Member::start(dir.path(), 1);
    let slave = member.create(Kind::Normal, b"master").replace(".txt", "_s.txt");
    let now = fdfs_storage::now();
    member.log_at(now - 60, Op::Create, &slave, None);
    member.log_at(now - 30, Op::Delete, &slave, None);
    fs::write(member.path_of(&slave), "again").unwrap();
    let time = fs::metadata(member.path_of(&slave)).unwrap().mtime();
    member.log_at(time, Op::Create, &slave, None);

    let request = [Text::<16>::cut(GROUP.as_bytes()).as_bytes(), &[0]].concat();
    let head = Header::request(cmd::FETCH_ONE_PATH_BINLOG, request.len() as u64);
    let mut stream = TcpStream::connect(member.addr).unwrap();
    stream.write_all(&[&head.encode(), request.as_slice()].concat()).unwrap();
    let mut list = Vec::new();
    stream.read_to_end(&mut list).unwrap();
    let list = String::from_utf8_lossy(&list).into_owned();
    let times: Vec<&str> =
        list.lines().filter_map(|line| line.strip_suffix(&slave)?.strip_suffix(" C ")).collect();
    let time = time.to_string();
    assert_eq!(times, [&time, &time]);
}
