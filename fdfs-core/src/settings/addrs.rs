//! `tracker_server`: one tracker, which may have two addresses.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::types::BadText;
use crate::conf::{WORD, address_class};

/// Port of a tracker when none is written.
pub const TRACKER_PORT: u16 = 22122;
/// Port of a storage when none is written.
pub const STORAGE_PORT: u16 = 23000;
const EXPECTED: &str = "HOST, HOST:PORT, IP1,IP2:PORT or [IPv6,IPv6]:PORT, at most two addresses";

/// One or two names or addresses of one machine, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Addrs {
    /// One or two IP addresses or host names, without brackets, as written.
    pub hosts: Vec<String>,
    /// TCP port.
    pub port: u16,
}

impl Addrs {
    /// Reads `host[:port]`, `host1,host2[:port]`, `[v6]:port`, `[a,b]:port`.
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (hosts, port) = split_port(text)?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|&port| port != 0)?,
            None => default_port,
        };
        Some(Self { hosts: split_hosts(hosts)?, port })
    }

    /// The addresses among [`Self::hosts`]; names are left out.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.hosts.iter().filter_map(|host| host.parse().ok())
    }

    /// The addresses among [`Self::hosts`] with the port.
    pub fn socket_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.ips().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// Two addresses of one class (tracker 9.5), between which the existing programs cannot choose.
    pub fn same_class(&self) -> bool {
        let classes: Vec<u8> = self.ips().map(|ip| address_class(&ip)).collect();
        matches!(classes[..], [one, other] if one == other)
    }
}

impl FromStr for Addrs {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        Self::parse(text, TRACKER_PORT).ok_or(BadText)
    }
}

impl fmt::Display for Addrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.hosts.join(",");
        if hosts.contains(':') {
            write!(f, "[{hosts}]:{}", self.port)
        } else {
            write!(f, "{hosts}:{}", self.port)
        }
    }
}

impl<'de> Deserialize<'de> for Addrs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Addrs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Addrs, D::Error> {
                from.deserialize_any(self)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Addrs, E> {
                text.parse().map_err(|_| E::custom(EXPECTED))
            }
        }
        from.deserialize_newtype_struct(WORD, Text)
    }
}

/// A field of a list that may be written as one value.
pub(super) fn one_or_more<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    struct List<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("one or more values")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut made = Vec::new();
            while let Some(item) = items.next_element()? {
                made.push(item);
            }
            Ok(made)
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            let text: serde::de::value::StrDeserializer<'_, E> =
                serde::de::IntoDeserializer::into_deserializer(text);
            Ok(vec![T::deserialize(text)?])
        }
    }
    from.deserialize_seq(List(std::marker::PhantomData))
}

/// Hosts and port of `hosts[:port]`; hosts with colons stand in brackets or have no port.
pub(super) fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (hosts, rest) = inner.split_once(']')?;
        return match rest {
            "" => Some((hosts, None)),
            rest => Some((hosts, Some(rest.strip_prefix(':')?))),
        };
    }
    match text.split_once(':') {
        None => Some((text, None)),
        // An IPv6 address without brackets, alone, is clear enough.
        Some(_) if text.parse::<IpAddr>().is_ok() => Some((text, None)),
        Some((hosts, port)) => Some((hosts, Some(port))),
    }
}

/// One or two hosts of a list with commas.
pub(super) fn split_hosts(text: &str) -> Option<Vec<String>> {
    let hosts: Vec<String> = text.split(',').map(|host| host.trim().to_owned()).collect();
    let ok = hosts.len() <= 2 && hosts.iter().all(|host| is_host(host));
    ok.then_some(hosts)
}

fn is_host(text: &str) -> bool {
    let name = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
    let digits = |c: u8| c.is_ascii_digit() || c == b'.';
    match text.parse::<IpAddr>() {
        Ok(_) => true,
        // `10.0.0.300` is a slip of the pen, not a name.
        Err(_) => !text.is_empty() && text.bytes().all(name) && !text.bytes().all(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, hosts, port) in [
            ("10.0.0.1", vec!["10.0.0.1"], 22122),
            ("127.0.0.1:22122", vec!["127.0.0.1"], 22122),
            ("tracker-1.example:80", vec!["tracker-1.example"], 80),
            ("10.0.0.1,8.8.8.8:5", vec!["10.0.0.1", "8.8.8.8"], 5),
            ("[::1]:9", vec!["::1"], 9),
            ("[::1]", vec!["::1"], 22122),
            ("2001:db8::1", vec!["2001:db8::1"], 22122),
            ("[10.0.0.1,2001:db8::1]:22122", vec!["10.0.0.1", "2001:db8::1"], 22122),
        ] {
            let parsed: Addrs = text.parse().unwrap();
            assert_eq!(
                (parsed.hosts.clone(), parsed.port),
                (hosts.iter().map(|h| h.to_string()).collect(), port)
            );
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{text}");
        }
        for bad in [
            "",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a,b,c:1",
            "[::1",
            "[::1]x",
            "10.0.0.300",
            "a b",
            "1.2.3.4:x",
            ",",
        ] {
            assert_eq!(bad.parse::<Addrs>(), Err(BadText), "{bad}");
        }
    }

    #[test]
    fn classes() {
        for (text, same) in [
            ("10.0.0.1,10.0.0.2", true),
            ("10.0.0.1,192.168.0.1", false),
            ("10.0.0.1,2001:db8::1", false),
            ("10.0.0.1", false),
        ] {
            let text = if text.contains("::") { format!("[{text}]") } else { text.to_owned() };
            assert_eq!(text.parse::<Addrs>().unwrap().same_class(), same, "{text}");
        }
    }
}
