//! A file system that becomes read-only.

use fdfs_storage::disk::Condition;

use crate::bodies;
use crate::mount::Ext4;
use crate::support::{Running, until};

#[test]
fn a_readonly_path_is_passed_over_and_comes_back() {
    if !crate::mount::possible() {
        return;
    }
    let ext4 = Ext4::new(64);
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let running = Running::on(dir, vec![ext4.at(), other], |_, _| {});
    let path = running.storage.paths.indexes().next().unwrap();
    let condition = || running.storage.paths.condition(path);
    let mut client = running.client();
    let (status, body) = client.call(11, &bodies::upload(0, "txt", b"before"));
    assert_eq!(status, 0);
    let before = crate::support::name_of(&body);
    assert!(before.starts_with("M00/"));
    ext4.remount("ro");
    for n in 0..10u8 {
        // The one that finds it out goes elsewhere too.
        let (status, body) = client.call(11, &bodies::upload(0xFF, "txt", &[n]));
        assert!(status == 0 && crate::support::name_of(&body).starts_with("M01/"), "upload {n}: {status}");
    }
    until("the path is known to be read-only", || condition() == Condition::ReadOnly);
    assert!(client.upload("txt", b"elsewhere").starts_with("M01/"));
    // As with a path that the operator made read-only, the one that was asked for is replaced.
    let (status, body) = client.call(11, &bodies::upload(0, "txt", b"asked for"));
    assert!(status == 0 && crate::support::name_of(&body).starts_with("M01/"));
    assert_eq!(client.download(&before, 0, 0), (0, b"before".to_vec()));
    assert_eq!(client.delete(&before), 30);
    assert_eq!(running.storage.paths.reported(path).free_mib, 0);
    assert!(running.storage.paths.space(path).free_mib > 0);

    ext4.remount("rw");
    until("the path is in order again", || condition() == Condition::Good);
    let (status, body) = client.call(11, &bodies::upload(0, "txt", b"after"));
    assert!(status == 0 && crate::support::name_of(&body).starts_with("M00/"));
    assert_eq!(client.delete(&before), 0);
    drop((client, running));
    drop(ext4);
}
