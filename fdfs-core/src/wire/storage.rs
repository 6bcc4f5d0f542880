//! What clients ask a storage (protocol 4). Each type reads the bytes that precede the file's content.

use bytes::BufMut;
use zerocopy::byteorder::big_endian::{I64, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{AddrWidth, BadMessage, Text, put_ip};
use crate::ident::{Extension, GroupName};

/// Longest file name without group, in bytes (protocol 1.3).
pub const NAME_MAX: usize = 127;

/// Fixed head of UPLOAD_FILE (11) and UPLOAD_APPENDER_FILE (23); the content follows.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct UploadHead {
    path: u8,
    size: I64,
    ext: [u8; 6],
}

const _: () = assert!(size_of::<UploadHead>() == 15);

/// UPLOAD_FILE (11) and UPLOAD_APPENDER_FILE (23), without the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload {
    /// Store path asked for; `None` lets the storage choose.
    pub path: Option<u8>,
    /// Content length in bytes.
    pub size: u64,
    /// File extension.
    pub ext: Extension,
}

impl Upload {
    /// Bytes before the content.
    pub const HEAD: usize = size_of::<UploadHead>();
    /// Path byte that lets the storage choose.
    pub const ANY_PATH: u8 = 0xFF;

    /// `head` is the first [`Self::HEAD`] bytes of a body of `body` bytes.
    pub fn parse(head: &[u8], body: u64) -> Result<Self, BadMessage> {
        let head = UploadHead::read_from_bytes(head)
            .map_err(|_| BadMessage::Length { got: body, want: "15 + content" })?;
        let size = u64::try_from(head.size.get()).map_err(|_| BadMessage::Field("file size"))?;
        if body.checked_sub(Self::HEAD as u64) != Some(size) {
            return Err(BadMessage::Inconsistent { body });
        }
        let path = (head.path != Self::ANY_PATH).then_some(head.path);
        Ok(Self { path, size, ext: Extension::from_field(&head.ext)? })
    }

    /// Writes the bytes before the content.
    pub fn put(&self, out: &mut impl BufMut) {
        let head = UploadHead {
            path: self.path.unwrap_or(Self::ANY_PATH),
            size: I64::new(i64::try_from(self.size).unwrap_or(i64::MAX)),
            ext: self.ext.field(),
        };
        out.put_slice(head.as_bytes());
    }
}

/// Group and name: DELETE_FILE (12), GET_METADATA (15), QUERY_FILE_INFO (22); answer of every upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupAndName<'a> {
    /// Group.
    pub group: GroupName,
    /// Name without the group: 1 to 127 bytes, checked further by [`crate::fileid`].
    pub name: &'a [u8],
}

impl<'a> GroupAndName<'a> {
    /// Reads a whole body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "16 + a name of 1 to 127 bytes" };
        let Some((group, name)) = body.split_at_checked(16) else { return Err(wrong) };
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(wrong);
        }
        Ok(Self { group: GroupName::from_field(group)?, name })
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        super::query::put_group(out, self.group);
        out.put_slice(self.name);
    }
}

/// DOWNLOAD_FILE (14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download<'a> {
    /// First byte wanted.
    pub offset: u64,
    /// Bytes wanted, 0 for all to the end.
    pub count: u64,
    /// The file.
    pub file: GroupAndName<'a>,
}

impl<'a> Download<'a> {
    /// Reads a whole body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "32 + a name" };
        let (range, file) = <[I64; 2]>::read_from_prefix(body).map_err(|_| wrong)?;
        let [offset, count] = range.map(|n| u64::try_from(n.get()));
        Ok(Self {
            offset: offset.map_err(|_| BadMessage::Field("offset"))?,
            count: count.map_err(|_| BadMessage::Field("byte count"))?,
            file: GroupAndName::parse(file)?,
        })
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_u64(self.offset);
        out.put_u64(self.count);
        self.file.put(out);
    }
}

/// How SET_METADATA (13) treats what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum MetaMode {
    /// Replace all; empty text removes the metadata.
    Overwrite = b'O',
    /// Replace equal names, add the others.
    Merge = b'M',
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct SetMetadataHead {
    name_len: U64,
    meta_len: U64,
    mode: u8,
    group: Text<16>,
}

const _: () = assert!(size_of::<SetMetadataHead>() == 33);

/// SET_METADATA (13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetMetadata<'a> {
    /// Replace or merge.
    pub mode: MetaMode,
    /// The file.
    pub file: GroupAndName<'a>,
    /// Records as sent, see [`crate::wire`] and protocol 4.6.
    pub text: &'a [u8],
}

impl<'a> SetMetadata<'a> {
    /// Reads a whole body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let (head, rest) = SetMetadataHead::ref_from_prefix(body)
            .map_err(|_| BadMessage::Length { got: body.len() as u64, want: "33 + name + metadata" })?;
        let (name_len, meta_len) = (head.name_len.get(), head.meta_len.get());
        if name_len.checked_add(meta_len) != Some(rest.len() as u64) {
            return Err(BadMessage::Inconsistent { body: body.len() as u64 });
        }
        if name_len == 0 || name_len > NAME_MAX as u64 {
            return Err(BadMessage::Field("name length"));
        }
        let (name, text) =
            rest.split_at_checked(name_len as usize).ok_or(BadMessage::Field("name length"))?;
        let mode = match head.mode {
            b'O' => MetaMode::Overwrite,
            b'M' => MetaMode::Merge,
            _ => return Err(BadMessage::Field("metadata flag")),
        };
        Ok(Self { mode, file: GroupAndName { group: GroupName::from_field(head.group.raw())?, name }, text })
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        let head = SetMetadataHead {
            name_len: U64::new(self.file.name.len() as u64),
            meta_len: U64::new(self.text.len() as u64),
            mode: self.mode as u8,
            group: self.file.group.field(),
        };
        out.put_slice(head.as_bytes());
        out.put_slice(self.file.name);
        out.put_slice(self.text);
    }
}

/// Flags in the status byte of a QUERY_FILE_INFO request.
pub mod info_flags {
    /// Do not read appender and slave files to compute their crc.
    pub const NO_CRC: u8 = 1;
    /// Do not log a missing file.
    pub const SILENT: u8 = 2;
}

/// Answer of QUERY_FILE_INFO (22), 40 or 70 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileInfo {
    /// Bytes.
    pub size: u64,
    /// Modification time, s.
    pub mtime: i64,
    /// Of the content; travels sign-extended to 64 bits.
    pub crc32: u32,
    /// Address of the source as text, empty when unknown.
    pub source_ip: Text<46>,
}

impl FileInfo {
    /// Writes the answer.
    pub fn put(&self, out: &mut impl BufMut, width: AddrWidth) {
        out.put_u64(self.size);
        out.put_i64(self.mtime);
        out.put_i64(i64::from(self.crc32.cast_signed()));
        put_ip(out, self.source_ip.bytes(), width.field());
    }

    /// Reads the answer in either width.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "40 or 70" };
        let (numbers, ip) = <[I64; 3]>::read_from_prefix(body).map_err(|_| wrong.clone())?;
        if ip.len() != AddrWidth::V4.field() && ip.len() != AddrWidth::V6.field() {
            return Err(wrong);
        }
        let [size, mtime, crc] = numbers.map(|n| n.get());
        Ok(Self {
            size: u64::try_from(size).map_err(|_| BadMessage::Field("file size"))?,
            mtime,
            // The upper half only repeats the sign.
            crc32: crc as u32,
            source_ip: Text::cut(ip),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &[u8]) -> GroupAndName<'_> {
        GroupAndName { group: GroupName::new(b"group1").unwrap(), name }
    }

    #[test]
    fn upload_lengths_must_add_up() {
        let upload = Upload { path: None, size: 5, ext: Extension::new(b"tar.gz").unwrap() };
        let mut head = Vec::new();
        upload.put(&mut head);
        assert_eq!(Upload::parse(&head, 20).unwrap(), upload);
        assert_eq!(Upload::parse(&head, 21), Err(BadMessage::Inconsistent { body: 21 }));
        assert!(Upload::parse(&head, 3).is_err());
        head[1] = 0x80;
        assert_eq!(Upload::parse(&head, 20), Err(BadMessage::Field("file size")));
    }

    #[test]
    fn downloads_refuse_negative_ranges() {
        let mut body = Vec::new();
        let download = Download { offset: 7, count: 0, file: file(b"M00/00/00/x") };
        download.put(&mut body);
        assert_eq!(Download::parse(&body).unwrap(), download);
        body[8] = 0xFF;
        assert_eq!(Download::parse(&body), Err(BadMessage::Field("byte count")));
        assert!(Download::parse(&body[..20]).is_err());
    }

    #[test]
    fn metadata_lengths_must_add_up() {
        let mut body = Vec::new();
        let set = SetMetadata { mode: MetaMode::Merge, file: file(b"M00/00/00/x"), text: b"a\x02b" };
        set.put(&mut body);
        assert_eq!(SetMetadata::parse(&body).unwrap(), set);
        body[16] = b'X';
        assert_eq!(SetMetadata::parse(&body), Err(BadMessage::Field("metadata flag")));
        body.pop();
        assert!(matches!(SetMetadata::parse(&body), Err(BadMessage::Inconsistent { .. })));
        body[0] = 0xFF;
        assert!(SetMetadata::parse(&body).is_err());
    }

    #[test]
    fn names_are_bounded() {
        let mut body = b"group1\0\0\0\0\0\0\0\0\0\0".to_vec();
        assert!(GroupAndName::parse(&body).is_err());
        body.resize(16 + NAME_MAX, b'x');
        assert!(GroupAndName::parse(&body).is_ok());
        body.push(b'x');
        assert!(GroupAndName::parse(&body).is_err());
    }

    #[test]
    fn the_crc_travels_sign_extended() {
        let info = FileInfo { size: 1, mtime: 2, crc32: 0xFD5D_36A5, source_ip: Text::cut(b"10.0.0.1") };
        for (width, len) in [(AddrWidth::V4, 40), (AddrWidth::V6, 70)] {
            let mut out = Vec::new();
            info.put(&mut out, width);
            assert_eq!(out.len(), len);
            assert_eq!(out[16..24], [0xFF, 0xFF, 0xFF, 0xFF, 0xFD, 0x5D, 0x36, 0xA5]);
            assert_eq!(FileInfo::parse(&out).unwrap(), info);
        }
    }
}
