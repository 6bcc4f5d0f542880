//! The trackers of the cluster and who leads them (tracker 2 and 7).

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::Refusal;
use crate::settings::{Addrs, TRACKER_PORT};
use crate::wire::Status;
use crate::wire::report::Brief;
use crate::wire::{IpField, Text};

/// Most trackers of a cluster.
const TRACKERS_MAX: usize = 16;
/// Addresses that mean another machine on every machine: the last resort for "that is me" (tracker 2).
const EVERYWHERE: [&str; 3] = ["127.0.0.1", "::1", "fe80::1"];

/// A tracker: one or two addresses and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrackerAddr {
    /// One or two addresses.
    pub ips: Vec<IpAddr>,
    /// TCP port.
    pub port: u16,
}

impl TrackerAddr {
    /// Its first address with the port.
    pub fn first(&self) -> SocketAddr {
        let unknown = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        SocketAddr::new(self.ips.first().copied().unwrap_or(unknown), self.port)
    }

    /// Every address with the port.
    pub fn all(&self) -> impl Iterator<Item = SocketAddr> {
        self.ips.iter().map(|ip| SocketAddr::new(*ip, self.port))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.port == other.port && self.ips.iter().any(|ip| other.ips.contains(ip))
    }
}

impl FromStr for TrackerAddr {
    type Err = ListError;
    fn from_str(text: &str) -> Result<Self, ListError> {
        let addrs =
            Addrs::parse(text.trim_matches(['\0', '\r', ' ']), TRACKER_PORT).ok_or(ListError::Line)?;
        let ips: Vec<IpAddr> = addrs.ips().collect();
        if ips.is_empty() || ips.len() != addrs.hosts.len() {
            return Err(ListError::Line);
        }
        Ok(Self { ips, port: addrs.port })
    }
}

/// What is wrong with a list of trackers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A line is no address.
    #[error("bad tracker address")]
    Line,
    /// Fewer lines than announced.
    #[error("fewer tracker lines than announced")]
    Count,
    /// More than 16 trackers.
    #[error("more than 16 trackers")]
    Full,
    /// This tracker is not in it.
    #[error("my ip NOT in tracker server list")]
    NotListed,
}

impl From<ListError> for Refusal {
    fn from(bad: ListError) -> Self {
        match bad {
            ListError::Line => Self::new(Status::INVAL, "bad tracker address"),
            ListError::Count => Self::new(Status::INVAL, "fewer tracker lines than announced"),
            ListError::Full => Self::new(Status::NOSPC, "more than 16 trackers"),
            ListError::NotListed => Self::new(Status::NOENT, "my ip NOT in tracker server list"),
        }
    }
}

/// The tracker lines of a JOIN (tracker 3.1).
pub fn parse_lines(text: &[u8], count: usize) -> Result<Vec<TrackerAddr>, ListError> {
    let text = std::str::from_utf8(text).map_err(|_| ListError::Line)?;
    let mut made = Vec::new();
    let mut rest = text;
    for _ in 0..count.min(TRACKERS_MAX) {
        let (line, behind) = rest.split_once('\n').ok_or(ListError::Count)?;
        made.push(line.parse()?);
        rest = behind;
    }
    Ok(made)
}

/// Answer of a tracker to GET_STATUS (64).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    /// It leads.
    pub leader: bool,
    /// Seconds since its start, rounded down to 300.
    pub running: i64,
    /// Seconds from its last run to its start, rounded down to 300.
    pub restart: i64,
}

impl PeerStatus {
    /// Rounds both times, as every tracker tells them.
    pub fn new(leader: bool, running: i64, restart: i64) -> Self {
        let round = |secs: i64| secs.max(0) / 300 * 300;
        Self { leader, running: round(running), restart: round(restart) }
    }

    /// The 17 bytes.
    pub fn encode(&self) -> [u8; 17] {
        let mut out = [0; 17];
        out[0] = u8::from(self.leader);
        out[1..9].copy_from_slice(&self.running.to_be_bytes());
        out[9..].copy_from_slice(&self.restart.to_be_bytes());
        out
    }

    /// Reads the 17 bytes.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let (leader, rest) = body.split_first()?;
        let (running, restart) = rest.split_first_chunk::<8>()?;
        Some(Self {
            leader: *leader != 0,
            running: i64::from_be_bytes(*running),
            restart: i64::from_be_bytes(restart.try_into().ok()?),
        })
    }
}

/// Who should lead: a leader, then the longest run, the shortest restart, the greatest address text and port (tracker 7.2).
pub fn winner<'a>(
    candidates: impl IntoIterator<Item = (&'a TrackerAddr, PeerStatus)>,
) -> Option<&'a TrackerAddr> {
    let rank = |(addr, status): &(&TrackerAddr, PeerStatus)| {
        let first = addr.first();
        (
            status.leader,
            status.running,
            std::cmp::Reverse(status.restart),
            first.ip().to_string(),
            first.port(),
        )
    };
    candidates.into_iter().max_by_key(rank).map(|(addr, _)| addr)
}

/// Who leads, as this tracker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leader {
    /// Nobody yet.
    #[default]
    Unknown,
    /// This tracker.
    Myself,
    /// The tracker at this first address.
    Other(SocketAddr),
}

/// The list of trackers, learned from the storages, and the leader.
#[derive(Debug, Clone, Default)]
pub struct Trackers {
    list: Vec<TrackerAddr>,
    myself: Option<usize>,
    next: Option<usize>,
    /// Who leads.
    pub leader: Leader,
    /// Counts changes of the leader.
    pub leader_chg: u32,
}

impl Trackers {
    /// All known trackers, this one among them.
    pub fn list(&self) -> &[TrackerAddr] {
        &self.list
    }

    /// This tracker as the storages know it.
    pub fn myself(&self) -> Option<&TrackerAddr> {
        self.list.get(self.myself?)
    }

    /// The others.
    pub fn others(&self) -> impl Iterator<Item = &TrackerAddr> {
        self.list.iter().enumerate().filter(|(at, _)| Some(*at) != self.myself).map(|(_, addr)| addr)
    }

    /// Whether this tracker leads.
    pub fn leading(&self) -> bool {
        self.leader == Leader::Myself
    }

    /// Address of the leader.
    pub fn leader_addr(&self) -> Option<SocketAddr> {
        match self.leader {
            Leader::Unknown => None,
            Leader::Myself => self.myself().map(TrackerAddr::first),
            Leader::Other(addr) => Some(addr),
        }
    }

    /// The leader's record for the storages; [`Brief::NONE`] when there is none.
    pub fn leader_brief(&self) -> Brief {
        self.leader_addr().map_or(Brief::NONE, |addr| Brief {
            status: 0,
            port: i32::from(addr.port()).into(),
            id: Text::cut(
                addr.ip().to_string().as_bytes().get(..15).unwrap_or(addr.ip().to_string().as_bytes()),
            ),
            ip: IpField::of(addr.ip()),
        })
    }

    /// Index of the tracker with this address.
    pub fn find(&self, addr: SocketAddr) -> Option<&TrackerAddr> {
        self.list.iter().find(|known| known.all().any(|own| own == addr))
    }

    /// Adds what is new in the list of a JOIN. `local` are the addresses of this machine, `port` its own port.
    /// Returns the number of trackers that are new.
    pub fn merge(&mut self, told: &[TrackerAddr], local: &[IpAddr], port: u16) -> Result<usize, ListError> {
        let mut list = self.list.clone();
        for addr in told {
            match list.iter_mut().find(|known| known.overlaps(addr)) {
                Some(known) if known.ips.len() < addr.ips.len() => known.ips.clone_from(&addr.ips),
                Some(_) => {}
                None => list.push(addr.clone()),
            }
        }
        if list.len() > TRACKERS_MAX {
            return Err(ListError::Full);
        }
        let own = |at: &usize, everywhere: bool| {
            list.get(*at).is_some_and(|addr| {
                addr.port == port
                    && addr.ips.iter().any(|ip| {
                        local.contains(ip) && (everywhere || !EVERYWHERE.contains(&ip.to_string().as_str()))
                    })
            })
        };
        let search = |everywhere| (0..list.len()).find(|at| own(at, everywhere));
        let myself =
            self.myself.or_else(|| search(false)).or_else(|| search(true)).ok_or(ListError::NotListed)?;
        let added = list.len() - self.list.len();
        self.list = list;
        self.myself = Some(myself);
        Ok(added)
    }

    /// Sets the leader; tells whether that is a change.
    pub fn set_leader(&mut self, leader: Leader) -> bool {
        let changed = self.leader != leader;
        if changed {
            self.leader = leader;
            self.leader_chg = self.leader_chg.wrapping_add(1);
        }
        changed
    }

    /// Every storage is told once more who leads.
    pub fn tell_again(&mut self) {
        self.leader_chg = self.leader_chg.wrapping_add(1);
    }

    /// NOTIFY_NEXT_LEADER (66). A leader that hears of another one steps down.
    pub fn notify(&mut self, named: SocketAddr) -> Result<(), Refusal> {
        let at = self.index(named)?;
        if self.leading() && Some(at) != self.myself {
            self.set_leader(Leader::Unknown);
            return Err(Refusal::new(Status::INVAL, "this tracker led and stepped down"));
        }
        self.next = Some(at);
        Ok(())
    }

    /// COMMIT_NEXT_LEADER (67).
    pub fn commit(&mut self, named: SocketAddr) -> Result<bool, Refusal> {
        let at = self.index(named)?;
        if self.next != Some(at) {
            return Err(Refusal::new(Status::INVAL, "not the leader that was announced"));
        }
        let first = self.list.get(at).map_or(named, TrackerAddr::first);
        self.next = None;
        Ok(self.set_leader(if Some(at) == self.myself { Leader::Myself } else { Leader::Other(first) }))
    }

    fn index(&self, named: SocketAddr) -> Result<usize, Refusal> {
        let found = self.list.iter().position(|known| known.all().any(|own| own == named));
        found.ok_or(Refusal::new(Status::NOENT, "not in my tracker list"))
    }
}
