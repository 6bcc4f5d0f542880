//! Changes of appender files, slaves and links: client -> storage (protocol 4.4 and 4.5, storage 11.9 and 11.12).
//!
//! Each type reads the bytes that precede the content, `head` first and the names behind it.

use bytes::BufMut;
use zerocopy::byteorder::big_endian::I64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::storage::NAME_MAX;
use super::{BadMessage, Text};
use crate::ident::{Extension, GroupName};

/// Shortest name that these commands take: an appender's name is at least 44 bytes (protocol 4.2).
pub const APPENDER_NAME_MIN: usize = 44;
/// Shortest name of a master (protocol 4.4).
pub const MASTER_NAME_MIN: usize = 11;

/// APPEND_FILE (24): `name length 8 | size 8 | name`, the content follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Append<'a> {
    /// Bytes to append.
    pub size: u64,
    /// Name of the appender file, without group.
    pub name: &'a [u8],
}

/// MODIFY_FILE (34): `name length 8 | offset 8 | size 8 | name`, the content follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modify<'a> {
    /// First byte to overwrite; at most the file's size.
    pub offset: u64,
    /// Bytes to write; may go beyond the end.
    pub size: u64,
    /// Name of the appender file, without group.
    pub name: &'a [u8],
}

/// TRUNCATE_FILE (36): `name length 8 | new size 8 | name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncate<'a> {
    /// New length in bytes; a larger one than now adds zeros.
    pub size: u64,
    /// Name of the appender file, without group.
    pub name: &'a [u8],
}

/// UPLOAD_SLAVE_FILE (21): `master length 8 | size 8 | prefix 16 | extension 6 | master`, the content follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadSlave<'a> {
    /// Bytes of content.
    pub size: u64,
    /// What is put between the master's name and the extension.
    pub prefix: Text<16>,
    /// Extension of the slave.
    pub ext: Extension,
    /// Name of the master, without group.
    pub master: &'a [u8],
}

impl<'a> Append<'a> {
    /// Bytes before the name.
    pub const HEAD: usize = 16;

    /// `head` is at least [`Self::HEAD`] bytes and the name of a body of `body` bytes.
    pub fn parse(head: &'a [u8], body: u64) -> Result<Self, BadMessage> {
        let ([name_len, size], rest) = numbers::<2>(head, body)?;
        let name = name_of(rest, name_len, APPENDER_NAME_MIN)?;
        adds_up(body, Self::HEAD, name, size)?;
        Ok(Self { size, name })
    }

    /// Writes what precedes the content.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_u64(self.name.len() as u64);
        out.put_u64(self.size);
        out.put_slice(self.name);
    }
}

impl<'a> Modify<'a> {
    /// Bytes before the name.
    pub const HEAD: usize = 24;

    /// As [`Append::parse`].
    pub fn parse(head: &'a [u8], body: u64) -> Result<Self, BadMessage> {
        let ([name_len, offset, size], rest) = numbers::<3>(head, body)?;
        let name = name_of(rest, name_len, APPENDER_NAME_MIN)?;
        adds_up(body, Self::HEAD, name, size)?;
        offset
            .checked_add(size)
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or(BadMessage::Field("offset"))?;
        Ok(Self { offset, size, name })
    }

    /// Writes what precedes the content.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_u64(self.name.len() as u64);
        out.put_u64(self.offset);
        out.put_u64(self.size);
        out.put_slice(self.name);
    }
}

impl<'a> Truncate<'a> {
    /// Bytes before the name.
    pub const HEAD: usize = 16;

    /// Reads a whole body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let len = body.len() as u64;
        let ([name_len, size], rest) = numbers::<2>(body, len)?;
        let name = name_of(rest, name_len, APPENDER_NAME_MIN)?;
        adds_up(len, Self::HEAD, name, 0)?;
        Ok(Self { size, name })
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_u64(self.name.len() as u64);
        out.put_u64(self.size);
        out.put_slice(self.name);
    }
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct SlaveHead {
    master_len: I64,
    size: I64,
    prefix: Text<16>,
    ext: [u8; 6],
}

const _: () = assert!(size_of::<SlaveHead>() == UploadSlave::HEAD);

impl<'a> UploadSlave<'a> {
    /// Bytes before the master's name.
    pub const HEAD: usize = 38;

    /// As [`Append::parse`]. The prefix is not empty, and not `-m` without an extension, which is the name of metadata.
    pub fn parse(head: &'a [u8], body: u64) -> Result<Self, BadMessage> {
        let (fixed, rest) = SlaveHead::read_from_prefix(head)
            .map_err(|_| BadMessage::Length { got: body, want: "38 + master name + content" })?;
        let number = |n: I64, what| u64::try_from(n.get()).map_err(|_| BadMessage::Field(what));
        let size = number(fixed.size, "file size")?;
        let master = name_of(rest, number(fixed.master_len, "name length")?, MASTER_NAME_MIN)?;
        adds_up(body, Self::HEAD, master, size)?;
        let ext = Extension::from_field(&fixed.ext)?;
        let prefix = fixed.prefix.bytes();
        let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        if prefix.is_empty() || !prefix.iter().all(fine) || (prefix == b"-m" && fixed.ext[0] == 0) {
            return Err(BadMessage::Field("prefix of a slave"));
        }
        Ok(Self { size, prefix: fixed.prefix, ext, master })
    }

    /// Writes what precedes the content.
    pub fn put(&self, out: &mut impl BufMut) {
        let head = SlaveHead {
            master_len: I64::new(self.master.len() as i64),
            size: I64::new(i64::try_from(self.size).unwrap_or(i64::MAX)),
            prefix: self.prefix,
            ext: self.ext.field(),
        };
        out.put_slice(head.as_bytes());
        out.put_slice(self.master);
    }
}

/// CREATE_LINK (20): `master length 8 | source length 8 | signature length 8 | group 16 | prefix 16 | extension 6 | master |
/// source | signature`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateLink<'a> {
    /// Group of both names.
    pub group: GroupName,
    /// Put behind the master's name; empty without a master.
    pub prefix: Text<16>,
    /// Extension of the link.
    pub ext: Extension,
    /// Name whose slave the link is; empty for a link with a new name.
    pub master: &'a [u8],
    /// Name of the file that the link shows.
    pub source: &'a [u8],
    /// Signature of the content, see storage 13.
    pub signature: &'a [u8],
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct LinkHead {
    lengths: [I64; 3],
    group: Text<16>,
    prefix: Text<16>,
    ext: [u8; 6],
}

const _: () = assert!(size_of::<LinkHead>() == CreateLink::HEAD);

impl<'a> CreateLink<'a> {
    /// Bytes before the names.
    pub const HEAD: usize = 62;

    /// Reads a whole body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "62 + master + source + signature" };
        let (head, rest) = LinkHead::read_from_prefix(body).map_err(|_| wrong.clone())?;
        let mut left = rest;
        let mut take = |len: I64, most: usize| {
            let len = usize::try_from(len.get()).ok().filter(|len| *len <= most);
            let (part, behind) = len.and_then(|len| left.split_at_checked(len)).ok_or(wrong.clone())?;
            left = behind;
            Ok::<_, BadMessage>(part)
        };
        let [master, source, signature] = head.lengths;
        let (master, source) = (take(master, NAME_MAX)?, take(source, NAME_MAX)?);
        let signature = take(signature, 64)?;
        if !left.is_empty() || source.is_empty() {
            return Err(wrong);
        }
        Ok(Self {
            group: GroupName::from_field(head.group.raw())?,
            prefix: head.prefix,
            ext: Extension::from_field(&head.ext)?,
            master,
            source,
            signature,
        })
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        let length = |part: &[u8]| I64::new(part.len() as i64);
        let head = LinkHead {
            lengths: [length(self.master), length(self.source), length(self.signature)],
            group: self.group.field(),
            prefix: self.prefix,
            ext: self.ext.field(),
        };
        out.put_slice(head.as_bytes());
        for part in [self.master, self.source, self.signature] {
            out.put_slice(part);
        }
    }
}

/// The first `N` numbers, none negative, and what follows.
fn numbers<const N: usize>(head: &[u8], body: u64) -> Result<([u64; N], &[u8]), BadMessage> {
    let (fixed, rest) = <[I64; N]>::read_from_prefix(head)
        .map_err(|_| BadMessage::Length { got: body, want: "name length, numbers, name" })?;
    let mut all = [0; N];
    for (to, from) in all.iter_mut().zip(fixed) {
        *to = u64::try_from(from.get()).map_err(|_| BadMessage::Field("length or offset"))?;
    }
    Ok((all, rest))
}

fn name_of(rest: &[u8], len: u64, least: usize) -> Result<&[u8], BadMessage> {
    let len = usize::try_from(len).ok().filter(|len| (least..=NAME_MAX).contains(len));
    len.and_then(|len| rest.get(..len)).ok_or(BadMessage::Field("name length"))
}

fn adds_up(body: u64, head: usize, name: &[u8], size: u64) -> Result<(), BadMessage> {
    match size.checked_add((head + name.len()) as u64) {
        Some(all) if all == body => Ok(()),
        _ => Err(BadMessage::Inconsistent { body }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"M00/00/00/fwAAFWsCnJ6EWml9AAAAADYQpoY591.txt";

    #[test]
    fn appends_add_up() {
        let append = Append { size: 5, name: NAME };
        let mut head = Vec::new();
        append.put(&mut head);
        assert_eq!(Append::parse(&head, head.len() as u64 + 5).unwrap(), append);
        assert!(matches!(Append::parse(&head, 99), Err(BadMessage::Inconsistent { .. })));
        assert!(Append::parse(&head[..12], 65).is_err());
        head[7] = 43;
        assert_eq!(Append::parse(&head, 64), Err(BadMessage::Field("name length")));
        head[0] = 0xFF;
        assert!(Append::parse(&head, 65).is_err());
    }

    #[test]
    fn modifies_stay_below_the_largest_offset() {
        let modify = Modify { offset: 7, size: 5, name: NAME };
        let mut head = Vec::new();
        modify.put(&mut head);
        let body = head.len() as u64 + 5;
        assert_eq!(Modify::parse(&head, body).unwrap(), modify);
        head[8] = 0x7F;
        head[9..16].fill(0xFF);
        assert_eq!(Modify::parse(&head, body), Err(BadMessage::Field("offset")));
    }

    #[test]
    fn truncates_are_whole_bodies() {
        let truncate = Truncate { size: 1 << 40, name: NAME };
        let mut body = Vec::new();
        truncate.put(&mut body);
        assert_eq!(Truncate::parse(&body).unwrap(), truncate);
        body.push(0);
        assert!(Truncate::parse(&body).is_err());
    }

    #[test]
    fn slaves_need_a_prefix() {
        let ext = Extension::new(b"jpg").unwrap();
        let slave = UploadSlave { size: 9, prefix: Text::cut(b"_big"), ext, master: NAME };
        let mut head = Vec::new();
        slave.put(&mut head);
        let body = head.len() as u64 + 9;
        assert_eq!(UploadSlave::parse(&head, body).unwrap(), slave);
        for prefix in ["", "-m", "a/b"] {
            let ext = Extension::new(b"").unwrap();
            let bad = UploadSlave { prefix: Text::cut(prefix.as_bytes()), ext, ..slave };
            let mut head = Vec::new();
            bad.put(&mut head);
            assert_eq!(
                UploadSlave::parse(&head, body),
                Err(BadMessage::Field("prefix of a slave")),
                "{prefix}"
            );
        }
    }

    #[test]
    fn links_add_up() {
        let link = CreateLink {
            group: GroupName::new(b"group1").unwrap(),
            prefix: Text::EMPTY,
            ext: Extension::new(b"txt").unwrap(),
            master: b"",
            source: NAME,
            signature: &[7; 24],
        };
        let mut body = Vec::new();
        link.put(&mut body);
        assert_eq!(CreateLink::parse(&body).unwrap(), link);
        assert!(CreateLink::parse(&body[..body.len() - 1]).is_err());
        body[0] = 0xFF;
        assert!(CreateLink::parse(&body).is_err());
    }
}
