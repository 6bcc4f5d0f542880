//! Metadata: overwritten, merged, sorted, removed; never torn.

use crate::support::Running;

#[test]
fn overwrite_merge_and_remove() {
    let running = Running::start();
    let mut client = running.client();
    let name = client.upload("jpg", b"picture");
    assert_eq!(client.get_metadata(&name).0, 2);
    assert_eq!(client.set_metadata(&name, b'M', b""), 0);
    assert_eq!(client.set_metadata(&name, b'O', b""), 0);
    assert_eq!(client.set_metadata(&name, b'O', b"width\x02160\x01height\x0280"), 0);
    assert_eq!(client.get_metadata(&name), (0, b"height\x0280\x01width\x02160".to_vec()));
    assert_eq!(client.set_metadata(&name, b'M', b"author\x02me\x01width\x02170"), 0);
    assert_eq!(client.get_metadata(&name), (0, b"author\x02me\x01height\x0280\x01width\x02170".to_vec()));
    assert_eq!(client.set_metadata(&name, b'O', b"only\x02one"), 0);
    assert_eq!(client.get_metadata(&name), (0, b"only\x02one".to_vec()));
    assert_eq!(client.set_metadata(&name, b'O', b""), 0);
    assert_eq!(client.get_metadata(&name).0, 2);
    let ops: Vec<_> = running.log()[1..].iter().map(|line| line[..1].to_owned()).collect();
    assert_eq!(ops, ["C", "U", "U", "D"]);
    assert!(running.log()[1..].iter().all(|line| line.ends_with("-m")));
    assert_eq!(running.tree().len(), 1);
}

#[test]
fn what_is_too_long_is_cut() {
    let running = Running::start();
    let mut client = running.client();
    let name = client.upload("", b"x");
    let text = [&[b'n'; 100][..], b"\x02", &[b'v'; 300]].concat();
    assert_eq!(client.set_metadata(&name, b'O', &text), 0);
    let wanted = [&[b'n'; 64][..], b"\x02", &[b'v'; 256]].concat();
    assert_eq!(client.get_metadata(&name), (0, wanted));
}

#[test]
fn merges_at_the_same_time_keep_all() {
    let running = Running::start();
    let name = running.client().upload("txt", b"x");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (running, name) = (&running, &name);
            scope.spawn(move || {
                let mut client = running.client();
                for n in 0..25 {
                    let record = format!("key-{thread}-{n:02}\x02{n}");
                    assert_eq!(client.set_metadata(name, b'M', record.as_bytes()), 0);
                }
            });
        }
    });
    let (_, text) = running.client().get_metadata(&name);
    assert_eq!(text.split(|&byte| byte == 1).count(), 100);
}

#[test]
fn no_metadata_outlives_its_file() {
    let running = Running::start();
    for _ in 0..50 {
        let name = running.client().upload("txt", b"x");
        std::thread::scope(|scope| {
            scope.spawn(|| running.client().set_metadata(&name, b'O', b"a\x02b"));
            scope.spawn(|| running.client().delete(&name));
        });
        assert!(running.tree().is_empty(), "{:?}", running.tree());
    }
}
