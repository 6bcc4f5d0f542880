//! `min_copies`: an answer that waits for other members, and does not wait for ever.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, http, wait_for};

const MIN_COPIES: u8 = 207;
const UPLOAD_APPENDER: u8 = 23;
const APPEND: u8 = 24;
const PORT: u16 = 9101;
const OK: u8 = 1;
const FAIL: u8 = 2;
const TIMED_OUT: u8 = 110;

fn conf(more: &str) -> String {
    format!("metrics_port = {PORT}\n{more}")
}

fn asking(addr: SocketAddr, copies: u32, wait: Duration, on_timeout: u8) -> Raw {
    let mut client = Raw::connect(addr);
    let wait = u32::try_from(wait.as_millis()).unwrap();
    let body = [&copies.to_be_bytes()[..], &wait.to_be_bytes(), &[on_timeout]].concat();
    assert_eq!(client.ask(MIN_COPIES, &body).unwrap().status, 0);
    client
}

fn upload(client: &mut Raw, command: u8, data: &[u8]) -> Result<String, u8> {
    let answer = client.ask(command, &raw::upload(0, "bin", data)).unwrap();
    match answer.status {
        0 => Ok(String::from_utf8(answer.body[16..].to_vec()).unwrap()),
        status => Err(status),
    }
}

fn answers(addr: SocketAddr, result: &str) -> u64 {
    let page = String::from_utf8(http::get(SocketAddr::new(addr.ip(), PORT), "/metrics").body).unwrap();
    let name = format!("fdfs_storage_min_copies_answers_total{{result=\"{result}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[test]
fn an_answer_waits_for_the_copies() {
    let mut cluster = Cluster::start("copies", 1);
    for (member, more) in [(0, "min_copies = 2\nmin_copies_timeout = 20000\n"), (1, "")] {
        cluster.storage(member).stop();
        cluster.start_storage_with(member, &conf(more));
    }
    cluster.wait_active();
    let (first, second) = (cluster.members[0].addr, cluster.members[1].addr);
    let bases = [0, 1].map(|member| cluster.members[member].base.clone());
    let at = |member: usize, name: &str| -> PathBuf { bases[member].join("data").join(&name[4..]) };
    let read = |member, name: &str| std::fs::read(at(member, name)).ok();

    // Every change is there when it is answered, whatever its kind. One file more is uploaded until replication runs.
    let mut client = Raw::connect(first);
    wait_for("replication runs", Duration::from_secs(30), || {
        upload(&mut client, raw::UPLOAD, b"first").is_ok() && answers(first, "reached") > 0
    });
    let mut names = Vec::new();
    for n in 0..200u64 {
        let data = content(usize::try_from(n * n * 7).unwrap(), n);
        let name = upload(&mut client, raw::UPLOAD, &data).unwrap();
        assert_eq!(read(1, &name), Some(data), "file {n} is with the other member");
        names.push(name);
    }
    let metadata = raw::set_metadata(b'O', "group1", &names[0], b"a\x02b");
    assert_eq!(client.ask(raw::SET_METADATA, &metadata).unwrap().status, 0);
    assert_eq!(read(1, &format!("{}-m", names[0])).unwrap(), b"a\x02b");
    assert_eq!(client.ask(raw::DELETE, &raw::file("group1", &names[0])).unwrap().status, 0);
    assert_eq!((read(1, &names[0]), read(1, &format!("{}-m", names[0]))), (None, None));
    let appender = upload(&mut client, UPLOAD_APPENDER, b"one").unwrap();
    let more = [&(appender.len() as u64).to_be_bytes()[..], &3u64.to_be_bytes(), appender.as_bytes(), b"two"];
    assert_eq!(client.ask(APPEND, &more.concat()).unwrap().status, 0);
    assert_eq!(read(1, &appender).unwrap(), b"onetwo");
    assert!(answers(first, "reached") >= 204);

    // More members than there are: nothing to wait for.
    let long = Duration::from_secs(300);
    let began = Instant::now();
    assert_eq!(upload(&mut asking(second, 3, long, FAIL), raw::UPLOAD, b"x"), Err(TIMED_OUT));
    assert!(upload(&mut asking(second, 3, long, OK), raw::UPLOAD, b"x").is_ok());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());

    // The tool asks too.
    let file = cluster.dir().join("file");
    std::fs::write(&file, b"by the tool").unwrap();
    let conf = cluster.client_conf();
    let (conf, file) = (conf.to_str().unwrap(), file.to_str().unwrap());
    let done = cluster.bare_tool("fdfs_upload_file", &["-c", "2", conf, file]);
    let id = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let name = id.trim().strip_prefix("group1/").unwrap();
    assert_eq!(read(0, name), read(1, name));
    assert_eq!(cluster.bare_tool("fdfs_upload_file", &["-c", "33", conf, file]).status.code(), Some(22));
}

#[test]
fn a_frozen_member_holds_up_an_answer_for_a_limited_time() {
    let mut cluster = Cluster::start("copies-frozen", 1);
    cluster.storage(1).stop();
    cluster.start_storage_with(1, &conf(""));
    cluster.wait_active();
    let addr = cluster.members[1].addr;
    let wait = Duration::from_millis(400);
    let mut strict = asking(addr, 2, wait, FAIL);
    let mut lenient = asking(addr, 2, wait, OK);
    let mut plain = Raw::connect(addr);
    wait_for("replication runs", Duration::from_secs(30), || {
        upload(&mut strict, raw::UPLOAD, b"first").is_ok()
    });
    cluster.storage(0).signal(libc::SIGSTOP);
    let before = answers(addr, "short");
    let began = Instant::now();
    assert_eq!(upload(&mut strict, raw::UPLOAD, b"strict"), Err(TIMED_OUT));
    let name = upload(&mut lenient, raw::UPLOAD, b"lenient").unwrap();
    let took = began.elapsed();
    assert!(took >= wait * 2 && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(answers(addr, "short"), before + 2);
    // Nobody else waits.
    upload(&mut plain, raw::UPLOAD, b"plain").unwrap();
    upload(&mut asking(addr, 1, wait, FAIL), raw::UPLOAD, b"one").unwrap();
    assert_eq!(answers(addr, "short"), before + 2);
    cluster.storage(0).signal(libc::SIGCONT);
    let copy = cluster.members[0].base.join("data").join(&name[4..]);
    wait_for("the change arrives later", Duration::from_secs(40), || copy.exists());
    wait_for("the member counts again", Duration::from_secs(40), || {
        upload(&mut strict, raw::UPLOAD, b"again").is_ok()
    });
    let log = std::fs::read_to_string(cluster.members[1].base.join("logs/storaged.log")).unwrap();
    assert_eq!(
        log.matches("fewer copies than wanted").count(),
        log.matches("as many copies as wanted").count()
    );
    assert!(log.contains("fewer copies than wanted"));
}
