//! Names and numbers that must not be confused with one another (protocol 1.3).

use std::fmt;
use std::str::FromStr;

use crate::wire::Text;

/// A name or number a peer or a config file gave that can never be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIdent {
    /// Empty, longer than 16, or a character outside `A-Z a-z 0-9`.
    #[error("a group name has 1 to 16 characters of A-Z, a-z and 0-9")]
    Group,
    /// Empty or longer than 15 bytes, or not printable.
    #[error("a storage id has 1 to 15 characters")]
    StorageId,
    /// A character outside `A-Z a-z 0-9 - _ .`.
    #[error("a file extension has at most 6 characters of A-Z, a-z, 0-9, '-', '_' and '.'")]
    Extension,
    /// Not a status number.
    #[error("unknown storage status")]
    Status,
}

impl BadIdent {
    /// The thing that is bad, for a log line.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Group => "group name",
            Self::StorageId => "storage id",
            Self::Extension => "file extension",
            Self::Status => "storage status",
        }
    }
}

/// Name of a group: 1 to 16 characters of `A-Z a-z 0-9`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName {
    text: [u8; 16],
    len: u8,
}

impl GroupName {
    /// Checks `name`.
    pub fn new(name: &[u8]) -> Result<Self, BadIdent> {
        let ok = (1..=16).contains(&name.len()) && name.iter().all(u8::is_ascii_alphanumeric);
        if !ok {
            return Err(BadIdent::Group);
        }
        Ok(Self { len: name.len() as u8, text: *Text::<16>::cut(name).raw() })
    }

    /// The name in a field, of 16 or 17 bytes, up to the first NUL.
    pub fn from_field(field: &[u8]) -> Result<Self, BadIdent> {
        let end = memchr::memchr(0, field).unwrap_or(field.len()).min(16);
        Self::new(field.get(..end).unwrap_or_default())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// The name's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The 16-byte field of requests and answers.
    pub const fn field(&self) -> Text<16> {
        // The array is padded with NUL already.
        zerocopy::transmute!(self.text)
    }
}

impl FromStr for GroupName {
    type Err = BadIdent;
    fn from_str(text: &str) -> Result<Self, BadIdent> {
        Self::new(text.as_bytes())
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Identity of a storage inside the cluster: a configured number, or its address as text. 1 to 15 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorageId {
    text: [u8; 15],
    len: u8,
}

impl StorageId {
    /// Checks `id`.
    pub fn new(id: &[u8]) -> Result<Self, BadIdent> {
        let ok = (1..=15).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        if !ok {
            return Err(BadIdent::StorageId);
        }
        Ok(Self { len: id.len() as u8, text: *Text::<15>::cut(id).raw() })
    }

    /// The id in a NUL-padded field of up to 16 bytes; `None` when the field is empty.
    pub fn from_field(field: &[u8]) -> Result<Option<Self>, BadIdent> {
        let end = memchr::memchr(0, field).unwrap_or(field.len());
        match field.get(..end) {
            Some([]) | None => Ok(None),
            Some(id) => Self::new(id).map(Some),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// The id's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The 16-byte field.
    pub fn field(&self) -> Text<16> {
        Text::cut(self.bytes())
    }

    /// The field of an optional id: all NUL for none.
    pub fn field_of(id: Option<Self>) -> Text<16> {
        id.map_or(Text::EMPTY, |id| id.field())
    }
}

impl FromStr for StorageId {
    type Err = BadIdent;
    fn from_str(text: &str) -> Result<Self, BadIdent> {
        Self::new(text.as_bytes())
    }
}

impl fmt::Display for StorageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StorageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// File extension without its dot: at most 6 characters of `A-Z a-z 0-9 - _ .`; may be empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Extension {
    len: u8,
    text: [u8; 6],
}

impl Extension {
    /// Checks `ext`.
    pub fn new(ext: &[u8]) -> Result<Self, BadIdent> {
        if ext.len() > 6 || !ext.iter().all(|&c| is_name_byte(c)) {
            return Err(BadIdent::Extension);
        }
        Ok(Self { len: ext.len() as u8, text: *Text::<6>::cut(ext).raw() })
    }

    /// The extension in a NUL-padded 6-byte field.
    pub fn from_field(field: &[u8; 6]) -> Result<Self, BadIdent> {
        let end = memchr::memchr(0, field).unwrap_or(6);
        Self::new(field.get(..end).unwrap_or_default())
    }

    /// The text, without a dot.
    pub fn bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The 6-byte field.
    pub fn field(&self) -> [u8; 6] {
        self.text
    }

    /// Extension of a local file name as the C client takes it (protocol 7.3): the text after the last dot
    /// when it has at most 6 characters, with the part before when both fit (`tar.gz`), else empty.
    pub fn of_path(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name);
        let Some(last) = name.rfind('.') else { return Self::default() };
        let tail = name.get(last + 1..).unwrap_or_default();
        let head = name.get(..last).unwrap_or_default();
        let double = head.rfind('.').and_then(|dot| name.get(dot + 1..)).filter(|ext| ext.len() <= 6);
        Self::new(double.unwrap_or(tail).as_bytes())
            .or_else(|_| Self::new(tail.as_bytes()))
            .unwrap_or_default()
    }
}

impl FromStr for Extension {
    type Err = BadIdent;
    fn from_str(text: &str) -> Result<Self, BadIdent> {
        Self::new(text.as_bytes())
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.bytes()))
    }
}

/// Whether `c` may stand in an extension or a slave prefix (protocol 1.3).
pub const fn is_name_byte(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')
}

/// Status of a storage in its group (protocol 1.3). The numeric order matters (tracker 3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum StorageStatus {
    /// Known, nothing negotiated.
    Init = 0,
    /// Waits for the source of the old files.
    WaitSync = 1,
    /// Receives the old files.
    Syncing = 2,
    /// The address of a record that moved to another address.
    IpChanged = 3,
    /// Removed by an administrator.
    Deleted = 4,
    /// Not connected.
    Offline = 5,
    /// Connected, no report yet.
    Online = 6,
    /// Serves.
    Active = 7,
    /// Rebuilds a store path.
    Recovery = 9,
    /// Unknown; only inside a storage.
    None = 99,
}

impl StorageStatus {
    /// The status with this number.
    pub const fn from_wire(number: u8) -> Result<Self, BadIdent> {
        Ok(match number {
            0 => Self::Init,
            1 => Self::WaitSync,
            2 => Self::Syncing,
            3 => Self::IpChanged,
            4 => Self::Deleted,
            5 => Self::Offline,
            6 => Self::Online,
            7 => Self::Active,
            9 => Self::Recovery,
            99 => Self::None,
            _ => return Err(BadIdent::Status),
        })
    }

    /// The number on the wire.
    pub const fn wire(self) -> u8 {
        self as u8
    }

    /// Whether who has it is no member of the group any more, or not yet.
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Deleted | Self::IpChanged | Self::None)
    }

    /// The name in tools and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::WaitSync => "WAIT_SYNC",
            Self::Syncing => "SYNCING",
            Self::IpChanged => "IP_CHANGED",
            Self::Deleted => "DELETED",
            Self::Offline => "OFFLINE",
            Self::Online => "ONLINE",
            Self::Active => "ACTIVE",
            Self::Recovery => "RECOVERY",
            Self::None => "UNKNOWN",
        }
    }
}

impl fmt::Display for StorageStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a member may be used for (since 6.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum ReadWrite {
    /// Neither.
    None = 0,
    /// Uploads only.
    Write = 2,
    /// Downloads only.
    Read = 4,
    /// Everything.
    #[default]
    Both = 6,
}

impl ReadWrite {
    /// The mode with this number.
    pub const fn from_wire(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::None,
            2 => Self::Write,
            4 => Self::Read,
            6 => Self::Both,
            _ => return None,
        })
    }

    /// Downloads allowed.
    pub const fn can_read(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    /// Uploads allowed.
    pub const fn can_write(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }

    /// The text that `fdfs_monitor` prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none (disabled)",
            Self::Write => "writeonly",
            Self::Read => "readonly",
            Self::Both => "both (normal)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_names_are_alphanumeric() {
        assert_eq!(GroupName::new(b"group1").unwrap().as_str(), "group1");
        assert_eq!(GroupName::new(b"0123456789abcdef").unwrap().field().bytes().len(), 16);
        for bad in [&b""[..], b"0123456789abcdefg", b"g-1", b"g 1"] {
            assert_eq!(GroupName::new(bad), Err(BadIdent::Group));
        }
        assert_eq!(GroupName::from_field(b"group1\0\x7f\0\0\x5c\xef\xb7K\0\0").unwrap().as_str(), "group1");
    }

    #[test]
    fn order_of_names_is_byte_order() {
        assert!(GroupName::new(b"group10").unwrap() < GroupName::new(b"group2").unwrap());
        assert!(StorageId::new(b"10.0.0.10").unwrap() < StorageId::new(b"10.0.0.9").unwrap());
        assert!(StorageId::new(b"100").unwrap() < StorageId::new(b"20").unwrap());
        assert!(GroupName::new(b"ab").unwrap() < GroupName::new(b"abc").unwrap());
    }

    #[test]
    fn extensions_of_local_names() {
        for (name, ext) in [
            ("/tmp/a.jpg", "jpg"),
            ("a.tar.gz", "tar.gz"),
            ("a.verylong", ""),
            ("a", ""),
            ("x.tar.bz2", "bz2"),
            ("dir.d/file", ""),
            ("a.", ""),
        ] {
            assert_eq!(Extension::of_path(name).bytes(), ext.as_bytes(), "{name}");
        }
        assert!(Extension::new(b"a/b").is_err());
    }

    #[test]
    fn statuses_round_trip() {
        for number in 0..=255 {
            if let Ok(status) = StorageStatus::from_wire(number) {
                assert_eq!(status.wire(), number);
            }
        }
    }
}
