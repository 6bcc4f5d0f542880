//! A whole cluster in a folder of its own, on loopback addresses of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::process::Process;
use crate::{programs, raw, wait_for};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A member of a group.
pub struct Member {
    pub group: String,
    pub addr: SocketAddr,
    pub base: PathBuf,
    pub nginx_addr: SocketAddr,
    /// Seconds that the clock of its next process is ahead (`libfaketime`).
    pub clock_ahead: i64,
    process: Option<Process>,
    nginx: Option<Process>,
}

/// Two trackers, groups of two, and what else was asked for.
pub struct Cluster {
    dir: tempfile::TempDir,
    net: [u8; 3],
    trackers: Vec<(SocketAddr, Option<Process>)>,
    pub members: Vec<Member>,
    /// Workers of each nginx that is started.
    pub nginx_workers: usize,
    gateway: Option<Process>,
}

impl Cluster {
    /// Starts two trackers and `groups` groups of two storages, and waits until all are active.
    ///
    /// The first tracker answers with 16-byte addresses, the second with 46-byte ones: the clients from PyPI know one
    /// form each.
    pub fn start(name: &str, groups: usize) -> Self {
        let dir = tempfile::Builder::new().prefix(&format!("fdfs-{name}-")).tempdir().unwrap();
        let net = free_net();
        let mut cluster =
            Self { dir, net, trackers: Vec::new(), members: Vec::new(), nginx_workers: 1, gateway: None };
        for index in 0..2 {
            let addr = cluster.addr(11 + index, 22122);
            cluster.trackers.push((addr, None));
            cluster.start_tracker(usize::from(index));
        }
        for index in 0..groups * 2 {
            cluster.add_member(&format!("group{}", index / 2 + 1));
            cluster.start_storage(index);
        }
        cluster.wait_active();
        cluster
    }

    fn addr(&self, host: u8, port: u16) -> SocketAddr {
        let [a, b, c] = self.net;
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, host)), port)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The tracker whose answers `py3Fdfs` (0) or `fastdfs-client` (1) knows.
    pub fn tracker(&self, index: usize) -> SocketAddr {
        self.trackers[index].0
    }

    pub fn start_tracker(&mut self, index: usize) {
        self.start_tracker_with(index, "check_active_interval = 10\n");
    }

    /// With more lines in its configuration.
    pub fn start_tracker_with(&mut self, index: usize, more: &str) {
        let addr = self.trackers[index].0;
        let base = self.dir.path().join(format!("tracker-{index}"));
        std::fs::create_dir_all(&base).unwrap();
        let conf = base.join("tracker.conf");
        let width = if index == 0 { "auto" } else { "IPv6" };
        let text = format!(
            "bind_addr = {}\nport = {}\nbase_path = {}\nresponse_ip_addr_size = {width}\n\
             reserved_storage_space = 1%\n{more}",
            addr.ip(),
            addr.port(),
            base.display()
        );
        std::fs::write(&conf, text).unwrap();
        let mut command = Command::new(programs::trackerd());
        command.arg("-N").arg(&conf);
        self.trackers[index].1 =
            Some(Process::start(&format!("tracker {index}"), &mut command, base.join("output")));
    }

    pub fn tracker_process(&mut self, index: usize) -> &mut Process {
        self.trackers[index].1.as_mut().unwrap()
    }

    /// The configuration of a member.
    pub fn storage_conf(&self, index: usize) -> String {
        let member = &self.members[index];
        let trackers: String =
            self.trackers.iter().map(|(addr, _)| format!("tracker_server = {addr}\n")).collect();
        format!(
            "group_name = {}\nbind_addr = {}\nport = {}\nbase_path = {base}\nstore_path0 = {base}\n{trackers}\
             heart_beat_interval = 1\nstat_report_interval = 2\nsubdir_count_per_path = 8\n",
            member.group,
            member.addr.ip(),
            member.addr.port(),
            base = member.base.display()
        )
    }

    /// Another member of a group, not started.
    pub fn add_member(&mut self, group: &str) -> usize {
        let index = self.members.len();
        let host = u8::try_from(21 + index).unwrap();
        let base = self.dir.path().join(format!("storage-{host}"));
        std::fs::create_dir_all(&base).unwrap();
        self.members.push(Member {
            group: group.to_owned(),
            addr: self.addr(host, 23000),
            base,
            nginx_addr: self.addr(host, 8888),
            clock_ahead: 0,
            process: None,
            nginx: None,
        });
        index
    }

    pub fn start_storage(&mut self, index: usize) {
        self.start_storage_with(index, "");
    }

    /// With more lines in its configuration.
    pub fn start_storage_with(&mut self, index: usize, more: &str) {
        self.start_storage_as(index, &(self.storage_conf(index) + more));
    }

    /// With this text as its whole configuration.
    pub fn start_storage_as(&mut self, index: usize, text: &str) {
        let conf = self.members[index].base.join("storage.conf");
        std::fs::write(&conf, text).unwrap();
        let mut command = Command::new(programs::storaged());
        command.arg("-N").arg(&conf);
        if self.members[index].clock_ahead != 0 {
            let ahead = format!("{:+}", self.members[index].clock_ahead);
            command.env("LD_PRELOAD", programs::faketime()).env("FAKETIME", ahead);
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let output = self.members[index].base.join("output");
        let process = Process::start(&format!("storage {index}"), &mut command, output);
        self.members[index].process = Some(process);
    }

    pub fn storage(&mut self, index: usize) -> &mut Process {
        self.members[index].process.as_mut().unwrap()
    }

    /// Starts a stock nginx with the module beside a member, with one worker.
    pub fn start_nginx(&mut self, index: usize) {
        self.start_nginx_with(index, "");
    }

    /// The same with more lines in its `mod_fastdfs.conf`.
    pub fn start_nginx_with(&mut self, index: usize, more: &str) {
        self.start_nginx_serving(index, more, "");
    }

    /// The same with more lines in its server block: `CONF` stands for the directive that names `mod_fastdfs.conf`, `ROOT`
    /// for the folder of this nginx.
    pub fn start_nginx_serving(&mut self, index: usize, more: &str, server: &str) {
        let member = &self.members[index];
        let home = self.dir.path().join(format!("nginx-{index}"));
        std::fs::create_dir_all(&home).unwrap();
        let trackers: String =
            self.trackers.iter().map(|(addr, _)| format!("tracker_server = {addr}\n")).collect();
        let settings = format!(
            "group_name = {}\nurl_have_group_name = true\nbase_path = {base}\nstore_path0 = {base}\n{trackers}\
             connect_timeout = 1\nnetwork_timeout = 2\n{more}",
            member.group,
            base = member.base.display()
        );
        std::fs::write(home.join("mod_fastdfs.conf"), settings).unwrap();
        let conf = format!("fastdfs_conf {}/mod_fastdfs.conf;", home.display());
        let more = server.replace("CONF", &conf).replace("ROOT", &home.display().to_string());
        let server = format!(
            "server {{ listen {}; {more}\nlocation / {{ ngx_fastdfs_module; {conf} }} }}",
            member.nginx_addr,
        );
        let process = nginx(&home, true, self.nginx_workers, &server);
        let addr = self.members[index].nginx_addr;
        self.members[index].nginx = Some(process);
        wait_listening(addr);
    }

    /// The nginx beside a member.
    pub fn nginx_process(&mut self, index: usize) -> &mut Process {
        self.members[index].nginx.as_mut().unwrap()
    }

    /// Folder of the nginx beside a member.
    pub fn nginx_home(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("nginx-{index}"))
    }

    /// Starts the gateway of the reference deployment.
    pub fn start_gateway(&mut self) -> SocketAddr {
        self.start_gateway_serving("")
    }

    /// The same with more lines in its server block; `fdfs_group1` is the upstream of the nginxes of `group1`.
    pub fn start_gateway_serving(&mut self, more: &str) -> SocketAddr {
        let addr = self.addr(10, 8080);
        let home = self.dir.path().join("gateway");
        std::fs::create_dir_all(&home).unwrap();
        let mut http = String::new();
        let mut locations = String::new();
        let mut groups: Vec<&str> = self.members.iter().map(|member| member.group.as_str()).collect();
        groups.dedup();
        for group in groups {
            let servers: String = self
                .members
                .iter()
                .filter(|member| member.group == group)
                .map(|member| format!("server {} weight=1 max_fails=2 fail_timeout=30s;", member.nginx_addr))
                .collect();
            http += &format!("upstream fdfs_{group} {{ {servers} }}\n");
            locations += &format!("location /{group}/M {{ proxy_pass http://fdfs_{group}; }}\n");
        }
        http += &format!("server {{ listen {addr}; {locations} {more} }}");
        self.gateway = Some(nginx(&home, false, self.nginx_workers, &http));
        wait_listening(addr);
        addr
    }

    /// `client.conf` for the tools.
    pub fn client_conf(&self) -> PathBuf {
        let path = self.dir.path().join("client.conf");
        let trackers: String =
            self.trackers.iter().map(|(addr, _)| format!("tracker_server = {addr}\n")).collect();
        std::fs::write(&path, format!("connect_timeout = 2\nnetwork_timeout = 10\n{trackers}")).unwrap();
        path
    }

    /// Runs a tool on this cluster.
    pub fn tool(&self, name: &str, args: &[&str]) -> Output {
        let (program, first) = programs::tool(name);
        Command::new(program).args(first).arg(self.client_conf()).args(args).output().unwrap()
    }

    /// Runs a tool without telling it the cluster.
    pub fn bare_tool(&self, name: &str, args: &[&str]) -> Output {
        let (program, first) = programs::tool(name);
        Command::new(program).args(first).args(args).output().unwrap()
    }

    /// Runs a tool with options before the name of `client.conf`, and a file as its standard input.
    pub fn tool_with_input(&self, name: &str, options: &[&str], args: &[&str], input: &str) -> Output {
        let (program, first) = programs::tool(name);
        let input = std::fs::File::open(input).unwrap();
        let mut command = Command::new(program);
        command.args(first).args(options).arg(self.client_conf()).args(args).stdin(input).output().unwrap()
    }

    /// Status of each member as the tracker `index` lists it.
    pub fn statuses(&self, index: usize) -> Vec<Option<u8>> {
        self.members
            .iter()
            .map(|member| {
                let mut tracker =
                    std::net::TcpStream::connect_timeout(&self.trackers[index].0, Duration::from_secs(1))
                        .ok()
                        .map(raw::Raw)?;
                tracker.0.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let answer = tracker.ask(92, &raw::field(&member.group, 16)).ok()?;
                let width = if index == 0 { 487 } else { 517 };
                let ip = member.addr.ip().to_string();
                let found = answer
                    .body
                    .chunks_exact(width)
                    .find(|record| record[18..].starts_with(&raw::field(&ip, 16)[..ip.len() + 1]))?;
                Some(found[0])
            })
            .collect()
    }

    /// Waits until every running tracker lists every running member as active.
    pub fn wait_active(&self) {
        let mut seen;
        let began = std::time::Instant::now();
        for index in (0..self.trackers.len()).filter(|index| self.trackers[*index].1.is_some()) {
            loop {
                seen = self.statuses(index);
                let all = seen
                    .iter()
                    .zip(&self.members)
                    .all(|(status, member)| member.process.is_none() || *status == Some(7));
                if all {
                    break;
                }
                if began.elapsed() > Duration::from_secs(40) {
                    self.print_logs();
                    panic!("not all active: {seen:?}");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// The other member of the same group.
    pub fn other(&self, index: usize) -> usize {
        index ^ 1
    }

    /// Index of the member with this address.
    pub fn member_at(&self, ip: IpAddr) -> usize {
        self.members.iter().position(|member| member.addr.ip() == ip).unwrap()
    }

    /// The last lines of every log.
    pub fn print_logs(&self) {
        let mut stack = vec![self.dir.path().to_owned()];
        while let Some(dir) = stack.pop() {
            for entry in std::fs::read_dir(dir).unwrap().flatten() {
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                if path.is_dir() && name != "data" {
                    stack.push(path);
                } else if name.ends_with(".log") || name == "output" {
                    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                    let lines: Vec<&str> = text.lines().collect();
                    eprintln!(
                        "== {}\n{}",
                        path.display(),
                        lines[lines.len().saturating_sub(15)..].join("\n")
                    );
                }
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
    }
}

/// Starts a stock nginx in `home`, with these blocks in its http block.
pub fn nginx(home: &Path, module: bool, workers: usize, http: &str) -> Process {
    // SAFETY: getuid has no preconditions and cannot fail.
    let user = if unsafe { libc::getuid() } == 0 { "user root;" } else { "" };
    let load = if module { format!("load_module {};", programs::module().display()) } else { String::new() };
    let root = home.display();
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {root}/{kind};"))
        .collect();
    let conf = format!(
        "{load}\n{user} daemon off; worker_processes {workers}; pid {root}/pid; error_log {root}/error.log info;\n\
         events {{ worker_connections 512; }}\nhttp {{ access_log off; sendfile on; {temp}\n{http} }}\n"
    );
    std::fs::write(home.join("nginx.conf"), conf).unwrap();
    let mut command = Command::new(programs::nginx());
    command.arg("-e").arg(home.join("error.log")).arg("-p").arg(home).arg("-c").arg(home.join("nginx.conf"));
    Process::start("nginx", &mut command, home.join("output"))
}

/// Waits until something listens.
pub fn wait_listening(addr: SocketAddr) {
    wait_for(&format!("{addr} listens"), Duration::from_secs(30), || {
        std::net::TcpStream::connect(addr).is_ok()
    });
}

/// Three numbers of a loopback network that nothing uses.
fn free_net() -> [u8; 3] {
    for _ in 0..1000 {
        let n = std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Relaxed));
        let net = [127, 20 + (n / 250 % 200) as u8, (1 + n % 250) as u8];
        let free = |host: u8, port: u16| {
            TcpListener::bind((Ipv4Addr::new(net[0], net[1], net[2], host), port)).is_ok()
        };
        if free(11, 22122) && free(21, 23000) && free(21, 8888) {
            return net;
        }
    }
    panic!("no free loopback network");
}

/// Group and name of a file id.
pub fn split(id: &str) -> (&str, &str) {
    id.split_once('/').unwrap()
}
