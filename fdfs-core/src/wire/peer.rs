//! What trackers tell each other: commands 58, 63 and 65 to 67 (tracker 7.1, 7.4 and 7.6).

use std::net::SocketAddr;

use bytes::BufMut;
use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BadMessage, Text};

/// Request of JOIN_LEADER (58), 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct JoinLeader {
    /// Start of the follower, Unix s.
    pub up_time: I64,
    /// Its version text.
    pub version: Text<8>,
    /// Its port.
    pub port: I64,
}

/// Request of GET_ONE_SYS_FILE (63), 9 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SysFileRequest {
    /// 0 groups, 1 storages, 2 sync times, 3 change log.
    pub index: u8,
    /// First byte wanted.
    pub offset: I64,
}

/// Answer of GET_ONE_SYS_FILE: `size 8 | piece`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SysFilePiece<'a> {
    /// Bytes of the whole file.
    pub size: i64,
    /// Those from the offset on, as far as they fit.
    pub piece: &'a [u8],
}

impl<'a> SysFilePiece<'a> {
    /// Reads the answer.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "8 + a piece" };
        let (size, piece) = body.split_first_chunk::<8>().ok_or(wrong)?;
        Ok(Self { size: i64::from_be_bytes(*size), piece })
    }

    /// Writes the answer.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_i64(self.size);
        out.put_slice(self.piece);
    }
}

/// Request of PING_LEADER (65), 12 bytes; before 6.15.5 empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ping {
    /// Connections allocated, open now, most ever open.
    pub connections: [I32; 3],
}

/// One group in the answer of PING_LEADER, 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TrunkPair {
    /// Group.
    pub group: Text<16>,
    /// Its trunk server, empty for none.
    pub trunk_server: Text<16>,
}

const _: () = assert!(size_of::<JoinLeader>() == 24 && size_of::<SysFileRequest>() == 9);
const _: () = assert!(size_of::<Ping>() == 12 && size_of::<TrunkPair>() == 32);

impl Ping {
    /// Reads the request; `None` of a version that sends no figures.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, BadMessage> {
        if body.is_empty() {
            return Ok(None);
        }
        let wrong = BadMessage::Length { got: body.len() as u64, want: "0 or 12" };
        Self::read_from_bytes(body).map(Some).map_err(|_| wrong)
    }
}

/// The address in NOTIFY_NEXT_LEADER and COMMIT_NEXT_LEADER (66, 67): text `ip:port` or `[ip6]:port`, at most 52 bytes;
/// versions before 6.15 pad it with NUL to 22 or 52.
pub fn next_leader(body: &[u8]) -> Result<SocketAddr, BadMessage> {
    if body.len() > 52 {
        return Err(BadMessage::Length { got: body.len() as u64, want: "at most 52" });
    }
    let text = std::str::from_utf8(body).ok().map(|text| text.trim_end_matches('\0'));
    text.and_then(|text| text.parse().ok()).ok_or(BadMessage::Field("tracker address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_of_both_forms() {
        assert_eq!(Ping::parse(&[]), Ok(None));
        let figures = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        assert_eq!(Ping::parse(&figures).unwrap().unwrap().connections.map(I32::get), [1, 2, 3]);
        assert!(Ping::parse(&figures[1..]).is_err());
    }

    #[test]
    fn leaders_of_all_versions() {
        let v4: SocketAddr = "10.0.0.1:22122".parse().unwrap();
        let mut text = b"10.0.0.1:22122".to_vec();
        assert_eq!(next_leader(&text), Ok(v4));
        text.resize(22, 0);
        assert_eq!(next_leader(&text), Ok(v4));
        text.resize(52, 0);
        assert_eq!(next_leader(&text), Ok(v4));
        text.push(0);
        assert!(next_leader(&text).is_err());
        assert_eq!(next_leader(b"[fe80::2]:5").unwrap().port(), 5);
        for bad in [&b""[..], b"x", b"10.0.0.1", b"10.0.0.1:\xff"] {
            assert!(next_leader(bad).is_err());
        }
    }
}
