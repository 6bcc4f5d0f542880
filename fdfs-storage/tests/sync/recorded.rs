//! What existing storages said to each other, said again to this one, and by this one.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fdfs_core::binlog::Op;
use fdfs_core::fileid::{FileName, crc32};
use serde_json::Value;

use crate::support::{Member, existing, until};

#[derive(Debug, Clone)]
struct Exchange {
    at: String,
    cmd: u8,
    status: u8,
    request: Vec<u8>,
}

/// Folder of the recordings, if it is there.
pub fn vectors() -> Option<PathBuf> {
    let dir = std::env::var_os("FDFS_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    );
    if !dir.is_dir() {
        eprintln!("captured vectors are absent ({}): this test checked nothing", dir.display());
    }
    dir.is_dir().then_some(dir)
}

/// What the servers of a set said to each other.
pub fn servers(dir: &Path, set: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(set).join("servers.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn exchanges() -> Vec<Exchange> {
    let Some(dir) = vectors() else { return Vec::new() };
    let mut all = Vec::new();
    for set in ["plain", "multi", "ids-trunk"] {
        for line in servers(&dir, set) {
            let storage = |key: &str| line[key].as_str().unwrap().starts_with("storage");
            let cut = line.get("request_cut").is_some();
            if !storage("from") || !storage("to") || cut || line["status"].is_null() {
                continue;
            }
            let exchange = Exchange {
                at: format!("{set} {}", line["n"]),
                cmd: line["cmd"].as_u64().unwrap() as u8,
                status: line["status"].as_u64().unwrap() as u8,
                request: bytes(line["request"].as_str().unwrap()),
            };
            // Trunk allocation, and files inside trunk files, are another matter. Member stores are one path here.
            let known = [9, 16, 17, 18, 25, 35, 37, 40, 111].contains(&exchange.cmd);
            let names = exchange.names();
            let plain = names.iter().all(|name| name.starts_with("M00/") && !name[10..].contains("AAAAAQAA"));
            if known && plain {
                all.push(exchange);
            }
        }
    }
    all
}

pub fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

impl Exchange {
    fn body(&self) -> &[u8] {
        &self.request[10..]
    }

    fn number(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.body()[at..at + 8].try_into().unwrap())
    }

    fn names(&self) -> Vec<String> {
        let text =
            |from: usize, len: usize| String::from_utf8(self.body()[from..from + len].to_vec()).unwrap();
        let len = |at: usize| usize::try_from(self.number(at)).unwrap();
        match self.cmd {
            16 | 18 => vec![text(36, len(0))],
            17 => vec![text(20, self.body().len() - 20)],
            25 | 35 | 37 => vec![text(44, len(0))],
            40 => vec![text(36, len(0)), text(36 + len(0), len(8))],
            _ => Vec::new(),
        }
    }

    /// Where the group is, whose padding the existing daemon does not clear.
    fn group_at(&self) -> usize {
        10 + match self.cmd {
            17 => 4,
            25 | 35 | 37 => 28,
            _ => 20,
        }
    }

    fn timestamp(&self) -> i64 {
        let at = self.group_at() - 4;
        i64::from(i32::from_be_bytes(self.request[at..at + 4].try_into().unwrap()))
    }

    fn content(&self) -> &[u8] {
        let before = match self.cmd {
            25 | 35 => 44 + self.names()[0].len(),
            _ => 36 + self.names()[0].len(),
        };
        &self.body()[before..]
    }

    fn cleared(&self) -> Vec<u8> {
        let mut request = self.request.clone();
        let at = self.group_at();
        if let Some(end) = request[at..at + 16].iter().position(|&byte| byte == 0) {
            request[at + end..at + 16].fill(0);
        }
        request
    }
}

/// Some content of this size and crc.
fn with_crc(size: u64, crc: u32) -> Vec<u8> {
    let table: Vec<u32> = (0..256u32)
        .map(|byte| {
            (0..8).fold(byte, |value, _| if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 })
        })
        .collect();
    let mut content = vec![b'-'; usize::try_from(size).unwrap() - 4];
    // The register before the last four bytes, from that behind them.
    let mut register = !crc;
    for _ in 0..4 {
        let index = table.iter().position(|value| value >> 24 == register >> 24).unwrap();
        register = (register ^ table[index]) << 8 | index as u32;
    }
    content.extend_from_slice(&(register ^ !crc32(&content)).to_le_bytes());
    assert_eq!(crc32(&content), crc);
    content
}

#[test]
fn received() {
    let all = exchanges();
    let mut compared = HashMap::new();
    for exchange in &all {
        if (exchange.cmd, exchange.status) == (35, 17) {
            // A race inside the recorded receiver: the range was there before the data had been read.
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let member = Member::start(dir.path(), 2);
        let names = exchange.names();
        let put = |name: &str, size: u64| {
            let path = member.path_of(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![b'-'; usize::try_from(size).unwrap()]).unwrap();
        };
        match (exchange.cmd, exchange.status) {
            (17, 0) => put(&names[0], 1),
            (25 | 35, 0) => put(&names[0], exchange.number(8)),
            (25, 17) => put(&names[0], exchange.number(8) + exchange.number(16)),
            (37, 0) => put(&names[0], exchange.number(8)),
            (37, 17) => put(&names[0], exchange.number(8) + 1),
            (40, 0) => {
                // What the appender had was not recorded; its new name tells size and crc.
                let blob = FileName::parse(names[0].as_bytes(), 1).unwrap().blob().unwrap();
                put(&names[1], 0);
                std::fs::write(member.path_of(&names[1]), with_crc(blob.size(), blob.crc32)).unwrap();
            }
            (40, 17) => put(&names[0], 5),
            _ => {}
        }
        let mut stream = TcpStream::connect(member.addr).unwrap();
        stream.set_read_timeout(Some(crate::support::LIMIT)).unwrap();
        stream.write_all(&exchange.request).unwrap();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).unwrap();
        // Never with a body, where the existing daemon echoes a rename.
        assert_eq!(answer, [0, 0, 0, 0, 0, 0, 0, 0, 100, exchange.status], "{}", exchange.at);
        let log = member.records();
        match (exchange.cmd, exchange.status) {
            (16 | 18, 0) => {
                assert!(member.read(&names[0]).unwrap() == exchange.content(), "{}", exchange.at);
                let letter = if exchange.cmd == 16 { "c" } else { "u" };
                assert_eq!(log, [format!("{letter} {}", names[0])]);
            }
            (17, _) => assert!(member.read(&names[0]).is_none()),
            (25 | 35, 0) => {
                let start = usize::try_from(exchange.number(8)).unwrap();
                assert!(&member.read(&names[0]).unwrap()[start..] == exchange.content());
            }
            (37, 0) => assert_eq!(member.read(&names[0]).unwrap().len() as u64, exchange.number(16)),
            (40, 0) => {
                assert_eq!(log, [format!("r {} {}", names[0], names[1])]);
                assert!(member.read(&names[0]).is_some() && member.read(&names[1]).is_none());
            }
            (40, _) | (37, _) => assert_eq!(log, [""; 0]),
            _ => {}
        }
        *compared.entry(exchange.cmd).or_insert(0) += 1;
    }
    if !all.is_empty() {
        assert!(compared.len() == 9 && compared.values().sum::<i32>() > 60, "{compared:?}");
    }
}

/// An existing storage: knows no hello and closes; answers everything else with a status that it is told.
fn storage(answers: HashMap<Vec<u8>, u8>) -> (std::net::SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (kept, answers) = (Arc::clone(&seen), Arc::new(answers));
    let addr = existing(move |_, request| {
        let cmd = request[8];
        let status = if cmd == 200 { 22 } else { answers.get(request).copied().unwrap_or(0) };
        if ![9, 111, 200].contains(&cmd) {
            kept.lock().unwrap().push(request.to_vec());
        }
        // As 6.16.1 does: the body of a rename comes back.
        let echo = if cmd == 40 && status == 0 { &request[10..] } else { &[] };
        (status, echo.to_vec())
    });
    (addr, seen)
}

#[test]
fn sent() {
    // Changes of one file are sent as what it is then: one of each file at a time.
    let mut rounds: Vec<HashMap<String, Exchange>> = Vec::new();
    for exchange in exchanges().into_iter().filter(|exchange| !exchange.names().is_empty()) {
        // Truncations that were refused, and renames of lost files, are followed by the whole file here.
        if exchange.status != 0 && matches!(exchange.cmd, 25 | 35 | 37 | 40) && exchange.status != 17
            || (exchange.cmd, exchange.status) == (37, 17)
        {
            continue;
        }
        let name = exchange.names()[0].clone();
        match rounds.iter_mut().find(|round| !round.contains_key(&name)) {
            Some(round) => drop(round.insert(name, exchange)),
            None => rounds.push(HashMap::from([(name, exchange)])),
        }
    }
    let mut compared = 0;
    for round in &rounds {
        let dir = tempfile::tempdir().unwrap();
        let mut member = Member::start(dir.path(), 1);
        let answers = round.values().map(|exchange| (exchange.cleared(), exchange.status)).collect();
        let (addr, seen) = storage(answers);
        // In the order of their times: a log gives no name again before it was deleted.
        let mut changes: Vec<&Exchange> = round.values().collect();
        changes.sort_by_key(|exchange| exchange.timestamp());
        for exchange in changes {
            let names = exchange.names();
            let path = member.path_of(&names[0]);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let (op, more) = match exchange.cmd {
                16 => (Op::Create, None),
                17 => (Op::Delete, None),
                18 => (Op::Update, None),
                25 | 35 => {
                    let (start, len) = (exchange.number(8), exchange.number(16));
                    let op = if exchange.cmd == 25 { Op::Append } else { Op::Modify };
                    (op, Some(format!("{start} {len}")))
                }
                37 => (Op::Truncate, Some(format!("{} {}", exchange.number(8), exchange.number(16)))),
                _ => (Op::Rename, Some(names[1].clone())),
            };
            match exchange.cmd {
                16 | 18 => std::fs::write(path, exchange.content()).unwrap(),
                25 | 35 => {
                    let mut content = vec![b'-'; usize::try_from(exchange.number(8)).unwrap()];
                    content.extend_from_slice(exchange.content());
                    std::fs::write(path, content).unwrap();
                }
                37 | 40 => std::fs::write(path, b"").unwrap(),
                _ => {}
            }
            member.log_at(exchange.timestamp(), op, &names[0], more);
        }
        member.send_to(&[(2, addr)]);
        member.wait_sent(1);
        until("all are recorded", || seen.lock().unwrap().len() >= round.len());
        let mut ours = seen.lock().unwrap().clone();
        let mut theirs: Vec<Vec<u8>> = round.values().map(Exchange::cleared).collect();
        ours.sort();
        theirs.sort();
        assert!(ours == theirs, "other requests than recorded");
        compared += round.len();
    }
    assert!(rounds.is_empty() || compared > 50, "{compared}");
}
