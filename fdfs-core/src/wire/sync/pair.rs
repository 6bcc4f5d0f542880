//! Links and renames (replication 8).

use bytes::BufMut;
use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::name_len;
use crate::ident::GroupName;
use crate::wire::{BadMessage, Text};

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct PairHead {
    dest_len: I64,
    source_len: I64,
    timestamp: I32,
    group: Text<16>,
}

const _: () = assert!(size_of::<PairHead>() == 36);

/// SYNC_CREATE_LINK (19): link and target. SYNC_RENAME_FILE (40): new and old name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncPair<'a> {
    /// Time of the record at the source, s.
    pub timestamp: i32,
    /// Group.
    pub group: GroupName,
    /// Logic name that appears.
    pub dest: &'a [u8],
    /// Logic name that it is made from.
    pub source: &'a [u8],
}

impl<'a> SyncPair<'a> {
    /// Reads a whole body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "36 + two names" };
        let (fixed, names) = PairHead::read_from_prefix(body).map_err(|_| wrong)?;
        let dest = usize::from(name_len(fixed.dest_len.get())?);
        let source = usize::from(name_len(fixed.source_len.get())?);
        match names.split_at_checked(dest) {
            Some((dest, rest)) if rest.len() == source => Ok(Self {
                timestamp: fixed.timestamp.get(),
                group: GroupName::from_field(fixed.group.raw())?,
                dest,
                source: rest,
            }),
            _ => Err(BadMessage::Inconsistent { body: body.len() as u64 }),
        }
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        let head = PairHead {
            dest_len: I64::new(self.dest.len() as i64),
            source_len: I64::new(self.source.len() as i64),
            timestamp: I32::new(self.timestamp),
            group: self.group.field(),
        };
        out.put_slice(head.as_bytes());
        out.put_slice(self.dest);
        out.put_slice(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_round_trip() {
        let group = GroupName::new(b"g").unwrap();
        let pair = SyncPair { timestamp: 5, group, dest: b"M00/00/00/new", source: b"M00/00/00/old1" };
        let mut out = Vec::new();
        pair.put(&mut out);
        assert_eq!((SyncPair::parse(&out).unwrap(), out.len()), (pair, 36 + 13 + 14));
        assert!(SyncPair::parse(&out[..out.len() - 1]).is_err());
        assert!(SyncPair::parse(&out[..30]).is_err());
        out[0] = 0x80;
        assert!(SyncPair::parse(&out).is_err(), "a negative length");
    }
}
