//! The command-line tools: their output, and exit codes that say the truth.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Output;

use fdfs_core::fileid::crc32;
use fdfs_tests::cluster::Cluster;
use fdfs_tests::{content, wait_for};

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

/// What the tools of existing packages do not have.
#[test]
fn several_files_standard_input_and_json() {
    let cluster = Cluster::start("tools-more", 1);
    let local = |name: &str| cluster.dir().join(name).to_string_lossy().into_owned();
    let (one, two) = (local("one.jpg"), local("two.tar.gz"));
    std::fs::write(&one, content(3000, 1)).unwrap();
    std::fs::write(&two, content(5000, 2)).unwrap();
    let both = cluster.tool("upload_file", &[&one, "/nowhere", &two]);
    let ids: Vec<String> = String::from_utf8_lossy(&both.stdout).lines().map(str::to_owned).collect();
    assert!(ids.len() == 2 && ids[0].ends_with(".jpg") && ids[1].ends_with(".tar.gz"), "{ids:?}");
    failed(&both, "/nowhere: upload file fail, error no: 2");
    assert_eq!(both.status.code(), Some(2), "one of three failed");

    let piped = content(200_000, 3);
    let input = local("input");
    std::fs::write(&input, &piped).unwrap();
    let from_stdin = cluster.tool_with_input("upload_file", &["-e", "bin"], &["-"], &input);
    let id = out(&from_stdin).trim().to_owned();
    assert!(id.ends_with(".bin"), "{id}");
    let to_stdout = cluster.tool("download_file", &[&id, "/dev/stdout"]);
    assert!(to_stdout.status.success() && to_stdout.stdout == piped, "{} bytes", to_stdout.stdout.len());

    let json = |output: &Output| serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    let info = json(&cluster.tool("file_info", &[&id, "--json"]));
    assert_eq!((&info["size"], &info["crc32"]), (&200_000.into(), &crc32(&piped).into()));
    let uploaded = json(&cluster.tool("upload_file", &["--json", &one, &two]));
    assert_eq!(uploaded[1]["size"], 5000, "{uploaded}");
    let wrong =
        cluster.tool("delete_file", &["group1/M00/00/00/CkIAFmsCn7SAImKbAAAADg4Qul0611.txt", "--json"]);
    assert_eq!(json(&wrong)["failed"][0]["error_no"], 2);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(out(&cluster.tool("delete_file", &[&ids[0], &ids[1], &id])), "");
}

/// Appender files, and the programs that try everything.
#[test]
fn appender_files() {
    let cluster = Cluster::start("tools-append", 1);
    let local = |name: &str| cluster.dir().join(name).to_string_lossy().into_owned();
    let (ten, more) = (local("ten.log"), local("more"));
    std::fs::write(&ten, b"0123456789").unwrap();
    std::fs::write(&more, b"hello, world!\n").unwrap();
    let id = out(&cluster.tool("upload_appender", &[&ten])).trim().to_owned();
    assert!(id.ends_with(".log"), "{id}");
    assert_eq!(out(&cluster.tool("append_file", &[&id, &more])), "");
    let info = out(&cluster.tool("file_info", &[&id]));
    assert!(
        info.contains("GET FROM SERVER: true\n\nfile type: appender\n") && info.contains("\nfile size: 24\n")
    );
    let new = out(&cluster.tool("regenerate_filename", &[&id])).trim().to_owned();
    assert!(out(&cluster.tool("file_info", &[&new])).contains("file type: normal\n"));
    let downloaded = cluster.tool("download_file", &[&new, "/dev/stdout"]);
    assert_eq!(out(&downloaded), "0123456789hello, world!\n");
    failed(&cluster.tool("append_file", &[&new, &more]), "append file fail, error no: 22");
    failed(&cluster.tool("append_file", &[&id, &more]), "append file fail, error no: 2,");
    failed(&cluster.tool("regenerate_filename", &[&id]), "regenerate file ID fail, error no: 2");

    for kind in ["FILE", "BUFF", "CALLBACK"] {
        let said = out(&cluster.tool("appender_test", &[&more, kind]));
        assert!(said.contains("append file success, file size=28, crc32="), "{said}");
        assert!(said.contains("truncate file success, file size=14, crc32="), "{said}");
        let said = out(&cluster.tool("test", &["upload", &more, kind]));
        assert_eq!(said.matches("example file url: http://").count(), 2, "{said}");
        let id =
            said.lines().find_map(|line| line.strip_prefix("group_name=group1, remote_filename=")).unwrap();
        let meta = out(&cluster.tool("test", &["getmeta", "group1", id]));
        assert!(meta.contains("get meta data success, meta count=4\next_name=jpg\n"), "{meta}");
        let id = format!("group1/{id}");
        out(&cluster.tool("test1", &["setmeta", &id, "M", "a=b,c=d"]));
        assert!(out(&cluster.tool("test1", &["getmeta", &id])).contains("meta count=6\na=b\nc=d\n"));
        assert!(out(&cluster.tool("test1", &["query_servers", &id])).contains("server list ("));
        out(&cluster.tool("test1", &["delete", &id]));
    }
}

/// Removing a member, and asking one tracker.
#[test]
fn administration() {
    let mut cluster = Cluster::start("tools-admin", 1);
    let tracker = cluster.tracker(1).to_string();
    let said = out(&cluster.tool("monitor", &["-h", &tracker]));
    assert!(said.contains(&format!("\ntracker server is {tracker}\n")), "{said}");
    let unknown = cluster.tool("monitor", &["-h", "127.9.9.9:1"]);
    failed(&unknown, "tracker server: 127.9.9.9:1 not exists!");
    assert_eq!(unknown.status.code(), Some(2));
    let refused = |output: &Output, line: &str| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(line) && !output.status.success(), "{said}");
    };
    refused(
        &cluster.tool("monitor", &["delete", "nogroup"]),
        "\n\ndelete group: nogroup fail, error no: 2, ",
    );
    let id = cluster.members[1].addr.ip().to_string();
    refused(&cluster.tool("monitor", &["delete", "group1", &id]), "fail, error no: 16, ");
    refused(&cluster.tool("monitor", &["set_trunk_server", "group1", &id]), "fail, error no: 95, ");

    cluster.storage(1).stop();
    let line = format!("\n\ndelete storage server group1::{id} success\n");
    wait_for("the storage that is gone can be removed", std::time::Duration::from_secs(60), || {
        let output = cluster.tool("monitor", &["delete", "group1", &id]);
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains(&line)
    });
    assert!(out(&cluster.tool("monitor", &[])).contains("  DELETED\n"));
}

/// The statistic tools print what scripts read (protocol 8.3).
#[test]
fn statistics() {
    let cluster = Cluster::start("tools-stat", 2);
    let conf = cluster.client_conf().to_string_lossy().into_owned();
    let stat = |name: &str, args: &[&str]| out(&cluster.bare_tool(name, &[&["-c", &conf], args].concat()));
    let trackers = stat("tracker_stat", &[]);
    assert!(trackers.ends_with("\n\ntracker server count: 2\n\n"), "{trackers}");
    assert_eq!(
        trackers.matches(", is_leader: 1, is_active: 1, connections {alloc: ").count(),
        1,
        "{trackers}"
    );
    assert!(stat("tracker_stat", &["-L"]).ends_with("\ntracker server count: 1\n\n"));
    let detail = stat("tracker_stat", &["-F", "-d"]);
    assert!(detail.contains("  version: ") && detail.contains(", last_heartbeat_time: 20"), "{detail}");

    let storages = stat("storage_stat", &[]);
    assert_eq!(storages.matches(" ACTIVE, connections {alloc: ").count(), 4, "{storages}");
    assert!(
        storages.starts_with("\n127.") && storages.ends_with("\n\nstorage server count: 4\n\n"),
        "{storages}"
    );
    assert_eq!(stat("storage_stat", &["-N"]), "\n\nstorage server count: 0\n\n");

    let volumes = stat("volumn_stat", &[]);
    assert!(volumes.starts_with("\ngroup1 disk_available: 1, disk space {total: "), "{volumes}");
    assert!(volumes.contains(" VOLUMNS SUMMARY "), "{volumes}");
    assert!(volumes.ends_with("\n\nvolumn / group counts {total: 2, available: 2}\n\n"), "{volumes}");
    let json = out(&cluster.bare_tool("volumn_stat", &["-c", &conf, "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["group"], &json[1]["disk_available"]), (&"group1".into(), &true.into()));

    failed(&cluster.bare_tool("storage_stat", &["-x"]), "Usage: fdfs_storage_stat");
    let help = cluster.bare_tool("storage_stat", &["-h"]);
    assert!(help.status.success() && help.stdout.is_empty());
}
