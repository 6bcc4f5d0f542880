//! Why a member has the status that it has: told in the log, and to `fdfs_monitor explain`.

use std::fmt;

/// Why a member got its status. The number goes over the wire ([`crate::wire::explain`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// So it stands in the tracker's files.
    Loaded = 0,
    /// It joined, and was not known before.
    New = 1,
    /// It joined.
    Joined = 2,
    /// It sent a heart beat or its disk usage.
    Reported = 3,
    /// It asked who copies the old files to it: there are none.
    NothingToCopy = 4,
    /// It asked who copies the old files to it: another member does.
    SourceChosen = 5,
    /// It settled that with another tracker.
    SettledElsewhere = 6,
    /// A storage of the group reported it.
    ByPeer = 7,
    /// The leading tracker has another status, said the storage.
    ByLeader = 8,
    /// Its connection ended.
    Closed = 9,
    /// It was silent for longer than `check_active_interval`.
    Silent = 10,
    /// An administrator deleted it.
    Deleted = 11,
    /// It has another address now.
    Readdressed = 12,
    /// So it is at another tracker.
    OtherTracker = 13,
}

impl Cause {
    const ALL: [Self; 14] = [
        Self::Loaded,
        Self::New,
        Self::Joined,
        Self::Reported,
        Self::NothingToCopy,
        Self::SourceChosen,
        Self::SettledElsewhere,
        Self::ByPeer,
        Self::ByLeader,
        Self::Closed,
        Self::Silent,
        Self::Deleted,
        Self::Readdressed,
        Self::OtherTracker,
    ];

    /// The cause with this number; later versions may have more.
    pub fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The number on the wire.
    pub const fn wire(self) -> u8 {
        self as u8
    }

    /// In words, behind a status and a colon.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Loaded => "so it stood in the tracker's files",
            Self::New => "it joined for the first time",
            Self::Joined => "it joined",
            Self::Reported => "it sent a heart beat or its disk usage",
            Self::NothingToCopy => "no other member has files to copy",
            Self::SourceChosen => "another member was chosen to copy the old files to it",
            Self::SettledElsewhere => "it settled with another tracker who copies the old files to it",
            Self::ByPeer => "a storage of the group reported it",
            Self::ByLeader => "the leading tracker has it so",
            Self::Closed => "its connection ended",
            Self::Silent => "it was silent for longer than check_active_interval",
            Self::Deleted => "an administrator deleted it",
            Self::Readdressed => "it has another address now",
            Self::OtherTracker => "so it is at another tracker",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::Cause;

    #[test]
    fn numbers_are_their_own_place_in_the_list() {
        for number in 0..=255 {
            assert_eq!(Cause::from_wire(number).is_some(), number < 14);
            assert!(Cause::from_wire(number).is_none_or(|cause| cause.wire() == number));
        }
    }
}
