//! `%{NAME}` and the condition of `#@if`.

use std::net::IpAddr;

use super::env::Env;
use super::preprocess::Variables;
use super::value::{BLANKS, parse_int};

/// Items that one condition may list.
const MAX_ITEMS: usize = 32;
const NO_ADDRESSES: &str = "%{LOCAL_IP} is not known to this program";
const NO_HOST: &str = "%{LOCAL_HOST} is not known to this program";

/// Whether `%{NAME} in [a,b,…]` holds.
pub(super) fn holds(text: &str, env: &Env, variables: &Variables) -> Result<bool, String> {
    let expected = || format!("expected #@if %{{NAME}} in [item,item,...], found {text:?}");
    let (name, rest) = text.strip_prefix("%{").and_then(|rest| rest.split_once('}')).ok_or_else(expected)?;
    let list = rest
        .trim_matches(BLANKS)
        .split_at_checked(2)
        .filter(|(word, _)| word.eq_ignore_ascii_case("in"))
        .and_then(|(_, list)| list.trim_matches(BLANKS).strip_prefix('[')?.strip_suffix(']'))
        .ok_or_else(expected)?;
    let items: Vec<&str> = list.split(',').map(|item| item.trim_matches(BLANKS)).collect();
    if items.len() > MAX_ITEMS {
        return Err(format!("#@if lists {} items, at most {MAX_ITEMS} are possible", items.len()));
    }
    match name.trim_matches(BLANKS) {
        "LOCAL_IP" => {
            let local = env.local_ips.as_ref().ok_or(NO_ADDRESSES)?;
            let mut found = false;
            for item in items {
                let net = Net::parse(item).ok_or_else(|| {
                    format!("{item:?} in #@if: expected an IP address or ADDRESS/PREFIX, such as 10.0.0.0/8")
                })?;
                found |= local.iter().any(|ip| net.holds(ip));
            }
            Ok(found)
        }
        "LOCAL_HOST" => {
            let host = env.host.as_deref().ok_or(NO_HOST)?;
            Ok(items.contains(&host))
        }
        name => {
            let value =
                variables.get(name).ok_or_else(|| format!("%{{{name}}} is not set: no #@set {name}"))?;
            Ok(items.contains(&value.as_str()))
        }
    }
}

/// `text` with every `%{NAME}` that is known replaced; others stay as they are.
pub(super) fn replace(text: &str, env: &Env, variables: &Variables) -> String {
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once("%{") {
        made.push_str(head);
        let known = tail.split_once('}').and_then(|(name, after)| {
            let value = match name {
                "LOCAL_HOST" => env.host.clone(),
                "LOCAL_IP" => env.local_ips.as_ref().and_then(|ips| ips.first()).map(IpAddr::to_string),
                name => variables.get(name).cloned(),
            };
            value.map(|value| (value, after))
        });
        match known {
            Some((value, after)) => {
                made.push_str(&value);
                rest = after;
            }
            None => {
                made.push_str("%{");
                rest = tail;
            }
        }
    }
    made.push_str(rest);
    made
}

/// An address or a network.
struct Net {
    ip: IpAddr,
    prefix: u32,
}

impl Net {
    fn parse(text: &str) -> Option<Self> {
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip, Some(u32::try_from(parse_int(prefix)?).ok()?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.trim_matches(BLANKS).parse().ok()?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Self { ip, prefix })
    }

    fn holds(&self, ip: &IpAddr) -> bool {
        let (width, mine, other) = match (self.ip, ip) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                (32, u128::from(mine.to_bits()), u128::from(other.to_bits()))
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => (128, mine.to_bits(), other.to_bits()),
            _ => return false,
        };
        let host_bits = width - self.prefix;
        host_bits == 128 || (mine ^ other) >> host_bits == 0
    }
}
