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
