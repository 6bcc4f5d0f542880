//! What a process costs, read from outside.

use std::fs;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// CPU time of all threads of a process that live, from the scheduler's accounting in nanoseconds.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// Resident memory of a process: the most that it ever had, and what it has now, bytes.
pub fn memory(pid: u32) -> io::Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let figure = |key| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    Ok((figure("VmHWM:"), figure("VmRSS:")))
}

/// Counts the system calls of a process with strace, which slows it: a pass of its own.
pub struct Calls(Child);

impl Calls {
    /// Begins to count.
    pub fn begin(pid: u32) -> io::Result<Self> {
        let mut strace = Command::new("strace");
        strace.args(["-c", "-f", "-U", "calls,name", "-p", &pid.to_string()]);
        let mut child = strace.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        // It says so when it has attached to the process.
        let mut first = [0];
        if let Some(stderr) = child.stderr.as_mut() {
            stderr.read_exact(&mut first)?;
        }
        Ok(Self(child))
    }

    /// Ends the count: names and numbers, the most frequent first.
    pub fn end(mut self) -> io::Result<Vec<(String, u64)>> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        let mut text = String::new();
        if let Some(stderr) = self.0.stderr.as_mut() {
            stderr.read_to_string(&mut text)?;
        }
        self.0.wait()?;
        let lines = text.lines().filter_map(|line| {
            let mut columns = line.split_whitespace();
            let calls = columns.next()?.parse().ok()?;
            Some((columns.next()?.to_owned(), calls))
        });
        Ok(lines.filter(|(name, _)| name != "total").collect())
    }
}
