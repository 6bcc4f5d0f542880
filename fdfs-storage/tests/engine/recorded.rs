//! The conversation that clients had with an existing storage, held again with this one: every exchange.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use fdfs_core::fileid::FileName;
use fdfs_core::settings::StorageIds;
use fdfs_core::wire::Header;
use fdfs_core::wire::storage::FileInfo;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Running, name_of};

/// Answers that differ on purpose: the status that is ours, and why.
const OTHER: [(&str, u8, &str); 3] = [
    ("get-metadata-after-malformed", 2, "a dropped record leaves no bytes behind (storage W22)"),
    ("download-offset-at-end", 0, "an empty answer: empty files can be downloaded (storage W28)"),
    ("trunk-alloc", 22, "this storage gives out no slots of trunk files"),
];
/// Bodies that differ on purpose, with the same status.
const OTHER_BODY: [(&str, &str); 4] = [
    ("get-metadata-unsorted", "of repeated names the last value counts"),
    ("get-metadata-long-name", "a cut record leaves no bytes behind (storage W22)"),
    ("append-0-bytes", "no echo of the request (storage W7)"),
    ("truncate-same", "no echo of the request (storage W7)"),
];
/// What the reference cannot say of a storage that makes no trunk files: the file is an ordinary one.
const ORDINARY: [(&str, u8); 1] = [("err-append-to-trunk-file", 22)];

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

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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

/// What a recorded storage had on its disks in the end.
struct Left {
    temp: tempfile::TempDir,
}

impl Left {
    fn unpack(set: &Path) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut tar = std::process::Command::new("tar");
        tar.arg("xzf").arg(set.join("tree-s11.tar.gz")).arg("-C").arg(temp.path());
        assert!(tar.status().unwrap().success());
        Self { temp }
    }

    fn content(&self, name: &str) -> Option<Vec<u8>> {
        let parsed = FileName::parse(name.as_bytes(), 2).unwrap();
        let store = self.temp.path().join("data/fastdfs").join(["storage", "path1"][parsed.path().index()]);
        match parsed.trunk_slot() {
            None => std::fs::read(store.join("data").join(&name[4..])).ok(),
            Some(slot) => {
                let container = store.join("data").join(format!("{}/{:06}", &name[4..9], slot.file));
                let from = slot.offset as usize + 24;
                let size = usize::try_from(parsed.blob().unwrap().size()).unwrap();
                Some(std::fs::read(container).ok()?[from..from + size].to_vec())
            }
        }
    }
}

/// The request as it was sent. Of a long one the beginning was recorded, and what it was the content of.
fn whole_request(line: &Value, left: &Left, given: Option<&String>) -> Vec<u8> {
    let recorded = bytes(line["request"].as_str().unwrap());
    let Some(cut) = line.get("request_cut") else { return recorded };
    let content = left.content(given.unwrap()).unwrap();
    let head = usize::try_from(cut["total"].as_u64().unwrap()).unwrap() - content.len();
    let whole = [&recorded[..head], &content].concat();
    assert_eq!(cut["sha256"], sha256(&whole), "{}", line["name"]);
    whole
}

struct Replay {
    running: Running,
    /// The recorded storage's names, and ours.
    names: BTreeMap<String, String>,
    compared: usize,
}

impl Replay {
    fn translate(&self, request: &[u8]) -> Vec<u8> {
        let mut longest: Vec<_> = self.names.iter().collect();
        longest.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let mut text = request.to_vec();
        let grown = |text: &[u8]| text.len() as i64 - request.len() as i64;
        for (old, new) in longest {
            if !text.windows(old.len()).any(|part| part == old.as_bytes()) {
                continue;
            }
            text = replace(&text, old.as_bytes(), new.as_bytes());
            if old.len() != new.len() {
                // A slave, or a name in a trunk file: the lengths inside the request are those of ours.
                let lengths = |len: usize| (len as u64).to_be_bytes();
                let head = Header::decode(text.first_chunk().unwrap());
                if matches!(head.cmd, 13 | 21 | 24) {
                    let body = replace(&text[10..18], &lengths(old.len()), &lengths(new.len()));
                    text.splice(10..18, body);
                }
            }
            // One name is within the other: the longest was it.
            break;
        }
        let head = Header::decode(text.first_chunk().unwrap());
        let len = head.len + grown(&text);
        text[..8].copy_from_slice(&len.to_be_bytes());
        text
    }

    fn exchange(&mut self, line: &Value, left: &Left) {
        let what = line["name"].as_str().unwrap();
        let status = line["status"].as_u64().map(|status| u8::try_from(status).unwrap());
        let cmd = line["cmd"].as_u64().unwrap();
        let answer = bytes(line["response"].as_str().unwrap_or_default());
        let given = named(&answer).filter(|_| status == Some(0) && matches!(cmd, 11 | 21 | 23 | 38));
        let request = whole_request(line, left, given.as_ref());
        let mut client = self.running.client();
        client.send(&self.translate(&request));
        self.compared += 1;
        if line["why"].as_str().is_some_and(|why| why.contains("lies"))
            || line["note"].as_str().is_some_and(|note| note.contains("above what the body holds"))
        {
            client.0.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let Some(status) = status else {
            assert!(client.closed(), "{what} closes without an answer");
            return;
        };
        if cmd == 26 && status == 0 {
            self.stream(&mut client.0, &answer, line);
            return;
        }
        let (got, body) = client.answer();
        let other = OTHER.iter().find(|(name, ..)| *name == what).map(|(_, status, _)| *status);
        let ordinary = ORDINARY.iter().find(|(name, _)| *name == what).map(|(_, status)| *status);
        assert_eq!(got, other.or(ordinary).unwrap_or(status), "{what}");
        if other.or(ordinary).is_some() {
            return;
        }
        match line["closed_after"] == true {
            true => assert!(client.closed(), "{what} closes"),
            false => client.ping(),
        }
        if let Some((_, why)) = OTHER_BODY.iter().find(|(name, _)| *name == what) {
            assert_ne!(answer[10..], body, "{what}: {why}");
            return;
        }
        match (cmd, given) {
            (_, Some(given)) => {
                let new = name_of(&body);
                if FileName::parse(given.as_bytes(), 2).unwrap().trunk_slot().is_none() {
                    assert_eq!(given.len(), new.len(), "{what}");
                }
                self.names.insert(given, new);
            }
            (22, _) if status == 0 => {
                let (old, new) = (FileInfo::parse(&answer[10..]).unwrap(), FileInfo::parse(&body).unwrap());
                assert_eq!(answer.len(), body.len() + 10, "{what}");
                assert_eq!((old.size, old.crc32), (new.size, new.crc32), "{what}");
                // Those of the other member were uploaded here too.
                let ip = |info: &FileInfo| String::from_utf8(info.source_ip.bytes().to_vec()).unwrap();
                assert_eq!(ip(&old).replace("10.66.0.22", "10.66.0.21"), ip(&new), "{what}");
            }
            _ => match line.get("response_cut") {
                Some(cut) => {
                    let head = Header { len: body.len() as i64, cmd: 100, status: 0 }.encode();
                    assert_eq!(cut["sha256"], sha256(&[&head[..], &body].concat()), "{what}");
                }
                None => assert_eq!(answer[10..], body, "{what}"),
            },
        }
    }

    /// One path's binlog (26): a length of 2^58, lines, the number of their bytes, the end of the connection.
    fn stream(&self, from: &mut std::net::TcpStream, recorded: &[u8], line: &Value) {
        let mut ours = Vec::new();
        from.read_to_end(&mut ours).unwrap();
        assert_eq!(ours[..10], recorded[..10]);
        let (lines, count) = ours[10..].split_at(ours.len() - 18);
        assert_eq!(count, (lines.len() as u64).to_be_bytes());
        assert!(line.get("response_cut").is_none());
        let theirs = &recorded[10..recorded.len() - 8];
        // Names that both know; the recorded storage had files from before.
        let list = |text: &[u8]| -> BTreeSet<(String, String)> {
            let text = String::from_utf8(text.to_vec()).unwrap();
            let fields = |line: &str| {
                let mut fields = line.split(' ').skip(1).map(str::to_owned);
                (fields.next().unwrap(), fields.next().unwrap())
            };
            text.lines().map(fields).collect()
        };
        let known: BTreeSet<_> = list(theirs)
            .into_iter()
            .filter_map(|(op, name)| {
                let file = name.strip_suffix("-m").unwrap_or(&name);
                let ours = self.names.get(file)?;
                Some((op, name.replace(file, ours)))
            })
            .collect();
        assert!(known.len() > 10);
        assert_eq!(list(lines), known);
    }
}

fn replay(set: &str) -> usize {
    let Some(dir) = vectors() else { return 0 };
    let text = std::fs::read_to_string(dir.join(set).join("client.jsonl")).unwrap();
    let left = Left::unpack(&dir.join(set));
    let paths = if set == "multi" { 2 } else { 1 };
    let running = Running::with(paths, |_, params| {
        params.wide_addresses = set == "multi";
        params.id_in_names = set == "ids-trunk";
        params.use_storage_id = params.id_in_names;
        let ids = "100001 group1 10.66.0.21\n100002 group1 10.66.0.22\n100003 group2 10.66.0.31\n";
        params.ids = StorageIds::parse("ids", ids).unwrap().0;
    });
    let mut replay = Replay { running, names: BTreeMap::new(), compared: 0 };
    let mut exchanges = 0;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["role"] == "storage" {
            exchanges += 1;
            replay.exchange(&line, &left);
        }
    }
    assert_eq!(replay.compared, exchanges);
    eprintln!("{set}: {exchanges} recorded exchanges were held again");
    exchanges
}

#[test]
fn the_recorded_conversations() {
    if vectors().is_some() {
        assert_eq!([replay("plain"), replay("multi"), replay("ids-trunk")], [214, 214, 103]);
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

/// Names of the client's files below a store path, `XX/YY/name`; of containers and state files none.
fn names_below(data: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let folders = |dir: &Path| -> Vec<std::path::PathBuf> {
        let hex = |name: &str| name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.is_dir() && hex(path.file_name().unwrap().to_str().unwrap())).collect()
    };
    for folder in folders(data).iter().flat_map(|folder| folders(folder)) {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(data).unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

/// What existing storages left on their disks is served: every file, with the crc of its name, and all metadata.
#[test]
fn recorded_trees_are_adopted() {
    let Some(dir) = vectors() else { return };
    let (mut files, mut crcs, mut texts) = (0, 0, 0);
    for set in ["plain", "multi", "ids-trunk"] {
        for tree in ["s11", "s12"] {
            let temp = tempfile::tempdir().unwrap();
            let mut tar = std::process::Command::new("tar");
            tar.arg("xzf").arg(dir.join(set).join(format!("tree-{tree}.tar.gz"))).arg("-C").arg(temp.path());
            assert!(tar.status().unwrap().success());
            let left = temp.path().join("data/fastdfs");
            let bases: Vec<_> = ["storage", "path1"]
                .map(|name| left.join(name))
                .into_iter()
                .filter(|base| base.exists())
                .collect();
            let before: Vec<Vec<String>> = bases.iter().map(|base| names_below(&base.join("data"))).collect();
            let subdirs = if set == "multi" { 6 } else { 4 };
            let running = Running::on(temp, bases.clone(), |settings, params| {
                settings.base_path = bases[0].to_str().unwrap().into();
                settings.subdir_count_per_path = subdirs;
                params.id_in_names = set == "ids-trunk";
            });
            let mut client = running.client();
            for (path, names) in before.iter().enumerate() {
                for name in names {
                    let on_disk = bases[path].join("data").join(name);
                    let logic = format!("M{path:02X}/{name}");
                    let Ok(content) = std::fs::read(&on_disk) else { continue };
                    let Ok(parsed) = FileName::parse(logic.as_bytes(), 2) else { continue };
                    if let Some(master) = logic.strip_suffix("-m") {
                        // An existing storage leaves the metadata of an appender that was renamed.
                        let renamed = !names.iter().any(|name| *name == master[4..]);
                        let expected = if renamed { (2, Vec::new()) } else { (0, content) };
                        assert_eq!(client.get_metadata(master), expected, "{set} {tree} {logic}");
                        texts += 1;
                        continue;
                    }
                    let (status, got) = client.download(&logic, 0, 0);
                    assert!(status == 0 && got == content, "{set} {tree} {logic}: {status}");
                    files += 1;
                    if let Some(blob) = parsed.blob().filter(|_| parsed.describes_content()) {
                        assert_eq!(
                            (blob.size(), blob.crc32),
                            (got.len() as u64, crc32fast::hash(&got)),
                            "{logic}"
                        );
                        crcs += 1;
                    }
                }
            }
        }
    }
    println!("{files} files, {crcs} of them with a crc in their name, {texts} with metadata");
    assert!(files > 200 && crcs > 100 && texts > 10, "{files} {crcs} {texts}");
}
