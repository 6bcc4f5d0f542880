//! Signals, taken by a thread of their own.

use std::io;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Stop, after requests under way.
    Stop(&'static str),
    /// Rotate logs.
    Hup,
    /// Write the state into the log.
    User,
}

const WATCHED: [(libc::c_int, Signal); 6] = [
    (libc::SIGTERM, Signal::Stop("SIGTERM")),
    (libc::SIGINT, Signal::Stop("SIGINT")),
    (libc::SIGQUIT, Signal::Stop("SIGQUIT")),
    (libc::SIGHUP, Signal::Hup),
    (libc::SIGUSR1, Signal::User),
    (libc::SIGUSR2, Signal::User),
];

/// Blocks the signals in this thread and those it starts, and hands each that arrives to `handler`. To be called
/// before any other thread exists. (SIGPIPE is ignored by the Rust runtime.)
pub(super) fn watch(handler: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    let set = block()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        loop {
            let mut number = 0;
            // SAFETY: `set` was filled by `block`; sigwait writes one int.
            if unsafe { libc::sigwait(&set, &mut number) } != 0 {
                continue;
            }
            if let Some((_, signal)) = WATCHED.iter().find(|(watched, _)| *watched == number) {
                handler(*signal);
            }
        }
    })?;
    Ok(())
}

fn block() -> io::Result<libc::sigset_t> {
    // SAFETY: all-zero is a valid place for sigemptyset to fill.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a live local; the numbers are signals.
    let result = unsafe {
        libc::sigemptyset(&mut set);
        for (number, _) in WATCHED {
            libc::sigaddset(&mut set, number);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())
    };
    if result == 0 { Ok(set) } else { Err(io::Error::from_raw_os_error(result)) }
}
