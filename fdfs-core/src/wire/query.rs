//! Where to store and where to fetch: client -> tracker (protocol 3.3 and 3.4).

use std::net::{IpAddr, SocketAddr};

use bytes::BufMut;

use super::{AddrWidth, BadMessage, Text, put_ip_of};
use crate::ident::{GroupName, StorageId};

/// `group 16` of commands 90, 104, 107 and 108.
pub fn parse_group(body: &[u8]) -> Result<GroupName, BadMessage> {
    if body.len() != 16 {
        return Err(BadMessage::Length { got: body.len() as u64, want: "16" });
    }
    Ok(GroupName::from_field(body)?)
}

/// Group and file name of commands 102, 103 and 105. The name is 22 to 127 bytes (protocol 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileQuery<'a> {
    /// Group that holds the file.
    pub group: GroupName,
    /// Name without the group, `M00/00/00/…`.
    pub name: &'a [u8],
}

impl<'a> FileQuery<'a> {
    /// Reads the body.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "16 + a name of 22 to 127 bytes" };
        let Some((group, name)) = body.split_at_checked(16) else { return Err(wrong) };
        if !(22..=127).contains(&name.len()) {
            return Err(wrong);
        }
        Ok(Self { group: GroupName::from_field(group)?, name })
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        put_group(out, self.group);
        out.put_slice(self.name);
    }
}

/// Writes the 16-byte group field.
pub fn put_group(out: &mut impl BufMut, group: GroupName) {
    out.put_slice(group.field().raw());
}

/// `group 16 | optional id` of the commands on groups and storages: 90, 92 to 94 and 108.
pub fn put_group_and_id(out: &mut impl BufMut, group: GroupName, id: Option<StorageId>) {
    put_group(out, group);
    if let Some(id) = id {
        out.put_slice(id.bytes());
    }
}

/// A storage to store at: answer of 101 and 104, 40 or 70 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreTarget {
    /// Chosen group.
    pub group: GroupName,
    /// Chosen storage.
    pub addr: SocketAddr,
    /// Index of the chosen store path.
    pub path: u8,
}

impl StoreTarget {
    /// Writes the answer.
    pub fn put(&self, out: &mut impl BufMut, width: AddrWidth) {
        put_store_all(out, self.group, &[self.addr], self.path, width);
    }

    /// Reads the answer in either width.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let (group, addrs, path) = parse_store_all(body)?;
        match addrs.as_slice() {
            [addr] => Ok(Self { group, addr: *addr, path }),
            _ => Err(BadMessage::Length { got: body.len() as u64, want: "40 or 70" }),
        }
    }
}

/// Answer of 106 and 107: group, every writable storage, path index.
pub fn put_store_all(
    out: &mut impl BufMut,
    group: GroupName,
    addrs: &[SocketAddr],
    path: u8,
    width: AddrWidth,
) {
    put_group(out, group);
    for addr in addrs {
        put_addr(out, *addr, width);
    }
    out.put_u8(path);
}

/// Reads an answer of 106 or 107 in either width (16-byte addresses are tried first, protocol 2).
pub fn parse_store_all(body: &[u8]) -> Result<(GroupName, Vec<SocketAddr>, u8), BadMessage> {
    let wrong = || BadMessage::Length { got: body.len() as u64, want: "17 + n x 23 or n x 53" };
    let (group, rest) = body.split_at_checked(16).ok_or_else(wrong)?;
    let (path, records) = rest.split_last().ok_or_else(wrong)?;
    Ok((GroupName::from_field(group)?, parse_addrs(records)?, *path))
}

/// A storage to fetch from or to change at: answer of 102 and 103, 39 or 69 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchTarget {
    /// Group asked for.
    pub group: GroupName,
    /// Chosen storage.
    pub addr: SocketAddr,
}

impl FetchTarget {
    /// Writes the answer.
    pub fn put(&self, out: &mut impl BufMut, width: AddrWidth) {
        put_group(out, self.group);
        put_addr(out, self.addr, width);
    }

    /// Reads the answer in either width.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let (group, addrs) = parse_fetch_all(body)?;
        match addrs.as_slice() {
            [addr] => Ok(Self { group, addr: *addr }),
            _ => Err(BadMessage::Length { got: body.len() as u64, want: "39 or 69" }),
        }
    }
}

/// The two layouts of the answer of 105 (protocol 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FetchAllForm {
    /// Since 6.16: every record has its port.
    #[default]
    EachPort,
    /// Before 6.16 and in the Java client: one port, then bare addresses.
    OnePort,
}

/// Writes the answer of 105.
pub fn put_fetch_all(
    out: &mut impl BufMut,
    group: GroupName,
    addrs: &[SocketAddr],
    width: AddrWidth,
    form: FetchAllForm,
) {
    put_group(out, group);
    for (i, addr) in addrs.iter().enumerate() {
        if i == 0 || form == FetchAllForm::EachPort {
            put_addr(out, *addr, width);
        } else {
            put_ip_of(out, addr.ip(), width.record());
        }
    }
}

/// Reads an answer of 102, 103 or 105. A length that both layouts of 105 can have is of the one since 6.16.
pub fn parse_fetch_all(body: &[u8]) -> Result<(GroupName, Vec<SocketAddr>), BadMessage> {
    let wrong = BadMessage::Length { got: body.len() as u64, want: "16 + n x 23 or n x 53" };
    let Some((group, records)) = body.split_at_checked(16) else { return Err(wrong) };
    let addrs = parse_addrs(records).or_else(|bad| parse_one_port(records).ok_or(bad))?;
    Ok((GroupName::from_field(group)?, addrs))
}

/// `ip | port 8 | (n - 1) x ip`: the layout before 6.16.
fn parse_one_port(records: &[u8]) -> Option<Vec<SocketAddr>> {
    let read = |width: AddrWidth| {
        let (first, rest) = records.split_at_checked(width.record() + 8)?;
        let first = parse_addr(first).ok()?;
        let others = rest.chunks(width.record()).map(|ip| Text::<46>::cut(ip).ip());
        let whole = rest.len().is_multiple_of(width.record());
        let ips: Option<Vec<IpAddr>> = others.collect();
        let others = ips.filter(|_| whole)?.into_iter().map(|ip| SocketAddr::new(ip, first.port()));
        Some(std::iter::once(first).chain(others).collect())
    };
    [AddrWidth::V4, AddrWidth::V6].into_iter().find_map(read)
}

/// Writes an "ip + port" record of 23 or 53 bytes.
pub fn put_addr(out: &mut impl BufMut, addr: SocketAddr, width: AddrWidth) {
    put_ip_of(out, addr.ip(), width.record());
    out.put_i64(addr.port().into());
}

fn parse_addrs(records: &[u8]) -> Result<Vec<SocketAddr>, BadMessage> {
    let size = [AddrWidth::V4, AddrWidth::V6]
        .map(|width| width.record() + 8)
        .into_iter()
        .find(|size| !records.is_empty() && records.len().is_multiple_of(*size))
        .ok_or(BadMessage::Length { got: records.len() as u64, want: "n x 23 or n x 53 of addresses" })?;
    records.chunks_exact(size).map(parse_addr).collect()
}

/// Reads one "ip + port" record of 23 or 53 bytes.
pub fn parse_addr(record: &[u8]) -> Result<SocketAddr, BadMessage> {
    let bad = BadMessage::Field("address");
    let Some((ip, port)) = record.len().checked_sub(8).and_then(|at| record.split_at_checked(at)) else {
        return Err(bad);
    };
    let ip: IpAddr = Text::<46>::cut(ip).ip().ok_or(bad)?;
    let port = <[u8; 8]>::try_from(port).map(i64::from_be_bytes).map_err(|_| BadMessage::Field("port"))?;
    Ok(SocketAddr::new(ip, u16::try_from(port).map_err(|_| BadMessage::Field("port"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupName {
        GroupName::new(b"group1").unwrap()
    }

    #[test]
    fn store_targets_in_both_widths() {
        let target = StoreTarget { group: group(), addr: "10.66.0.21:23000".parse().unwrap(), path: 3 };
        for (width, len) in [(AddrWidth::V4, 40), (AddrWidth::V6, 70)] {
            let mut out = Vec::new();
            target.put(&mut out, width);
            assert_eq!(out.len(), len);
            assert_eq!(StoreTarget::parse(&out).unwrap(), target);
        }
        assert!(StoreTarget::parse(&[0; 41]).is_err());
    }

    #[test]
    fn fetch_all_lengths_of_both_forms() {
        let addrs = ["10.0.0.1:23000".parse().unwrap(), "10.0.0.2:23000".parse().unwrap()];
        for (width, form, len) in [
            (AddrWidth::V4, FetchAllForm::EachPort, 62),
            (AddrWidth::V6, FetchAllForm::EachPort, 122),
            (AddrWidth::V4, FetchAllForm::OnePort, 54),
            (AddrWidth::V6, FetchAllForm::OnePort, 114),
        ] {
            let mut out = Vec::new();
            put_fetch_all(&mut out, group(), &addrs, width, form);
            assert_eq!(out.len(), len);
            assert_eq!(parse_fetch_all(&out), Ok((group(), addrs.to_vec())));
        }
    }

    #[test]
    fn file_queries_bound_the_name() {
        let mut body = Vec::new();
        FileQuery { group: group(), name: b"M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg" }.put(&mut body);
        assert_eq!(FileQuery::parse(&body).unwrap().name.len(), 44);
        assert!(FileQuery::parse(&body[..37]).is_err());
        body.resize(16 + 128, b'x');
        assert!(FileQuery::parse(&body).is_err());
    }
}
