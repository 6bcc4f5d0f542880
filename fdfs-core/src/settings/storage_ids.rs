//! `storage_ids.conf`: a line per storage (tracker 9.3).

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::addrs::{STORAGE_PORT, split_hosts, split_port};
use crate::conf::{ConfError, Origin, Warning, address_class, parse_int, read_text};
use crate::ident::{GroupName, ReadWrite, StorageId};

/// Greatest storage number: three bytes of a file id.
const MAX_NUMBER: u32 = 16_777_215;

/// One storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageIdEntry {
    /// Its number as text.
    pub id: StorageId,
    /// Its number, 1 to 16777215.
    pub number: u32,
    /// Its group.
    pub group: GroupName,
    /// One or two addresses or host names; of two addresses the inner one first. IPv6 in its shortest form.
    pub hosts: Vec<String>,
    /// Its port, when written: several storages may then share an address.
    pub port: Option<u16>,
    /// What it may be used for.
    pub rw: ReadWrite,
    /// Where it stands.
    pub at: Origin,
}

impl StorageIdEntry {
    /// The port, or the usual one.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(STORAGE_PORT)
    }

    /// The addresses among [`Self::hosts`]; names are left out.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.hosts.iter().filter_map(|host| host.parse().ok())
    }
}

/// The storages of a `storage_ids.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageIds {
    /// In file order.
    pub entries: Vec<StorageIdEntry>,
}

impl StorageIds {
    /// Reads the file at `path`.
    pub fn load(path: impl AsRef<Path>) -> Result<(Self, Vec<Warning>), ConfError> {
        let path = path.as_ref();
        Self::parse(&path.to_string_lossy(), &read_text(path)?)
    }

    /// Reads `text` as the file `name`. A file without entries is none the worse: who needs some, asks
    /// [`Self::required`].
    pub fn parse(name: &str, text: &str) -> Result<(Self, Vec<Warning>), ConfError> {
        let file: Arc<str> = Arc::from(name);
        let mut made = Builder::default();
        for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = Origin { file: Arc::clone(&file), line: number };
            made.add(line, &at).map_err(|why| ConfError::Syntax { at, why })?;
        }
        Ok((Self { entries: made.entries }, made.warnings))
    }

    /// Refuses a file without entries, when storage ids are in use.
    pub fn required(self, path: impl AsRef<Path>) -> Result<Self, ConfError> {
        if self.is_empty() {
            let at = Origin { file: Arc::from(path.as_ref().to_string_lossy()), line: 0 };
            let expected =
                "a line ID GROUP ADDRESS[:PORT] per storage, because use_storage_id is true".into();
            return Err(ConfError::Missing { at, key: "storage".into(), expected });
        }
        Ok(self)
    }

    /// Whether no storage is named.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The storage with this id.
    pub fn by_id(&self, id: &StorageId) -> Option<&StorageIdEntry> {
        self.entries.iter().find(|entry| entry.id == *id)
    }

    /// The storage with this number.
    pub fn by_number(&self, number: u32) -> Option<&StorageIdEntry> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    /// The storage at this address; the port counts when the file has ports.
    pub fn by_addr(&self, ip: IpAddr, port: u16) -> Option<&StorageIdEntry> {
        self.entries
            .iter()
            .find(|entry| entry.ips().any(|own| own == ip) && entry.port.is_none_or(|own| own == port))
    }

    /// Whether any address is IPv6, which makes answers wide (`response_ip_addr_size = auto`).
    pub fn has_ipv6(&self) -> bool {
        self.entries.iter().flat_map(StorageIdEntry::ips).any(|ip| ip.is_ipv6())
    }
}

#[derive(Default)]
struct Builder {
    entries: Vec<StorageIdEntry>,
    warnings: Vec<Warning>,
    lines_of_ids: HashMap<u32, u32>,
    lines_of_hosts: HashMap<(String, Option<u16>), u32>,
}

impl Builder {
    /// `id group host[:port] [option]`; an error says what was expected.
    fn add(&mut self, line: &str, at: &Origin) -> Result<(), String> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (id, group, host, options) = match words[..] {
            [id, group, host, ref options @ ..] => (id, group, host, options),
            _ => return Err(format!("{line:?}: expected ID GROUP ADDRESS[:PORT] [rw=MODE]")),
        };
        let number = number(id).ok_or_else(|| {
            format!("storage id {id:?}: expected a number 1..{MAX_NUMBER} without zeros in front")
        })?;
        let id = StorageId::new(id.as_bytes()).map_err(|bad| bad.to_string())?;
        let group = self.group(group, at)?;
        let (hosts, port) = self.hosts(host, at)?;
        let rw = match options {
            [] => ReadWrite::Both,
            [one] => mode(one).ok_or_else(|| {
                format!("{one:?}: expected rw=none, rw=read, rw=write or rw=both, and nothing behind it")
            })?,
            _ => return Err("expected at most one option, and comments on lines of their own".into()),
        };
        if let Some(first) = self.lines_of_ids.insert(number, at.line) {
            return Err(format!("storage id {number} is in line {first} already: every storage has its own"));
        }
        if let Some(other) = self.entries.first().filter(|other| other.port.is_some() != port.is_some()) {
            return Err(format!("expected a port in every line or in none, as in line {}", other.at.line));
        }
        for host in &hosts {
            if let Some(first) = self.lines_of_hosts.insert((host.clone(), port), at.line) {
                return Err(format!("address {host} is in line {first} already, with the same port"));
            }
        }
        self.entries.push(StorageIdEntry { id, number, group, hosts, port, rw, at: at.clone() });
        Ok(())
    }

    fn group(&mut self, name: &str, at: &Origin) -> Result<GroupName, String> {
        let short = name.get(..16).unwrap_or(name);
        if short.len() < name.len() {
            self.warnings
                .push(Warning::new(at.clone(), format!("group name {name} is cut to 16 bytes: {short}")));
        }
        GroupName::new(short.as_bytes()).map_err(|bad| format!("{name:?}: {bad}"))
    }

    fn hosts(&mut self, text: &str, at: &Origin) -> Result<(Vec<String>, Option<u16>), String> {
        let expected = || {
            format!(
                "{text:?}: expected ADDRESS[:PORT] or ADDRESS,ADDRESS[:PORT], in brackets if an address is IPv6"
            )
        };
        let (hosts, port) = split_port(text).ok_or_else(expected)?;
        let port = match port {
            None => None,
            Some(port) => Some(port.parse::<u16>().ok().filter(|&port| port != 0).ok_or_else(expected)?),
        };
        let mut hosts = split_hosts(hosts).ok_or_else(expected)?;
        let ips: Vec<IpAddr> = hosts.iter().filter_map(|host| host.parse().ok()).collect();
        for host in &mut hosts {
            if let Ok(ip) = host.parse::<IpAddr>() {
                *host = ip.to_string();
            }
        }
        if let [one, other] = ips[..] {
            let (first, second) = (address_class(&one), address_class(&other));
            if one == other {
                return Err(format!("{text:?}: expected two different addresses"));
            }
            if first == second {
                let text = format!("{text}: both addresses are of one kind; other trackers refuse this line");
                self.warnings.push(Warning::new(at.clone(), text));
            } else if first == 0 {
                hosts.swap(0, 1);
            }
        }
        Ok((hosts, port))
    }
}

fn number(text: &str) -> Option<u32> {
    let plain = !text.starts_with(['0', '+', '-']);
    let number = u32::try_from(parse_int(text)?).ok()?;
    (plain && (1..=MAX_NUMBER).contains(&number)).then_some(number)
}

fn mode(option: &str) -> Option<ReadWrite> {
    let option = option.to_ascii_lowercase();
    Some(match option.strip_prefix("rw=")? {
        "none" => ReadWrite::None,
        "read" | "readonly" => ReadWrite::Read,
        "write" | "writeonly" => ReadWrite::Write,
        "both" | "all" => ReadWrite::Both,
        _ => return None,
    })
}
