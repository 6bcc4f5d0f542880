use fdfs_core::fileid::{Blob, Kind, Source, StorePath, crc32};
use fdfs_core::ident::Extension;
use fdfs_core::settings::StorePathConf;

use super::*;

/// Two store paths with files, links and things that are none; the names of the first.
fn tree(dir: &Path) -> (StorageSettings, Vec<String>) {
    let stores: Vec<StorePathConf> = ["one", "two"]
        .map(|name| StorePathConf { path: dir.join(name).to_str().unwrap().into(), readonly: false })
        .into();
    let settings = StorageSettings {
        base_path: stores[0].path.clone(),
        store_path_count: 2,
        store_paths: stores,
        ..StorageSettings::default()
    };
    let mut names = Vec::new();
    for n in 0..6u8 {
        let path = StorePath::new(n % 2, 2).unwrap();
        let source = Source::Ip([10, 0, 0, n].into());
        let blob = Blob::new(source, 1_795_000_000, Kind::Normal, 1, crc32(&[n]), n.into());
        let name = FileName::generate(path, (n, 1), &blob, Extension::new(b"txt").unwrap(), 7);
        let file = file_of(&settings, &name.logic());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, [n]).unwrap();
        names.push(name.logic());
    }
    fs::write(file_of(&settings, &(names[0].clone() + "-m")), "a").unwrap();
    let link = names[2].replace(".txt", "_link.txt");
    std::os::unix::fs::symlink(file_of(&settings, &names[0]), file_of(&settings, &link)).unwrap();
    let out = names[4].replace(".txt", "_out.txt");
    std::os::unix::fs::symlink("/etc/hostname", file_of(&settings, &out)).unwrap();
    fs::write(Path::new(&settings.base_path).join("data/00/01/000001"), "a container").unwrap();
    fs::write(Path::new(&settings.base_path).join("data/00/01/debris"), "").unwrap();
    fs::create_dir_all(Path::new(&settings.base_path).join("data/.fdfs.tmp/00")).unwrap();
    names.extend([names[0].clone() + "-m", link]);
    (settings, names)
}

fn file_of(settings: &StorageSettings, name: &str) -> std::path::PathBuf {
    let at: usize = name[1..3].parse().unwrap();
    Path::new(&settings.store_paths[at].path).join("data").join(&name[4..])
}

fn records(settings: &StorageSettings) -> Vec<Record> {
    let log = Binlog::open(&Path::new(&settings.base_path).join("data/sync")).unwrap();
    let mut reader = log.reader(Pos::default());
    std::iter::from_fn(|| reader.read().unwrap()).filter_map(|item| item.record.ok()).collect()
}

#[test]
fn a_lost_log_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, mut names) = tree(dir.path());
    let sync = Path::new(&settings.base_path).join("data/sync");
    fs::create_dir_all(&sync).unwrap();
    let old = Mark { pos: Pos { index: 3, offset: 999 }, synced: 5, ..Mark::default() };
    fs::write(sync.join("100002.mark"), old.to_string()).unwrap();
    let found = Rebuilt { files: 9, missing: 8, containers: 1, outside: 1, ..Rebuilt::default() };
    assert_eq!(rebuild(&settings, false).unwrap(), found);
    assert!(records(&settings).is_empty() && rebuilt(&sync).is_none());
    assert_eq!(rebuild(&settings, true).unwrap(), Rebuilt { peers: 1, ..found });
    let made = records(&settings);
    let mut told: Vec<String> = made.iter().map(|record| record.name.clone()).collect();
    told.sort();
    names.sort();
    assert_eq!(told, names);
    assert!(made.iter().all(|record| record.replica));
    let link = made.iter().find(|record| record.op == Op::Link).unwrap();
    assert!(link.name.contains("_link") && names.contains(&link.more.clone().unwrap()), "{link:?}");
    assert!(made.iter().filter(|record| record.op == Op::Create).count() == 7);
    let mark = Mark::parse(&fs::read_to_string(sync.join("100002.mark")).unwrap()).unwrap();
    assert!(mark.pos == Pos::default() && mark.need_sync_old && !mark.sync_old_done);
    assert!(mark.until_timestamp >= made.iter().map(|record| record.timestamp).max().unwrap());
    // A second run has nothing to do, and leaves the mark as it is by then.
    fs::write(sync.join("100002.mark"), Mark { sync_old_done: true, ..mark }.to_string()).unwrap();
    assert_eq!(rebuild(&settings, true).unwrap(), Rebuilt { missing: 0, ..found });
    assert!(fs::read_to_string(sync.join("100002.mark")).unwrap().contains("sync_old_done=1"));
}

#[test]
fn a_cut_log_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, names) = tree(dir.path());
    let sync = Path::new(&settings.base_path).join("data/sync");
    fs::create_dir_all(&sync).unwrap();
    let line = |op: char, name: &str| format!("1795000000 {op} {name}\n");
    // Two are there, one was deleted and came again without a record, one was renamed, and the last line is torn.
    let text = [
        line('C', &names[0]),
        line('c', &names[1]),
        line('C', &names[2]),
        line('D', &names[2]),
        format!("1795000000 R {} {}\n", names[3], names[4]),
        "1795000000 L  x\n".to_owned(),
        line('C', &names[5])[..30].to_owned(),
    ];
    fs::write(sync.join("binlog.000"), text.concat()).unwrap();
    let mark = Mark { pos: Pos { index: 0, offset: line('C', &names[0]).len() as u64 }, ..Mark::default() };
    fs::write(sync.join("100002.mark"), mark.to_string()).unwrap();
    let done = rebuild(&settings, true).unwrap();
    assert_eq!((done.files, done.missing, done.bad_lines), (9, 5, 1));
    let made: Vec<String> = records(&settings)[5..].iter().map(|record| record.name.clone()).collect();
    let mut wanted = [2, 4, 5, 6, 7].map(|at| names[at].clone());
    let mut made_sorted = made.clone();
    made_sorted.sort();
    wanted.sort();
    assert_eq!(made_sorted, wanted);
    let after = Mark::parse(&fs::read_to_string(sync.join("100002.mark")).unwrap()).unwrap();
    assert_eq!(after.pos, mark.pos, "what the peer has is not sent again");
    assert!(after.need_sync_old && !after.sync_old_done);
}

#[test]
fn a_file_of_the_log_that_is_gone_is_stepped_over() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, names) = tree(dir.path());
    let sync = Path::new(&settings.base_path).join("data/sync");
    fs::create_dir_all(&sync).unwrap();
    for (index, name) in [(0, &names[0]), (2, &names[1])] {
        fs::write(sync.join(format!("binlog.{index:03}")), format!("1795000000 C {name}\n")).unwrap();
    }
    fs::write(sync.join("binlog_index.dat"), "current_write=2\ncurrent_compress=0\n").unwrap();
    assert_eq!(rebuild(&settings, true).unwrap().missing, 6);
    fs::remove_file(sync.join("binlog.000")).unwrap();
    assert_eq!(rebuild(&settings, true).unwrap().missing, 1);
    assert_eq!(rebuild(&settings, true).unwrap().missing, 0);
}
