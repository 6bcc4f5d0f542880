//! A process that ends with the test.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running program; killed when dropped, even when the test panics or dies.
pub struct Process {
    child: Child,
    pub name: String,
    pub output: PathBuf,
}

impl Process {
    /// Starts it; what it prints goes to a file.
    pub fn start(name: &str, command: &mut Command, output: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&output).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        // SAFETY: prctl is async-signal-safe, and touches nothing of this process.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { child, name: name.to_owned(), output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: the child has not been waited for, so its pid is its own.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// SIGKILL, and waits for the end. Its children get it too: workers of a killed nginx would go on.
    pub fn kill(&mut self) {
        let children = self.children();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for child in children {
            // SAFETY: kill has no preconditions.
            unsafe { libc::kill(child, libc::SIGKILL) };
            // Then its sockets are closed; whoever inherits it need not have collected it yet.
            let stat = format!("/proc/{child}/stat");
            crate::wait_for("a child to end", Duration::from_secs(30), || {
                std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
            });
        }
    }

    /// Processes that it has started.
    pub fn children(&self) -> Vec<libc::pid_t> {
        let pid = self.pid();
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait(Duration::from_secs(30))
    }

    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < limit, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // nginx's master takes its workers along on TERM; a frozen process must be able to hear it.
        self.signal(libc::SIGCONT);
        self.signal(libc::SIGTERM);
        let began = Instant::now();
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if began.elapsed() > Duration::from_secs(5) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
