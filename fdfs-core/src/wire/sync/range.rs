//! Changes inside a file (replication 8).

use bytes::BufMut;
use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::name_len;
use crate::ident::GroupName;
use crate::wire::{BadMessage, Text};

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RangeHead {
    name_len: I64,
    one: I64,
    other: I64,
    timestamp: I32,
    group: Text<16>,
}

const _: () = assert!(size_of::<RangeHead>() == 44);

impl RangeHead {
    fn put(out: &mut impl BufMut, group: GroupName, timestamp: i32, name: &[u8], one: u64, other: u64) {
        let number = |n: u64| I64::new(i64::try_from(n).unwrap_or(i64::MAX));
        let head = Self {
            name_len: I64::new(name.len() as i64),
            one: number(one),
            other: number(other),
            timestamp: I32::new(timestamp),
            group: group.field(),
        };
        out.put_slice(head.as_bytes());
        out.put_slice(name);
    }
}

fn size(n: I64, what: &'static str) -> Result<u64, BadMessage> {
    u64::try_from(n.get()).map_err(|_| BadMessage::Field(what))
}

/// SYNC_APPEND_FILE (25) and SYNC_MODIFY_FILE (35), without name and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncRange {
    /// Bytes of the logic name that follows.
    pub name_len: u8,
    /// Where the data belong, byte.
    pub start: u64,
    /// Bytes of data behind the name.
    pub len: u64,
    /// Time of the record at the source, s.
    pub timestamp: i32,
    /// Group.
    pub group: GroupName,
}

impl SyncRange {
    /// Bytes before the name.
    pub const HEAD: usize = size_of::<RangeHead>();

    /// `fixed` is the first [`Self::HEAD`] bytes of a body of `body` bytes.
    pub fn parse(fixed: &[u8], body: u64) -> Result<Self, BadMessage> {
        let fixed = RangeHead::read_from_bytes(fixed)
            .map_err(|_| BadMessage::Length { got: body, want: "44 + name + data" })?;
        let name_len = name_len(fixed.name_len.get())?;
        let (start, len) = (size(fixed.one, "start")?, size(fixed.other, "length")?);
        if start.checked_add(len).is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(BadMessage::Field("range"));
        }
        if (Self::HEAD as u64 + u64::from(name_len)).checked_add(len) != Some(body) {
            return Err(BadMessage::Inconsistent { body });
        }
        let group = GroupName::from_field(fixed.group.raw())?;
        Ok(Self { name_len, start, len, timestamp: fixed.timestamp.get(), group })
    }

    /// Writes the bytes before the data.
    pub fn put(out: &mut impl BufMut, group: GroupName, timestamp: i32, name: &[u8], start: u64, len: u64) {
        RangeHead::put(out, group, timestamp, name, start, len);
    }
}

/// SYNC_TRUNCATE_FILE (37).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncTruncate<'a> {
    /// Size before, bytes.
    pub old_size: u64,
    /// Size after, bytes.
    pub new_size: u64,
    /// Time of the record at the source, s.
    pub timestamp: i32,
    /// Group.
    pub group: GroupName,
    /// Logic name.
    pub name: &'a [u8],
}

impl<'a> SyncTruncate<'a> {
    /// Reads a whole body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "44 + name" };
        let (fixed, name) = RangeHead::read_from_prefix(body).map_err(|_| wrong.clone())?;
        if name.len() != usize::from(name_len(fixed.name_len.get())?) {
            return Err(BadMessage::Inconsistent { body: body.len() as u64 });
        }
        Ok(Self {
            old_size: size(fixed.one, "old size")?,
            new_size: size(fixed.other, "new size")?,
            timestamp: fixed.timestamp.get(),
            group: GroupName::from_field(fixed.group.raw())?,
            name,
        })
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        RangeHead::put(out, self.group, self.timestamp, self.name, self.old_size, self.new_size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_truncations() {
        let group = GroupName::new(b"group1").unwrap();
        let mut out = Vec::new();
        SyncRange::put(&mut out, group, 9, b"M00/00/00/x", 100, 50);
        assert_eq!(out.len(), SyncRange::HEAD + 11);
        let fixed = &out[..SyncRange::HEAD];
        let range = SyncRange::parse(fixed, 44 + 11 + 50).unwrap();
        assert_eq!((range.start, range.len, range.timestamp, range.name_len), (100, 50, 9, 11));
        assert!(SyncRange::parse(fixed, 44 + 11 + 49).is_err());
        out.clear();
        SyncRange::put(&mut out, group, 9, b"M00/00/00/x", i64::MAX as u64, 1);
        assert!(SyncRange::parse(&out[..44], 56).is_err(), "the end overflows");
        let cut = SyncTruncate { old_size: 8, new_size: 3, timestamp: 1, group, name: b"M00/00/00/x" };
        out.clear();
        cut.put(&mut out);
        assert_eq!(SyncTruncate::parse(&out).unwrap(), cut);
        assert!(SyncTruncate::parse(&out[..out.len() - 1]).is_err());
    }
}
