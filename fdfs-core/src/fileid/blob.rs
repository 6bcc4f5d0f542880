//! The twenty bytes in a name: source, time, size field, crc (protocol 5.2, 5.3 and 5.7).

use std::net::Ipv4Addr;

use super::base64::{decode16, encode16};

/// Where a file was uploaded first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Storage id, 1 to 2^24 - 1.
    Id(u32),
    /// IPv4 address. One that ends in `.0` reads back as an id: a property of the format.
    Ip(Ipv4Addr),
}

impl Source {
    /// Largest storage id.
    pub const ID_MAX: u32 = 0xFF_FFFF;

    /// The first four bytes: the number in little-endian order, whatever the host, or the address.
    pub const fn encode(self) -> [u8; 4] {
        match self {
            Self::Id(id) => id.to_le_bytes(),
            Self::Ip(ip) => ip.octets(),
        }
    }

    /// The reader's rule: 1 to 2^24 - 1 read little-endian is an id, all else an address.
    pub const fn decode(bytes: [u8; 4]) -> Self {
        match u32::from_le_bytes(bytes) {
            id @ 1..=Self::ID_MAX => Self::Id(id),
            _ => Self::Ip(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// What the size field says of the file's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ordinary file.
    Normal,
    /// Can be appended to; size and crc in the name are not the file's.
    Appender,
    /// Lives in a slot of a trunk file.
    Trunk,
}

/// Decoded first 27 characters of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blob {
    /// Storage that received the upload.
    pub source: Source,
    /// Time of the upload, s (unsigned: valid until 2106).
    pub timestamp: u32,
    /// Size field as written, with its flags and random bits.
    pub size_field: u64,
    /// Of the content; of the initial content of an appender; of the master for a slave.
    pub crc32: u32,
}

const BIT_SMALL: u64 = 1 << 63;
const BIT_APPENDER: u64 = 1 << 58;
const BIT_TRUNK: u64 = 1 << 59;
const RANDOM_BITS: u64 = 0x7F_FFFF;

impl Blob {
    /// Encoded size in bytes.
    pub const SIZE: usize = 20;

    /// A new name's bytes. 23 bits of `random` make equal uploads of one second differ.
    pub const fn new(source: Source, timestamp: u32, kind: Kind, size: u64, crc32: u32, random: u32) -> Self {
        let random = (random as u64 & RANDOM_BITS) << 32;
        let low = size & 0xFFFF_FFFF;
        let size_field = match kind {
            Kind::Appender => BIT_SMALL | BIT_APPENDER | random,
            Kind::Trunk => BIT_SMALL | BIT_TRUNK | random | low,
            Kind::Normal if size <= 0xFFFF_FFFF => BIT_SMALL | random | low,
            Kind::Normal => size,
        };
        Self { source, timestamp, size_field, crc32 }
    }

    /// Kind of the file the name was made for; a slave's name keeps its master's.
    pub const fn kind(&self) -> Kind {
        // A plain 64-bit size has no flags; one of 2^58 bytes and more does not exist.
        if self.size_field & BIT_APPENDER != 0 {
            Kind::Appender
        } else if self.size_field & BIT_TRUNK != 0 {
            Kind::Trunk
        } else {
            Kind::Normal
        }
    }

    /// Size in the name, bytes. Meaningless for appenders and slaves.
    pub const fn size(&self) -> u64 {
        if self.size_field & (BIT_SMALL | BIT_TRUNK) != 0 {
            self.size_field & 0xFFFF_FFFF
        } else {
            self.size_field
        }
    }

    /// The twenty bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        let fields = self
            .source
            .encode()
            .into_iter()
            .chain(self.timestamp.to_be_bytes())
            .chain(self.size_field.to_be_bytes())
            .chain(self.crc32.to_be_bytes());
        for (to, from) in out.iter_mut().zip(fields) {
            *to = from;
        }
        out
    }

    /// Any twenty bytes are a blob.
    pub const fn decode(bytes: &[u8; Self::SIZE]) -> Self {
        let [a, b, c, d, t0, t1, t2, t3, s0, s1, s2, s3, s4, s5, s6, s7, c0, c1, c2, c3] = *bytes;
        Self {
            source: Source::decode([a, b, c, d]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            size_field: u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            crc32: u32::from_be_bytes([c0, c1, c2, c3]),
        }
    }
}

/// Place inside a trunk file: the 16 characters after the first 27 (protocol 5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrunkSlot {
    /// Number of the trunk file.
    pub file: u32,
    /// Offset of the slot's 24-byte header, bytes.
    pub offset: u32,
    /// Size of the slot with its header, bytes.
    pub size: u32,
}

impl TrunkSlot {
    /// Reads 16 characters.
    pub fn decode(text: &[u8; 16]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = decode16(text)?;
        Some(Self {
            file: u32::from_be_bytes([a, b, c, d]),
            offset: u32::from_be_bytes([e, f, g, h]),
            size: u32::from_be_bytes([i, j, k, l]),
        })
    }

    /// Writes 16 characters.
    pub fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 12];
        let fields = self
            .file
            .to_be_bytes()
            .into_iter()
            .chain(self.offset.to_be_bytes())
            .chain(self.size.to_be_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        encode16(&bytes)
    }
}
