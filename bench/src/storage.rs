//! A storage process for measurements.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tracker::Tracker;

/// A storage, alone in its group, with a tracker and a folder of its own; all ended, and the folder removed, when dropped.
pub struct Storage {
    /// Where it listens.
    pub addr: SocketAddr,
    base: PathBuf,
    child: Child,
    _tracker: Tracker,
}

impl Storage {
    /// Starts the daemons that lie beside this program; `base` is made, `more` are lines for the configuration.
    pub fn start(base: &Path, more: &str) -> io::Result<Self> {
        let host = "127.0.6.1";
        let tracker = Tracker::start("127.0.6.2", "reserved_storage_space = 0\n")?;
        let addr = TcpListener::bind((host, 0))?.local_addr()?;
        std::fs::create_dir(base)?;
        let text = format!(
            "group_name = group1\nbind_addr = {host}\nport = {}\nbase_path = {}\nstore_path_count = 1\nstore_path0 = {}\n\
             tracker_server = {}\nlog_level = warn\nmax_connections = 4096\n{more}",
            addr.port(),
            base.display(),
            base.display(),
            tracker.addr
        );
        std::fs::write(base.join("storage.conf"), text)?;
        let program = std::env::current_exe()?.with_file_name("fdfs_storaged");
        let child = Command::new(program)
            .arg("-N")
            .arg(base.join("storage.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let storage = Self { addr, base: base.to_owned(), child, _tracker: tracker };
        let end = Instant::now() + Duration::from_secs(30);
        while let Err(error) = std::net::TcpStream::connect_timeout(&addr, Duration::from_secs(5)) {
            if Instant::now() > end {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(storage)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.base);
    }
}
