//! Who may have a file, and whom to ask first.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::fileid::Source;
use crate::ident::{GroupName, StorageId, StorageStatus};
use crate::wire::list::StorageRecord;

/// What is known about a member's readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// ACTIVE, or named in the configuration.
    Serving,
    /// Known to the tracker, but not ACTIVE: asked last, and only when it is the file's source.
    Doubtful,
}

/// A storage that the configuration or a tracker named. Only such addresses are ever contacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Id, or address as text.
    pub id: Option<StorageId>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Readiness.
    pub standing: Standing,
}

impl Member {
    /// The member of a tracker's record; `None` when it has no usable address or is gone.
    pub fn of(record: &StorageRecord) -> Option<Self> {
        let standing = match StorageStatus::from_wire(record.head.status).ok()? {
            StorageStatus::Active => Standing::Serving,
            gone if gone.is_gone() => return None,
            _ => Standing::Doubtful,
        };
        let port = u16::try_from(record.tail.port.get()).ok().filter(|port| *port != 0)?;
        let addr = SocketAddr::new(record.ip.ip()?, port);
        let id = StorageId::from_field(record.head.id.raw()).ok().flatten();
        Some(Self { id, addr, standing })
    }

    fn is(&self, source: Source) -> bool {
        let id = self.id.as_ref().map_or("", StorageId::as_str);
        match source {
            Source::Id(number) => id.parse() == Ok(number),
            Source::Ip(ip) => self.addr.ip() == ip || id == ip.to_string(),
        }
    }
}

/// Members per group, as the trackers last told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peers {
    groups: HashMap<GroupName, Vec<Member>>,
}

impl Peers {
    /// Sets the members of a group.
    pub fn insert(&mut self, group: GroupName, members: Vec<Member>) {
        self.groups.insert(group, members);
    }

    /// Members of `group`, `None` when the tracker does not know the group.
    pub fn of(&self, group: &GroupName) -> Option<&[Member]> {
        self.groups.get(group).map(Vec::as_slice)
    }

    /// All members with their groups, in order.
    pub fn all(&self) -> Vec<(GroupName, Member)> {
        let of_group = |(group, members): (&GroupName, &Vec<Member>)| -> Vec<(GroupName, Member)> {
            members.iter().map(|member| (*group, *member)).collect()
        };
        let mut all: Vec<_> = self.groups.iter().flat_map(of_group).collect();
        all.sort_by(|(one, a), (two, b)| (one.bytes(), a.addr).cmp(&(two.bytes(), b.addr)));
        all
    }

    /// Number of members of all groups.
    pub fn len(&self) -> usize {
        self.groups.values().map(Vec::len).sum()
    }

    /// Whether no member is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whom to ask, in order: the source, the other serving members, a source that does not serve. Members that
/// failed a moment ago (`resting`) come behind all others.
pub fn candidates(
    members: impl IntoIterator<Item = Member>,
    source: Source,
    resting: impl Fn(SocketAddr) -> bool,
) -> Vec<SocketAddr> {
    let mut ranked: Vec<(u8, SocketAddr)> = Vec::new();
    for member in members {
        let rank = match (member.standing, member.is(source)) {
            (Standing::Serving, true) => 0,
            (Standing::Serving, false) => 1,
            (Standing::Doubtful, true) => 2,
            (Standing::Doubtful, false) => continue,
        };
        let rank = if resting(member.addr) { rank + 3 } else { rank };
        match ranked.iter_mut().find(|(_, addr)| *addr == member.addr) {
            Some(known) => known.0 = known.0.min(rank),
            None => ranked.push((rank, member.addr)),
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, addr)| addr).collect()
}

/// Where the storage listens that received the upload, as far as it is known.
pub fn source_of(members: impl IntoIterator<Item = Member>, source: Source) -> Option<SocketAddr> {
    members.into_iter().find(|member| member.is(source)).map(|member| member.addr)
}

/// Which peers failed lately. One per worker; holds only peers that were contacted.
#[derive(Debug, Default)]
pub struct Health {
    failed: HashMap<SocketAddr, Failure>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    in_a_row: u32,
    until_ms: u64,
}

impl Health {
    /// First pause after a failure, ms; doubles up to [`Self::PAUSE_MS_MAX`].
    pub const PAUSE_MS: u64 = 1000;
    /// Longest pause, ms.
    pub const PAUSE_MS_MAX: u64 = 30_000;

    /// The peer could not be asked, or lied.
    pub fn failed(&mut self, addr: SocketAddr, now_ms: u64) {
        let failure = self.failed.entry(addr).or_insert(Failure { in_a_row: 0, until_ms: 0 });
        let pause = (Self::PAUSE_MS << failure.in_a_row.min(5)).min(Self::PAUSE_MS_MAX);
        // Requests that fail together count as one failure.
        if failure.until_ms <= now_ms {
            failure.in_a_row += 1;
            failure.until_ms = now_ms.saturating_add(pause);
        }
    }

    /// The peer answered.
    pub fn answered(&mut self, addr: SocketAddr) {
        self.failed.remove(&addr);
    }

    /// For how long the peer is to be left alone, ms.
    pub fn rests_for(&self, addr: SocketAddr, now_ms: u64) -> u64 {
        self.failed.get(&addr).map_or(0, |failure| failure.until_ms.saturating_sub(now_ms))
    }

    /// Whether the peer is to be left alone for now.
    pub fn resting(&self, addr: SocketAddr, now_ms: u64) -> bool {
        self.rests_for(addr, now_ms) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, ip: &str, standing: Standing) -> Member {
        Member {
            id: StorageId::new(id.as_bytes()).ok(),
            addr: format!("{ip}:23000").parse().unwrap(),
            standing,
        }
    }

    fn addr_of(ip: &str) -> SocketAddr {
        format!("{ip}:23000").parse().unwrap()
    }

    fn order(members: &[Member], source: Source, resting: &str) -> Vec<String> {
        candidates(members.iter().copied(), source, |addr| addr.ip().to_string() == resting)
            .iter()
            .map(|addr| addr.ip().to_string())
            .collect()
    }

    #[test]
    fn the_source_goes_first_and_the_resting_last() {
        let members = [
            member("1", "10.0.0.1", Standing::Serving),
            member("2", "10.0.0.2", Standing::Serving),
            member("3", "10.0.0.3", Standing::Doubtful),
            member("", "10.0.0.1", Standing::Serving),
        ];
        let ip = |text: &str| Source::Ip(text.parse().unwrap());
        assert_eq!(order(&members, Source::Id(2), ""), ["10.0.0.2", "10.0.0.1"]);
        assert_eq!(order(&members, ip("10.0.0.1"), ""), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(order(&members, ip("10.0.0.1"), "10.0.0.1"), ["10.0.0.2", "10.0.0.1"]);
        assert_eq!(order(&members, Source::Id(3), ""), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(source_of(members, Source::Id(3)), Some(addr_of("10.0.0.3")));
        assert_eq!(source_of(members, ip("127.0.0.66")), None);
        // An address that nobody announced is never asked.
        assert_eq!(order(&members, ip("127.0.0.66"), ""), ["10.0.0.1", "10.0.0.2"]);
    }

    #[test]
    fn pauses_grow_and_end() {
        let addr = "10.0.0.1:1".parse().unwrap();
        let mut health = Health::default();
        health.failed(addr, 0);
        health.failed(addr, 10);
        assert!(health.resting(addr, 999) && !health.resting(addr, 1000));
        health.failed(addr, 1000);
        assert!(health.resting(addr, 2999) && !health.resting(addr, 3000));
        for _ in 0..100 {
            health.failed(addr, 1_000_000);
        }
        health.answered(addr);
        assert!(!health.resting(addr, 0));
    }
}
