//! Broken connections and full disks leave nothing behind.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bodies;
use crate::support::{Running, name_of, request, until};

/// Open files of this process that have no name and lie below `base`.
fn unnamed_below(base: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    links
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter(|target| target.starts_with(base) && target.to_string_lossy().ends_with("(deleted)"))
        .count()
}

#[test]
fn a_dropped_connection_leaves_no_file() {
    let running = Running::start();
    let whole = request(11, &bodies::upload(0xFF, "bin", &[7; 3 << 20]));
    for sent in [5, 12, 25, 26, 5_000, 300_000, whole.len() - 1] {
        let mut client = running.client();
        client.0.write_all(&whole[..sent]).unwrap();
        if sent > 100 {
            until("the upload has begun", || unnamed_below(&running.bases[0]) > 0);
            assert!(running.tree().is_empty(), "a partial file is visible");
        }
        drop(client);
        until("the file is gone", || unnamed_below(&running.bases[0]) == 0);
        assert!(running.tree().is_empty());
    }
    assert!(running.log().is_empty());
    let name = running.client().upload("txt", b"after all that");
    assert_eq!(running.tree(), [running.file(&name)]);
}

/// A file system of 8 MiB.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(at);
        let done = mount.output().ok()?;
        if !done.status.success() {
            let why = String::from_utf8_lossy(&done.stderr).into_owned();
            eprintln!("a small file system cannot be mounted: this test checked nothing ({})", why.trim());
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_refuses_and_keeps_nothing() {
    // Unmounted before its folder goes.
    let mounted = tempfile::tempdir().unwrap();
    let at = mounted.path().join("small");
    let Some(small) = Small::mount(&at) else { return };
    let running = Running::on(tempfile::tempdir().unwrap(), vec![at], |_, _| {});
    let mut client = running.client();
    let first = client.upload("bin", &[1; 5 << 20]);
    assert_eq!(client.set_metadata(&first, b'O', b"a\x02b"), 0);
    let metadata = running.file(&format!("{first}-m"));
    // Space was measured before the first file: the write fails in the middle.
    for _ in 0..3 {
        let mut client = running.client();
        assert_eq!(client.call(11, &bodies::upload(0xFF, "bin", &[2; 5 << 20])).0, 28);
        assert_eq!(running.tree(), [running.file(&first), metadata.clone()]);
        assert_eq!(running.log().len(), 2);
    }
    // Nothing of them is left: what fits still fits.
    let second = client.upload("bin", &[3; 2000 << 10]);
    assert!(client.download(&second, 0, 0) == (0, vec![3; 2000 << 10]));
    running.storage.paths.measure().unwrap();
    let (status, body) = client.call(11, &bodies::upload(0xFF, "bin", &[4; 900 << 10]));
    assert_eq!(status, 0);
    let third = name_of(&body);
    running.storage.paths.measure().unwrap();
    assert_eq!(client.call(11, &bodies::upload(0xFF, "bin", b"small")).0, 28);
    client.ping();
    // A delete needs no room, with metadata neither.
    let filler = std::fs::File::create(small.0.join("filler")).and_then(|mut file| {
        while file.write_all(&[0; 4096]).is_ok() {}
        file.sync_all()
    });
    filler.unwrap();
    assert_eq!(client.delete(&first), 0);
    let mut left = [running.file(&second), running.file(&third)];
    left.sort();
    assert_eq!(running.tree(), left);
    drop(running);
    drop(small);
}
