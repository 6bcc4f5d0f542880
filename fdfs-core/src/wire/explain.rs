//! What a tracker knows of each member's status and its reason: command 206, of this implementation only.
//!
//! Request: empty. Answer: a head of 76 bytes, then one record of 168 bytes per member, by group and id. Error: 22 wrong
//! length; the existing tracker, which knows no such command, answers 22 too.

use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BadMessage, Text};

/// The head of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ExplainHead {
    /// The tracker's clock, Unix s.
    pub now: I64,
    /// Its start, Unix s.
    pub started: I64,
    /// Seconds of silence after which a member is offline.
    pub check_active: I64,
    /// `ip:port` of the leader that it follows, or its own when it leads; empty when it knows none.
    pub leader: Text<52>,
}

/// One member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ExplainRecord {
    /// Its group.
    pub group: Text<16>,
    /// Id, or address without storage ids.
    pub id: Text<16>,
    /// `ip:port`.
    pub host: Text<52>,
    /// Number of [`crate::ident::StorageStatus`].
    pub status: u8,
    /// Number of [`crate::ident::ReadWrite`].
    pub rw: u8,
    /// Number of [`crate::cluster::Cause`].
    pub cause: u8,
    /// 1 while it is connected to this tracker.
    pub connected: u8,
    /// Time at which it got its status, Unix s; 0 before the tracker's start.
    pub since: I64,
    /// Its last report, Unix s; 0 none.
    pub last_seen: I64,
    /// The member that copies, or copied, the old files to it.
    pub source: Text<16>,
    /// Files up to this time are old ones, Unix s.
    pub until: I64,
    /// Sum over its store paths, MiB.
    pub total_mb: I64,
    /// Sum over its store paths, MiB.
    pub free_mb: I64,
    /// What uploads leave free, MiB.
    pub reserved_mb: I64,
    /// Its store paths.
    pub paths: I32,
    /// Those of its group.
    pub group_paths: I32,
    /// Zero.
    pub spare: [u8; 8],
}

const _: () = assert!(size_of::<ExplainHead>() == 76 && size_of::<ExplainRecord>() == 168);

/// Reads a whole answer.
pub fn parse(body: &[u8]) -> Result<(ExplainHead, Vec<ExplainRecord>), BadMessage> {
    let bad = || BadMessage::Length { got: body.len() as u64, want: "76 + n x 168" };
    let (head, rest) = ExplainHead::read_from_prefix(body).map_err(|_| bad())?;
    let records = <[ExplainRecord]>::ref_from_bytes(rest).map_err(|_| bad())?;
    Ok((head, records.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_other_lengths_are_refused() {
        for (len, records) in [(76, Some(0)), (76 + 168, Some(1)), (75, None), (77, None), (0, None)] {
            assert_eq!(parse(&vec![0; len]).ok().map(|(_, found)| found.len()), records, "{len}");
        }
    }
}
