//! `allow_hosts`: who may connect (storage 2, tracker 9).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// Peers that may connect, from the items of `allow_hosts`.
///
/// An item is `*`, an address, a network (`10.0.1.0/24`, any prefix, either family, host bits ignored), a host name,
/// or a name or address with one range (`10.0.1.[1-15,20]`, `host[01-08].dom`; leading zeros give the width).
/// Names are resolved once.
#[derive(Debug, Clone, Default)]
pub struct AllowHosts {
    anyone: bool,
    nets: Vec<(IpAddr, u8)>,
}

impl AllowHosts {
    /// Everybody.
    pub fn anyone() -> Self {
        Self { anyone: true, nets: Vec::new() }
    }

    /// Reads the items; the texts are warnings about items that name nobody.
    pub fn parse<S: AsRef<str>>(items: &[S]) -> (Self, Vec<String>) {
        let (mut hosts, mut warnings) = (Self::default(), Vec::new());
        for item in items.iter().map(|item| item.as_ref().trim()).filter(|item| !item.is_empty()) {
            if item == "*" {
                hosts.anyone = true;
                continue;
            }
            for text in expand(item) {
                match network(&text).map(|net| vec![net]).unwrap_or_else(|| resolve(&text)) {
                    found if found.is_empty() => {
                        warnings.push(format!("allow_hosts {item}: {text} is no address and has none"));
                    }
                    found => hosts.nets.extend(found),
                }
            }
        }
        if !hosts.anyone && hosts.nets.is_empty() {
            warnings.push("allow_hosts names nobody: every connection will be refused".into());
        }
        (hosts, warnings)
    }

    /// Whether this peer may connect.
    pub fn allows(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.anyone || self.nets.iter().any(|(net, prefix)| contains(*net, *prefix, ip))
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (addr, prefix) = match text.split_once('/') {
        Some((addr, prefix)) => (addr, Some(prefix.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let ip = addr.parse::<IpAddr>().ok()?.to_canonical();
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(most);
    (prefix <= most).then_some((ip, prefix))
}

fn contains(net: IpAddr, prefix: u8, ip: IpAddr) -> bool {
    match (net, ip) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::to_bits(net) & mask == Ipv4Addr::to_bits(ip) & mask
        }
        (IpAddr::V6(net), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::to_bits(net) & mask == Ipv6Addr::to_bits(ip) & mask
        }
        _ => false,
    }
}

fn resolve(name: &str) -> Vec<(IpAddr, u8)> {
    let found = (name, 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    found.into_iter().filter_map(|addr| network(&addr.ip().to_string())).collect()
}

/// The texts that an item with one `[a-b,c]` range stands for; at most 65536.
fn expand(item: &str) -> Vec<String> {
    const MOST: usize = 65_536;
    let parts = item.split_once('[').and_then(|(head, rest)| Some((head, rest.split_once(']')?)));
    let Some((head, (ranges, tail))) = parts else { return vec![item.to_owned()] };
    let mut texts = Vec::new();
    for range in ranges.split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to) = (from.trim(), to.trim());
        let width = if from.starts_with('0') { from.len() } else { 0 };
        let (Ok(first), Ok(last)) = (from.parse::<u32>(), to.parse::<u32>()) else {
            return vec![item.to_owned()];
        };
        texts.extend((first..=last).take(MOST).map(|n| format!("{head}{n:0width$}{tail}")));
    }
    texts.truncate(MOST);
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(items: &[&str], ip: &str) -> bool {
        AllowHosts::parse(items).0.allows(ip.parse().unwrap())
    }

    #[test]
    fn items_of_every_kind() {
        assert!(allows(&["*"], "9.9.9.9"));
        assert!(allows(&["10.0.1.[1-15,20]"], "10.0.1.20") && !allows(&["10.0.1.[1-15,20]"], "10.0.1.16"));
        assert!(
            allows(&["192.168.5.70/26"], "192.168.5.65") && !allows(&["192.168.5.70/26"], "192.168.5.60")
        );
        assert!(allows(&["fd00::/8"], "fd12::1") && !allows(&["fd00::/8"], "fe80::1"));
        assert!(allows(&["127.0.0.1"], "::ffff:127.0.0.1"));
        assert!(allows(&["0.0.0.0/0"], "1.2.3.4") && !allows(&["0.0.0.0/0"], "::1"));
        assert!(allows(&["localhost"], "127.0.0.1"));
    }

    #[test]
    fn nobody_is_said() {
        let (hosts, warnings) = AllowHosts::parse(&["10.0.0.300"]);
        assert!(!hosts.allows([10, 0, 0, 1].into()));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert_eq!(expand("host[08-10].dom"), ["host08.dom", "host09.dom", "host10.dom"]);
        assert_eq!(expand("bad[x-y]"), ["bad[x-y]"]);
    }
}
