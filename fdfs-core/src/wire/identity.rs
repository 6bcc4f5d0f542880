//! Who is who: commands 60, 69 to 71 and 109 (tracker 3.9), in the forms of old versions too (tracker 12).

use std::net::{IpAddr, SocketAddr};

use bytes::BufMut;

use super::{BadMessage, Text};
use crate::ident::GroupName;

/// Request of GET_SERVER_ID and GET_STATUS (70, 71): `group 16 | ip:port`; before 6.16 without the port, and without
/// the address the sender's is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedAddr {
    /// Group; `None` when no group can have such a name.
    pub group: Option<GroupName>,
    /// Address.
    pub ip: Option<IpAddr>,
    /// Port.
    pub port: Option<u16>,
}

impl NamedAddr {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "16 + at most 52" };
        let Some((group, text)) = body.split_at_checked(16).filter(|(_, text)| text.len() <= 52) else {
            return Err(wrong);
        };
        let bad = BadMessage::Field("address");
        let text = std::str::from_utf8(text).map_err(|_| bad.clone())?.trim_end_matches('\0');
        let (ip, port) = match (text, text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
            ("", ..) => (None, None),
            (_, Ok(addr), _) => (Some(addr.ip()), Some(addr.port())),
            (_, _, Ok(ip)) => (Some(ip), None),
            _ => return Err(bad),
        };
        Ok(Self { group: GroupName::from_field(group).ok(), ip, port })
    }

    /// Writes the body in the form that says as much.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_slice(self.group.map_or(Text::EMPTY, |group| group.field()).raw());
        let text = match (self.ip, self.port) {
            (Some(ip), Some(port)) => SocketAddr::new(ip, port).to_string(),
            (ip, _) => ip.map_or_else(String::new, |ip| ip.to_string()),
        };
        out.put_slice(text.as_bytes());
    }
}

/// Request of GET_MY_IP (60): `group 17 | port 4`; before 6.16 the group alone, 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MyIp {
    /// Group; `None` when no group can have such a name.
    pub group: Option<GroupName>,
    /// Port of the storage.
    pub port: Option<u16>,
}

impl MyIp {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let port = match (body.len(), body.last_chunk::<4>()) {
            (16, _) => None,
            (21, Some(port)) => u16::try_from(i32::from_be_bytes(*port)).ok(),
            _ => return Err(BadMessage::Length { got: body.len() as u64, want: "16 or 21" }),
        };
        Ok(Self { group: body.get(..16).and_then(|group| GroupName::from_field(group).ok()), port })
    }

    /// Writes the body, with a port as since 6.16.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_slice(self.group.map_or(Text::EMPTY, |group| group.field()).raw());
        if let Some(port) = self.port {
            out.put_u8(0);
            out.put_i32(port.into());
        }
    }
}

/// Request of FETCH_STORAGE_IDS (69): `start index 4 | allow empty 1`; before 6.11 without the flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdsPage {
    /// First entry wanted; `None` when there can be none.
    pub start: Option<usize>,
    /// An empty answer, not 95, when ids are not in use.
    pub allow_empty: bool,
}

impl IdsPage {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "4 or 5" };
        let (start, allow_empty) = match body.split_first_chunk::<4>() {
            Some((start, [])) => (start, false),
            Some((start, [flag])) => (start, *flag != 0),
            _ => return Err(wrong),
        };
        Ok(Self { start: usize::try_from(i32::from_be_bytes(*start)).ok(), allow_empty })
    }

    /// Writes the body as since 6.11: the existing tracker takes no other.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_i32(self.start.and_then(|start| i32::try_from(start).ok()).unwrap_or(-1));
        out.put_u8(self.allow_empty.into());
    }
}

/// Answer of FETCH_STORAGE_IDS (69): `entries in all 4 | entries here 4 | lines`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdsLines<'a> {
    /// Entries in all.
    pub total: usize,
    /// Entries in this answer.
    pub here: usize,
    /// A line of `storage_ids.conf` for each.
    pub lines: &'a [u8],
}

impl<'a> IdsLines<'a> {
    /// Reads the body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "8 + lines" };
        let (total, rest) = body.split_first_chunk::<4>().ok_or_else(|| wrong.clone())?;
        let (here, lines) = rest.split_first_chunk::<4>().ok_or(wrong)?;
        let count = |field: &[u8; 4]| {
            usize::try_from(i32::from_be_bytes(*field))
                .map_err(|_| BadMessage::Field("number of storage ids"))
        };
        Ok(Self { total: count(total)?, here: count(here)?, lines })
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        for count in [self.total, self.here] {
            out.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
        }
        out.put_slice(self.lines);
    }
}

/// Request of GET_GROUP_NAME (109): `ip text, or nothing for the sender's | port 4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupOf<'a> {
    /// Address text.
    pub ip: &'a [u8],
    /// Port; `None` when it can be none.
    pub port: Option<u16>,
}

impl<'a> GroupOf<'a> {
    /// Reads the body. The text may have any length: from 46 bytes on it is refused with 36.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "ip text + 4" };
        let (ip, port) = body.split_last_chunk::<4>().ok_or(wrong)?;
        Ok(Self { ip, port: u16::try_from(i32::from_be_bytes(*port)).ok() })
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_slice(self.ip);
        out.put_i32(self.port.map_or(-1, i32::from));
    }

    /// The address, or `None` when the text is none.
    pub fn addr(&self) -> Option<IpAddr> {
        Text::<46>::cut(self.ip).ip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &[u8]) -> Vec<u8> {
        [Text::<16>::cut(b"group1").raw(), text].concat()
    }

    #[test]
    fn addresses_with_and_without_ports() {
        let group = GroupName::new(b"group1").ok();
        let v4: IpAddr = "10.0.0.1".parse().unwrap();
        for (text, ip, port) in [
            (&b"10.0.0.1:23000"[..], Some(v4), Some(23000)),
            (b"10.0.0.1", Some(v4), None),
            (b"10.0.0.1\0\0", Some(v4), None),
            (b"", None, None),
            (b"[fe80::1]:5", "fe80::1".parse().ok(), Some(5)),
            (b"fe80::1", "fe80::1".parse().ok(), None),
        ] {
            let read = NamedAddr::parse(&named(text)).unwrap();
            assert_eq!(read, NamedAddr { group, ip, port });
            let mut out = Vec::new();
            read.put(&mut out);
            assert_eq!(NamedAddr::parse(&out), Ok(read));
        }
        for bad in [&b"10.0.0.1:"[..], b"10.0.0.1:70000", b"host:1", b"\xff", &[b'1'; 53]] {
            assert!(NamedAddr::parse(&named(bad)).is_err());
        }
        assert!(NamedAddr::parse(&[0; 15]).is_err());
    }

    #[test]
    fn lengths_of_all_versions() {
        assert_eq!(MyIp::parse(&named(&[])).unwrap().port, None);
        assert_eq!(MyIp::parse(&named(&[0, 0, 0, 0x59, 0xd8])).unwrap().port, Some(23000));
        assert!(MyIp::parse(&named(&[0])).is_err());
        assert_eq!(IdsPage::parse(&[0, 0, 0, 7]), Ok(IdsPage { start: Some(7), allow_empty: false }));
        assert_eq!(IdsPage::parse(&[255, 0, 0, 7, 1]), Ok(IdsPage { start: None, allow_empty: true }));
        assert!(IdsPage::parse(&[0; 3]).is_err() && IdsPage::parse(&[0; 6]).is_err());
        let lines = IdsLines::parse(&[0, 0, 0, 9, 0, 0, 0, 1, b'x', b'\n']).unwrap();
        assert_eq!((lines.total, lines.here, lines.lines), (9, 1, &b"x\n"[..]));
        assert!(IdsLines::parse(&[0; 7]).is_err() && IdsLines::parse(&[255; 8]).is_err());
        let asked = GroupOf::parse(b"10.0.0.1\0\0\x59\xd8").unwrap();
        assert_eq!((asked.addr(), asked.port), ("10.0.0.1".parse().ok(), Some(23000)));
        assert!(GroupOf::parse(&[0; 3]).is_err());
    }
}
