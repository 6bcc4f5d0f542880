//! Resumable uploads (tus 1.0.0) through nginx: by hand, so that every interruption can be had, and by a client from PyPI.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::module::server::{Answer, parse};
use fdfs_tests::{content, programs, tree, wait_for};

const LOCATIONS: &str = "client_max_body_size 0;
    location /files/ { fastdfs_tus on; fastdfs_tus_key a-key; fastdfs_tus_max_size 64m; CONF }
    location /other/ { fastdfs_tus on; fastdfs_tus_key another-key; fastdfs_upload on; CONF }";

const VERSION: &str = "Tus-Resumable: 1.0.0";
const TYPE: &str = "Content-Type: application/offset+octet-stream";

fn send(addr: SocketAddr, method: &str, url: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = begin(addr, method, url, headers, body.len());
    stream.write_all(body).unwrap();
    let mut raw = Vec::new();
    let _ = stream.read_to_end(&mut raw);
    parse(&raw, method == "HEAD")
}

/// A request without its body.
fn begin(addr: SocketAddr, method: &str, url: &str, headers: &[&str], len: usize) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!(
        "{method} {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn create(addr: SocketAddr, length: usize) -> (String, String) {
    // "a.mp4"
    let metadata = "Upload-Metadata: filename YS5tcDQ=,type dmlkZW8=";
    let created =
        send(addr, "POST", "/files/", &[VERSION, &format!("Upload-Length: {length}"), metadata], b"");
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.header("fastdfs-id").unwrap().to_owned();
    (created.header("location").unwrap().to_owned(), id)
}

fn patch(addr: SocketAddr, url: &str, offset: usize, body: &[u8]) -> Answer {
    send(addr, "PATCH", url, &[VERSION, TYPE, &format!("Upload-Offset: {offset}")], body)
}

/// How far an upload is; waits until somebody can tell.
fn offset(addr: SocketAddr, url: &str) -> usize {
    let mut found = None;
    wait_for("the upload is there", Duration::from_secs(30), || {
        let Ok(mut stream) = TcpStream::connect(addr) else { return false };
        write!(stream, "HEAD {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{VERSION}\r\n\r\n").unwrap();
        let mut raw = Vec::new();
        let _ = stream.read_to_end(&mut raw);
        let head = parse(&raw, true);
        found = head.header("upload-offset").map(|offset| offset.parse().unwrap());
        assert!(head.status == 200 || head.status >= 500, "{head:?}");
        found.is_some()
    });
    found.unwrap()
}

/// Both members have these files and no other, and nothing lies about.
fn settles_as(cluster: &Cluster, files: &[(String, Vec<u8>)]) {
    for member in &cluster.members {
        let base = &member.base;
        wait_for("the member has all files", Duration::from_secs(30), || {
            let have = tree::files(base);
            have.len() == files.len()
                && files
                    .iter()
                    .all(|(id, data)| have.get(&id["group1/".len()..]).is_some_and(|file| file == data))
        });
        // State files are written beside their place, for a moment.
        wait_for("nothing lies about", Duration::from_secs(10), || tree::unexplained(base).is_empty());
    }
}

#[test]
fn an_upload_goes_on_where_it_is() {
    let mut cluster = Cluster::start("tus", 1);
    cluster.start_nginx_serving(0, "", LOCATIONS);
    let addr = cluster.members[0].nginx_addr;
    let told = send(addr, "OPTIONS", "/files/", &[], b"");
    assert_eq!((told.status, told.header("tus-version")), (204, Some("1.0.0")));
    assert_eq!(told.header("tus-extension"), Some("creation,creation-with-upload,termination"));
    assert_eq!(told.header("tus-max-size"), Some("67108864"));
    let data = content(10_000_000, 1);
    let (url, id) = create(addr, data.len());
    assert!(url.starts_with(&format!("/files/{id}?")) && id.ends_with(".mp4"), "{url}");
    assert_eq!(offset(addr, &url), 0);
    let refused = |answer: Answer, status: u16| {
        assert_eq!((answer.status, answer.header("tus-resumable")), (status, Some("1.0.0")), "{answer:?}");
    };
    refused(patch(addr, &url, 5, b"later"), 409);
    refused(send(addr, "PATCH", &url, &[VERSION, "Upload-Offset: 0"], b"x"), 415);
    refused(send(addr, "PATCH", &url, &[VERSION, TYPE], b"x"), 400);
    refused(send(addr, "PATCH", &url, &[TYPE, "Upload-Offset: 0"], b"x"), 412);
    refused(patch(addr, &url, 0, &vec![0; data.len() + 1]), 413);
    refused(patch(addr, &url.replace("length=10", "length=11"), 0, b"x"), 404);
    refused(patch(addr, &url.replace("/files/", "/other/"), 0, b"x"), 404);
    refused(send(addr, "POST", "/files/", &[VERSION, "Upload-Length: 67108865"], b""), 413);
    refused(send(addr, "POST", "/files/", &[VERSION], b""), 400);
    refused(send(addr, "PUT", "/files/", &[VERSION], b""), 405);
    assert_eq!(offset(addr, &url), 0);
    // Three parts; the last one by a proxy that knows no PATCH.
    let (one, two, three) = (&data[..1], &data[1..9_000_000], &data[9_000_000..]);
    for (at, part) in [(0, one), (1, two)] {
        let answer = patch(addr, &url, at, part);
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("upload-offset"), Some((at + part.len()).to_string().as_str()));
    }
    let override_ = [VERSION, TYPE, "Upload-Offset: 9000000", "X-HTTP-Method-Override: PATCH"];
    assert_eq!(send(addr, "POST", &url, &override_, three).status, 204);
    assert_eq!(offset(addr, &url), data.len());
    assert_eq!(patch(addr, &url, data.len(), b"").status, 204);
    // All at once, where ordinary uploads are taken too; one of nothing; one that is given up.
    let created = ["Upload-Length: 5", VERSION, TYPE];
    let all = send(addr, "POST", "/other/", &created, b"hello");
    assert_eq!((all.status, all.header("upload-offset")), (201, Some("5")), "{all:?}");
    let raw = send(addr, "POST", "/other/x.txt", &[], b"hello");
    assert_eq!(raw.status, 201);
    let raw = raw.header("location").unwrap().trim_start_matches('/').to_owned();
    let (_, empty) = create(addr, 0);
    let (gone, _) = create(addr, 10);
    assert_eq!(patch(addr, &gone, 0, b"abc").status, 204);
    assert_eq!(send(addr, "DELETE", &gone, &[VERSION], b"").status, 204);
    refused(send(addr, "DELETE", &gone, &[VERSION], b""), 404);
    refused(patch(addr, &gone, 3, b"abc"), 404);
    let all = all.header("fastdfs-id").unwrap().to_owned();
    let path = cluster.dir().join("file");
    std::fs::write(&path, &data).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/tus_upload.py");
    let url = format!("http://{addr}/files/");
    let client = Command::new(programs::python()).arg(script).arg(url).arg(&path).output().unwrap();
    assert!(client.status.success(), "{client:?}");
    let by_client = String::from_utf8(client.stdout).unwrap().trim().to_owned();
    let files = [
        (by_client, data.clone()),
        (id.clone(), data.clone()),
        (all, b"hello".to_vec()),
        (raw, b"hello".to_vec()),
        (empty, vec![]),
    ];
    settles_as(&cluster, &files);
    assert!(send(addr, "GET", &format!("/{id}"), &[], b"").body == data);
}

#[test]
fn uploads_survive_kills() {
    let mut cluster = Cluster::start("tus-kills", 1);
    cluster.start_nginx_serving(0, "", LOCATIONS);
    let addr = cluster.members[0].nginx_addr;
    let mut files = Vec::new();
    for turn in 0..5 {
        let data = content(12_000_000, turn);
        let (url, id) = create(addr, data.len());
        let mut at = 0;
        for interruption in 0..3 {
            let headers = [VERSION, TYPE, &format!("Upload-Offset: {at}")];
            let mut stream = begin(addr, "PATCH", &url, &headers, data.len() - at);
            let part = 1_000_000 + 700_000 * (turn as usize);
            let _ = stream.write_all(&data[at..(at + part).min(data.len())]);
            match (turn + interruption) % 3 {
                0 => drop(stream),
                1 => {
                    cluster.nginx_process(0).kill();
                    cluster.start_nginx_serving(0, "", LOCATIONS);
                }
                _ => {
                    for index in 0..2 {
                        cluster.storage(index).kill();
                    }
                    for index in 0..2 {
                        cluster.start_storage(index);
                    }
                }
            }
            let now = offset(addr, &url);
            assert!(now >= at && now <= at + part, "from {at} to {now}");
            // A client that left: what it had sent is kept, but for what nginx's buffer held when the end came.
            if (turn + interruption) % 3 == 0 {
                wait_for("what was sent is there", Duration::from_secs(10), || {
                    offset(addr, &url) > at + part - 32 * 1024
                });
            }
            at = offset(addr, &url);
        }
        let mut last = None;
        wait_for("the rest is taken", Duration::from_secs(30), || {
            let at = offset(addr, &url);
            last = Some(patch(addr, &url, at, &data[at..]));
            last.as_ref().is_some_and(|answer| answer.status == 204)
        });
        assert_eq!(offset(addr, &url), data.len());
        files.push((id, data));
    }
    settles_as(&cluster, &files);
}
