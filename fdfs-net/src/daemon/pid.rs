//! The pid file, `base_path/data/NAME.pid`: decimal digits without a newline.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Refusal;

/// Exit code when there is no pid file.
pub(super) const NO_PID_FILE: u8 = 2;

pub(super) struct PidFile {
    path: PathBuf,
    program: &'static str,
}

/// The pid file, locked. Removed at the end.
pub struct Held {
    path: PathBuf,
    _file: File,
}

impl PidFile {
    pub fn new(base_path: &Path, program: &'static str) -> Self {
        Self { path: base_path.join("data").join(format!("{program}.pid")), program }
    }

    /// The process of the pid file, if it lives and is this program.
    pub fn running(&self) -> Option<i32> {
        let pid = self.read()?;
        self.is_ours(pid).then_some(pid)
    }

    /// Writes our pid; refused while another process holds the file.
    pub fn write(&self) -> Result<Held, Refusal> {
        let failed = |error: &std::io::Error| Refusal::io(format!("pid file {}", self.path.display()), error);
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir).map_err(|error| failed(&error))?;
        }
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.path)
            .map_err(|error| failed(&error))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Refusal::new(
                17,
                format!("process {} already running, {} is locked", self.program, self.path.display()),
            )
        })?;
        file.set_len(0)
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
            .map_err(|error| failed(&error))?;
        Ok(Held { path: self.path.clone(), _file: file })
    }

    /// SIGTERM, repeated every second; after 30 s SIGKILL.
    pub fn stop(&self) -> Result<(), Refusal> {
        let Some(pid) = self.read() else {
            return Err(Refusal::new(
                NO_PID_FILE,
                format!("pid file {} does not exist", self.path.display()),
            ));
        };
        if !self.is_ours(pid) {
            return Err(Refusal::new(NO_PID_FILE, format!("process {} is not running", self.program)));
        }
        eprintln!("waiting for pid [{pid}] exit ...");
        let began = Instant::now();
        let mut seconds = None;
        while self.is_ours(pid) {
            let passed = began.elapsed().as_secs();
            if seconds != Some(passed) {
                seconds = Some(passed);
                let signal = if passed < 30 { Signal::TERM } else { Signal::KILL };
                if let Some(process) = Pid::from_raw(pid)
                    && let Err(error) = kill_process(process, signal)
                    && error != rustix::io::Errno::SRCH
                {
                    return Err(Refusal::io(format!("cannot stop pid {pid}"), &error.into()));
                }
            }
            if passed > 40 {
                return Err(Refusal::new(16, format!("pid {pid} does not end")));
            }
            sleep(Duration::from_millis(100));
        }
        eprintln!("pid [{pid}] exit.\n");
        Ok(())
    }

    fn read(&self) -> Option<i32> {
        fs::read_to_string(&self.path).ok()?.trim().parse().ok().filter(|&pid| pid > 1)
    }

    /// Whether the process lives and its command line names this program. A zombie has no command line.
    fn is_ours(&self, pid: i32) -> bool {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        let first = line.split(|&byte| byte == 0).next().unwrap_or_default();
        let name = first.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        name == self.program.as_bytes()
            || std::env::current_exe()
                .is_ok_and(|exe| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|other| other == exe))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
