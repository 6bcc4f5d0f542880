//! Fetched files that nginx keeps (`fastdfs_cache`). `module_static` compares the answers out of the cache with those of
//! stock nginx.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A failing helper fails the test.

use std::path::Path;
use std::time::Duration;

use fdfs_core::fileid::Kind;
use fdfs_tests::module::id;
use fdfs_tests::module::member::{Lie, Member};
use fdfs_tests::module::server::{Nginx, Setup};
use fdfs_tests::{content, wait_for};
use serde_json::Value;

const HTTP: &str = "fastdfs_cache_path ROOT/cache levels=1:2 keys_zone=files:1m;";
const LOCATION: &str = "fastdfs_cache files; add_header X-Cache $upstream_cache_status always;\n\
                        add_header X-Source $fdfs_file_source always;";
const LIMIT: Duration = Duration::from_secs(30);

fn start(name: &str, member: &Member, more: &str) -> Nginx {
    let location = format!("{LOCATION} {more}");
    let more = "location = /status { fastdfs_status; }";
    let setup = Setup { members: &[member], http: HTTP, location: &location, more, ..Setup::default() };
    Nginx::with(name, &setup)
}

/// Status, what the cache says, and how many bytes came.
fn ask(nginx: &Nginx, method: &str, name: &str, headers: &[&str]) -> (u16, String, usize) {
    let answer = nginx.ask(method, &format!("/group1/{name}"), headers);
    let cache = answer.header("x-cache").unwrap_or("-").to_owned();
    if answer.status < 400 {
        let source = if ["HIT", "STALE"].contains(&cache.as_str()) { "cache" } else { "peer" };
        assert_eq!(answer.header("x-source"), Some(source), "{cache}");
    }
    (answer.status, cache, answer.body.len())
}

fn get(nginx: &Nginx, name: &str) -> (u16, String, usize) {
    ask(nginx, "GET", name, &[])
}

fn said(status: u16, cache: &str, len: usize) -> (u16, String, usize) {
    (status, cache.to_owned(), len)
}

/// Files below a folder.
fn files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[test]
fn a_fetched_file_is_fetched_once() {
    let member = Member::start("127.0.3.101");
    let nginx = start("kept", &member, "");
    let data = content(700_000, 1);
    let plain = id(&data, Kind::Normal, "127.0.3.101", 1);
    let slave = plain.replace(".txt", "_150x150.txt");
    let empty = id(b"", Kind::Normal, "127.0.3.101", 2);
    for (name, data) in [(&plain, &data[..]), (&slave, &data[..5000]), (&empty, b"")] {
        member.store(name, data);
        assert_eq!(get(&nginx, name), said(200, "MISS", data.len()), "{name}");
        let asked = member.requests();
        assert_eq!(get(&nginx, name), said(200, "HIT", data.len()), "{name}");
        assert_eq!(nginx.get(&format!("/group1/{name}?token=a&ts=1"), &[]).body, data);
        assert_eq!(member.requests(), asked, "{name}");
    }
    member.tell(Some(Lie::Close));
    assert_eq!(ask(&nginx, "GET", &plain, &["Range: bytes=10-19"]), said(206, "HIT", 10));
    assert_eq!(ask(&nginx, "GET", &slave, &["Range: bytes=4990-"]), said(206, "HIT", 10));
    assert_eq!(ask(&nginx, "HEAD", &slave, &[]), said(200, "HIT", 0));
    let attached = nginx.get(&format!("/group1/{slave}?filename=a.txt"), &[]);
    assert_eq!(attached.header("content-disposition"), Some("attachment; filename=\"a.txt\""));
    let etag = attached.header("etag").unwrap();
    assert_eq!(ask(&nginx, "GET", &slave, &[&format!("If-None-Match: {etag}")]), said(304, "HIT", 0));
    assert_eq!(ask(&nginx, "GET", &slave, &["If-Match: \"x\""]).0, 412);
    let told: Value = serde_json::from_slice(&nginx.get("/status", &[]).body).unwrap();
    let count = |origin: &str, class: &str| told["requests"][origin][class].as_u64();
    assert_eq!((count("peer", "2xx"), count("cache", "2xx")), (Some(3), Some(10)));
    assert_eq!((count("cache", "3xx"), count("cache", "4xx")), (Some(1), Some(1)));
    assert_eq!(files(&nginx.dir().join("cache")), 3);
    assert!(!nginx.log().contains("[crit]") && !nginx.log().contains("[alert]"), "{}", nginx.log());
}

#[test]
fn only_whole_files_that_do_not_change_are_kept() {
    let member = Member::start("127.0.3.102");
    let nginx = start("not-kept", &member, "");
    let data = content(300_000, 2);
    let name = |random| id(&data, Kind::Normal, "127.0.3.102", random);
    let store = |random| {
        member.store(&name(random), &data);
        name(random)
    };

    let part = store(1);
    for _ in 0..2 {
        assert_eq!(ask(&nginx, "GET", &part, &["Range: bytes=10-19"]), said(206, "MISS", 10));
        assert_eq!(ask(&nginx, "GET", &part, &["Range: bytes=10-19,30-39"]).0, 206);
        assert_eq!(ask(&nginx, "HEAD", &part, &[]), said(200, "MISS", 0));
        assert_eq!(ask(&nginx, "GET", &part, &["Range: bytes=300000-"]).0, 416);
        assert_eq!(ask(&nginx, "GET", &part, &["If-Match: \"x\""]).0, 412);
    }
    assert_eq!(files(&nginx.dir().join("cache")), 0);
    assert_eq!(get(&nginx, &part), said(200, "MISS", 300_000));
    assert_eq!(ask(&nginx, "GET", &part, &["Range: bytes=10-19"]), said(206, "HIT", 10));

    let grows = id(&data, Kind::Appender, "127.0.3.102", 2);
    for len in [100, 200] {
        member.store(&grows, &data[..len]);
        assert_eq!(get(&nginx, &grows), said(200, "-", len));
    }

    let cut = store(3);
    member.tell(Some(Lie::CutBody));
    assert!(nginx.get(&format!("/group1/{cut}"), &[]).cut);
    member.tell(Some(Lie::Short));
    assert_eq!(get(&nginx, &cut).0, 502);
    member.tell(None);
    // The member is left alone for a moment.
    wait_for("the file", LIMIT, || get(&nginx, &cut) == said(200, "MISS", 300_000));
    assert_eq!(get(&nginx, &cut), said(200, "HIT", 300_000));

    let missing = name(4);
    assert_eq!(get(&nginx, &missing).0, 404);
    assert_eq!(get(&nginx, &store(4)), said(200, "MISS", 300_000));

    // The right length, but not the crc of the id.
    let damaged = name(5);
    member.store(&damaged, &content(300_000, 3));
    assert_eq!(get(&nginx, &damaged), said(200, "MISS", 300_000));
    assert_eq!(get(&nginx, &store(5)), said(200, "MISS", 300_000));
    let kept = nginx.get(&format!("/group1/{damaged}"), &[]);
    assert_eq!((kept.header("x-cache"), kept.body == data), (Some("HIT"), true));
    // Nothing is left of what was not kept.
    wait_for("four files", LIMIT, || files(&nginx.dir().join("cache")) == 4);
}

#[test]
fn kept_files_outlive_reload_restart_and_members() {
    let member = Member::start("127.0.3.103");
    let mut nginx = start("outlive", &member, "");
    let data = content(100_000, 4);
    let (kept, other) =
        (id(&data, Kind::Normal, "127.0.3.103", 1), id(&data, Kind::Normal, "127.0.3.103", 2));
    member.store(&kept, &data);
    assert_eq!(get(&nginx, &kept), said(200, "MISS", 100_000));
    let asked = member.requests();

    let workers = nginx.process().children();
    nginx.process().signal(libc::SIGHUP);
    wait_for("new workers only", LIMIT, || {
        let now = nginx.process().children();
        !now.is_empty() && workers.iter().all(|old| !now.contains(old))
    });
    assert_eq!(get(&nginx, &kept), said(200, "HIT", 100_000));
    nginx.restart();
    assert_eq!(get(&nginx, &kept), said(200, "HIT", 100_000));
    assert_eq!(member.requests(), asked);

    // A tracker that does not answer, and nobody else to ask.
    let conf = nginx.dir().join("nginx.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, text.replace(&format!("fastdfs_peer group1 {};", member.addr), "")).unwrap();
    let settings = nginx.dir().join("mod_fastdfs.conf");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, format!("{text}\ntracker_server = 127.0.0.1:1\n")).unwrap();
    nginx.restart();
    assert_eq!(get(&nginx, &kept), said(200, "HIT", 100_000));
    assert_eq!(get(&nginx, &other).0, 502);

    // What is damaged on the disk is not believed.
    fn truncate(dir: &Path) {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                truncate(&path);
            } else {
                std::fs::File::options().write(true).open(&path).unwrap().set_len(50_000).unwrap();
            }
        }
    }
    truncate(&nginx.dir().join("cache"));
    assert_eq!(get(&nginx, &kept).0, 502);
}

#[test]
fn an_old_copy_is_fetched_again_or_used_on() {
    let member = Member::start("127.0.3.104");
    let nginx = start("stale", &member, "fastdfs_cache_valid 1s; fastdfs_cache_use_stale error;");
    let data = content(5000, 5);
    let name = id(&data, Kind::Normal, "127.0.3.104", 1);
    member.store(&name, &data);
    assert_eq!(get(&nginx, &name), said(200, "MISS", 5000));
    wait_for("the end of its life", LIMIT, || get(&nginx, &name) == said(200, "EXPIRED", 5000));
    member.tell(Some(Lie::Close));
    wait_for("its end again", LIMIT, || get(&nginx, &name) == said(200, "STALE", 5000));
    assert_eq!(ask(&nginx, "GET", &name, &["Range: bytes=10-19"]), said(206, "STALE", 10));
}

#[test]
fn one_of_many_fetches() {
    let member = Member::start("127.0.3.105");
    let nginx = start("lock", &member, "fastdfs_cache_lock on; fastdfs_cache_lock_timeout 60s;");
    let data = content(2_000_000, 6);
    let name = id(&data, Kind::Normal, "127.0.3.105", 1);
    member.store(&name, &data);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!((get(&nginx, &name).0, get(&nginx, &name).2), (200, 2_000_000)));
        }
    });
    assert_eq!(member.requests(), 1);
}

#[test]
fn a_cache_needs_a_path() {
    let test =
        |location: &str| Nginx::test("cache-conf", &Setup { http: HTTP, location, ..Setup::default() });
    assert!(test("fastdfs_cache files;").0);
    assert!(test("fastdfs_cache off;").0);
    let (good, said) = test("fastdfs_cache other;");
    assert!(!good && said.contains("no fastdfs_cache_path has the zone \"other\""), "{said}");
    let (good, said) = test("fastdfs_cache files; fastdfs_cache off;");
    assert!(!good && said.contains("is duplicate"), "{said}");
}
