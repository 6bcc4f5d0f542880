//! Content goes in and comes out; names say what is in the files.

use fdfs_core::fileid::{FileName, Kind, Source, crc32};
use fdfs_core::wire::list::stat;
use fdfs_core::wire::storage::FileInfo;

use crate::bodies;
use crate::support::{Running, mtime, name_of, request};

fn content(len: usize) -> Vec<u8> {
    let mut state = len as u32 | 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

#[test]
fn every_size_comes_back() {
    let running = Running::start();
    let mut client = running.client();
    for len in [0, 1, 100, 4096, 65_526, 262_129, 262_144, 262_145, 1 << 20, (8 << 20) + 3] {
        let sent = content(len);
        let name = client.upload("bin", &sent);
        let parsed = FileName::parse(name.as_bytes(), 1).unwrap();
        let blob = parsed.blob().unwrap();
        assert_eq!((blob.size(), blob.crc32, blob.kind()), (len as u64, crc32(&sent), Kind::Normal));
        assert_eq!(blob.source, Source::Ip([10, 66, 0, 21].into()));
        let path = running.file(&name);
        assert_eq!(i64::from(blob.timestamp), mtime(&path));
        assert!(std::fs::read(&path).unwrap() == sent, "{len}");
        assert!(client.download(&name, 0, 0) == (0, sent.clone()), "{len}");
        for (offset, count) in [(0, 1), (1, 0), (len / 2, 7), (len / 3, len), (len, 0)] {
            let from = offset.min(len);
            let to = if count == 0 { len } else { (from + count).min(len) };
            let (status, got) = client.download(&name, offset as i64, count as i64);
            if offset > len {
                assert_eq!(status, 22);
                client = running.client();
            } else {
                assert!((status, &got[..]) == (0, &sent[from..to]), "{len}: {offset}+{count}");
            }
        }
    }
}

#[test]
fn records_counters_and_folders() {
    let running = Running::with(2, |settings, _| settings.file_distribute_rotate_count = 1);
    let mut client = running.client();
    let names: Vec<String> = (0..5).map(|n| client.upload("", &content(n))).collect();
    let places: Vec<&str> = names.iter().map(|name| &name[..9]).collect();
    assert_eq!(places, ["M00/00/00", "M01/00/01", "M00/00/02", "M01/00/03", "M00/01/00"]);
    assert_eq!(running.log(), names.iter().map(|name| format!("C {name}")).collect::<Vec<_>>());
    let (status, body) = client.call(11, &bodies::upload(1, "txt", b"here"));
    assert_eq!((status, &name_of(&body)[..4]), (0, "M01/"));
    let sums = running.storage.stat.sums();
    assert_eq!((sums[stat::UPLOAD], sums[stat::UPLOAD + 1], sums[stat::UPLOAD_BYTES]), (6, 6, 14));
    running.storage.save_stat().unwrap();
    let saved = std::fs::read_to_string(running.storage.data_dir().join("storage_stat.dat")).unwrap();
    assert!(saved.starts_with("total_upload_count=6\nsuccess_upload_count=6\n"), "{saved}");
    assert!(
        saved.ends_with("dist_path_index_high=1\ndist_path_index_low=2\ndist_write_file_count=0\n"),
        "{saved}"
    );
}

#[test]
fn a_removed_folder_comes_back() {
    let running = Running::start();
    std::fs::remove_dir_all(running.bases[0].join("data/00")).unwrap();
    let name = running.client().upload("txt", b"content");
    assert_eq!(std::fs::read(running.file(&name)).unwrap(), b"content");
}

#[test]
fn delete_takes_the_metadata_along() {
    let running = Running::start();
    let mut client = running.client();
    let name = client.upload("jpg", b"picture");
    assert_eq!(client.set_metadata(&name, b'O', b"width\x02160"), 0);
    assert_eq!(running.tree().len(), 2);
    assert_eq!(client.delete(&name), 0);
    assert!(running.tree().is_empty());
    assert_eq!(client.delete(&name), 2);
    assert_eq!(client.download(&name, 0, 0).0, 2);
    assert_eq!(running.log()[2..], [format!("D {name}"), format!("D {name}-m")]);
    client.ping();
}

#[test]
fn slaves_and_appenders() {
    let running = Running::start();
    let mut client = running.client();
    let master = client.upload("jpg", b"master");
    let (status, body) = client.call(21, &bodies::slave(&master, "_small", "gif", b"slave"));
    let slave = name_of(&body);
    assert_eq!((status, &slave), (0, &format!("{}_small.gif", &master[..40])));
    assert_eq!(client.download(&slave, 0, 0), (0, b"slave".to_vec()));
    assert_eq!(client.call(21, &bodies::slave(&master, "_small", "gif", b"other")).0, 17);
    assert_eq!(std::fs::read(running.file(&slave)).unwrap(), b"slave");
    let (status, body) = client.call(23, &bodies::upload(0xFF, "log", b"first lines"));
    let appender = name_of(&body);
    assert!(status == 0 && FileName::parse(appender.as_bytes(), 1).unwrap().is_appender());
    // 44 characters as an ordinary name has, but a slave.
    let (status, body) = client.call(21, &bodies::slave(&master, "_big", "", b"as long as any"));
    let short = name_of(&body);
    assert_eq!((status, short.len()), (0, 44));
    // Their names do not carry what they are: it is looked up.
    for (name, text) in [(&slave, &b"slave"[..]), (&short, b"as long as any"), (&appender, b"first lines")] {
        let (status, body) = client.call(22, &bodies::name(name));
        let info = FileInfo::parse(&body).unwrap();
        assert_eq!((status, info.size, info.crc32), (0, text.len() as u64, crc32(text)));
        let mut quick = request(22, &bodies::name(name));
        quick[9] = 1;
        client.send(&quick);
        assert_eq!(FileInfo::parse(&client.answer().1).unwrap().crc32, 0);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let running = Running::start();
    let mut client = running.client();
    let mut all = Vec::new();
    for n in 0..50 {
        all.extend(request(11, &bodies::upload(0xFF, "txt", &content(n * 100))));
        all.extend(request(111, b""));
    }
    client.send(&all);
    for n in 0..50 {
        let (status, body) = client.answer();
        assert_eq!(status, 0);
        assert!(std::fs::read(running.file(&name_of(&body))).unwrap() == content(n * 100));
        assert_eq!(client.answer(), (0, vec![]));
    }
}

#[test]
fn a_store_path_that_is_not_there_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not-mounted").to_str().unwrap().to_owned();
    let conf = fdfs_core::settings::StorePathConf { path, readonly: false };
    let Err(error) = fdfs_storage::disk::StorePaths::open(&[conf], 4) else { panic!("it was made") };
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("not-mounted"), "{error}");
}
