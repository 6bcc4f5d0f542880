//! MIN_COPIES (207): what a client wants of changes on its connection, 9 bytes; the answer is a status. Only storages of this
//! implementation know it.

use std::time::Duration;

use zerocopy::byteorder::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::BadMessage;
use crate::settings::OnTimeout;

/// The request. It holds for the changes that follow on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct MinCopies {
    copies: U32,
    wait_ms: U32,
    on_timeout: u8,
}

const _: () = assert!(size_of::<MinCopies>() == 9);

impl MinCopies {
    /// Most copies that can be asked for: a group has at most this many members.
    pub const MOST: u32 = 32;
    /// Longest wait, ms.
    pub const LONGEST_MS: u32 = 600_000;

    /// `copies` members, the one that is asked included; 0, no time or nothing: as it is configured there.
    pub fn new(copies: u32, wait: Duration, on_timeout: Option<OnTimeout>) -> Self {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).min(Self::LONGEST_MS);
        let on_timeout = match on_timeout {
            None => 0,
            Some(OnTimeout::Ok) => 1,
            Some(OnTimeout::Fail) => 2,
        };
        Self { copies: U32::new(copies.min(Self::MOST)), wait_ms: U32::new(wait_ms), on_timeout }
    }

    /// Reads one.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Inconsistent { body: body.len() as u64 };
        let asked = Self::read_from_bytes(body).map_err(|_| wrong.clone())?;
        let fits = asked.copies.get() <= Self::MOST && asked.wait_ms.get() <= Self::LONGEST_MS;
        if fits && asked.on_timeout <= 2 { Ok(asked) } else { Err(wrong) }
    }

    /// Members; `None`: as configured.
    pub fn copies(&self) -> Option<u32> {
        Some(self.copies.get()).filter(|copies| *copies > 0)
    }

    /// Longest wait.
    pub fn wait(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.wait_ms.get().into())).filter(|wait| !wait.is_zero())
    }

    /// What is answered then.
    pub fn on_timeout(&self) -> Option<OnTimeout> {
        match self.on_timeout {
            1 => Some(OnTimeout::Ok),
            2 => Some(OnTimeout::Fail),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for on_timeout in [None, Some(OnTimeout::Ok), Some(OnTimeout::Fail)] {
            let asked = MinCopies::new(3, Duration::from_millis(250), on_timeout);
            let read = MinCopies::parse(asked.as_bytes()).unwrap();
            let wait = Some(Duration::from_millis(250));
            assert_eq!((read.copies(), read.wait(), read.on_timeout()), (Some(3), wait, on_timeout));
        }
        let nothing = MinCopies::new(0, Duration::ZERO, None);
        assert_eq!((nothing.copies(), nothing.wait(), nothing.on_timeout()), (None, None, None));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for bad in [
            &b"\0\0\0\x02\0\0\0"[..],
            &[0, 0, 0, 33, 0, 0, 0, 0, 0],
            &[0, 0, 0, 2, 0xFF, 0, 0, 0, 0],
            &[0, 0, 0, 2, 0, 0, 0, 0, 3],
        ] {
            assert!(MinCopies::parse(bad).is_err(), "{bad:?}");
        }
    }
}
