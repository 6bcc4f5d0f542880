//! Checked logic names: `Mpp/HH/HH/…` (protocol 4.2 and 5.1, storage 9.1).

use std::fmt;

use super::base64::decode27;
use super::blob::{Blob, Kind, TrunkSlot};
use crate::ident::{BadIdent, Extension, is_name_byte};
use crate::wire::Status;
use crate::wire::storage::NAME_MAX;

/// Index of a store path; `M00` is 0. A value that exists was checked against the path count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct StorePath(u8);

impl StorePath {
    /// `index` must be below `count`.
    pub fn new(index: u8, count: usize) -> Option<Self> {
        (usize::from(index) < count).then_some(Self(index))
    }

    /// The index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The index as the byte of the wire.
    pub const fn byte(self) -> u8 {
        self.0
    }
}

/// Why a name from the network is refused; answered with 22.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Shorter than 11 or longer than 127 bytes.
    #[error("a file name has 11 to 127 bytes")]
    Length,
    /// Starts with `M` but not with `Mhh/`.
    #[error("a file name starts with M, two hex digits and a slash")]
    Path,
    /// The store path does not exist here.
    #[error("no store path of this index")]
    NoSuchPath,
    /// Not `HH/HH/name`.
    #[error("a file name has two directories of two upper-case hex digits and no other slash")]
    Directories,
    /// `.` or `..` as file part, or bytes in it that are not printable ASCII.
    #[error("forbidden file part")]
    FilePart,
    /// Prefix or extension of a slave name.
    #[error("bad slave prefix or extension")]
    Slave,
}

impl BadName {
    /// Always 22.
    pub const fn status(self) -> Status {
        Status::INVAL
    }
}

impl From<BadIdent> for BadName {
    fn from(_: BadIdent) -> Self {
        Self::Slave
    }
}

/// A logic name that passed the checks: it cannot leave the data directory of its store path.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileName {
    path: StorePath,
    len: u8,
    /// True name `HH/HH/part`, `len` bytes.
    text: [u8; NAME_MAX],
}

/// Characters of `Mpp/`.
const PATH_PART: usize = 4;
/// Characters of `HH/HH/`.
const DIR_PART: usize = 6;
/// Characters that encode the blob.
const BLOB_PART: usize = 27;
/// Characters that encode a trunk slot.
const SLOT_PART: usize = 16;
/// Random digits and extension at the end of a generated name.
const TAIL_PART: usize = 7;

impl FileName {
    /// Length of an ordinary logic name.
    pub const ORDINARY: usize = PATH_PART + DIR_PART + BLOB_PART + TAIL_PART;
    /// Length of a trunk file's logic name.
    pub const TRUNK: usize = Self::ORDINARY + SLOT_PART;

    /// Checks a name as sent. `paths` is the number of store paths that exist here.
    ///
    /// A name that does not start with `M` is relative to store path 0 (ids older than 1.12).
    pub fn parse(name: &[u8], paths: usize) -> Result<Self, BadName> {
        if name.len() <= 10 || name.len() > NAME_MAX {
            return Err(BadName::Length);
        }
        let (index, true_name) = match name {
            [b'M', high, low, b'/', rest @ ..] => {
                let index = hex(*high).zip(hex(*low)).map(|(h, l)| h << 4 | l).ok_or(BadName::Path)?;
                (index, rest)
            }
            [b'M', ..] => return Err(BadName::Path),
            _ => (0, name),
        };
        let path = StorePath::new(index, paths).ok_or(BadName::NoSuchPath)?;
        let part = match true_name {
            [a, b, b'/', c, d, b'/', part @ ..] if [a, b, c, d].into_iter().all(|c| is_upper_hex(*c)) => part,
            _ => return Err(BadName::Directories),
        };
        match part {
            b"" => return Err(BadName::Length),
            b"." | b".." => return Err(BadName::FilePart),
            _ if part.contains(&b'/') => return Err(BadName::Directories),
            // The binlog separates by blanks and line ends; names are ASCII without them.
            _ if !part.iter().all(u8::is_ascii_graphic) => return Err(BadName::FilePart),
            _ => {}
        }
        Ok(Self::of(path, true_name))
    }

    /// A new ordinary or appender name in directory `high`/`low`.
    pub fn generate(path: StorePath, dir: (u8, u8), blob: &Blob, ext: Extension, digits: u32) -> Self {
        let mut text = Vec::with_capacity(Self::ORDINARY);
        push_dir(&mut text, dir);
        text.extend_from_slice(&super::encode27(&blob.encode()));
        push_tail(&mut text, ext, digits);
        Self::of(path, &text)
    }

    /// A new trunk name in the directory of its trunk file.
    pub fn generate_trunk(
        path: StorePath,
        dir: (u8, u8),
        blob: &Blob,
        slot: &TrunkSlot,
        ext: Extension,
        digits: u32,
    ) -> Self {
        let mut text = Vec::with_capacity(Self::TRUNK);
        push_dir(&mut text, dir);
        text.extend_from_slice(&super::encode27(&blob.encode()));
        text.extend_from_slice(&slot.encode());
        push_tail(&mut text, ext, digits);
        Self::of(path, &text)
    }

    /// The name of the file's metadata, `<name>-m`; `None` when it would be too long.
    pub fn metadata(&self) -> Option<Self> {
        let mut text = self.true_name().to_vec();
        text.extend_from_slice(b"-m");
        (text.len() + PATH_PART <= NAME_MAX).then(|| Self::of(self.path, &text))
    }

    fn of(path: StorePath, true_name: &[u8]) -> Self {
        let mut text = [0; NAME_MAX];
        for (to, from) in text.iter_mut().zip(true_name) {
            *to = *from;
        }
        Self { path, len: true_name.len().min(NAME_MAX) as u8, text }
    }

    /// The store path.
    pub const fn path(&self) -> StorePath {
        self.path
    }

    /// `HH/HH/part`, relative to the `data` directory of the store path.
    pub fn true_name(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The part after the directories.
    pub fn file_part(&self) -> &[u8] {
        self.true_name().get(DIR_PART..).unwrap_or_default()
    }

    /// The two directory numbers.
    pub fn dir(&self) -> (u8, u8) {
        let byte = |at: usize| {
            let digit = |i: usize| self.text.get(i).copied().and_then(hex).unwrap_or_default();
            digit(at) << 4 | digit(at + 1)
        };
        (byte(0), byte(3))
    }

    /// The logic name `Mpp/HH/HH/part`, as clients see it.
    pub fn logic(&self) -> String {
        self.to_string()
    }

    /// Length of the logic name in bytes.
    pub fn logic_len(&self) -> usize {
        PATH_PART + usize::from(self.len)
    }

    /// The twenty bytes in the name; `None` for names that carry none.
    pub fn blob(&self) -> Option<Blob> {
        let text = self.file_part().first_chunk::<BLOB_PART>()?;
        decode27(text).map(|bytes| Blob::decode(&bytes))
    }

    /// The slot of a trunk file, `None` for all other names.
    pub fn trunk_slot(&self) -> Option<TrunkSlot> {
        if self.blob()?.kind() != Kind::Trunk || self.logic_len() < Self::TRUNK {
            return None;
        }
        TrunkSlot::decode(self.file_part().get(BLOB_PART..)?.first_chunk()?)
    }

    /// Whether this is a slave: longer than the plain name of its kind. A slave of at most 44
    /// characters passes for a normal file (protocol 5.1).
    pub fn is_slave(&self) -> bool {
        let trunk = self.blob().is_some_and(|blob| blob.kind() == Kind::Trunk);
        self.logic_len() > Self::TRUNK || (self.logic_len() > Self::ORDINARY && !trunk)
    }

    /// Whether the file can be appended to: the flag, and not a slave.
    pub fn is_appender(&self) -> bool {
        !self.is_slave() && self.blob().is_some_and(|blob| blob.kind() == Kind::Appender)
    }

    /// Neither slave nor appender: size and crc in the name are the file's.
    pub fn is_normal(&self) -> bool {
        !self.is_slave() && self.blob().is_some_and(|blob| blob.kind() != Kind::Appender)
    }

    /// Whether size and crc in the name are the file's for sure: a normal file's name of a generated length that
    /// ends in digits and an extension. A slave of 44 characters passes for [`Self::is_normal`], but has its prefix
    /// among the last 7; a prefix of digits alone cannot be told (protocol 5.1 and 5.5).
    pub fn describes_content(&self) -> bool {
        let trunk = self.blob().is_some_and(|blob| blob.kind() == Kind::Trunk);
        let generated = if trunk { Self::TRUNK } else { Self::ORDINARY };
        let tail = self.true_name().iter().skip(usize::from(self.len).saturating_sub(TAIL_PART));
        // The existing daemon's arithmetic may write a colon for a digit.
        let digit = |c: &u8| c.is_ascii_digit() || *c == b':';
        self.is_normal() && self.logic_len() == generated && tail.take_while(|c| **c != b'.').all(digit)
    }

    /// Whether no other file ever gets this name: it was generated, with random bits, for one ordinary or appender
    /// file. Slaves and metadata may be deleted and made again.
    pub fn is_unique(&self) -> bool {
        self.describes_content() || (self.is_appender() && !self.is_metadata())
    }

    /// Whether this names metadata rather than a file.
    pub fn is_metadata(&self) -> bool {
        self.true_name().ends_with(b"-m")
    }

    /// The file whose metadata this is.
    pub fn master(&self) -> Option<Self> {
        let name = self.true_name().strip_suffix(b"-m")?;
        (name.len() > DIR_PART).then(|| Self::of(self.path, name))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "M{:02X}/{}", self.path.0, String::from_utf8_lossy(self.true_name()))
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Name of a slave: the master's up to the first dot of its last 7 characters, then prefix and extension.
///
/// The extension gets a leading dot unless it has one. Refused: no prefix, characters outside the
/// allowed set, `-m` without extension (it would be metadata), a result of 128 bytes or more.
pub fn slave_name(master: &FileName, prefix: &[u8], ext: Extension) -> Result<FileName, BadName> {
    if prefix.is_empty() || prefix.len() > 16 || !prefix.iter().all(|&c| is_name_byte(c)) {
        return Err(BadName::Slave);
    }
    if prefix == b"-m" && ext.bytes().is_empty() {
        return Err(BadName::Slave);
    }
    let whole = master.true_name();
    let tail_at = whole.len().saturating_sub(TAIL_PART);
    let dot = whole.iter().skip(tail_at).position(|&c| c == b'.').map_or(whole.len(), |at| tail_at + at);
    let mut text = whole.get(..dot).unwrap_or(whole).to_vec();
    text.extend_from_slice(prefix);
    if !ext.bytes().is_empty() {
        if !ext.bytes().starts_with(b".") {
            text.push(b'.');
        }
        text.extend_from_slice(ext.bytes());
    }
    if text.len() + PATH_PART > NAME_MAX {
        return Err(BadName::Length);
    }
    Ok(FileName::of(master.path, &text))
}

fn push_dir(text: &mut Vec<u8>, (high, low): (u8, u8)) {
    for byte in [high, low] {
        text.extend([upper_hex(byte >> 4), upper_hex(byte & 15), b'/']);
    }
}

/// Random digits, then dot and extension, 7 characters in all; a 6-character extension leaves no digit.
fn push_tail(text: &mut Vec<u8>, ext: Extension, digits: u32) {
    let ext = ext.bytes();
    let dot = usize::from(!ext.is_empty());
    let count = TAIL_PART.saturating_sub(ext.len() + dot);
    let mut left = digits;
    for _ in 0..count {
        text.push(b'0' + (left % 10) as u8);
        left /= 10;
    }
    if dot == 1 {
        text.push(b'.');
        text.extend_from_slice(ext);
    }
}

const fn hex(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

const fn upper_hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

const fn is_upper_hex(c: u8) -> bool {
    matches!(c, b'0'..=b'9' | b'A'..=b'F')
}

#[cfg(test)]
mod tests;
