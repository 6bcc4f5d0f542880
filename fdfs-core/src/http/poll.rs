//! Asking a tracker who is in the groups (protocol 3.5 and 3.6).

use super::peers::{Member, Peers};
use crate::ident::GroupName;
use crate::wire::list::{GroupRecord, StorageRecord};
use crate::wire::{Header, Status, cmd};

/// One conversation with a tracker: the groups, then the members of each, one request at a time.
#[derive(Debug)]
pub struct Poll {
    groups: Vec<GroupName>,
    listed: bool,
    peers: Peers,
    at: usize,
}

/// What to do after some bytes of the tracker arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum PollStep {
    /// Wait for more.
    More,
    /// Forget what was received and send this.
    Ask(Vec<u8>),
    /// All is known.
    Done(Peers),
    /// Try another tracker.
    Bad(PollFault),
}

/// Why a tracker's answer is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PollFault {
    /// Not an answer.
    #[error("answer with command {0} instead of 100")]
    Command(u8),
    /// Negative, or more than [`Poll::BODY_MAX`].
    #[error("answer with a length of {0}")]
    Length(i64),
    /// An error.
    #[error("status {0}")]
    Refused(u8),
    /// The records are not understood.
    #[error("{0}")]
    Records(crate::wire::BadMessage),
}

impl Poll {
    /// Longest answer that is read: 512 groups, or 32 members with room to spare, bytes.
    pub const BODY_MAX: usize = 128 * 1024;
    /// Groups in a cluster (protocol 1.3).
    const GROUPS_MAX: usize = 512;

    /// `configured` are asked for even when the tracker's list of groups is not understood.
    pub fn new(configured: Vec<GroupName>) -> Self {
        Self { groups: configured, listed: false, peers: Peers::default(), at: 0 }
    }

    /// The first request.
    pub fn start(&self) -> Vec<u8> {
        Header::request(cmd::LIST_ALL_GROUPS, 0).encode().to_vec()
    }

    /// Looks at all bytes received since the last request.
    pub fn feed(&mut self, bytes: &[u8]) -> PollStep {
        let Some(head) = Header::peek(bytes) else { return PollStep::More };
        if head.cmd != cmd::RESPONSE {
            return PollStep::Bad(PollFault::Command(head.cmd));
        }
        let len = match head.body().and_then(|len| usize::try_from(len).ok()) {
            Some(len) if len <= Self::BODY_MAX => len,
            _ => return PollStep::Bad(PollFault::Length(head.len)),
        };
        let Some(body) = bytes.get(Header::SIZE..Header::SIZE + len) else { return PollStep::More };
        if self.listed { self.members(Status(head.status), body) } else { self.group_list(body) }
    }

    /// A tracker of another version lists groups in another layout; the configured ones are asked for anyway.
    fn group_list(&mut self, body: &[u8]) -> PollStep {
        for record in GroupRecord::parse_list(body).unwrap_or_default() {
            match GroupName::new(record.name.bytes()) {
                Ok(name) if !self.groups.contains(&name) && self.groups.len() < Self::GROUPS_MAX => {
                    self.groups.push(name);
                }
                _ => {}
            }
        }
        self.listed = true;
        self.next()
    }

    fn members(&mut self, status: Status, body: &[u8]) -> PollStep {
        match status {
            Status::OK => match StorageRecord::parse_list(body) {
                Ok(records) => {
                    if let Some(group) = self.groups.get(self.at) {
                        self.peers.insert(*group, records.iter().filter_map(Member::of).collect());
                    }
                }
                Err(bad) => return PollStep::Bad(PollFault::Records(bad)),
            },
            // The group is not known: it has no members.
            Status::NOENT => {}
            Status(status) => return PollStep::Bad(PollFault::Refused(status)),
        }
        self.at += 1;
        self.next()
    }

    fn next(&mut self) -> PollStep {
        match self.groups.get(self.at) {
            Some(group) => {
                let mut out = Header::request(cmd::LIST_STORAGE, 16).encode().to_vec();
                out.extend_from_slice(group.field().raw());
                PollStep::Ask(out)
            }
            None => PollStep::Done(std::mem::take(&mut self.peers)),
        }
    }
}
