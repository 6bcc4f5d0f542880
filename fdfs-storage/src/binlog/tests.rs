use std::time::{Duration, SystemTime};

use fdfs_core::binlog::Op;

use super::*;

fn record(n: i64) -> Record {
    Record { timestamp: n, op: Op::Create, replica: false, name: format!("M00/00/00/{n:030}"), more: None }
}

fn all(reader: &mut Reader) -> Vec<i64> {
    let mut found = Vec::new();
    while let Some(item) = reader.read().unwrap() {
        found.push(item.record.unwrap().timestamp);
    }
    found
}

#[test]
fn readers_stop_before_what_is_not_settled() {
    let dir = tempfile::tempdir().unwrap();
    let log = Binlog::open(dir.path()).unwrap();
    let mut reader = log.reader(Pos::default());
    log.append(&record(1)).unwrap().settle();
    let two = log.append(&record(2)).unwrap();
    let three = log.append(&record(3)).unwrap();
    assert_eq!(all(&mut reader), [1]);
    three.settle();
    assert_eq!(all(&mut reader), [0i64; 0]);
    two.settle();
    assert_eq!(all(&mut reader), [2, 3]);
    assert_eq!(reader.pos(), log.end());
    let text = std::fs::read_to_string(dir.path().join("binlog.000")).unwrap();
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn a_torn_line_is_removed_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("binlog.000");
    let whole = format!("{}{}", record(1), record(2));
    for torn in ["", "17953", "1795332974 C M00/00/00/Ck0AFWsCm26EXQA0AAA"] {
        std::fs::write(&path, format!("{whole}{torn}")).unwrap();
        let log = Binlog::open(dir.path()).unwrap();
        log.append(&record(3)).unwrap().settle();
        assert_eq!(all(&mut log.reader(Pos::default())), [1, 2, 3], "{torn}");
    }
    std::fs::write(&path, "no end at all").unwrap();
    assert_eq!(Binlog::open(dir.path()).unwrap().end(), Pos::default());
}

#[test]
fn files_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let log = Binlog::open(dir.path()).unwrap();
    log.append(&record(1)).unwrap().settle();
    // As if the first file were full.
    log.rotate(&mut log.lock()).unwrap();
    log.append(&record(2)).unwrap().settle();
    let mut reader = log.reader(Pos::default());
    assert_eq!(all(&mut reader), [1, 2]);
    drop(log);
    let log = Binlog::open(dir.path()).unwrap();
    assert_eq!(log.end().index, 1);
    let index = std::fs::read_to_string(dir.path().join("binlog_index.dat")).unwrap();
    assert_eq!(index, "current_write=1\ncurrent_compress=0\n");
    // Ended between the two steps of a rotation.
    std::fs::write(dir.path().join("binlog_index.dat"), "current_write=0\ncurrent_compress=0\n").unwrap();
    assert_eq!(Binlog::open(dir.path()).unwrap().end().index, 1);
}

#[test]
fn lines_that_are_no_records_are_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("binlog.000"), format!("1 L  x\n{}", record(2))).unwrap();
    let log = Binlog::open(dir.path()).unwrap();
    let mut reader = log.reader(Pos::default());
    assert!(reader.read().unwrap().unwrap().record.is_err());
    assert_eq!(all(&mut reader), [2]);
}

#[test]
fn waiting_ends_with_an_append() {
    let dir = tempfile::tempdir().unwrap();
    let log = Binlog::open(dir.path()).unwrap();
    let mut reader = log.reader(Pos::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let writer = Arc::clone(&log);
        let thread = std::thread::spawn(move || writer.append(&record(1)).unwrap().settle());
        tokio::time::timeout(std::time::Duration::from_secs(5), reader.wait()).await.unwrap();
        thread.join().unwrap();
    });
    assert_eq!(all(&mut reader), [1]);
}

/// A log of many small files, and what is in it.
fn many(dir: &Path) -> (Arc<Binlog>, Vec<i64>) {
    let log = Binlog::open_with(dir, 400).unwrap();
    let expected: Vec<i64> = (1..=100).collect();
    expected.iter().for_each(|n| log.append(&record(*n)).unwrap().settle());
    (log, expected)
}

fn compress(log: &Binlog, limit: u32) -> Compressed {
    log.compress(limit, SystemTime::now() + Duration::from_secs(60), || false).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_compressed_reads_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let (log, expected) = many(dir.path());
    let last = log.end().index;
    assert!(last > 10);
    let mut starts = Vec::new();
    let mut reader = log.reader(Pos::default());
    while let Some(item) = reader.read().unwrap() {
        starts.push(item.start);
    }
    // Somebody reads a file that is being compressed.
    let mut reading = log.reader(Pos::default());
    assert_eq!(reading.read().unwrap().unwrap().record.unwrap().timestamp, 1);
    let done = compress(&log, 5);
    assert_eq!(done.files, 5);
    let index = || fs::read_to_string(dir.path().join("binlog_index.dat")).unwrap();
    assert_eq!(index(), format!("current_write={last}\ncurrent_compress=5\n"));
    assert_eq!(compress(&log, u32::MAX).files, last - 5, "the one that is written stays");
    assert_eq!(compress(&log, u32::MAX), Compressed::default());
    assert_eq!(all(&mut reading), expected[1..]);
    assert_eq!(all(&mut log.reader(Pos::default())), expected);
    for (at, start) in starts.iter().enumerate() {
        assert_eq!(log.reader(*start).read().unwrap().unwrap().record.unwrap().timestamp, expected[at]);
    }
    assert_eq!(
        names(dir.path()).iter().filter(|name| !name.ends_with(".gz")).count(),
        2,
        "{:?}",
        names(dir.path())
    );
    // gzip itself reads them.
    let status = std::process::Command::new("gzip").arg("-d").arg(dir.path().join("binlog.003.gz")).status();
    assert!(status.unwrap().success());
    assert_eq!(all(&mut log.reader(Pos::default())), expected);
    drop((log, reading));
    let log = Binlog::open_with(dir.path(), 400).unwrap();
    assert_eq!((log.end().index, all(&mut log.reader(Pos::default()))), (last, expected));
}

#[test]
fn compressing_that_was_cut_short_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (log, expected) = many(dir.path());
    // Killed in the middle, or another program was.
    fs::write(dir.path().join("binlog.000.gz"), "half of it").unwrap();
    fs::write(dir.path().join(".binlog.001.gz.tmp"), "half of it").unwrap();
    assert_eq!(all(&mut log.reader(Pos::default())), expected);
    assert_eq!(
        log.compress(9, SystemTime::now() + Duration::from_secs(60), || true).unwrap().files,
        0,
        "told to stop"
    );
    assert_eq!(log.compress(9, SystemTime::UNIX_EPOCH, || false).unwrap().files, 0, "not due");
    assert_eq!(compress(&log, 2).files, 2);
    assert_eq!(all(&mut log.reader(Pos::default())), expected);
    assert!(names(dir.path()).iter().all(|name| !name.ends_with(".tmp")));
    // A damaged one is told, and nothing behind it is taken for the whole.
    let path = dir.path().join("binlog.001.gz");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let mut reader = log.reader(Pos::default());
    let failed = std::iter::from_fn(|| reader.read().transpose()).find_map(Result::err);
    assert!(failed.is_some());
}

#[test]
fn a_log_of_compressed_files_alone_goes_on_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let (log, expected) = many(dir.path());
    let last = log.end().index;
    compress(&log, u32::MAX);
    drop(log);
    fs::remove_file(dir.path().join(format!("binlog.{last:03}"))).unwrap();
    fs::remove_file(dir.path().join("binlog_index.dat")).unwrap();
    let log = Binlog::open(dir.path()).unwrap();
    assert_eq!(log.end(), Pos { index: last, offset: 0 });
    log.append(&record(1000)).unwrap().settle();
    let found = all(&mut log.reader(Pos::default()));
    assert_eq!((found.first(), found.last()), (Some(&expected[0]), Some(&1000)));
}

#[test]
fn the_index_file_of_old_versions_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..2 {
        fs::write(dir.path().join(format!("binlog.{index:03}")), record(index).to_string()).unwrap();
    }
    fs::write(dir.path().join("binlog.index"), "1").unwrap();
    let log = Binlog::open(dir.path()).unwrap();
    assert_eq!(log.end().index, 1);
    let index = fs::read_to_string(dir.path().join("binlog_index.dat")).unwrap();
    assert_eq!(index, "current_write=1\ncurrent_compress=0\n");
    assert_eq!(all(&mut log.reader(Pos::default())), [0, 1]);
    assert!(dir.path().join("binlog.index").exists());
}
