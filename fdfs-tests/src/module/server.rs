//! A stock nginx with the module, in a folder of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use super::member::Member;
use crate::process::Process;
use crate::programs;

/// How to start it. `Setup::default()` serves `/` from an empty local store of `group1`.
#[derive(Default, Clone, Copy)]
pub struct Setup<'a> {
    /// Storages named by `fastdfs_peer`.
    pub members: &'a [&'a Member],
    /// More lines of `mod_fastdfs.conf`; `ROOT` stands for the folder of this nginx.
    pub settings: &'a str,
    /// More directives of the location.
    pub location: &'a str,
    /// More directives before the server; `ROOT` stands for the folder of this nginx.
    pub http: &'a str,
    /// What the location is, default `/`.
    pub at: &'a str,
    /// More locations; `MODULE` stands for the directives that serve from FastDFS.
    pub more: &'a str,
}

/// A running nginx; stopped when dropped.
pub struct Nginx {
    process: Process,
    dir: tempfile::TempDir,
    pub port: u16,
}

/// A parsed answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// The connection ended before `Content-Length` bytes.
    pub cut: bool,
    /// Names in lower case, in the order of the answer.
    pub headers: Vec<(String, String)>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A port of 127.0.0.1 that nothing uses; below those that the system gives away itself, so that nobody else has it until nginx
/// listens.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Relaxed));
        let port = 20_000 + (n % 12_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Nginx {
    /// With these members; fails the test when nginx or the module is absent.
    pub fn start(name: &str, members: &[&Member]) -> Self {
        Self::with(name, &Setup { members, ..Setup::default() })
    }

    /// As `setup` says.
    pub fn with(name: &str, setup: &Setup) -> Self {
        let (dir, port, mut command) = prepare(name, setup);
        let process = Process::start("nginx", &mut command, dir.path().join("output"));
        let mut nginx = Self { process, dir, port };
        assert!(nginx.is_up(), "nginx does not listen: {}", nginx.log());
        nginx
    }

    /// Stops it, and starts it with what the files say now.
    pub fn restart(&mut self) {
        self.process.stop();
        let mut command = command(self.dir.path());
        self.process = Process::start("nginx", &mut command, self.dir.path().join("output"));
        assert!(self.is_up(), "nginx does not listen: {}", self.log());
    }

    /// Waits until it listens; false when it ended instead.
    fn is_up(&mut self) -> bool {
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if !self.process.is_running() || Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// What `nginx -t` says, and whether it is content.
    pub fn test(name: &str, setup: &Setup) -> (bool, String) {
        let (_dir, _, mut command) = prepare(name, setup);
        let output = command.arg("-t").output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has written to its error log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.path().join("error.log")).unwrap()).into_owned()
    }

    /// Puts a file into the local store.
    pub fn store(&self, name: &str, content: &[u8]) {
        self.store_at(name, content, None);
    }

    /// The same with a time of last change, s.
    pub fn store_at(&self, name: &str, content: &[u8], mtime: Option<u32>) {
        let path = self.dir.path().join("store/data").join(name.strip_prefix("M00/").unwrap());
        write_at(&path, content, mtime);
    }

    pub fn get(&self, url: &str, headers: &[&str]) -> Answer {
        self.ask("GET", url, headers)
    }

    pub fn ask(&self, method: &str, url: &str, headers: &[&str]) -> Answer {
        ask(self.port, method, url, headers)
    }
}

/// Folder, port and command of an nginx.
fn prepare(name: &str, setup: &Setup) -> (tempfile::TempDir, u16, Command) {
    let dir = tempfile::Builder::new().prefix(&format!("fdfs-{name}-")).tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("store/data/00/00")).unwrap();
    let port = free_port();
    std::fs::write(dir.path().join("nginx.conf"), conf(dir.path(), port, setup)).unwrap();
    let settings = format!(
        "group_name = group1\nurl_have_group_name = true\nstore_path0 = {}/store\n\
         connect_timeout = 1\nnetwork_timeout = 2\n{}",
        dir.path().display(),
        setup.settings
    );
    let settings = settings.replace("ROOT", &dir.path().display().to_string());
    std::fs::write(dir.path().join("mod_fastdfs.conf"), settings).unwrap();
    let command = command(dir.path());
    (dir, port, command)
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(programs::nginx());
    command.arg("-e").arg(dir.join("error.log")).arg("-p").arg(dir);
    command.arg("-c").arg(dir.join("nginx.conf"));
    command
}

/// Writes a file, with its folders.
pub fn write_at(path: &Path, content: &[u8], mtime: Option<u32>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    if let Some(mtime) = mtime {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(mtime.into());
        std::fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }
}

/// A request on a connection of its own.
pub fn ask(port: u16, method: &str, url: &str, headers: &[&str]) -> Answer {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!("{method} {url} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    parse(&raw(port, request.as_bytes()), method == "HEAD")
}

/// Sends bytes and reads until the connection ends.
pub fn raw(port: u16, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request).unwrap();
    let mut raw = Vec::new();
    // A refused body may end in a reset behind the answer.
    if let Err(error) = stream.read_to_end(&mut raw) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    raw
}

/// Takes an answer apart.
pub fn parse(raw: &[u8], head: bool) -> Answer {
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

fn conf(root: &Path, port: u16, setup: &Setup) -> String {
    let module = programs::module();
    let user = if std::fs::metadata("/proc/self").unwrap().uid() == 0 { "user root;" } else { "" };
    let root = root.display();
    let peers: String = setup.members.iter().map(|m| format!("fastdfs_peer group1 {};", m.addr)).collect();
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {root}/{kind};"))
        .collect();
    let served = format!("ngx_fastdfs_module; fastdfs_conf {root}/mod_fastdfs.conf; {peers}");
    let at = if setup.at.is_empty() { "/" } else { setup.at };
    let access = if setup.http.contains("access_log") { "" } else { "access_log off;" };
    let (location, more) = (setup.location, setup.more.replace("MODULE", &served));
    let text = format!(
        "load_module {};\n{user} daemon off; pid {root}/pid;\n\
         error_log {root}/error.log info;\nevents {{ worker_connections 256; }}\n\
         http {{ {access} sendfile on; {temp}\ntypes {{ image/jpeg jpg; }}\n\
         default_type application/octet-stream;\n{}\nserver {{ listen 127.0.0.1:{port};\n\
         location {at} {{ {served} {location} }}\n{more} }} }}\n",
        module.display(),
        setup.http,
    );
    text.replace("ROOT", &root.to_string())
}
