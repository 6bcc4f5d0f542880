//! A store path whose calls do not come back, and one whose calls fail.

use std::time::{Duration, Instant};

use fdfs_storage::disk::Condition;

use crate::bodies;
use crate::hanging_fs::{Behave, Mounted};
use crate::support::{Client, Running, name_of, until};

/// Path 0 is under the test's control, path 1 is ordinary.
fn start() -> (Running, Mounted) {
    let fs = Mounted::new();
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    (Running::on(dir, vec![fs.at(), other], |_, _| {}), fs)
}

fn upload(client: &mut Client, path: u8, content: &[u8]) -> (u8, Vec<u8>) {
    client.call(11, &bodies::upload(path, "bin", content))
}

fn kept(client: &mut Client, path: u8, content: &[u8]) -> String {
    let (status, body) = upload(client, path, content);
    assert_eq!(status, 0);
    name_of(&body)
}

/// Uploads and downloads on path 1 over several connections; the slowest of them.
fn busy(running: &Running, uploads: usize) -> Duration {
    let mut clients: Vec<_> = (0..4).map(|_| running.client()).collect();
    let mut slowest = Duration::ZERO;
    for n in 0..uploads {
        let client = &mut clients[n % 4];
        let began = Instant::now();
        let name = kept(client, 1, &[n as u8; 5000]);
        assert_eq!(client.download(&name, 0, 0), (0, vec![n as u8; 5000]));
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

#[test]
fn a_path_that_hangs_harms_nobody_else() {
    if !crate::mount::possible() {
        return;
    }
    let (running, fs) = start();
    let condition = || running.storage.paths.condition(running.storage.paths.indexes().next().unwrap());
    let mut client = running.client();
    let name = kept(&mut client, 0, &[5; 300_000]);
    assert_eq!(client.download(&name, 0, 0), (0, vec![5; 300_000]));
    let before = busy(&running, 100);

    fs.behave(Behave::Hang);
    let mut waiting: Vec<_> = (0..6).map(|_| running.client()).collect();
    for client in &mut waiting {
        client.send(&crate::support::request(14, &bodies::download(&name, 0, 0)));
    }
    // All of this happens while nothing on path 0 comes back.
    let during = busy(&running, 100);
    println!(
        "slowest upload and download of 5000 bytes on the other path: before {before:?}, during {during:?}"
    );
    for client in &mut waiting {
        let (status, _) = client.answer();
        assert!(matches!(status, 5 | 110), "{status}");
    }
    until("the path is known to hang", || condition() == Condition::Hanging);
    for n in 0..4u8 {
        assert!(kept(&mut client, 0xFF, &[n]).starts_with("M01/"));
        assert!(kept(&mut client, 0, &[n]).starts_with("M01/"));
    }
    assert_eq!(client.download(&name, 0, 0).0, 5);
    assert_eq!(client.delete(&name), 5);

    fs.behave(Behave::Well);
    until("the path is in order again", || condition() == Condition::Good);
    assert_eq!(client.download(&name, 0, 0), (0, vec![5; 300_000]));
    assert!(kept(&mut client, 0, b"again").starts_with("M00/"));
    assert_eq!(client.delete(&name), 0);
    drop((client, waiting, running));
    drop(fs);
}

#[test]
fn an_upload_that_is_given_up_is_whole_and_logged_when_it_appears() {
    if !crate::mount::possible() {
        return;
    }
    let (running, fs) = start();
    let mut client = running.client();
    let first = kept(&mut client, 0, b"first");
    fs.behave(Behave::HangOnRename);
    let (status, _) = upload(&mut client, 0, b"late");
    assert_eq!(status, 110);
    // The replication of the other path does not wait.
    let other = kept(&mut client, 1, b"other");
    let end = running.storage.binlog.end();
    until("the log can be read to its end", || *running.storage.binlog.readable().borrow() == end);
    fs.behave(Behave::Well);
    let tree = || running.tree();
    until("the late file is there", || tree().len() == 3);
    let known = [running.file(&first), running.file(&other)];
    let late: Vec<_> = tree().into_iter().filter(|path| !known.contains(path)).collect();
    assert_eq!(std::fs::read(&late[0]).unwrap(), b"late");
    let file = late[0].file_name().unwrap().to_str().unwrap();
    until("it is logged again", || running.log().iter().filter(|line| line.contains(file)).count() == 2);
    drop((client, running));
    drop(fs);
}

#[test]
fn a_path_that_fails_is_passed_over_and_comes_back() {
    if !crate::mount::possible() {
        return;
    }
    let (running, fs) = start();
    let condition = || running.storage.paths.condition(running.storage.paths.indexes().next().unwrap());
    let mut client = running.client();
    let name = kept(&mut client, 0, &[5; 300_000]);
    fs.behave(Behave::Fail);
    until("the path is known to fail", || condition() == Condition::Failing(5));
    for n in 0..4u8 {
        assert!(kept(&mut client, 0xFF, &[n]).starts_with("M01/"));
    }
    assert_eq!(client.delete(&name), 5);
    fs.behave(Behave::Well);
    until("the path is in order again", || condition() == Condition::Good);
    assert_eq!(client.download(&name, 0, 0), (0, vec![5; 300_000]));
    assert!(kept(&mut client, 0, b"again").starts_with("M00/"));
    drop((client, running));
    drop(fs);
}
