//! Every request that was recorded from the existing module, sent to ours: the same answer, or a better one that is
//! written down here and in `docs/compatibility.md`. The recordings lie beside the project (`FDFS_VECTORS`); without them the
//! test says so and passes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use fdfs_core::fileid::{FileName, crc32};

use fdfs_tests::module::member::Member;
use fdfs_tests::module::server::{Answer, Nginx, Setup, parse, raw};

/// When the recorded files were uploaded, s.
const TIME: u32 = 0x6b02_a44c;

/// `Content-Type` is that of the recorded configuration, which knew pictures only.
const HTTP: &str = "server { listen 127.0.0.1:PLAIN; root ROOT/plain; }";

struct Recorded {
    name: String,
    place: String,
    request: String,
    answer: Answer,
    body: Option<Vec<u8>>,
    body_len: usize,
}

/// Where the recordings are; says so when they are not.
fn vectors() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let dir = std::env::var_os("FDFS_VECTORS").map_or_else(beside, PathBuf::from);
    let there = dir.join("http/http.jsonl").exists();
    if !there {
        eprintln!("no recordings: skipped");
    }
    there.then_some(dir)
}

fn recordings() -> Option<Vec<Recorded>> {
    let text = std::fs::read_to_string(vectors()?.join("http/http.jsonl")).unwrap();
    Some(text.lines().map(recorded).collect())
}

fn recorded(line: &str) -> Recorded {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    // Bytes were written as characters of the same number.
    let body = value["body"].as_str().map(|text| text.chars().map(|c| u8::try_from(c).unwrap()).collect());
    let answer = parse(text("head").as_bytes(), true);
    let body_len = usize::try_from(value["body_len"].as_u64().unwrap()).unwrap();
    Recorded { name: text("name"), place: text("where"), request: text("request"), answer, body, body_len }
}

/// The files behind the recordings, by logic name. Of the longer ones only some bytes were recorded.
fn files(all: &[Recorded]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for row in all.iter().filter(|row| row.place == "local" && row.name.starts_with("get")) {
        let name = row.request.split(' ').nth(1).unwrap().strip_prefix("/group1/").unwrap();
        let content = row.body.clone().unwrap_or_else(|| vec![b'?'; row.body_len]);
        files.insert(name.to_owned(), content);
    }
    for row in all.iter().filter(|row| row.place == "static" && row.name.starts_with("range")) {
        let name = row.request.split(' ').nth(1).unwrap().strip_prefix("/group1/").unwrap();
        let (Some(range), Some(body)) = (row.answer.header("content-range"), &row.body) else { continue };
        let Some(from) = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()) else {
            continue;
        };
        let from: usize = from.parse().unwrap_or(usize::MAX);
        if row.answer.status == 206 && from != usize::MAX {
            files.get_mut(name).unwrap()[from..from + body.len()].copy_from_slice(body);
        }
    }
    files
}

/// What is asked for instead of the recorded answer; `None`: exactly the recorded one.
fn better(row: &Recorded) -> Option<(u16, &'static str)> {
    Some(match (row.name.as_str(), row.place.as_str()) {
        (_, "static") if row.answer.header("content-type").is_some_and(|kind| kind.contains("boundary")) => {
            (206, "another boundary")
        }
        (_, "static") => return None,
        ("range bytes=0-0", _) => (206, "one byte is one byte"),
        ("range bytes=-0", _) => (416, "the last 0 bytes are nothing"),
        ("range bytes=5000-6000" | "range bytes=100-50" | "range bytes=abc", _) => {
            (416, "with Content-Range")
        }
        ("range bytes=0-9,9000-9999", _) => (206, "the range that can be answered is"),
        ("range items=0-9", _) => (200, "another unit is no reason to cut"),
        (name, _) if name.starts_with("range") && name.contains(',') => (206, "nginx's frame"),
        ("ims-equal" | "ims-equal-head" | "ims-and-range" | "inm-star", _) => {
            (304, "with the validators, and empty")
        }
        ("ius-earlier", _) => (412, "without the file's bytes behind it"),
        ("if-range-old-date", _) => (200, "another file than the client has"),
        ("filename-arg-encoded", _) => (200, "a quote does not end the name"),
        ("redirect-arg", "proxied") => (200, "a member that has the file is asked"),
        ("other-group", _) => (404, "a file of a group that nobody knows"),
        _ => return None,
    })
}

/// Headers that must be those of the recording. `etag` is new, and the version of nginx not the point. nginx says
/// `accept-ranges` with whole files only.
fn comparable(answer: &Answer) -> BTreeMap<String, String> {
    let ignored = if answer.status == 206 {
        ["date", "server", "etag", "accept-ranges"]
    } else {
        ["date", "server", "etag", ""]
    };
    answer.headers.iter().filter(|(key, _)| !ignored.contains(&key.as_str())).cloned().collect()
}

/// The page of an error without the version of nginx.
fn text(body: &[u8]) -> String {
    let text: String = body.iter().map(|byte| char::from(*byte)).collect();
    match text.split_once("<hr><center>nginx") {
        Some((before, _)) => before.to_owned(),
        None => text,
    }
}

fn check(row: &Recorded, got: &Answer, whole: &[u8]) {
    let what = format!("{} ({})", row.name, row.place);
    let recorded = &row.answer;
    let Some((status, why)) = better(row) else {
        assert_eq!(got.status, recorded.status, "{what}");
        assert_eq!(comparable(got), comparable(recorded), "{what}");
        match &row.body {
            Some(body) => assert_eq!(text(&got.body), text(body), "{what}"),
            None => assert!(got.body == whole || got.body.is_empty() && row.body_len == 0, "{what}"),
        }
        return;
    };
    let what = format!("{what}: {why}");
    assert_eq!((got.status, got.cut), (status, false), "{what}");
    match status {
        200 => assert!(got.body == whole, "{what}"),
        206 if row.name == "range bytes=0-0" => {
            assert_eq!(
                (got.body.as_slice(), got.header("content-range")),
                (&whole[..1], Some("bytes 0-0/4096")),
                "{what}"
            );
        }
        206 if row.name == "range bytes=0-9,9000-9999" => {
            assert_eq!(
                (got.body.as_slice(), got.header("content-range")),
                (&whole[..10], Some("bytes 0-9/4096")),
                "{what}"
            );
        }
        206 => assert_eq!(
            parts(got),
            parts(&Answer { body: row.body.clone().unwrap(), ..recorded.clone() }),
            "{what}"
        ),
        304 => {
            assert!(got.body.is_empty() && got.header("content-length").is_none(), "{what}");
            assert_eq!(got.header("last-modified"), Some("Sun, 22 Nov 2026 08:14:04 GMT"), "{what}");
            assert_eq!(got.header("etag"), Some("\"6b02a44c-1000\""), "{what}");
        }
        416 => assert_eq!(got.header("content-range"), Some("bytes */4096"), "{what}"),
        _ => {}
    }
    if row.name == "filename-arg-encoded" {
        let name = "attachment; filename=\"foo bar_.bin\"; filename*=UTF-8''foo%20bar%22.bin";
        assert_eq!(got.header("content-disposition"), Some(name), "{what}");
    }
}

/// `Content-Range` and bytes of each part of an answer with several ranges.
fn parts(answer: &Answer) -> Vec<(String, String)> {
    let boundary = answer.header("content-type").unwrap().split_once("boundary=").unwrap().1;
    let body = text(&answer.body);
    let mut parts = Vec::new();
    for part in body.split(&format!("\r\n--{boundary}")).filter(|part| !part.is_empty() && *part != "--\r\n")
    {
        let (head, content) = part.split_once("\r\n\r\n").unwrap();
        let range = head.lines().find(|line| line.to_lowercase().starts_with("content-range")).unwrap();
        parts.push((range.to_lowercase(), content.to_owned()));
    }
    assert!(parts.len() > 1);
    parts
}

/// Ids of the recorded cluster with containers: the id, size and crc of the content.
fn slots(dir: &Path) -> Vec<(String, u64, u64)> {
    let text = std::fs::read_to_string(dir.join("ids-trunk/ids.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.filter_map(|row| {
        let number = |key: &str| row[key].as_u64();
        Some((row["id"].as_str()?.to_owned(), number("data_len")?, number("data_crc32")?))
    })
    .collect()
}

#[test]
fn slots_of_recorded_containers_are_served_from_the_disk() {
    let Some(dir) = vectors() else { return };
    let nginx = Nginx::with(
        "slots",
        &Setup { settings: "store_path0 = ROOT/tree/data/fastdfs/storage\n", ..Setup::default() },
    );
    let tree = nginx.dir().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let archive = dir.join("ids-trunk/tree-s11.tar.gz");
    assert!(Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(&tree).status().unwrap().success());
    let (mut from_slots, mut gone) = (0, Vec::new());
    for (id, len, crc) in slots(&dir) {
        let url = format!("/{id}");
        let answer = nginx.get(&url, &[]);
        let name = FileName::parse(id.strip_prefix("group1/").unwrap().as_bytes(), 1).unwrap();
        let in_slot = name.trunk_slot().is_some() && !name.is_slave();
        if answer.status == 404 {
            gone.push(id);
            continue;
        }
        assert_eq!((answer.status, answer.body.len() as u64), (200, len), "{id}");
        assert_eq!(u64::from(crc32(&answer.body)), crc, "{id}");
        let tag = format!("\"{:x}-{len:x}\"", name.blob().unwrap().timestamp);
        assert!(!name.describes_content() || answer.header("etag") == Some(&tag), "{id}");
        if in_slot && len > 20 {
            from_slots += 1;
            let range = nginx.get(&url, &["Range: bytes=3-9,15-"]);
            assert_eq!(range.status, 206, "{id}");
            let part = nginx.get(&url, &["Range: bytes=5-14"]);
            assert_eq!((part.status, &part.body[..]), (206, &answer.body[5..15]), "{id}");
            let other = id.replace("AAAA", "AAAB");
            assert!(other == id || nginx.get(&format!("/{other}"), &[]).status == 404, "another slot");
        }
    }
    assert!(from_slots > 20 && gone.len() < 5, "{from_slots} {gone:?}");
}

#[test]
fn every_recorded_request_is_answered_as_well_or_better() {
    let Some(all) = recordings() else { return };
    let files = files(&all);
    let member = Member::start("127.0.3.51");
    let plain = fdfs_tests::module::server::free_port();
    let http = HTTP.replace("PLAIN", &plain.to_string());
    let base = Setup { settings: "flv_support = true\n", at: "~ ^/group[0-9]+/M", ..Setup::default() };
    let here = Nginx::with("recorded-here", &Setup { http: &http, ..base });
    let there = Nginx::with("recorded-there", &Setup { members: &[&member], ..base });
    for (name, content) in &files {
        here.store_at(name, content, Some(TIME));
        let path = here.dir().join("plain/group1").join(name);
        fdfs_tests::module::server::write_at(&path, content, Some(TIME));
        member.store_at(name, content, TIME.into());
    }
    for row in &all {
        let port = match row.place.as_str() {
            "local" => here.port,
            "proxied" => there.port,
            _ => plain,
        };
        let answer = raw(port, row.request.as_bytes());
        let name = row.request.split([' ', '?']).nth(1).unwrap().trim_start_matches("/group1/");
        let whole = files.get(name).map_or(&[][..], Vec::as_slice);
        check(row, &parse(&answer, row.request.starts_with("HEAD")), whole);
    }
    assert!(all.len() >= 198 && member.connections() < 40, "{} {}", all.len(), member.connections());
}
