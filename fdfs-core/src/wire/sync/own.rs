//! What this implementation's storages say to each other beyond the protocol of FastDFS. A peer that does not know
//! [`Hello`] answers 22, and everything goes on without it.

use bytes::BufMut;
use zerocopy::byteorder::big_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::name_len;
use crate::ident::GroupName;
use crate::wire::{BadMessage, Text};

/// SYNC_HELLO (200): 44 bytes. On a connection that has said it, several requests may be on their way, and the times of
/// records are not noted: SYNC_TIME (201) tells up to when everything has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Hello {
    /// Version of the commands 200 to 210, 1.
    pub version: U32,
    /// Group.
    pub group: Text<16>,
    /// Who asks.
    pub id: Text<16>,
    /// Number of the stream that the connection belongs to. What is left on connections of streams with smaller ones is not
    /// applied any more: it was sent again.
    pub stream: U64,
}

const _: () = assert!(size_of::<Hello>() == 44);

/// Answer to [`Hello`]: 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HelloAnswer {
    /// Version that both speak.
    pub version: U32,
    /// First start of the answering member, s. Another one than before means that it has lost its data.
    pub born: I64,
    /// Greatest stream number of the asking member. If it is greater than the one of the hello, that was refused.
    pub stream: U64,
}

const _: () = assert!(size_of::<HelloAnswer>() == 20);

/// SYNC_PROBE (202): group 16, then logic names, each behind a byte with its length. The answer has 8 bytes for each name: size in
/// bytes, -1 for none, -2 for one that was deleted and must not come back.
#[derive(Debug)]
pub struct Probe;

impl Probe {
    /// No file of this name.
    pub const ABSENT: i64 = -1;
    /// Deleted for good.
    pub const DELETED: i64 = -2;

    /// Reads the group and the names.
    pub fn parse(body: &[u8]) -> Result<(GroupName, Vec<&[u8]>), BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "16 + names" };
        let (group, mut rest) = body.split_at_checked(16).ok_or(wrong)?;
        let mut names = Vec::new();
        while let Some((&len, after)) = rest.split_first() {
            let len = usize::from(name_len(i64::from(len))?);
            let name = after.split_at_checked(len);
            let (name, after) = name.ok_or(BadMessage::Inconsistent { body: body.len() as u64 })?;
            names.push(name);
            rest = after;
        }
        Ok((GroupName::from_field(group)?, names))
    }

    /// Writes a name behind the group; nothing for one that is too long.
    pub fn put_name(out: &mut impl BufMut, name: &[u8]) {
        if let Ok(len) = u8::try_from(name.len()) {
            out.put_u8(len);
            out.put_slice(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_round_trip() {
        let mut out = b"group1\0\0\0\0\0\0\0\0\0\0".to_vec();
        assert_eq!(Probe::parse(&out).unwrap().1.len(), 0);
        Probe::put_name(&mut out, b"M00/00/00/x");
        Probe::put_name(&mut out, b"M00/00/00/yy");
        let (group, names) = Probe::parse(&out).unwrap();
        assert_eq!(
            (group, names),
            (GroupName::new(b"group1").unwrap(), vec![&b"M00/00/00/x"[..], b"M00/00/00/yy"])
        );
        assert!(Probe::parse(&out[..out.len() - 1]).is_err());
        assert!(Probe::parse(b"short").is_err());
    }
}
