//! The conversation that clients had with an existing storage, held again with this one.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use fdfs_core::wire::storage::FileInfo;
use serde_json::Value;

use crate::support::Running;

/// What is different on purpose.
const OTHER: [(&str, &str); 3] = [
    ("download-offset-at-end", "an empty answer: empty files can be downloaded (storage W28)"),
    ("get-metadata-after-malformed", "a dropped record leaves no bytes behind (storage W22)"),
    ("get-metadata-long-name", "a cut record leaves no bytes behind (storage W22)"),
];
/// Commands of this storage; what others change is not looked at afterwards.
const ANSWERED: [u64; 11] = [9, 11, 12, 13, 14, 15, 21, 22, 23, 101, 251];

fn vectors() -> Option<PathBuf> {
    let dir = std::env::var_os("FDFS_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    );
    if !dir.is_dir() {
        eprintln!("captured vectors are absent ({}): this test checked nothing", dir.display());
    }
    dir.is_dir().then_some(dir)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A file that the recorded storage named.
fn named(answer: &[u8]) -> Option<String> {
    let name = answer.get(26..)?;
    name.starts_with(b"M0").then(|| String::from_utf8(name.to_vec()).unwrap())
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match text.windows(from.len()).position(|part| part == from) {
        Some(at) => [&text[..at], to, &text[at + from.len()..]].concat(),
        None => text.to_vec(),
    }
}

fn replay(set: &str, paths: u32, wide: bool) -> usize {
    let Some(dir) = vectors() else { return 0 };
    let text = std::fs::read_to_string(dir.join(set).join("client.jsonl")).unwrap();
    let running = Running::with(paths, |_, params| params.wide_addresses = wide);
    let mut names: HashMap<String, String> = HashMap::new();
    let mut unknown: HashSet<String> = HashSet::new();
    let mut compared = 0;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let what = line["name"].as_str().unwrap();
        if line["role"] != "storage" {
            continue;
        }
        let elsewhere = line["server"] != "10.66.0.21:23000";
        let (Some(request), Some(status)) = (line["request"].as_str(), line["status"].as_u64()) else {
            continue;
        };
        let (recorded, answer) = (bytes(request), bytes(line["response"].as_str().unwrap_or_default()));
        let given = named(&answer).filter(|_| status == 0);
        let within = |name: &String| recorded.windows(name.len()).any(|part| part == name.as_bytes());
        let skipped = line.get("request_cut").is_some() || !ANSWERED.contains(&line["cmd"].as_u64().unwrap());
        if skipped || elsewhere || unknown.iter().any(within) {
            // Changed by what is not answered here or at the peer, or made by a request that is not here as a whole.
            unknown.extend(given);
            unknown.extend(names.keys().filter(|name| status == 0 && within(name)).cloned());
            continue;
        }
        let mut longest: Vec<_> = names.iter().collect();
        longest.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let found = longest.iter().find(|(name, _)| within(name));
        let ours =
            found.map_or(recorded.clone(), |(old, new)| replace(&recorded, old.as_bytes(), new.as_bytes()));
        let mut client = running.client();
        client.send(&ours);
        if line["why"].as_str().is_some_and(|why| why.contains("lies")) {
            client.0.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let (got, body) = client.answer();
        if OTHER.iter().any(|(name, _)| *name == what) {
            continue;
        }
        assert_eq!(u64::from(got), status, "{what}");
        if line["closed_after"] == true {
            assert!(client.closed(), "{what} closes");
        } else {
            client.ping();
        }
        compared += 1;
        if status != 0 {
            assert!(body.is_empty(), "{what}");
            continue;
        }
        match line["cmd"].as_u64().unwrap() {
            11 | 21 | 23 => {
                let (given, new) = (given.unwrap(), crate::support::name_of(&body));
                assert_eq!(given.len(), new.len(), "{what}");
                names.insert(given, new);
            }
            22 => {
                let (old, new) = (FileInfo::parse(&answer[10..]).unwrap(), FileInfo::parse(&body).unwrap());
                assert_eq!(answer.len(), body.len() + 10, "{what}");
                assert_eq!(
                    (old.size, old.crc32, old.source_ip),
                    (new.size, new.crc32, new.source_ip),
                    "{what}"
                );
            }
            _ if line.get("response_cut").is_none() => assert_eq!(answer[10..], body, "{what}"),
            _ => {}
        }
    }
    eprintln!("{set}: {compared} recorded exchanges were held again");
    compared
}

#[test]
fn the_recorded_conversations() {
    if vectors().is_some() {
        assert!(replay("plain", 1, false) >= 100);
        assert!(replay("multi", 2, true) >= 100);
    }
}

/// State files that an existing storage left are read and written back to the last byte.
#[test]
fn recorded_state_files_keep_their_bytes() {
    use fdfs_storage::state::{InitFlag, Stat, read_saved};
    let Some(dir) = vectors() else { return };
    for set in ["plain", "multi"] {
        let temp = tempfile::tempdir().unwrap();
        let mut tar = std::process::Command::new("tar");
        tar.arg("xzf").arg(dir.join(set).join("tree-s11.tar.gz")).arg("-C").arg(temp.path());
        assert!(tar.status().unwrap().success());
        let data = temp.path().join("data/fastdfs/storage/data");
        let flag = std::fs::read(data.join(".data_init_flag")).unwrap();
        InitFlag::open(&data, 1).unwrap().save().unwrap();
        assert_eq!(std::fs::read(data.join(".data_init_flag")).unwrap(), flag, "{set}");
        let saved = std::fs::read_to_string(data.join("storage_stat.dat")).unwrap();
        let (counters, dist) = read_saved(&saved);
        assert_eq!(Stat::new(&counters).text(dist), saved, "{set}");
        let mark = std::fs::read_to_string(data.join(".fastdfs_vars")).unwrap();
        assert_eq!(fdfs_storage::disk::PathMark::parse_file(&mark).unwrap().file(), mark, "{set}");
    }
}
