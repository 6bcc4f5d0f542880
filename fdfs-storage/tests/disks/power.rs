//! A power cut with `durability = group` takes nothing that was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use fdfs_core::fileid::FileName;
use fdfs_core::ident::GroupName;
use fdfs_core::settings::Durability;
use fdfs_core::wire::sync::{SyncDelete, SyncPair, SyncRange};

use crate::bodies;
use crate::mount::Ext4;
use crate::support::{Running, name_of, request, until};

/// Acknowledged changes before a cut.
const BEFORE: usize = 120;

#[derive(Default)]
struct Acknowledged {
    files: BTreeSet<String>,
    deleted: BTreeSet<String>,
    with_metadata: BTreeSet<String>,
    changes: usize,
}

/// Rounds: `FDFS_POWER_CUTS`, or three.
#[test]
fn a_power_cut_takes_nothing_acknowledged() {
    if !crate::mount::possible() {
        return;
    }
    let rounds = std::env::var("FDFS_POWER_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for round in 0..rounds {
        println!("round {round}");
        cut(round);
    }
}

fn cut(round: u64) {
    let mut ext4 = Ext4::new(96);
    let base = ext4.at();
    let running = Running::on(tempfile::tempdir().unwrap(), vec![base.clone()], |settings, _| {
        settings.base_path = base.to_str().unwrap().into();
        settings.durability = Durability::Group;
    });
    let known = Mutex::new(Acknowledged::default());
    std::thread::scope(|scope| {
        for thread in 0..6u64 {
            let (running, known) = (&running, &known);
            scope.spawn(move || client(running, known, round * 100 + thread));
        }
        until("enough was acknowledged", || known.lock().unwrap().changes >= BEFORE);
        ext4.cut_power();
    });
    drop(running);
    ext4.unmount();
    ext4.mount();
    check(&base, &known.into_inner().unwrap());
}

/// Uploads, and sometimes sets metadata or deletes, until the first answer that is none or an error.
fn client(running: &Running, known: &Mutex<Acknowledged>, seed: u64) {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut client = running.client();
    for n in 0..100_000u64 {
        let content = vec![n as u8; (next() % 40_000) as usize];
        client.send(&request(11, &bodies::upload(0xFF, "bin", &content)));
        let (0, body) = client.answer() else { return };
        let name = name_of(&body);
        {
            let mut known = known.lock().unwrap();
            known.changes += 1;
            known.files.insert(name.clone());
        }
        match next() % 4 {
            0 => {
                // Asked for: from now on it may be gone, and is, once that is acknowledged.
                known.lock().unwrap().files.remove(&name);
                if client.delete(&name) != 0 {
                    return;
                }
                known.lock().unwrap().deleted.insert(name);
            }
            1 => {
                if client.set_metadata(&name, b'O', b"key\x02value") != 0 {
                    return;
                }
                known.lock().unwrap().with_metadata.insert(name);
            }
            _ => {}
        }
    }
}

fn check(base: &Path, known: &Acknowledged) {
    let log = std::fs::read_to_string(base.join("data/sync/binlog.000")).unwrap();
    let file = |name: &String| base.join("data").join(&name[4..]);
    for name in &known.files {
        assert!(file(name).exists(), "{name} was acknowledged and is gone");
        assert!(log.contains(&format!(" C {name}\n")), "{name} was acknowledged and has no record");
    }
    for name in &known.deleted {
        assert!(!file(name).exists(), "the deletion of {name} was acknowledged, and it is back");
    }
    for name in &known.with_metadata {
        let metadata = std::fs::read(base.join("data").join(format!("{}-m", &name[4..])));
        assert_eq!(metadata.unwrap(), b"key\x02value");
    }
    let mut seen = 0;
    for path in files(&base.join("data")) {
        let true_name = path.strip_prefix(base.join("data")).unwrap().to_str().unwrap();
        let Ok(name) = FileName::parse(format!("M00/{true_name}").as_bytes(), 1) else { continue };
        let Some(blob) = name.blob().filter(|_| name.describes_content()) else { continue };
        let content = std::fs::read(&path).unwrap();
        assert_eq!(
            (content.len() as u64, crc32fast::hash(&content)),
            (blob.size(), blob.crc32),
            "{name} is not whole"
        );
        seen += 1;
    }
    println!("{} acknowledged, {seen} files whole", known.changes);
    assert!(seen >= known.files.len());
}

/// Files that a peer has changed, with what was answered to it, and those that it has deleted.
#[derive(Default)]
struct Replicated {
    appended: BTreeMap<String, Vec<u8>>,
    deleted: BTreeSet<String>,
    linked: BTreeSet<String>,
    changes: usize,
}

#[test]
fn a_power_cut_takes_nothing_that_a_peer_was_told_is_done() {
    if !crate::mount::possible() {
        return;
    }
    let mut ext4 = Ext4::new(96);
    let base = ext4.at();
    let running = Running::on(tempfile::tempdir().unwrap(), vec![base.clone()], |settings, _| {
        settings.base_path = base.to_str().unwrap().into();
        settings.durability = Durability::Group;
    });
    let known = Mutex::new(Replicated::default());
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (running, known) = (&running, &known);
            scope.spawn(move || peer(running, known, thread));
        }
        until("enough was acknowledged", || known.lock().unwrap().changes >= BEFORE);
        ext4.cut_power();
    });
    drop(running);
    ext4.unmount();
    ext4.mount();
    let known = known.into_inner().unwrap();
    let log = std::fs::read_to_string(base.join("data/sync/binlog.000")).unwrap();
    let path = |name: &str| base.join("data").join(&name[4..]);
    for (name, content) in &known.appended {
        let found = std::fs::read(path(name)).unwrap();
        // More of it may be there: the answer to the last append did not arrive.
        assert!(found.starts_with(content), "{name}: {} of {} bytes", found.len(), content.len());
    }
    for name in &known.deleted {
        assert!(!path(name).exists(), "{name} was deleted and is back");
        assert!(log.contains(&format!(" d {name}\n")), "{name} was deleted and has no record");
    }
    for name in &known.linked {
        assert!(path(name).is_symlink(), "the link {name} is gone");
    }
    println!("{} answered", known.changes);
    assert!(!known.deleted.is_empty() && !known.linked.is_empty());
}

/// Appends, links and deletes as the sender of another member does, until the first answer that is none or an error.
fn peer(running: &Running, known: &Mutex<Replicated>, thread: u8) {
    let group: GroupName = "group1".parse().unwrap();
    let mut client = running.client();
    let now = || i32::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    for round in 0..10_000u32 {
        client.send(&request(23, &bodies::upload(0xFF, "bin", b"")));
        let (0, body) = client.answer() else { return };
        let name = name_of(&body);
        let mut content = Vec::new();
        for n in 0..4u8 {
            let more = vec![thread * 16 + n; 3000 + usize::from(n) * 90_000];
            let mut body = Vec::new();
            SyncRange::put(&mut body, group, now(), name.as_bytes(), content.len() as u64, more.len() as u64);
            body.extend_from_slice(&more);
            client.send(&request(25, &body));
            let (0, _) = client.answer() else { return };
            content.extend_from_slice(&more);
            let mut known = known.lock().unwrap();
            known.changes += 1;
            known.appended.insert(name.clone(), content.clone());
        }
        // A name like that of the target, but for its last letters before the extension.
        let link = format!("{}{:04X}.bin", &name[..name.len() - 8], round);
        let mut body = Vec::new();
        SyncPair { timestamp: now(), group, dest: link.as_bytes(), source: name.as_bytes() }.put(&mut body);
        client.send(&request(19, &body));
        let (0, _) = client.answer() else { return };
        known.lock().unwrap().linked.insert(link);
        if round % 2 == 0 {
            known.lock().unwrap().appended.remove(&name);
            let mut body = Vec::new();
            SyncDelete { timestamp: now(), group, name: name.as_bytes() }.put(&mut body);
            client.send(&request(17, &body));
            let (0, _) = client.answer() else { return };
            let mut known = known.lock().unwrap();
            known.changes += 1;
            known.deleted.insert(name);
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.to_string_lossy().ends_with("-m") {
            found.push(path);
        }
    }
    found
}
