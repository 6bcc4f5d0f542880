//! Mistakes in a config file are told with file, line, key and what is expected.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::{Command, Output};

use fdfs_tests::programs;

fn run(program: &Path, conf: &Path) -> Output {
    Command::new(program).arg("-N").arg(conf).output().unwrap()
}

/// The program must end at once, with an error that says all of `parts`.
fn refused(program: &Path, text: &str, name: &str, parts: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join(name);
    std::fs::write(&conf, text.replace("BASE", &dir.path().to_string_lossy())).unwrap();
    let output = run(program, &conf);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{name} was accepted: {text}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
}

#[test]
fn of_the_storage() {
    let storaged = programs::storaged();
    let good = "group_name = group1\nbase_path = BASE\ntracker_server = 127.0.0.11:22122\n";
    let bad =
        |line: &str, parts: &[&str]| refused(&storaged, &format!("{good}{line}\n"), "storage.conf", parts);
    bad("port = 99999", &["storage.conf:4", "port = 99999", "expected a port number"]);
    bad("buff_size = many", &["storage.conf:4", "buff_size = many", "expected a size"]);
    bad(
        "heart_beat_interval = soon",
        &["storage.conf:4", "heart_beat_interval", "expected a whole number of seconds"],
    );
    bad("subdir_count_per_path = 300", &["storage.conf:4", "subdir_count_per_path", "expected"]);
    bad("store_path_count = 2", &["store_path1", "expected"]);
    bad("group_name = gro-up", &["storage.conf:4", "group_name", "expected a group name"]);
    bad("bind_addr = nowhere", &["bind_addr", "expected"]);
    bad("check_file_duplicate = perhaps", &["storage.conf:4", "check_file_duplicate = perhaps", "expected"]);
    refused(
        &storaged,
        "group_name = group1\nbase_path = BASE\n",
        "storage.conf",
        &["storage.conf", "tracker_server", "missing", "expected"],
    );
    refused(
        &storaged,
        "group_name = group1\ntracker_server = 127.0.0.11\n",
        "storage.conf",
        &["storage.conf", "base_path", "missing"],
    );
    let nowhere = run(&storaged, Path::new("/nowhere/storage.conf"));
    assert!(!nowhere.status.success());
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("/nowhere/storage.conf"));
}

#[test]
fn of_the_tracker() {
    let trackerd = programs::trackerd();
    let bad = |line: &str, parts: &[&str]| {
        refused(&trackerd, &format!("base_path = BASE\n{line}\n"), "tracker.conf", parts);
    };
    bad("port = 0", &["tracker.conf:2", "port = 0", "expected a port number"]);
    bad("store_lookup = 7", &["tracker.conf:2", "store_lookup", "expected"]);
    bad("reserved_storage_space = 120%", &["tracker.conf:2", "reserved_storage_space = 120%", "expected"]);
    bad("log_level = loud", &["tracker.conf:2", "log_level = loud", "expected emerg"]);
    refused(
        &trackerd,
        "port = 22122\n",
        "tracker.conf",
        &["tracker.conf", "base_path", "missing", "expected"],
    );
}

#[test]
fn of_the_tools() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("client.conf");
    std::fs::write(&conf, "connect_timeout = 5\n").unwrap();
    let (program, first) = programs::tool("monitor");
    let output = Command::new(program).args(first).arg(&conf).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(
        said.contains("client.conf") && said.contains("tracker_server") && said.contains("expected"),
        "{said}"
    );
}

#[test]
fn of_the_module() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().display();
    let test = |settings: &str| {
        std::fs::write(dir.path().join("mod_fastdfs.conf"), settings).unwrap();
        let conf = format!(
            "load_module {};\npid {root}/pid; error_log {root}/error.log;\nevents {{}}\nhttp {{ client_body_temp_path {root}/b;\n\
             proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen 127.0.0.1:1; location / {{ ngx_fastdfs_module; fastdfs_conf {root}/mod_fastdfs.conf; }} }} }}\n",
            programs::module().display()
        );
        std::fs::write(dir.path().join("nginx.conf"), conf).unwrap();
        let mut nginx = Command::new(programs::nginx());
        nginx
            .arg("-t")
            .arg("-e")
            .arg(dir.path().join("error.log"))
            .arg("-c")
            .arg(dir.path().join("nginx.conf"));
        let output = nginx.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (fine, said) = test("group_name = group1\nstore_path0 = /tmp\nurl_have_group_name = maybe\n");
    assert!(
        !fine && said.contains("mod_fastdfs.conf:3") && said.contains("url_have_group_name = maybe"),
        "{said}"
    );
    let (fine, said) = test("store_path0 = /tmp\n");
    assert!(!fine && said.contains("group_name"), "{said}");
    let (fine, said) = test("group_name = group1\nstore_path0 = /tmp\nurl_have_group_nam = true\n");
    assert!(fine && said.contains("mod_fastdfs.conf:3") && said.contains("url_have_group_nam"), "{said}");
}

#[test]
fn unknown_keys_are_warnings() {
    let mut cluster = fdfs_tests::cluster::Cluster::start("keys", 1);
    cluster.storage(0).stop();
    let log = cluster.members[0].base.join("logs/storaged.log");
    cluster.start_storage_with(0, "heart_beat_intervall = 5\n");
    fdfs_tests::wait_for("the warning is in the log", std::time::Duration::from_secs(60), || {
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().any(|line| {
            line.contains("WARNING")
                && line.contains("storage.conf:")
                && line.contains("unknown key heart_beat_intervall")
        })
    });
    cluster.wait_active();
}
