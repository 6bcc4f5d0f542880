//! Into the background, with a line back to the command that started it.
//!
//! The command waits until the daemon serves or has failed, and ends with its exit code: a bad config or a port in
//! use is seen where the command was typed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use super::Refusal;

/// Which of the two processes this is.
pub(super) enum Side {
    /// The command; how the daemon's start ended.
    Parent(Result<u8, Refusal>),
    /// The daemon.
    Child(Outcome),
}

/// Tells the command how the start went: a byte 0, or an exit code and a text.
pub(super) struct Outcome(Option<OwnedFd>);

impl Outcome {
    pub fn foreground() -> Self {
        Self(None)
    }

    pub fn ready(&mut self) {
        self.send(&[0]);
    }

    pub fn failed(&mut self, refusal: &Refusal) {
        let mut bytes = vec![refusal.code];
        bytes.extend_from_slice(refusal.text.as_bytes());
        self.send(&bytes);
    }

    fn send(&mut self, bytes: &[u8]) {
        if let Some(fd) = self.0.take() {
            let _ = File::from(fd).write_all(bytes);
        }
    }
}

/// Splits this process; only the child goes on as the daemon. To be called while there is one thread.
pub(super) fn detach() -> io::Result<Side> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    if fork()? {
        drop(write);
        return Ok(Side::Parent(wait(File::from(read))));
    }
    drop(read);
    rustix::process::setsid()?;
    // The second child can never get a controlling terminal.
    if fork()? {
        std::process::exit(0);
    }
    silence()?;
    Ok(Side::Child(Outcome(Some(write))))
}

fn wait(mut from: File) -> Result<u8, Refusal> {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    match bytes.split_first() {
        Some((0, _)) => Ok(0),
        Some((&code, text)) => Err(Refusal::new(code, String::from_utf8_lossy(text))),
        None => Err(Refusal::new(1, "the daemon ended before it was ready; its log may say why")),
    }
}

/// Standard input and outputs lead nowhere.
fn silence() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(null.as_fd())?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    rustix::stdio::dup2_stderr(null.as_fd())?;
    Ok(())
}

/// Whether this is the parent.
fn fork() -> io::Result<bool> {
    // SAFETY: there is one thread (see `detach`), so the child inherits no lock that another thread holds.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(false),
        _ => Ok(true),
    }
}
