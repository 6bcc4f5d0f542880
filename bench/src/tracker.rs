//! A tracker process for measurements, and storages that join it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fdfs_core::wire::report::JoinHead;
use fdfs_core::wire::{IpField, Text};
use zerocopy::IntoBytes;

/// A tracker with a folder of its own; ended, and its folder removed, when dropped.
pub struct Tracker {
    /// Where it listens.
    pub addr: SocketAddr,
    program: PathBuf,
    base: PathBuf,
    child: Child,
}

impl Tracker {
    /// Starts the daemon that lies beside this program on `host`, with `more` lines in its configuration.
    pub fn start(host: &str, more: &str) -> io::Result<Self> {
        let addr = TcpListener::bind((host, 0))?.local_addr()?;
        let base = std::env::temp_dir().join(format!("tracker-bench-{}-{}", std::process::id(), addr.port()));
        std::fs::create_dir_all(&base)?;
        let text = format!(
            "bind_addr = {host}\nport = {}\nbase_path = {}\nlog_level = warn\n{more}",
            addr.port(),
            base.display()
        );
        std::fs::write(base.join("tracker.conf"), text)?;
        let program = std::env::current_exe()?.with_file_name("fdfs_trackerd");
        let child = spawn(&program, &base)?;
        let tracker = Self { addr, program, base, child };
        tracker.wait()?;
        Ok(tracker)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, bytes.
    pub fn memory(&self) -> io::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// SIGTERM, and waits until it has saved.
    pub fn stop(&mut self) -> io::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait().map(drop)
    }

    /// Starts it again with what it saved; tells how long it took until it accepts connections.
    pub fn again(&mut self) -> io::Result<Duration> {
        let began = Instant::now();
        self.child = spawn(&self.program, &self.base)?;
        self.wait()?;
        Ok(began.elapsed())
    }

    fn wait(&self) -> io::Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            match std::net::TcpStream::connect_timeout(&self.addr, Duration::from_secs(5)) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

fn spawn(program: &Path, base: &Path) -> io::Result<Child> {
    Command::new(program).arg("-N").arg(base.join("tracker.conf")).stdout(Stdio::null()).spawn()
}

/// The body of a JOIN of an old member.
pub fn join_body(group: &str, id: &str, trackers: &[SocketAddr], to: SocketAddr) -> Vec<u8> {
    let head = JoinHead {
        group: Text::cut(group.as_bytes()),
        port: 23000.into(),
        store_path_count: 1.into(),
        subdir_count: 256.into(),
        upload_priority: 10.into(),
        join_time: 1_700_000_000.into(),
        up_time: 1_700_000_000.into(),
        version: Text::cut(b"6.16.1"),
        init_flag: 0,
        status: 7,
        id: Text::cut(id.as_bytes()),
        tracker_ip: IpField::of(to.ip()),
        tracker_count: (trackers.len() as i64).into(),
    };
    let lines: String = trackers.iter().map(|tracker| format!("{tracker}\n")).collect();
    [head.as_bytes(), lines.as_bytes()].concat()
}

/// The body of a report of one path with 100 of 200 GB free.
pub fn usage_body() -> Vec<u8> {
    [200_000i64.to_be_bytes(), 100_000i64.to_be_bytes()].concat()
}
