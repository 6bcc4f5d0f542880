//! The replication log on real storages: compressed, lost, made again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, programs, tree, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

fn upload(cluster: &Cluster, member: usize, count: u64) -> Vec<String> {
    let mut client = Raw::connect(cluster.members[member].addr);
    let one = |n| {
        let answer = client.ask(raw::UPLOAD, &raw::upload(0, "bin", &content(2000, n))).unwrap();
        assert_eq!(answer.status, 0);
        String::from_utf8(answer.body[16..].to_vec()).unwrap()
    };
    (0..count).map(one).collect()
}

/// What each of them has, when all have the same.
fn wait_same(cluster: &Cluster, count: usize) -> BTreeSet<String> {
    let files =
        |base: &Path| -> BTreeSet<String> { tree::names(base).into_iter().map(|(name, _)| name).collect() };
    let all = || -> Vec<_> { cluster.members.iter().map(|member| files(&member.base)).collect() };
    wait_for("all have the same", LIMIT, || {
        let all = all();
        all[0].len() == count && all.iter().all(|one| *one == all[0])
    });
    all().swap_remove(0)
}

/// As if the log had been closed behind these many lines, some days ago.
fn split(base: &Path, lines: usize) {
    let sync = base.join("data/sync");
    let text = fs::read_to_string(sync.join("binlog.000")).unwrap();
    let at = text.match_indices('\n').nth(lines - 1).unwrap().0 + 1;
    fs::write(sync.join("binlog.000"), &text[..at]).unwrap();
    fs::write(sync.join("binlog.001"), &text[at..]).unwrap();
    fs::write(sync.join("binlog_index.dat"), "current_write=1\ncurrent_compress=0\n").unwrap();
    let old = SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
    fs::File::options().append(true).open(sync.join("binlog.000")).unwrap().set_modified(old).unwrap();
    for entry in fs::read_dir(&sync)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "mark"))
    {
        let mark = fs::read_to_string(entry.path()).unwrap();
        let offset: usize =
            mark.lines().find_map(|line| line.strip_prefix("binlog_offset=")?.parse().ok()).unwrap();
        let mark = mark.replace("binlog_index=0", "binlog_index=1");
        fs::write(
            entry.path(),
            mark.replace(&format!("binlog_offset={offset}"), &format!("binlog_offset={}", offset - at)),
        )
        .unwrap();
    }
}

#[test]
fn a_compressed_log_fills_a_new_member() {
    let mut cluster = Cluster::start("compressed", 1);
    let names = upload(&cluster, 0, 100);
    wait_same(&cluster, 100);
    for member in 0..2 {
        cluster.storage(member).stop();
        split(&cluster.members[member].base, 60);
        cluster.start_storage_with(member, "compress_binlog = true\n");
    }
    let packed =
        |cluster: &Cluster, member: usize| cluster.members[member].base.join("data/sync/binlog.000.gz");
    for member in 0..2 {
        let path = packed(&cluster, member);
        wait_for("the closed file is compressed", LIMIT, || {
            path.exists() && !path.with_extension("").exists()
        });
        let index = path.with_file_name("binlog_index.dat");
        wait_for("that is noted", LIMIT, || {
            fs::read_to_string(&index).unwrap() == "current_write=1\ncurrent_compress=1\n"
        });
    }
    cluster.wait_active();
    let new = cluster.add_member("group1");
    cluster.start_storage(new);
    cluster.wait_active();
    let all = wait_same(&cluster, 100);
    assert!(names.iter().all(|name| all.contains(name)));
    // Also after a start, and what comes then goes everywhere.
    cluster.storage(0).stop();
    cluster.start_storage(0);
    cluster.wait_active();
    upload(&cluster, 0, 20);
    wait_same(&cluster, 120);
}

#[test]
fn a_lost_log_is_made_again_and_nothing_is_missing() {
    let mut cluster = Cluster::start("rebuilt", 1);
    let conf = cluster.members[0].base.join("storage.conf");
    let rebuild = |more: &[&str]| {
        let done = Command::new(programs::rebuild_binlog()).arg(&conf).args(more).output().unwrap();
        (
            done.status.code().unwrap(),
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr),
        )
    };
    upload(&cluster, 0, 50);
    upload(&cluster, 1, 50);
    wait_same(&cluster, 100);
    let (code, text) = rebuild(&["--check"]);
    assert!(code == 2 && text.contains("is running"), "{text}");
    // Acknowledged while the other was away, and never sent: the log is lost before.
    cluster.storage(1).stop();
    let late = upload(&cluster, 0, 30);
    let mut client = Raw::connect(cluster.members[0].addr);
    let metadata = raw::set_metadata(b'O', "group1", &late[0], b"a\x02b");
    assert_eq!(client.ask(raw::SET_METADATA, &metadata).unwrap().status, 0);
    cluster.storage(0).kill();
    for entry in fs::read_dir(cluster.members[0].base.join("data/sync")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("binlog") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let (code, text) = rebuild(&["--check"]);
    assert!(code == 1 && text.starts_with("131 files; without a record: 131;"), "{code} {text}");
    let (code, text) = rebuild(&[]);
    assert!(
        code == 0 && text.contains("without a record: 131, added; peers that will be offered everything: 1"),
        "{text}"
    );
    assert_eq!(rebuild(&["--check"]).0, 0);
    cluster.start_storage(0);
    cluster.start_storage(1);
    cluster.wait_active();
    let all = wait_same(&cluster, 131);
    assert!(late.iter().all(|name| all.contains(name)));
    // What goes on goes on, in both directions, and a member that comes now gets everything from either.
    upload(&cluster, 0, 10);
    upload(&cluster, 1, 10);
    wait_same(&cluster, 151);
    let new = cluster.add_member("group1");
    cluster.start_storage(new);
    cluster.wait_active();
    wait_same(&cluster, 151);
    assert!(tree::unexplained(&cluster.members[0].base).is_empty());
}
