//! `fastdfs_status`: what nginx tells about itself is what happened.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use fdfs_core::fileid::Kind;
use fdfs_tests::cluster::Cluster;
use fdfs_tests::prometheus::{self, Sample};
use fdfs_tests::{content, http, module, wait_for};
use serde_json::Value;

const LOCATIONS: &str = "location = /status { fastdfs_status; }
    location /up/ { fastdfs_upload on; fastdfs_delete on; CONF rewrite ^/up(/group1.*)$ $1 break; }";

fn status(addr: SocketAddr) -> Value {
    let answer = http::get(addr, "/status");
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).unwrap()
}

/// Samples of the other form.
fn samples(addr: SocketAddr) -> Vec<Sample> {
    let answer = http::get(addr, "/status?format=prometheus");
    assert_eq!(answer.status, 200);
    prometheus::samples(&answer.body)
}

fn ask(addr: SocketAddr, method: &str, url: &str, body: &[u8]) -> module::server::Answer {
    let head = format!(
        "{method} {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut raw = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut raw).unwrap();
    module::server::parse(&raw, false)
}

#[test]
fn figures_are_those_of_what_happened() {
    let mut cluster = Cluster::start("status", 2);
    cluster.start_nginx_serving(0, "", LOCATIONS);
    let addr = cluster.members[0].nginx_addr;
    let mut all = status(addr);
    wait_for("all members serve", Duration::from_secs(30), || {
        all = status(addr);
        let members = all["sites"][0]["members"].as_array().unwrap();
        members.len() == 4 && members.iter().all(|member| member["serving"] == true)
    });
    let site = &all["sites"][0];
    assert!(site["conf"].as_str().unwrap().ends_with("/mod_fastdfs.conf"));
    assert!(site["members_age_ms"].as_u64().unwrap() < 10_000);
    assert_eq!(site["trackers"].as_array().unwrap().len(), 2);
    for (member, told) in cluster.members.iter().zip(site["members"].as_array().unwrap()) {
        assert_eq!(told["addr"], member.addr.to_string());
        assert_eq!((&told["group"], &told["serving"]), (&member.group.clone().into(), &true.into()));
    }
    // Four files come; two are of the other group, so that they are fetched; one goes.
    let data = content(10_000, 1);
    let mut urls: Vec<String> = Vec::new();
    for _ in 0..4 {
        let answer = ask(addr, "POST", "/up/a.txt", &data);
        assert_eq!(answer.status, 201, "{answer:?}");
        urls.push(answer.header("location").unwrap().to_owned());
    }
    let fetched = urls.iter().filter(|url| url.starts_with("/group2/")).count();
    for url in &urls {
        wait_for("it is served", Duration::from_secs(10), || http::get(addr, url).status == 200);
        // Else it would be fetched from the other member.
        if let Some(name) = url.strip_prefix("/group1/M00/") {
            let here = cluster.members[0].base.join("data").join(name);
            wait_for("it has come here", Duration::from_secs(30), || here.exists());
        }
    }
    let before = status(addr);
    let count = |all: &Value, origin: &str, class: &str| all["requests"][origin][class].as_u64().unwrap();
    for url in &urls {
        assert_eq!(http::get(addr, url).body, data);
    }
    http::get(addr, "/group1/M00/no");
    let after = status(addr);
    let grown = |origin, class| count(&after, origin, class) - count(&before, origin, class);
    assert_eq!((grown("local", "2xx"), grown("peer", "2xx")), (4 - fetched as u64, fetched as u64));
    assert_eq!((grown("refused", "4xx"), count(&after, "change", "2xx")), (1, 4));
    assert!(grown("local", "bytes") >= (4 - fetched as u64) * data.len() as u64);
    assert_eq!((&after["stored"]["files"], &after["stored"]["bytes"]), (&4.into(), &40_000.into()));
    let here = urls.iter().find(|url| url.starts_with("/group1/")).unwrap();
    assert_eq!(ask(addr, "DELETE", &format!("/up{here}"), b"").status, 204);
    // A member and a tracker fail; counters outlive a reload, and the new worker sees them fail again.
    cluster.storage(2).kill();
    cluster.tracker_process(0).kill();
    let worker = after["worker"].as_u64().unwrap();
    cluster.nginx_process(0).signal(libc::SIGHUP);
    wait_for("a new worker answers", Duration::from_secs(20), || {
        status(addr)["worker"].as_u64() != Some(worker)
    });
    let source = cluster.members[2].addr.ip().to_string();
    let there = format!("/group2/{}", module::id(&data, Kind::Normal, &source, 1));
    wait_for("the failures are told", Duration::from_secs(20), || {
        http::get(addr, &there);
        let all = status(addr);
        let site = &all["sites"][0];
        let resting = |member: &Value| member["resting_ms"].as_u64().unwrap() > 0;
        site["trackers"].as_array().unwrap().iter().any(|tracker| tracker["trouble"].is_string())
            && site["members"].as_array().unwrap().iter().any(resting)
    });
    let after = status(addr);
    assert_eq!((&after["deleted"], &after["stored"]["files"]), (&1.into(), &4.into()));
    // What failed a moment ago is asked again, and the old worker may take a last request.
    wait_for("the other form tells the same", Duration::from_secs(30), || {
        http::get(addr, &there);
        let samples = samples(addr);
        let value = |start: &str| -> f64 {
            samples.iter().filter(|(name, ..)| name.starts_with(start)).map(|(.., value)| value).sum()
        };
        let failed =
            (value("fdfs_nginx_tracker_ok") - 1.0).abs() < 0.5 && value("fdfs_nginx_member_ok") < 3.5;
        failed && (value("fdfs_nginx_stored_bytes_total") - 40_000.0).abs() < 0.5
    });
    assert_eq!(http::get(addr, "/status?format=xml").status, 400);
    assert_eq!(ask(addr, "POST", "/status", b"").status, 405);
}
