//! Whole files (replication 8).

use bytes::BufMut;
use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::name_len;
use crate::ident::GroupName;
use crate::wire::{BadMessage, Header, Text};

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct CopyHead {
    name_len: I64,
    size: I64,
    timestamp: I32,
    group: Text<16>,
}

const _: () = assert!(size_of::<CopyHead>() == 36);

/// SYNC_CREATE_FILE (16) and SYNC_UPDATE_FILE (18), without name and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncCopy {
    /// Bytes of the logic name that follows.
    pub name_len: u8,
    /// Bytes of content behind the name; 0 when [`SyncCopy::has_content`] is false on the wire.
    pub size: u64,
    /// Time of the record at the source, s.
    pub timestamp: i32,
    /// Group.
    pub group: GroupName,
    /// Whether content follows: the header's status byte is 0.
    pub has_content: bool,
}

impl SyncCopy {
    /// Bytes before the name.
    pub const HEAD: usize = size_of::<CopyHead>();

    /// `fixed` is the first [`Self::HEAD`] bytes of the body that `head` announces.
    pub fn parse(fixed: &[u8], head: Header) -> Result<Self, BadMessage> {
        let body = head.body().ok_or(BadMessage::Field("body length"))?;
        let fixed = CopyHead::read_from_bytes(fixed)
            .map_err(|_| BadMessage::Length { got: body, want: "36 + name + content" })?;
        let name_len = name_len(fixed.name_len.get())?;
        let size = u64::try_from(fixed.size.get()).map_err(|_| BadMessage::Field("file size"))?;
        let has_content = head.status == 0;
        let content = if has_content { size } else { 0 };
        let total = (Self::HEAD as u64 + u64::from(name_len)).checked_add(content);
        if total != Some(body) {
            return Err(BadMessage::Inconsistent { body });
        }
        Ok(Self {
            name_len,
            size,
            timestamp: fixed.timestamp.get(),
            group: GroupName::from_field(fixed.group.raw())?,
            has_content,
        })
    }

    /// Writes the bytes before the content: fixed part and name (`name_len` is taken from `name`).
    pub fn put(out: &mut impl BufMut, group: GroupName, timestamp: i32, name: &[u8], size: u64) {
        let head = CopyHead {
            name_len: I64::new(name.len() as i64),
            size: I64::new(i64::try_from(size).unwrap_or(i64::MAX)),
            timestamp: I32::new(timestamp),
            group: group.field(),
        };
        out.put_slice(head.as_bytes());
        out.put_slice(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_with_and_without_content() {
        let group = GroupName::new(b"group1").unwrap();
        let name = b"M00/00/00/x";
        let mut out = Vec::new();
        SyncCopy::put(&mut out, group, 77, name, 1000);
        assert_eq!(out.len(), SyncCopy::HEAD + name.len());
        let fixed = &out[..SyncCopy::HEAD];
        let head = |len: i64, status: u8| Header { len, cmd: 16, status };
        let copy = SyncCopy::parse(fixed, head(36 + 11 + 1000, 0)).unwrap();
        assert_eq!((copy.size, copy.timestamp, copy.name_len, copy.has_content), (1000, 77, 11, true));
        assert!(!SyncCopy::parse(fixed, head(36 + 11, 17)).unwrap().has_content);
        assert!(SyncCopy::parse(fixed, head(36 + 11, 0)).is_err());
        assert!(SyncCopy::parse(fixed, head(-1, 0)).is_err());
    }
}
