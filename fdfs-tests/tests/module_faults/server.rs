//! A stock nginx with the module, in a folder of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::member::Member;
use fdfs_tests::programs;

/// A running nginx; stopped when dropped.
pub struct Nginx {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

/// A parsed answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// The connection ended before `Content-Length` bytes.
    pub cut: bool,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Nginx {
    /// Fails the test when nginx or the module is absent.
    pub fn start(name: &str, members: &[&Member]) -> Self {
        let (program, module) = (programs::nginx(), programs::module());
        let dir = tempfile::Builder::new().prefix(&format!("fdfs-{name}-")).tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("store/data/00/00")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let root = dir.path().display();
        let user = if std::fs::metadata("/proc/self").unwrap().uid() == 0 { "user root;" } else { "" };
        let peers: String = members.iter().map(|m| format!("fastdfs_peer group1 {};", m.addr)).collect();
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {root}/{kind};"))
            .collect();
        let conf = format!(
            "load_module {};\n{user} daemon off; pid {root}/pid; error_log {root}/error.log info;\n\
             events {{ worker_connections 256; }}\nhttp {{ access_log off; sendfile on; {temp}\n\
             types {{ text/plain txt; }}\nserver {{ listen 127.0.0.1:{port};\n\
             location / {{ ngx_fastdfs_module; fastdfs_conf {root}/mod_fastdfs.conf; {peers} }} }} }}\n",
            module.display()
        );
        std::fs::write(dir.path().join("nginx.conf"), conf).unwrap();
        let settings = format!(
            "group_name = group1\nurl_have_group_name = true\nstore_path0 = {root}/store\n\
             connect_timeout = 1\nnetwork_timeout = 2\n"
        );
        std::fs::write(dir.path().join("mod_fastdfs.conf"), settings).unwrap();
        let child = Command::new(program).arg("-c").arg(dir.path().join("nginx.conf")).spawn().unwrap();
        let mut nginx = Self { child, dir, port };
        nginx.wait_until_up();
        nginx
    }

    fn wait_until_up(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(self.child.try_wait().unwrap().is_none(), "nginx ended");
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Puts a file into the local store.
    pub fn store(&self, name: &str, content: &[u8]) {
        let true_name = name.strip_prefix("M00/").unwrap();
        std::fs::write(self.dir.path().join("store/data").join(true_name), content).unwrap();
    }

    pub fn get(&self, url: &str, headers: &[&str]) -> Answer {
        self.ask("GET", url, headers)
    }

    pub fn ask(&self, method: &str, url: &str, headers: &[&str]) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let request = format!("{method} {url} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut raw = Vec::new();
        stream.read_to_end(&mut raw).unwrap();
        parse(&raw, method == "HEAD")
    }
}

fn parse(raw: &[u8], head: bool) -> Answer {
    let end = raw.windows(4).position(|part| part == b"\r\n\r\n").expect("an HTTP answer");
    let text = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = text.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
        .collect();
    let mut answer = Answer { status, body: raw[end + 4..].to_vec(), cut: false, headers };
    let length = answer.header("content-length").and_then(|value| value.parse::<usize>().ok());
    answer.cut = !head && status != 304 && length.is_some_and(|length| length != answer.body.len());
    answer
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        // TERM lets the master end its workers first.
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
    }
}
