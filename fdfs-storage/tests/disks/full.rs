//! A full store path.

use std::io::Write;

use crate::bodies;
use crate::mount::Ext4;
use crate::support::{Running, name_of, request, until};

const MIB: usize = 1 << 20;

/// A storage with a file system of 64 MiB as path 0 and ordinary space as path 1.
fn small_and_large() -> (Running, Ext4) {
    let small = Ext4::new(64);
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("large");
    std::fs::create_dir(&large).unwrap();
    (Running::on(dir, vec![small.at(), large], |_, _| {}), small)
}

#[test]
fn a_full_path_is_passed_over_and_comes_back() {
    if !crate::mount::possible() {
        return;
    }
    let (running, small) = small_and_large();
    let mut client = running.client();
    let mut kept = Vec::new();
    let status = loop {
        assert!(kept.len() < 64, "64 MiB take no 64 files of 1 MiB");
        match client.call(11, &bodies::upload(0, "bin", &[kept.len() as u8; MIB])) {
            (0, body) => kept.push(name_of(&body)),
            (status, _) => break status,
        }
    };
    assert!(kept.len() > 40 && status == 28, "{} files, then {status}", kept.len());
    let left = running.tree().len();
    assert_eq!(left, kept.len(), "a file that did not fit left something");
    // Who leaves the choice to the server does not notice.
    for _ in 0..6 {
        assert!(client.upload("bin", &[9; MIB]).starts_with("M01/"));
    }
    for (n, name) in kept.iter().enumerate() {
        assert_eq!(client.download(name, 0, 4), (0, vec![n as u8; 4]));
    }
    for name in &kept[..20] {
        assert_eq!(client.delete(name), 0);
    }
    until("the path takes files again", || client.call(11, &bodies::upload(0, "bin", &[1; MIB])).0 == 0);
    drop((client, running));
    drop(small);
}

#[test]
fn announced_bytes_are_promised() {
    if !crate::mount::possible() {
        return;
    }
    let (running, small) = small_and_large();
    let whole = request(11, &bodies::upload(0, "bin", &vec![1; 35 * MIB]));
    let mut slow = running.client();
    slow.0.write_all(&whole[..100]).unwrap();
    let path = running.storage.paths.indexes().next().unwrap();
    let dir = running.storage.paths.dir(path);
    until("the first is announced", || dir.left_mib() < 35);
    assert!(dir.space().free_mib > 35, "nothing of it is on the disk");
    let mut other = running.client();
    other.send(&whole[..100]);
    assert_eq!(other.answer().0, 28);
    drop(slow);
    until("the promise of a client that went away is free again", || dir.left_mib() > 35);
    let mut client = running.client();
    client.send(&whole);
    assert_eq!(client.answer().0, 0);
    drop((client, other));
    drop(running);
    drop(small);
}

/// Some changes are several records: all of them are logged and the change is made, or it is refused.
#[test]
fn a_full_base_path_leaves_no_change_half_made() {
    if !crate::mount::possible() {
        return;
    }
    const FILES: usize = 60;
    let small = Ext4::new(16);
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let base = small.at();
    let running =
        Running::on(dir, vec![store], |settings, _| settings.base_path = base.to_str().unwrap().into());
    let mut client = running.client();
    for round in 0..12 {
        // The block where the log ends is full at another byte each time.
        let ext = &"abcdef"[..=round / 2];
        let names: Vec<String> = (0..FILES)
            .map(|n| {
                let (status, body) = client.call(23, &bodies::upload(0, ext, &[n as u8]));
                let name = name_of(&body);
                assert_eq!(status, 0);
                assert_eq!(client.call(13, &bodies::metadata(&name, b'O', b"a\x02b")).0, 0);
                name
            })
            .collect();
        let filler = small.at().join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        for size in [MIB, 100] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        let mut refused = 0;
        for name in &names {
            let status = match round % 2 {
                0 => client.delete(name),
                _ => client.call(38, name.as_bytes()).0,
            };
            let there = [name, &format!("{name}-m")].map(|name| running.file(name).exists());
            assert!(matches!(status, 0 | 28), "{status}");
            assert_eq!(there, [status == 28; 2], "round {round}: {name} and its metadata");
            refused += usize::from(status == 28);
        }
        assert!(refused > 0, "the disk has room for {FILES} changes");
        drop(file);
        std::fs::remove_file(filler).unwrap();
    }
    drop((client, running));
    drop(small);
}
