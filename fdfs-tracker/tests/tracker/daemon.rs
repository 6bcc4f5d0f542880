//! A tracker as a real process.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fdfs_core::wire::cmd;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Client, until};

/// The process, its folder, and its end when this is dropped.
pub struct Daemon {
    pub addr: SocketAddr,
    base: PathBuf,
    dir: Option<tempfile::TempDir>,
    child: Child,
}

impl Daemon {
    pub fn start(addr: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().to_owned();
        Self { addr, child: spawn(&base, addr), base, dir: Some(dir) }
    }

    /// With its files in `base`, which stays.
    pub fn start_in(base: &Path, addr: SocketAddr) -> Self {
        Self { addr, child: spawn(base, addr), base: base.to_owned(), dir: None }
    }

    pub fn again(&mut self) {
        self.child = spawn(&self.base, self.addr);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As an administrator does.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.child.wait().unwrap();
    }

    pub fn serves(&self) {
        until("the tracker to serve", || Client::try_from(self.addr, "127.0.0.1").ok());
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.base.join("logs/trackerd.log")).unwrap_or_default()
    }

    /// A data file.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.base.join("data").join(name)).unwrap_or_default()
    }

    /// Who leads, as this tracker says; `None` while it does not know or does not answer.
    pub fn leader(&self) -> Option<SocketAddr> {
        let mut client = Client::try_from(self.addr, "127.0.0.1").ok()?;
        match client.try_call(cmd::GET_LEADER, &[])? {
            (0, body) => String::from_utf8(body).unwrap().parse().ok(),
            _ => None,
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.dir.take());
    }
}

fn spawn(base: &Path, addr: SocketAddr) -> Child {
    let conf = base.join("tracker.conf");
    let text = format!("bind_addr = {}\nport = {}\nbase_path = {}\n", addr.ip(), addr.port(), base.display());
    // The file may be on a full disk: it is not written again.
    if !conf.exists() {
        std::fs::write(&conf, text).unwrap();
    }
    Command::new(env!("CARGO_BIN_EXE_fdfs_trackerd"))
        .arg("-N")
        .arg(&conf)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A port of 127.0.0.1 that nothing uses.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
