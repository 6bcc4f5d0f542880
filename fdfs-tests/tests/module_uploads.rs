//! Uploads and deletes through nginx: `curl -T` and `curl -F` against a whole cluster, clients that leave, members that fail.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fdfs_tests::cluster::Cluster;
use fdfs_tests::{content, tree, wait_for};

const LOCATIONS: &str = "client_max_body_size 64m;
    location = /upload { fastdfs_upload on; CONF }
    location /put/ { fastdfs_upload on; fastdfs_upload_buffering on; fastdfs_upload_group group1;
        fastdfs_upload_url https://files.example.com/; CONF }
    location = /small { fastdfs_upload on; client_max_body_size 1k; CONF }
    location = /locked { fastdfs_upload on; auth_basic x; auth_basic_user_file ROOT/users; CONF }
    location = /asked { fastdfs_upload on; auth_request /no; CONF }
    location = /no { internal; return 403; }
    location /group1/ { ngx_fastdfs_module; fastdfs_delete on; CONF }
    location /open/ { rewrite ^/open(/.*)$ $1 break; ngx_fastdfs_module; fastdfs_delete on; CONF
        limit_except GET { deny all; } }";

struct Site {
    cluster: Cluster,
    addr: SocketAddr,
}

#[derive(Debug)]
struct Sent {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Sent {
    fn files(&self) -> Vec<serde_json::Value> {
        let answer: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        answer["files"].as_array().unwrap().clone()
    }

    fn location(&self) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case("location").then_some(value.trim())
        })
    }
}

impl Site {
    fn start(name: &str, http2: bool) -> Self {
        let mut cluster = Cluster::start(name, 1);
        std::fs::create_dir_all(cluster.nginx_home(0)).unwrap();
        std::fs::write(cluster.nginx_home(0).join("users"), "me:{PLAIN}secret\n").unwrap();
        let listen = if http2 { listen_http2(&cluster) } else { String::new() };
        cluster.start_nginx_serving(0, "", &format!("{listen}{LOCATIONS}"));
        let addr = cluster.members[0].nginx_addr;
        Self { cluster, addr }
    }

    fn file(&self, name: &str, data: &[u8]) -> String {
        let path = self.cluster.dir().join(name);
        std::fs::write(&path, data).unwrap();
        path.display().to_string()
    }

    fn curl(&self, args: &[&str], url: &str) -> Sent {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{}{url}", self.addr) };
        let head = self.cluster.dir().join("head");
        let out = Command::new("curl")
            .args(["-sSk", "-m", "30", "-w", "%{stderr}%{http_code}", "-D"])
            .arg(&head)
            .args(args)
            .arg(url)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let status = said.get(said.len().saturating_sub(3)..).and_then(|code| code.parse().ok());
        let head = String::from_utf8_lossy(&std::fs::read(&head).unwrap_or_default()).into_owned();
        Sent { status: status.unwrap_or_else(|| panic!("{said}")), head, body: out.stdout }
    }

    /// Fetches by the URL of an answer.
    fn fetch(&self, file: &serde_json::Value) -> Vec<u8> {
        let sent = self.curl(&[], &format!("/{}", file["id"].as_str().unwrap()));
        assert_eq!(sent.status, 200);
        sent.body
    }

    fn bases(&self) -> Vec<PathBuf> {
        self.cluster.members.iter().map(|member| member.base.clone()).collect()
    }

    /// Files of each member.
    fn counts(&self) -> Vec<usize> {
        self.bases().iter().map(|base| tree::names(base).len()).collect()
    }

    /// Each member has `count` files, all of them whole and known to its binlog, and nobody keeps one open.
    fn settles_at(&self, count: usize) {
        wait_for("all members have the same", Duration::from_secs(20), || {
            self.counts().iter().all(|have| *have == count)
        });
        for base in self.bases() {
            assert_eq!(tree::untrue(&base), Vec::<String>::new());
            // State files are written beside their place, for a moment.
            wait_for("nothing lies about", Duration::from_secs(10), || tree::unexplained(&base).is_empty());
        }
        let log = std::fs::read_to_string(self.cluster.nginx_home(0).join("error.log")).unwrap();
        assert_eq!(log.lines().find(|line| line.contains("[alert]")), None);
        let body = self.cluster.nginx_home(0).join("client_body");
        assert_eq!(std::fs::read_dir(body).unwrap().count(), 0, "a body stayed");
    }
}

/// Two more ports: HTTP/2 without and with TLS.
fn listen_http2(cluster: &Cluster) -> String {
    let (home, ip) = (cluster.nginx_home(0), cluster.members[0].addr.ip());
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=test", "-keyout"])
        .arg(home.join("key"))
        .arg("-out")
        .arg(home.join("cert"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    format!(
        "listen {ip}:8081 http2; listen {ip}:8443 ssl http2;
         ssl_certificate ROOT/cert; ssl_certificate_key ROOT/key;\n"
    )
}

/// Open descriptors of a process that lead to something with this in its name.
fn open(pid: u32, name: &str) -> usize {
    let all = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    all.filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .filter(|path| path.to_string_lossy().contains(name))
        .count()
}

/// Connections to a member on which this many bytes wait to be read.
fn unread(member: SocketAddr, bytes: usize) -> usize {
    let IpAddr::V4(ip) = member.ip() else { panic!("{member}") };
    let local = format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), member.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let waits = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[1] == local && fields[4].ends_with(&format!(":{bytes:08X}"))
    };
    table.lines().skip(1).filter(waits).count()
}

#[test]
fn bodies_of_all_kinds_become_files() {
    let site = Site::start("uploads", false);
    let mut count = 0;
    for (seed, size) in [1, 1000, 16 * 1024, 300_000, 20 << 20].into_iter().enumerate() {
        let data = content(size, seed as u64);
        let path = site.file("picture.JPG", &data);
        let checks: [(&[&str], &str); 5] = [
            (&["-T", &path], "/upload?filename=a.jpg"),
            (&["-X", "POST", "-H", "Expect: 100-continue", "-T", &path], "/upload"),
            (&["-X", "PUT", "-H", "Transfer-Encoding: chunked", "-T", &path], "/upload"),
            (&["-T", &path], "/put/"),
            (&["-F", &format!("file=@{path}")], "/upload"),
        ];
        for (args, url) in checks {
            let sent = site.curl(args, url);
            assert_eq!(sent.status, 201, "{args:?}: {sent:?}");
            let files = sent.files();
            assert_eq!((files.len(), files[0]["size"].as_u64()), (1, Some(size as u64)));
            assert_eq!(sent.location(), files[0]["url"].as_str());
            assert!(site.fetch(&files[0]) == data, "{args:?}: other bytes");
            count += 1;
        }
    }
    let ids = |sent: &Sent| sent.files()[0]["id"].as_str().unwrap().to_owned();
    let path = site.file("b.tar.gz", b"abc");
    let sent = site.curl(&["-T", &path], "/put/");
    assert!(ids(&sent).ends_with(".tar.gz"), "{sent:?}");
    assert_eq!(sent.location(), Some(format!("https://files.example.com/{}", ids(&sent)).as_str()));
    let (one, two) = (site.file("1.png", &content(70_000, 9)), site.file("2 ;x.txt", &content(5, 8)));
    let form = [
        format!("a=@{one}"),
        "title=hello".into(),
        format!("b=@\"{}\"", two.replace('"', "\\\"")),
        "c=@/dev/null;filename=".into(),
    ];
    let sent = site.curl(&["-F", &form[0], "-F", &form[1], "-F", &form[2], "-F", &form[3]], "/upload");
    let files = sent.files();
    assert_eq!((sent.status, files.len(), sent.location()), (201, 2, None), "{sent:?}");
    assert_eq!((files[0]["name"].as_str(), files[0]["field"].as_str()), (Some("1.png"), Some("a")));
    assert_eq!((files[1]["name"].as_str(), files[1]["field"].as_str()), (Some("2 ;x.txt"), Some("b")));
    assert_eq!((site.fetch(&files[0]), site.fetch(&files[1])), (content(70_000, 9), content(5, 8)));
    site.settles_at(count + 3);
    // They go again, once.
    for file in files {
        let url = format!("/{}", file["id"].as_str().unwrap());
        let codes = ["DELETE", "GET", "DELETE"].map(|method| site.curl(&["-X", method], &url).status);
        assert_eq!(codes, [204, 404, 404]);
    }
    site.settles_at(count + 1);
}

#[test]
fn http2_and_tls_bring_the_same_bytes() {
    let site = Site::start("http2", true);
    let ip = site.cluster.members[0].addr.ip();
    let mut count = 0;
    for size in [0, 1, 1000, 300_000, 12 << 20] {
        let data = content(size, size as u64);
        let path = site.file("a.bin", &data);
        let form = format!("f=@{path}");
        for (base, how) in [
            (format!("http://{ip}:8081"), "--http2-prior-knowledge"),
            (format!("https://{ip}:8443"), "--http2"),
            (format!("https://{ip}:8443"), "--http1.1"),
        ] {
            for args in [["-T", path.as_str()], ["-F", form.as_str()]] {
                let sent = site.curl(&[&args[..], &[how]].concat(), &format!("{base}/upload"));
                assert_eq!(sent.status, 201, "{size} {how} {args:?}: {sent:?}");
                assert!(site.fetch(&sent.files()[0]) == data, "{how} {args:?}: other bytes");
                count += 1;
            }
        }
    }
    // A stream that is reset half-way.
    let path = site.file("a.bin", &content(12 << 20, 1));
    for url in [format!("http://{ip}:8081/upload"), format!("https://{ip}:8443/upload")] {
        for args in [["-T", path.as_str()], ["-F", &format!("f=@{path}")]] {
            let out = Command::new("curl")
                .args(["-sk", "--http2-prior-knowledge", "--limit-rate", "2m", "-m", "1"])
                .args(args)
                .arg(&url)
                .output()
                .unwrap();
            assert_eq!(out.status.code(), Some(28), "{out:?}");
        }
    }
    site.settles_at(count);
}

#[test]
fn nobody_changes_files_unasked() {
    let site = Site::start("rights", false);
    let path = site.file("a.txt", &content(2000, 1));
    let put = |url: &str, more: &[&str]| site.curl(&[&["-T", path.as_str()], more].concat(), url).status;
    assert_eq!(put("/upload", &[]), 201);
    assert_eq!((put("/group1/M00/00/00/x.txt", &[]), put("/a.txt", &[])), (405, 405));
    assert_eq!((put("/small", &[]), put("/small", &["-H", "Transfer-Encoding: chunked"])), (413, 413));
    assert_eq!(
        (put("/locked", &[]), put("/locked", &["-u", "me:no"]), put("/locked", &["-u", "me:secret"])),
        (401, 401, 201)
    );
    assert_eq!(put("/asked", &[]), 403);
    let id = |sent: &Sent| sent.files()[0]["id"].as_str().unwrap().to_owned();
    let kept = id(&site.curl(&["-T", &path], "/upload"));
    let codes = |url: &str| ["GET", "DELETE", "PATCH"].map(|method| site.curl(&["-X", method], url).status);
    assert_eq!(codes("/upload"), [405, 405, 405]);
    assert_eq!(codes(&format!("/open/{kept}")), [200, 403, 403]);
    assert_eq!(codes(&format!("/put/{kept}")), [405, 405, 405]);
    assert_eq!(site.curl(&["-X", "DELETE"], "/group1/M00/no").status, 400);
    assert_eq!(site.curl(&["-X", "DELETE"], &format!("/group1/{}-m", &kept[7..])).status, 404);
    for body in [
        "--b\r\n\r\nno file\r\n--b--",
        "--b\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\ncut",
    ] {
        let typed =
            ["-X", "POST", "-H", "Content-Type: multipart/form-data; boundary=b", "--data-binary", body];
        assert_eq!(site.curl(&typed, "/upload").status, 400);
    }
    site.settles_at(3);
}

/// Begins a request; the rest is up to the caller.
fn begin(addr: SocketAddr, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

#[test]
fn clients_that_leave_leave_nothing() {
    let mut site = Site::start("leavers", false);
    let data = content(400_000, 3);
    let put = format!("PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", data.len());
    let form = b"--b\r\nContent-Disposition: form-data; name=a; filename=b.txt\r\n\r\n";
    let post = "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 500000\r\n\r\n";
    for turn in 0..100 {
        let half = &data[..turn * 3000];
        let stream = match turn % 2 {
            0 => begin(site.addr, &put, half),
            _ => begin(site.addr, post, &[form, half].concat()),
        };
        drop(stream);
    }
    // Clients that leave while the storage is at work: it is done, and undone.
    let pids: Vec<u32> = (0..2).map(|index| site.cluster.storage(index).pid()).collect();
    (0..2).for_each(|index| site.cluster.storage(index).signal(libc::SIGSTOP));
    let short = "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
    let waiting: Vec<TcpStream> = (0..4).map(|_| begin(site.addr, short, b"hello")).collect();
    // Header, head and content.
    let size = 10 + 15 + 5;
    wait_for("storages have all of it", Duration::from_secs(10), || {
        site.cluster.members.iter().map(|member| unread(member.addr, size)).sum::<usize>() == 4
    });
    drop(waiting);
    (0..2).for_each(|index| site.cluster.storage(index).signal(libc::SIGCONT));
    let stream = begin(site.addr, &put, &data);
    let mut answer = vec![0; 12];
    (&stream).read_exact(&mut answer).unwrap();
    assert_eq!(answer, b"HTTP/1.1 201");
    site.settles_at(1);
    for pid in pids {
        wait_for("no file without a name is open", Duration::from_secs(10), || open(pid, "(deleted)") == 0);
    }
}

#[test]
fn another_member_takes_over() {
    let mut site = Site::start("takeover", false);
    let path = site.file("a.txt", &content(100_000, 1));
    site.cluster.storage(1).kill();
    // The tracker does not know it yet, and names both in turn.
    for url in ["/upload", "/put/", "/upload", "/put/"] {
        let sent = site.curl(&["-T", &path], url);
        assert_eq!(sent.status, 201, "{url}: {sent:?}");
    }
    site.cluster.storage(0).signal(libc::SIGSTOP);
    let began = Instant::now();
    let sent = site.curl(&["-T", &path], "/upload");
    assert!(matches!(sent.status, 502..=504), "{sent:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    site.cluster.storage(0).signal(libc::SIGCONT);
    site.cluster.storage(0).kill();
    let sent = site.curl(&["-T", &path], "/upload");
    assert!(matches!(sent.status, 502..=504), "{sent:?}");
    let alive = site.curl(&[], "/upload");
    assert_eq!(alive.status, 405, "nginx lives");
}

#[test]
fn a_thousand_uploads_are_a_thousand_files() {
    let site = Site::start("thousand", false);
    let dir = site.cluster.dir().join("thousand");
    std::fs::create_dir(&dir).unwrap();
    let data = |n: usize| content(n * 97 % 70_000, n as u64);
    // Four clients, each over one connection: bodies and forms in turn.
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let mut config = String::new();
            for n in (client..1000).step_by(4) {
                let (file, answer) = (dir.join(format!("{n}.dat")), dir.join(format!("{n}.json")));
                std::fs::write(&file, data(n)).unwrap();
                let body = if n / 4 % 2 == 0 { "upload-file = \"" } else { "form = \"a=@" };
                config += &format!(
                    "next\nsilent\nfail\nmax-time = 30\nurl = http://{}/upload\n{body}{}\"\noutput = {}\n",
                    site.addr,
                    file.display(),
                    answer.display()
                );
            }
            let path = dir.join(format!("{client}.conf"));
            std::fs::write(&path, config.trim_start_matches("next\n")).unwrap();
            Command::new("curl").arg("-K").arg(path).spawn().unwrap()
        })
        .collect();
    for mut client in clients {
        assert!(client.wait().unwrap().success());
    }
    site.settles_at(1000);
    let have: Vec<_> = site.bases().iter().map(|base| tree::files(base)).collect();
    for n in 0..1000 {
        let answer = std::fs::read(dir.join(format!("{n}.json"))).unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let id = answer["files"][0]["id"].as_str().unwrap();
        for files in &have {
            assert!(files[&id["group1/".len()..]] == data(n), "{id}");
        }
    }
}
