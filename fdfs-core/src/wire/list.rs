//! Group and storage records of commands 90 to 92, and the statistics block (protocol 3.5 and 3.6).

use bytes::BufMut;
use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{AddrWidth, BadMessage, Text, put_ip};

/// One group, 113 bytes (layout since 6.13.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct GroupRecord {
    /// Group name.
    pub name: Text<17>,
    /// Total MB of the writable member with least free space.
    pub total_mb: I64,
    /// Its free MB.
    pub free_mb: I64,
    /// MB kept free.
    pub reserved_mb: I64,
    /// Free MB inside trunk files.
    pub trunk_free_mb: I64,
    /// Members of all statuses.
    pub storage_count: I64,
    /// Port of the storages.
    pub storage_port: I64,
    /// Members that may be read.
    pub readable_count: I64,
    /// Members that may be written.
    pub writable_count: I64,
    /// Rotation index of the next upload.
    pub current_write_server: I64,
    /// Store paths per member.
    pub store_path_count: I64,
    /// Subdirectories per level.
    pub subdir_count: I64,
    /// Current trunk file id, -1 when trunk files are off.
    pub current_trunk_file_id: I64,
}

const _: () = assert!(size_of::<GroupRecord>() == 113);

/// Counters of a storage, 348 bytes: the body of a heart beat and part of a storage record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StatBlock {
    /// Connections allocated, open now, and the most that were open.
    pub connections: [I32; 3],
    /// 42 counters in the order of protocol 3.6; index with the constants of [`stat`].
    pub counters: [I64; 42],
}

const _: () = assert!(size_of::<StatBlock>() == 348);

impl Default for StatBlock {
    fn default() -> Self {
        Self { connections: [I32::ZERO; 3], counters: [I64::ZERO; 42] }
    }
}

/// Indexes into [`StatBlock::counters`]. Of a pair (total, success) the total's index is given.
pub mod stat {
    /// Uploads.
    pub const UPLOAD: usize = 0;
    /// Appends.
    pub const APPEND: usize = 2;
    /// Modifies.
    pub const MODIFY: usize = 4;
    /// Truncates.
    pub const TRUNCATE: usize = 6;
    /// Metadata set.
    pub const SET_META: usize = 8;
    /// Deletes.
    pub const DELETE: usize = 10;
    /// Downloads.
    pub const DOWNLOAD: usize = 12;
    /// Metadata read.
    pub const GET_META: usize = 14;
    /// Links created.
    pub const CREATE_LINK: usize = 16;
    /// Links deleted.
    pub const DELETE_LINK: usize = 18;
    /// Bytes uploaded.
    pub const UPLOAD_BYTES: usize = 20;
    /// Bytes appended.
    pub const APPEND_BYTES: usize = 22;
    /// Bytes modified.
    pub const MODIFY_BYTES: usize = 24;
    /// Bytes downloaded.
    pub const DOWNLOAD_BYTES: usize = 26;
    /// Bytes received from peers.
    pub const SYNC_IN_BYTES: usize = 28;
    /// Bytes sent to peers.
    pub const SYNC_OUT_BYTES: usize = 30;
    /// Files opened.
    pub const FILE_OPEN: usize = 32;
    /// File reads.
    pub const FILE_READ: usize = 34;
    /// File writes.
    pub const FILE_WRITE: usize = 36;
    /// Time of the last change by a client (own clock, s).
    pub const LAST_SOURCE_UPDATE: usize = 38;
    /// Time of the last change by a peer (own clock, s).
    pub const LAST_SYNC_UPDATE: usize = 39;
    /// Last synced timestamp (source's clock, s).
    pub const LAST_SYNCED: usize = 40;
    /// Last heart beat (tracker's clock, s).
    pub const LAST_HEART_BEAT: usize = 41;
}

/// One storage, 487 bytes with 16-byte addresses or 517 with 46-byte ones (since 6.15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageRecord {
    /// Status, read/write mode, id.
    pub head: StorageRecordHead,
    /// Address.
    pub ip: Text<46>,
    /// Everything behind the address.
    pub tail: StorageRecordTail,
}

/// The 18 bytes before the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StorageRecordHead {
    /// Number of [`crate::ident::StorageStatus`].
    pub status: u8,
    /// Number of [`crate::ident::ReadWrite`].
    pub rw_mode: u8,
    /// Id, or address without storage ids.
    pub id: Text<16>,
}

/// The 453 bytes behind the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StorageRecordTail {
    /// The storage it copied its old files from.
    pub source_id: Text<16>,
    /// Version text.
    pub version: Text<8>,
    /// Time of the first start, s.
    pub join_time: I64,
    /// Time of this start, s; 0 while not connected.
    pub up_time: I64,
    /// Total MB over its paths.
    pub total_mb: I64,
    /// Free MB over its paths.
    pub free_mb: I64,
    /// MB kept free.
    pub reserved_mb: I64,
    /// Smaller is preferred.
    pub upload_priority: I64,
    /// Store paths.
    pub store_path_count: I64,
    /// Subdirectories per level.
    pub subdir_count: I64,
    /// Path of the next upload.
    pub current_write_path: I64,
    /// Port.
    pub port: I64,
    /// Counters.
    pub stat: StatBlock,
    /// 1 for the trunk server.
    pub is_trunk_server: u8,
}

const _: () = assert!(size_of::<StorageRecordHead>() + 16 + size_of::<StorageRecordTail>() == 487);

impl StorageRecord {
    /// Record size in bytes.
    pub const fn size(width: AddrWidth) -> usize {
        size_of::<StorageRecordHead>() + width.field() + size_of::<StorageRecordTail>()
    }

    /// Writes the record.
    pub fn put(&self, out: &mut impl BufMut, width: AddrWidth) {
        out.put_slice(self.head.as_bytes());
        put_ip(out, self.ip.bytes(), width.field());
        out.put_slice(self.tail.as_bytes());
    }

    /// Reads a whole answer of command 92, in either width. An empty answer is an empty list.
    pub fn parse_list(body: &[u8]) -> Result<Vec<Self>, BadMessage> {
        let width = [AddrWidth::V4, AddrWidth::V6]
            .into_iter()
            .find(|width| body.len().is_multiple_of(Self::size(*width)))
            .ok_or(BadMessage::Length { got: body.len() as u64, want: "n x 487 or n x 517" })?;
        body.chunks_exact(Self::size(width)).map(|record| Self::parse(record, width)).collect()
    }

    fn parse(record: &[u8], width: AddrWidth) -> Result<Self, BadMessage> {
        let bad = || BadMessage::Field("storage record");
        let (head, rest) = StorageRecordHead::read_from_prefix(record).map_err(|_| bad())?;
        let (ip, tail) = rest.split_at_checked(width.field()).ok_or_else(bad)?;
        let tail = StorageRecordTail::read_from_bytes(tail).map_err(|_| bad())?;
        Ok(Self { head, ip: Text::cut(ip), tail })
    }
}

impl GroupRecord {
    /// Reads a whole answer of command 90 or 91. An empty answer is an empty list.
    pub fn parse_list(body: &[u8]) -> Result<Vec<Self>, BadMessage> {
        match <[Self]>::ref_from_bytes(body) {
            Ok(records) => Ok(records.to_vec()),
            Err(_) => Err(BadMessage::Length { got: body.len() as u64, want: "n x 113" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_the_documented_ones() {
        use std::mem::offset_of;
        assert_eq!(offset_of!(GroupRecord, storage_port), 57);
        assert_eq!(offset_of!(GroupRecord, current_trunk_file_id), 105);
        let tail = 18 + 16;
        assert_eq!(tail + offset_of!(StorageRecordTail, version), 50);
        assert_eq!(tail + offset_of!(StorageRecordTail, port), 130);
        assert_eq!(tail + offset_of!(StorageRecordTail, stat), 138);
        assert_eq!(tail + offset_of!(StorageRecordTail, is_trunk_server), 486);
        assert_eq!(12 + 8 * stat::LAST_SOURCE_UPDATE, 316);
    }

    #[test]
    fn storage_lists_in_both_widths() {
        let mut record = StorageRecord::parse(&[0; 487], AddrWidth::V4).unwrap();
        record.ip = Text::cut(b"10.0.0.1");
        record.head.status = 7;
        for (width, size) in [(AddrWidth::V4, 487), (AddrWidth::V6, 517)] {
            let mut out = Vec::new();
            record.put(&mut out, width);
            record.put(&mut out, width);
            assert_eq!(out.len(), 2 * size);
            assert_eq!(StorageRecord::parse_list(&out).unwrap(), [record, record]);
        }
        assert!(StorageRecord::parse_list(&[0; 486]).is_err());
        assert!(GroupRecord::parse_list(&[0; 112]).is_err());
    }
}
