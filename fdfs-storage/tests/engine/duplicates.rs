//! Equal content is stored once (storage 13).

use crate::bodies;
use crate::support::{Running, name_of};

fn start() -> Running {
    Running::with(1, |settings, _| settings.check_file_duplicate = true)
}

/// What a link points to, as a logic name.
fn content_of(running: &Running, link: &str) -> String {
    let target = std::fs::read_link(running.file(link)).unwrap();
    let text = target.to_str().unwrap();
    format!("M00/{}", text.split_once("/data/").unwrap().1)
}

fn links(running: &Running, content: &str) -> Option<u64> {
    running.storage.dups.as_ref().unwrap().links(content).unwrap()
}

fn exists(running: &Running, name: &str) -> bool {
    running.file(name).symlink_metadata().is_ok()
}

#[test]
fn equal_content_becomes_links() {
    let running = start();
    let mut client = running.client();
    for (n, size) in [0usize, 1, 5000, 300_000, 3 << 20].into_iter().enumerate() {
        let bytes = vec![n as u8; size];
        let first = client.upload("txt", &bytes);
        let content = content_of(&running, &first);
        let second = client.upload("jpg", &bytes);
        assert_ne!(first, second);
        assert_eq!(content_of(&running, &second), content);
        assert_eq!(links(&running, &content), Some(2));
        for name in [&first, &second] {
            assert!(client.download(name, 0, 0) == (0, bytes.clone()));
        }
        assert!(second.ends_with(".jpg"));

        assert_eq!(client.delete(&first), 0);
        assert_eq!(links(&running, &content), Some(1));
        assert!(exists(&running, &content) && client.download(&second, 0, 0).0 == 0);
        assert_eq!(client.delete(&first), 2, "a link is gone once");
        assert_eq!(links(&running, &content), Some(1));
        assert_eq!(client.delete(&second), 0);
        assert_eq!(links(&running, &content), None);
        assert!(running.tree().is_empty());

        let log = running.log();
        let wanted = [
            format!("C {content}"),
            format!("L {first} {content}"),
            format!("L {second} {content}"),
            format!("D {first}"),
            format!("D {second}"),
            format!("D {content}"),
        ];
        assert_eq!(log[log.len() - wanted.len()..], wanted);
    }
    // Content that came back is stored again.
    let again = client.upload("txt", &[1]);
    assert_eq!(links(&running, &content_of(&running, &again)), Some(1));
}

#[test]
fn appenders_slaves_and_metadata_are_as_ever() {
    let running = start();
    let mut client = running.client();
    let link = client.upload("txt", b"equal");
    let (status, body) = client.call(23, &bodies::upload(0xFF, "txt", b"equal"));
    assert_eq!(status, 0);
    assert!(running.file(&name_of(&body)).symlink_metadata().unwrap().is_file());
    assert_eq!(client.set_metadata(&link, b'O', b"a\x02b"), 0);
    let other = client.upload("txt", b"equal");
    assert_eq!(client.get_metadata(&other).0, 2, "metadata belongs to a name");
    assert_eq!(client.get_metadata(&link), (0, b"a\x02b".to_vec()));
    assert_eq!(client.delete(&link), 0);
    assert!(!exists(&running, &format!("{link}-m")));
    assert_eq!(client.download(&other, 0, 0), (0, b"equal".to_vec()));
}

#[test]
fn content_that_was_changed_on_the_disk_is_not_linked_to() {
    let running = start();
    let mut client = running.client();
    let old = client.upload("bin", b"the right bytes");
    let bent = content_of(&running, &old);
    std::fs::write(running.file(&bent), b"the wrong bytes").unwrap();
    let new = client.upload("bin", b"the right bytes");
    assert_ne!(content_of(&running, &new), bent);
    assert_eq!(client.download(&new, 0, 0), (0, b"the right bytes".to_vec()));
    let third = client.upload("bin", b"the right bytes");
    assert_eq!(content_of(&running, &third), content_of(&running, &new));
    // The old one goes alone.
    assert_eq!(client.delete(&old), 0);
    assert!(!exists(&running, &bent));
    assert_eq!(links(&running, &content_of(&running, &new)), Some(2));
}

#[test]
fn many_clients_at_once_count_right() {
    let running = start();
    let names: Vec<Vec<String>> = std::thread::scope(|scope| {
        let work = |n: usize| {
            let mut client = running.client();
            let upload = |k: usize| client.upload("bin", &[(k % 3) as u8; 2000]);
            let names: Vec<String> = (0..60).map(upload).collect();
            let (gone, kept) = names.split_at(40);
            gone.iter().for_each(|name| assert_eq!(client.delete(name), 0, "client {n}"));
            kept.to_vec()
        };
        let threads: Vec<_> = (0..6).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut contents: Vec<String> = names.concat().iter().map(|name| content_of(&running, name)).collect();
    contents.sort();
    let counted: Vec<(usize, String)> =
        contents.chunk_by(|a, b| a == b).map(|same| (same.len(), same[0].clone())).collect();
    assert_eq!(counted.len(), 3, "one content each");
    for (found, content) in &counted {
        assert_eq!(links(&running, content), Some(*found as u64));
    }
    let mut client = running.client();
    for name in names.concat() {
        assert_eq!(client.delete(&name), 0);
    }
    for (_, content) in counted {
        assert!(!exists(&running, &content));
    }
}

#[test]
fn a_delete_from_another_member_counts_too() {
    let running = start();
    let mut client = running.client();
    let link = client.upload("bin", b"seen by all");
    let content = content_of(&running, &link);
    let other = client.upload("bin", b"seen by all");
    for (n, name) in [&link, &other].into_iter().enumerate() {
        let timestamp = 4_000_000_000u32.to_be_bytes();
        let mut group = b"group1".to_vec();
        group.resize(16, 0);
        let body = [&timestamp[..], &group, name.as_bytes()].concat();
        assert_eq!(client.call(17, &body), (0, vec![]));
        assert_eq!(links(&running, &content), [Some(1), None][n]);
    }
    assert!(!exists(&running, &content));
    assert_eq!(running.log().last(), Some(&format!("D {content}")));
}
