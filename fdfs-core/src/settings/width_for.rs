//! `response_ip_addr_size_for`: the width of addresses in answers to the clients of one network.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::types::{BadText, read};
use crate::conf::WORD;
use crate::wire::AddrWidth;

/// A network and the width that its clients get: `10.0.0.0/8 16`, `10.0.0.7 46`. Host bits do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WidthFor {
    net: IpAddr,
    prefix: u8,
    width: AddrWidth,
}

impl WidthFor {
    /// What the rules say of a client: of several that hold it the one with the longest prefix.
    pub fn find(rules: &[Self], client: IpAddr) -> Option<AddrWidth> {
        let client = client.to_canonical();
        let holding = rules.iter().filter(|rule| rule.holds(client));
        holding.max_by_key(|rule| rule.prefix).map(|rule| rule.width)
    }

    fn holds(&self, client: IpAddr) -> bool {
        let same =
            |a: u128, b: u128, bits: u8| (a ^ b).checked_shr(u32::from(bits - self.prefix)).unwrap_or(0) == 0;
        match (self.net, client) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => same(u32::from(net).into(), u32::from(ip).into(), 32),
            (IpAddr::V6(net), IpAddr::V6(ip)) => same(net.into(), ip.into(), 128),
            _ => false,
        }
    }
}

impl FromStr for WidthFor {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        let (net, width) = text.trim().split_once(|c: char| c.is_ascii_whitespace()).ok_or(BadText)?;
        let width = match width.trim() {
            "16" => AddrWidth::V4,
            "46" => AddrWidth::V6,
            _ => return Err(BadText),
        };
        let (ip, prefix) = net.split_once('/').map_or((net, None), |(ip, prefix)| (ip, Some(prefix)));
        let net = ip.parse::<IpAddr>().map_err(|_| BadText)?;
        let most = if net.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(most), str::parse).map_err(|_| BadText)?;
        if prefix > most { Err(BadText) } else { Ok(Self { net, prefix, width }) }
    }
}

impl fmt::Display for WidthFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.net, self.prefix, self.width.field())
    }
}

impl<'de> Deserialize<'de> for WidthFor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from, WORD, "a network and 16 or 46, as in 10.0.0.0/8 16", |text| text.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_network_decides() {
        let rules: Vec<WidthFor> =
            ["10.0.0.0/8 46", "10.1.2.3/16  16", "10.1.0.9 46", "fd00::/8 16", "0.0.0.0/0 16"]
                .map(|text| text.parse().unwrap())
                .to_vec();
        for (client, width) in [
            ("10.9.9.9", Some(AddrWidth::V6)),
            ("10.1.200.1", Some(AddrWidth::V4)),
            ("10.1.0.9", Some(AddrWidth::V6)),
            ("::ffff:10.1.0.9", Some(AddrWidth::V6)),
            ("192.168.0.1", Some(AddrWidth::V4)),
            ("fd12::1", Some(AddrWidth::V4)),
            ("fe80::1", None),
        ] {
            assert_eq!(WidthFor::find(&rules, client.parse().unwrap()), width, "{client}");
        }
        assert_eq!("::/0 46".parse::<WidthFor>().unwrap().to_string(), "::/0 46");
        assert_eq!(
            WidthFor::find(&["::/0 46".parse().unwrap()], "::1".parse().unwrap()),
            Some(AddrWidth::V6)
        );
        for bad in
            ["", "10.0.0.0/8", "10.0.0.0/33 16", "10.0.0.0/8 17", "host 16", "10.0.0.0/8 16 16", "/8 16"]
        {
            assert!(bad.parse::<WidthFor>().is_err(), "{bad}");
        }
    }
}
