//! What is known of the disk under a store path, and what a failure, a wait or a probe says about it.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

/// A call that takes longer says that the disk is slow.
pub const SLOW: Duration = Duration::from_millis(250);
/// Quick probes in a row, with no slow call between them, after which a slow disk counts as quick again.
const QUICK_PROBES: u8 = 10;

/// What is known of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It answers, and takes new files.
    Good,
    /// It answers late; the number of quick probes since.
    Slow(u8),
    /// It takes no new files for want of blocks or inodes.
    Full,
    /// The file system is mounted read-only, or made so by the kernel after an error.
    ReadOnly,
    /// Calls fail with this error number.
    Failing(i32),
    /// A call has not come back.
    Hanging,
}

/// What is learnt about a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A change failed.
    Failed(Errno),
    /// A call came back after this time.
    Took(Duration),
    /// A call has not come back in time.
    Stuck,
    /// A probe worked: it saw a file system that can be written, or, of a disk in trouble, brought a file to it.
    Probed(Duration),
    /// A probe failed.
    ProbeFailed(Errno),
}

impl Condition {
    /// What it is after `event`.
    pub fn after(self, event: Event) -> Self {
        use Condition::{Failing, Full, Good, Hanging, ReadOnly, Slow};
        match (self, event) {
            // Only a probe that works ends a hang: calls that come back late say nothing of the next one.
            (Hanging, Event::Failed(_) | Event::Took(_)) => Hanging,
            (_, Event::Stuck) => Hanging,
            (_, Event::Failed(Errno::ROFS)) => ReadOnly,
            (_, Event::Failed(errno)) if is_of_the_disk(errno) => Failing(errno.raw_os_error()),
            (kept, Event::Failed(_)) => kept,
            (Good | Slow(_), Event::Took(time)) if time >= SLOW => Slow(0),
            (kept, Event::Took(_)) => kept,
            (_, Event::Probed(time)) if time >= SLOW => Slow(0),
            (Slow(quick), Event::Probed(_)) if quick + 1 < QUICK_PROBES => Slow(quick + 1),
            (_, Event::Probed(_)) => Good,
            (_, Event::ProbeFailed(Errno::ROFS)) => ReadOnly,
            (_, Event::ProbeFailed(Errno::NOSPC | Errno::DQUOT)) => Full,
            (_, Event::ProbeFailed(errno)) => Failing(errno.raw_os_error()),
        }
    }

    /// One word for it, for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Slow(_) => "slow",
            Self::Full => "full",
            Self::ReadOnly => "read-only",
            Self::Failing(_) => "failing",
            Self::Hanging => "hanging",
        }
    }

    /// Whether it may take new files.
    pub fn takes_files(self) -> bool {
        matches!(self, Self::Good | Self::Slow(_))
    }
}

/// Errors that say something about the disk, not about the request.
fn is_of_the_disk(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::IO
            | Errno::NXIO
            | Errno::NODEV
            | Errno::STALE
            | Errno::NOTCONN
            | Errno::CONNABORTED
            | Errno::UCLEAN
            | Errno::SHUTDOWN
            | Errno::REMOTEIO
    )
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("in order"),
            Self::Slow(_) => f.write_str("slow: its calls are left to threads of its own"),
            Self::Full => f.write_str("full"),
            Self::ReadOnly => f.write_str("read-only"),
            Self::Failing(errno) => write!(f, "failing: {}", std::io::Error::from_raw_os_error(*errno)),
            Self::Hanging => f.write_str("hanging: a call has not come back"),
        }
    }
}

/// The condition of one disk, read by every operation and changed rarely.
pub struct Health {
    condition: Mutex<Condition>,
    class: AtomicU8,
}

const GOOD: u8 = 0;
const SLOW_CLASS: u8 = 1;
const NO_NEW_FILES: u8 = 2;
const HANGING: u8 = 3;

impl Health {
    /// A disk in order.
    pub fn new() -> Self {
        Self { condition: Mutex::new(Condition::Good), class: AtomicU8::new(GOOD) }
    }

    /// What is known.
    pub fn condition(&self) -> Condition {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In order and quick.
    pub fn is_good(&self) -> bool {
        self.class.load(Relaxed) == GOOD
    }

    /// Whether a call may block for long.
    pub fn is_slow(&self) -> bool {
        matches!(self.class.load(Relaxed), SLOW_CLASS | HANGING)
    }

    /// Whether nothing is asked of it but probes.
    pub fn is_hanging(&self) -> bool {
        self.class.load(Relaxed) == HANGING
    }

    /// Whether it may take new files.
    pub fn takes_files(&self) -> bool {
        self.class.load(Relaxed) <= SLOW_CLASS
    }

    /// Learns something; the old and the new condition when it is another kind.
    pub fn learn(&self, event: Event) -> Option<(Condition, Condition)> {
        let mut condition = self.condition.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *condition;
        let after = before.after(event);
        *condition = after;
        let class = match after {
            Condition::Good => GOOD,
            Condition::Slow(_) => SLOW_CLASS,
            Condition::Full | Condition::ReadOnly | Condition::Failing(_) => NO_NEW_FILES,
            Condition::Hanging => HANGING,
        };
        self.class.store(class, Relaxed);
        (std::mem::discriminant(&before) != std::mem::discriminant(&after)).then_some((before, after))
    }
}

#[cfg(test)]
mod tests {
    use super::Condition::{Failing, Full, Good, Hanging, ReadOnly, Slow};
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);

    #[test]
    fn errors_of_requests_say_nothing_of_the_disk() {
        for errno in [Errno::NOENT, Errno::EXIST, Errno::NOSPC, Errno::MFILE, Errno::ACCESS] {
            assert_eq!(Good.after(Event::Failed(errno)), Good);
        }
        assert_eq!(Good.after(Event::Failed(Errno::IO)), Failing(5));
        assert_eq!(Good.after(Event::Failed(Errno::ROFS)), ReadOnly);
    }

    #[test]
    fn trouble_ends_with_a_probe_that_works() {
        for trouble in [Failing(5), ReadOnly, Full, Hanging] {
            assert!(!trouble.takes_files());
            assert_eq!(trouble.after(Event::Probed(QUICK)), Good);
            assert_eq!(trouble.after(Event::Took(QUICK)), trouble);
            assert_eq!(trouble.after(Event::ProbeFailed(Errno::NOSPC)), Full);
            assert_eq!(trouble.after(Event::Stuck), Hanging);
        }
        assert_eq!(Hanging.after(Event::Failed(Errno::IO)), Hanging);
    }

    #[test]
    fn a_slow_disk_proves_itself() {
        let mut disk = Good.after(Event::Took(SLOW));
        assert_eq!(disk, Slow(0));
        for quick in 1..QUICK_PROBES {
            disk = disk.after(Event::Probed(QUICK));
            assert_eq!(disk, Slow(quick));
        }
        assert_eq!(disk.after(Event::Probed(SLOW)), Slow(0));
        assert_eq!(disk.after(Event::Took(SLOW)), Slow(0));
        assert_eq!(disk.after(Event::Took(QUICK)), disk);
        assert_eq!(disk.after(Event::Probed(QUICK)), Good);
    }

    #[test]
    fn a_change_of_kind_is_told_once() {
        let health = Health::new();
        assert!(health.is_good() && health.takes_files() && !health.is_slow());
        assert_eq!(health.learn(Event::Failed(Errno::IO)), Some((Good, Failing(5))));
        assert_eq!(health.learn(Event::Failed(Errno::IO)), None);
        assert!(!health.takes_files() && !health.is_hanging());
        assert_eq!(health.learn(Event::Stuck), Some((Failing(5), Hanging)));
        assert!(health.is_hanging() && health.is_slow());
        assert_eq!(health.learn(Event::Probed(QUICK)), Some((Hanging, Good)));
    }
}
