//! The command-line tools: their output, and exit codes that say the truth.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Output;

use fdfs_core::fileid::crc32;
use fdfs_tests::cluster::Cluster;
use fdfs_tests::content;

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failed(output: &Output, text: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(text), "{:?}: {said}", output.status);
}

#[test]
fn all_of_them() {
    let cluster = Cluster::start("tools", 1);
    let data = content(100_000, 4);
    let local = cluster.dir().join("picture.jpg");
    std::fs::write(&local, &data).unwrap();
    let local = local.to_string_lossy().into_owned();
    let id = out(&cluster.tool("upload_file", &[&local])).trim().to_owned();
    assert!(id.starts_with("group1/M00/") && id.ends_with(".jpg"), "{id}");
    let addr = cluster.members[1].addr.to_string();
    let other = out(&cluster.tool("upload_file", &[&local, &addr, "0"])).trim().to_owned();
    assert_ne!(id, other);

    let info = out(&cluster.tool("file_info", &[&id]));
    assert!(info.starts_with(
        "GET FROM SERVER: false\n\nfile type: normal\nsource storage id: 0\nsource ip address: 127."
    ));
    assert!(info.contains("\nfile size: 100000\n"));
    assert!(info.contains(&format!("(0x{:08x})\n", crc32(&data))));

    let back = cluster.dir().join("back.jpg").to_string_lossy().into_owned();
    assert_eq!(out(&cluster.tool("download_file", &[&id, &back])), "");
    assert!(std::fs::read(&back).unwrap() == data);
    out(&cluster.tool("download_file", &[&id, &back, "1000", "50"]));
    assert!(std::fs::read(&back).unwrap() == data[1000..1050]);

    let monitor = out(&cluster.tool("monitor", &[]));
    assert!(monitor.starts_with("tracker server count=2, current server index="), "{monitor}");
    assert_eq!(monitor.matches("  ACTIVE\n").count(), 2, "{monitor}");
    assert!(monitor.contains("group count: 1\n\nGroup 1:\ngroup name = group1\ndisk total space     = "));
    assert!(!out(&cluster.tool("monitor", &["list", "group1"])).contains("group count"));

    assert_eq!(out(&cluster.tool("delete_file", &[&id])), "");
    failed(
        &cluster.tool("delete_file", &[&id]),
        "delete file fail, error no: 2, error info: No such file or directory",
    );
    std::fs::remove_file(&back).unwrap();
    let gone = cluster.tool("download_file", &[&id, &back]);
    failed(&gone, "download file fail, error no: 2");
    assert_eq!(gone.status.code(), Some(2));
    assert!(!std::path::Path::new(&back).exists(), "a failed download leaves no file");
    failed(&cluster.tool("upload_file", &["/nowhere"]), "upload file fail, error no: 2");
    failed(&cluster.tool("download_file", &["group1/nonsense", &back]), "error no: 22");
    failed(&cluster.tool("monitor", &["list", "group9"]), "group9");
    failed(&cluster.tool("upload_file", &[]), "Usage: fdfs_upload_file");
}
