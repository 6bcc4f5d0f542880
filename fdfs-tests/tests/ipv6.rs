//! A whole deployment that speaks IPv6 alone: a tracker, two members of a group with ids, the tools, nginx with the module.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use fdfs_tests::cluster::{self, split};
use fdfs_tests::process::Process;
use fdfs_tests::{content, http, programs, wait_for};

const SOON: Duration = Duration::from_secs(60);

fn free() -> SocketAddr {
    TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap()
}

/// Starts one of the daemons in a folder of its own.
fn daemon(program: &Path, base: &Path, conf: &str, text: &str) -> Process {
    std::fs::create_dir_all(base).unwrap();
    std::fs::write(base.join(conf), text).unwrap();
    let mut command = Command::new(program);
    command.arg("-N").arg(base.join(conf));
    Process::start(&base.display().to_string(), &mut command, base.join("output"))
}

struct Tools(PathBuf);

impl Tools {
    fn run(&self, name: &str, args: &[&str]) -> Output {
        let (program, first) = programs::tool(name);
        Command::new(program).args(first).arg(&self.0).args(args).output().unwrap()
    }

    fn said(&self, name: &str, args: &[&str]) -> String {
        let output = self.run(name, args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{name} {args:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }
}

fn nginx(home: &Path, addr: SocketAddr, settings: &str) -> Process {
    std::fs::create_dir_all(home).unwrap();
    std::fs::write(home.join("mod_fastdfs.conf"), settings).unwrap();
    let server = format!(
        "server {{ listen {addr}; location / {{ ngx_fastdfs_module; fastdfs_conf {}/mod_fastdfs.conf; }} }}",
        home.display()
    );
    let process = cluster::nginx(home, true, 1, &server);
    cluster::wait_listening(addr);
    process
}

#[test]
fn the_main_job_without_ipv4() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        eprintln!("this machine has no IPv6, so this test checked nothing: {error}");
        return;
    }
    let dir = tempfile::Builder::new().prefix("fdfs-ipv6-").tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let [tracker, one, two, web] = [free(), free(), free(), free()];
    std::fs::create_dir(at("tracker")).unwrap();
    let ids = at("tracker").join("storage_ids.conf");
    std::fs::write(&ids, format!("100001 group1 [::1]:{}\n100002 group1 [::1]:{}\n", one.port(), two.port()))
        .unwrap();
    let _tracker = daemon(
        &programs::trackerd(),
        &at("tracker"),
        "tracker.conf",
        &format!(
            "bind_addr = ::1\nport = {}\nbase_path = {}\nuse_storage_id = true\nid_type_in_filename = id\nresponse_ip_addr_size = IPv6\n\
             storage_ids_filename = {}\nreserved_storage_space = 1%\n",
            tracker.port(),
            at("tracker").display(),
            ids.display()
        ),
    );
    let storages: Vec<Process> = [("one", one), ("two", two)]
        .into_iter()
        .map(|(name, addr)| {
            let text = format!(
                "group_name = group1\nbind_addr = ::1\nport = {}\nbase_path = {base}\nstore_path0 = {base}\ntracker_server = {tracker}\n\
                 heart_beat_interval = 1\nstat_report_interval = 2\nsubdir_count_per_path = 4\n",
                addr.port(),
                base = at(name).display()
            );
            daemon(&programs::storaged(), &at(name), "storage.conf", &text)
        })
        .collect();
    let conf = at("client.conf");
    std::fs::write(&conf, format!("connect_timeout = 2\nnetwork_timeout = 10\ntracker_server = {tracker}\n"))
        .unwrap();
    let tools = Tools(conf);
    wait_for("both members to be active", SOON, || {
        let output = tools.run("fdfs_monitor", &[]);
        String::from_utf8_lossy(&output.stdout).matches("ACTIVE").count() >= 2
    });

    let data = content(300_000, 6);
    let local = at("local.bin");
    std::fs::write(&local, &data).unwrap();
    let id = tools.said("fdfs_upload_file", &[local.to_str().unwrap()]).trim().to_owned();
    let (group, name) = split(&id);
    assert_eq!(group, "group1");
    let copies = ["one", "two"].map(|member| at(member).join("data").join(&name[4..]));
    for copy in &copies {
        wait_for("the copy", SOON, || std::fs::read(copy).is_ok_and(|bytes| bytes == data));
    }
    let info = tools.said("fdfs_file_info", &[&id]);
    assert!(info.contains("::1") && info.contains(&data.len().to_string()), "{info}");
    let back = at("back.bin");
    tools.said("fdfs_download_file", &[&id, back.to_str().unwrap()]);
    assert!(std::fs::read(&back).unwrap() == data);

    // The copy of the second member is gone: its nginx brings the file from the first.
    let settings = format!(
        "group_name = group1\nurl_have_group_name = true\nbase_path = {base}\nstore_path0 = {base}\ntracker_server = {tracker}\n\
         connect_timeout = 2\nnetwork_timeout = 5\nstorage_server_port = {}\n",
        two.port(),
        base = at("two").display()
    );
    let _nginx = nginx(&at("nginx"), web, &settings);
    let here = http::get(web, &format!("/{id}"));
    assert!(here.status == 200 && here.body == data);
    std::fs::remove_file(&copies[1]).unwrap();
    wait_for("the file from the other member", SOON, || {
        let page = http::get(web, &format!("/{id}"));
        page.status == 200 && page.body == data
    });
    tools.said("fdfs_delete_file", &[&id]);
    wait_for("the file to be gone", SOON, || !copies[0].exists());
    wait_for("nginx to know it", SOON, || http::get(web, &format!("/{id}")).status == 404);
    drop(storages);
}
