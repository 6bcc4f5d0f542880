//! A tracker and the storages of its groups, for measurements of what members do with each other.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{Load, Operation, Taken};
use crate::process::cpu_time;

/// What a measurement fails with.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Length of a record of an upload: time, letter, logic name with the extension `bin`.
const LINE: u64 = 10 + 3 + 44 + 1;

/// Where programs and data are.
#[derive(Debug, Clone)]
pub struct Place {
    /// Folder of the daemons.
    pub programs: PathBuf,
    /// A folder of its own is made and removed there.
    pub dir: PathBuf,
    /// Lines for the configuration of the storages.
    pub conf: String,
}

/// Ended, and its folder removed, when dropped.
pub struct Group {
    place: Place,
    dir: PathBuf,
    net: u8,
    tracker: Option<Child>,
    members: Vec<Member>,
}

struct Member {
    group: u8,
    child: Child,
}

impl Drop for Group {
    fn drop(&mut self) {
        let members = self.members.iter_mut().map(|member| &mut member.child);
        for child in members.chain(&mut self.tracker) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Group {
    /// Starts the tracker.
    pub fn start(place: &Place) -> Result<Self, Failure> {
        let dir = place.dir.join(format!("replication-bench-{}", std::process::id()));
        fs::create_dir(&dir)?;
        let net = (std::process::id() % 200) as u8 + 20;
        let mut group = Self { place: place.clone(), dir, net, tracker: None, members: Vec::new() };
        let base = group.dir.join("tracker");
        fs::create_dir(&base)?;
        let text = format!(
            "bind_addr={}\nport=22122\nbase_path={}\nreserved_storage_space=1%\n",
            group.host(1, 22122).ip(),
            base.display()
        );
        group.tracker = Some(group.spawn("fdfs_trackerd", &base.join("tracker.conf"), &text)?);
        Ok(group)
    }

    fn host(&self, host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([127, 230, self.net, host], port))
    }

    fn spawn(&self, program: &str, conf: &Path, text: &str) -> io::Result<Child> {
        fs::write(conf, text)?;
        let mut command = Command::new(self.place.programs.join(program));
        command.arg("-N").arg(conf).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    /// Starts the next storage, in the group of this number, and waits until it serves; its index.
    pub fn storage(&mut self, group: u8) -> Result<usize, Failure> {
        let index = self.members.len();
        fs::create_dir(self.base(index))?;
        let child = self.spawn_storage(index, group)?;
        self.members.push(Member { group, child });
        self.wait_serving(index)?;
        Ok(index)
    }

    fn spawn_storage(&self, index: usize, group: u8) -> io::Result<Child> {
        let base = self.base(index);
        let text = format!(
            "group_name=group{group}\nbind_addr={}\nport=23000\nbase_path={}\nstore_path0={}\ntracker_server={}\n\
             heart_beat_interval=1\nsubdir_count_per_path=16\nnetwork_timeout=60\n{}\n",
            self.addr(index).ip(),
            base.display(),
            self.store_path(index).display(),
            self.host(1, 22122),
            self.place.conf.replace(',', "\n"),
        );
        fs::create_dir_all(self.store_path(index))?;
        self.spawn("fdfs_storaged", &base.join("storage.conf"), &text)
    }

    fn wait_serving(&self, index: usize) -> Result<(), Failure> {
        wait("the storage serves", || std::net::TcpStream::connect(self.addr(index)).is_ok())
    }

    /// Ends a storage.
    pub fn stop(&mut self, index: usize) -> io::Result<()> {
        let child = &mut self.members[index].child;
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        child.wait().map(drop)
    }

    /// Starts one again that was stopped.
    pub fn again(&mut self, index: usize) -> Result<(), Failure> {
        self.members[index].child = self.spawn_storage(index, self.members[index].group)?;
        self.wait_serving(index)
    }

    /// Where a storage listens.
    pub fn addr(&self, index: usize) -> SocketAddr {
        self.host(index as u8 + 21, 23000)
    }

    /// Its process.
    pub fn pid(&self, index: usize) -> u32 {
        self.members[index].child.id()
    }

    fn base(&self, index: usize) -> PathBuf {
        self.dir.join(format!("storage{index}"))
    }

    /// The folder of its files.
    pub fn store_path(&self, index: usize) -> PathBuf {
        self.base(index).join("files")
    }

    /// What it logs.
    pub fn log(&self, index: usize) -> PathBuf {
        self.base(index).join("logs/storaged.log")
    }

    /// Its binlog.
    pub fn binlog(&self, index: usize) -> PathBuf {
        self.base(index).join("data/sync/binlog.000")
    }

    /// Uploads and copies that it has logged.
    pub fn records(&self, index: usize) -> u64 {
        records(&self.binlog(index))
    }

    /// Uploads to the storage `index`, at full speed.
    pub fn upload(
        &self,
        index: usize,
        files: usize,
        connections: usize,
        size: usize,
    ) -> Result<Taken, Failure> {
        Ok(Load::new(self.addr(index), Operation::Upload, files, connections.min(files), size).run()?)
    }

    /// CPU time of these storages.
    pub fn cpu(&self, indexes: &[usize]) -> io::Result<Duration> {
        indexes.iter().map(|index| cpu_time(self.pid(*index))).sum()
    }

    /// Starts two storages of group 1, and waits until what is uploaded to the first flows to the second.
    pub fn pair(&mut self) -> Result<[usize; 2], Failure> {
        let (one, other) = (self.storage(1)?, self.storage(1)?);
        // Between the full copy and the beat that makes the new member active nothing flows.
        let mut flowing = 0;
        wait("files flow to the second storage", || {
            let before = self.records(one);
            let sent = self.upload(one, 1, 1, 100).is_ok();
            std::thread::sleep(Duration::from_millis(100));
            flowing = if sent && self.records(other) > before { flowing + 1 } else { 0 };
            flowing == 30
        })?;
        Ok([one, other])
    }
}

/// Records in a binlog of nothing but uploads.
pub fn records(binlog: &Path) -> u64 {
    fs::metadata(binlog).map_or(0, |meta| meta.len() / LINE)
}

/// Waits 600 s at most.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) -> Result<(), Failure> {
    let began = Instant::now();
    while !done() {
        if began.elapsed() > Duration::from_secs(600) {
            return Err(format!("not within 600 s: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
