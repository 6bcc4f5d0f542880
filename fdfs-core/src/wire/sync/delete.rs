//! A deleted file (replication 8).

use bytes::BufMut;
use zerocopy::FromBytes;
use zerocopy::byteorder::big_endian::I32;

use crate::ident::GroupName;
use crate::wire::storage::NAME_MAX;
use crate::wire::{BadMessage, query};

/// SYNC_DELETE_FILE (17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncDelete<'a> {
    /// Time of the record at the source, s.
    pub timestamp: i32,
    /// Group.
    pub group: GroupName,
    /// Logic name.
    pub name: &'a [u8],
}

impl<'a> SyncDelete<'a> {
    /// Reads a whole body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "20 + a name of 1 to 127 bytes" };
        let (timestamp, rest) = I32::read_from_prefix(body).map_err(|_| wrong.clone())?;
        let Some((group, name)) = rest.split_at_checked(16) else { return Err(wrong) };
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(wrong);
        }
        Ok(Self { timestamp: timestamp.get(), group: GroupName::from_field(group)?, name })
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_i32(self.timestamp);
        query::put_group(out, self.group);
        out.put_slice(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_round_trip() {
        let delete = SyncDelete { timestamp: 5, group: GroupName::new(b"g").unwrap(), name: b"M00/00/00/x" };
        let mut out = Vec::new();
        delete.put(&mut out);
        assert_eq!(SyncDelete::parse(&out).unwrap(), delete);
        assert!(SyncDelete::parse(&out[..20]).is_err());
    }
}
