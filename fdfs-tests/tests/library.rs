//! The client library against a cluster that loses servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use fdfs_client::{Client, ClientError, Content, FileId, UploadOptions};
use fdfs_core::metadata::Metadata;
use fdfs_core::wire::Status;
use fdfs_core::wire::storage::MetaMode;
use fdfs_tests::cluster::Cluster;
use fdfs_tests::{content, wait_for};

#[path = "../../fdfs-client/examples/store_and_fetch.rs"]
mod store_and_fetch;

fn copy_exists(cluster: &Cluster, member: usize, id: &FileId) -> bool {
    cluster.members[member].base.join("data").join(&id.name[4..]).exists()
}

#[test]
fn the_example_of_the_library_runs() {
    let cluster = Cluster::start("example", 1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let trackers = [cluster.tracker(0), cluster.tracker(1)];
    let id = runtime.block_on(store_and_fetch::run(&trackers)).unwrap();
    for member in 0..2 {
        wait_for("the file is gone", Duration::from_secs(30), || !copy_exists(&cluster, member, &id));
    }
}

#[test]
fn goes_on_without_a_tracker_and_a_storage() {
    let mut cluster = Cluster::start("library", 1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let client = Client::connect(&[cluster.tracker(0), cluster.tracker(1)]).unwrap();
    let data = content(70_000, 1);
    let ids: Vec<FileId> =
        (0..8).map(|_| runtime.block_on(client.upload(&data, "bin".parse().unwrap())).unwrap()).collect();
    wait_for("both members have the files", Duration::from_secs(30), || {
        ids.iter().all(|id| copy_exists(&cluster, 0, id) && copy_exists(&cluster, 1, id))
    });

    cluster.tracker_process(0).kill();
    let id = runtime.block_on(client.upload(&data, "bin".parse().unwrap())).unwrap();
    assert!(runtime.block_on(client.download(&id, 0, 0)).unwrap() == data);
    cluster.start_tracker(0);

    // The tracker still names the dead storage for a while, and kept connections lead to it.
    cluster.storage(0).kill();
    for id in &ids {
        let part = runtime.block_on(client.download(id, 1000, 500)).unwrap();
        assert!(part == data[1000..1500]);
    }
    let info = runtime.block_on(client.file_info(&ids[0], 0)).unwrap();
    assert_eq!(info.size, 70_000);
    for _ in 0..4 {
        let id = runtime.block_on(client.upload(&data, "bin".parse().unwrap())).unwrap();
        assert!(copy_exists(&cluster, 1, &id), "uploaded to the storage that is left");
    }
}

#[test]
fn every_operation() {
    let cluster = Cluster::start("library-all", 1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let done: Result<(), ClientError> = runtime.block_on(async {
        let client = Client::connect(&[cluster.tracker(0), cluster.tracker(1)])?;
        let (group, ext) = ("group1".parse().unwrap(), "txt".parse().unwrap());
        let options = UploadOptions { ext, ..Default::default() };
        let id = client.upload_with(Some(group), Content::Bytes(b"master"), &options).await?;
        let slave = client.upload_slave(&id, "_small", ext, &Content::Bytes(b"slave")).await?;
        assert!(slave.name.ends_with("_small.txt"), "{slave}");
        let wait = async |id: &FileId| {
            // The tracker may name the member that has no copy yet; the library then asks the other.
            client.download(id, 0, 0).await
        };
        assert_eq!(wait(&slave).await?, b"slave");
        let items = Metadata::of([(b"width".to_vec(), b"160".to_vec())]);
        client.set_metadata(&id, MetaMode::Overwrite, &items).await?;
        assert_eq!(client.metadata(&id).await?, items);
        assert!(!client.locate_all(&id).await?.is_empty());
        let options = UploadOptions { appender: true, ext, ..Default::default() };
        let log = client.upload_with(None, Content::Bytes(b"one"), &options).await?;
        client.append(&log, &Content::Bytes(b"two"), None).await?;
        client.modify(&log, 0, &Content::Bytes(b"ONE")).await?;
        client.truncate(&log, 5).await?;
        let fixed = client.regenerate(&log).await?;
        assert_eq!(client.download(&fixed, 0, 0).await?, b"ONEtw");
        let link = client.create_link(&fixed, None, ext, b"signature").await?;
        assert_eq!(client.download(&link, 0, 0).await?, b"ONEtw");
        client.delete(&slave).await?;
        let twice = client.delete(&slave).await.unwrap_err();
        assert_eq!(twice.status(), Status::NOENT);
        assert!(client.leader().await.is_ok());
        assert_eq!(client.groups().await?.1.len(), 1);
        Ok(())
    });
    done.unwrap();
}
