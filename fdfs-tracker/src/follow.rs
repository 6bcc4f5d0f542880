//! A follower's connection to its leader (tracker 7.2 step 3 and 7.4).

use std::net::SocketAddr;

use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::wire::peer::{JoinLeader, Ping, TrunkPair};
use fdfs_core::wire::{Status, Text, cmd};
use fdfs_net::{CallError, Peer};
use zerocopy::byteorder::big_endian::I32;
use zerocopy::{FromBytes, IntoBytes};

use crate::PROTOCOL_VERSION;
use crate::link::{ANSWER_MAX, connect};
use crate::service::Shared;

/// Failures in a row after which the leader is given up. One that answers to the election after all is taken again.
const FAILURES_MAX: u32 = 2;

/// How a ping went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// The leader answered.
    Fine,
    /// It did not; it is tried again.
    Trouble,
    /// It does not lead any more, for this reason.
    Lost(&'static str),
}

/// The kept connection.
pub struct Link {
    leader: SocketAddr,
    peer: Option<Peer>,
    failures: u32,
}

impl Link {
    /// Not connected yet.
    pub fn new(leader: SocketAddr) -> Self {
        Self { leader, peer: None, failures: 0 }
    }

    /// The leader.
    pub fn leader(&self) -> SocketAddr {
        self.leader
    }

    /// Whether the last ping failed.
    pub fn troubled(&self) -> bool {
        self.failures > 0
    }

    /// Joins if need be, and pings.
    pub async fn ping(&mut self, shared: &Shared) -> Followed {
        match self.try_ping(shared).await {
            Ok(trunk_servers) => {
                self.failures = 0;
                learn(shared, &trunk_servers);
                Followed::Fine
            }
            Err(error) => {
                self.peer = None;
                self.failures += 1;
                tracing::warn!(%error, "{}th ping leader {} fail", self.failures, self.leader);
                if error.status() == Some(Status::OPNOTSUPP) {
                    Followed::Lost("it says that it does not lead")
                } else if self.failures >= FAILURES_MAX {
                    Followed::Lost("it does not answer")
                } else {
                    Followed::Trouble
                }
            }
        }
    }

    async fn try_ping(&mut self, shared: &Shared) -> Result<bytes::Bytes, CallError> {
        let mut peer = match self.peer.take() {
            Some(peer) => peer,
            None => {
                let mut peer = connect(shared, self.leader).await?;
                peer.ask(cmd::TRACKER_JOIN_LEADER, join_leader(shared).as_bytes(), 0).await?;
                tracing::info!("following the tracker leader {}", self.leader);
                shared.meetings.arrange(self.leader);
                peer
            }
        };
        let figures = Ping { connections: shared.connections.figures().map(I32::new) };
        let answer = peer.ask(cmd::TRACKER_PING_LEADER, figures.as_bytes(), ANSWER_MAX).await?;
        self.peer = Some(peer);
        Ok(answer)
    }
}

fn join_leader(shared: &Shared) -> JoinLeader {
    JoinLeader {
        up_time: shared.started.into(),
        version: Text::cut(PROTOCOL_VERSION.as_bytes()),
        port: i64::from(shared.port).into(),
    }
}

/// Takes over the trunk servers that the leader knows.
fn learn(shared: &Shared, pairs: &[u8]) {
    let known = |pair: &TrunkPair| {
        let group = GroupName::from_field(pair.group.raw()).ok()?;
        Some((group, StorageId::from_field(pair.trunk_server.raw()).ok()?))
    };
    let pairs = <[TrunkPair]>::ref_from_bytes(pairs).unwrap_or_default();
    let pairs: Vec<(GroupName, Option<StorageId>)> = pairs.iter().filter_map(known).collect();
    if pairs.is_empty() {
        return;
    }
    shared.owner.tell(move |state, effects| {
        for (group, id) in &pairs {
            // A group that is not known here yet comes with its storages.
            let _ = state.cluster.set_trunk_server(group, *id, effects);
        }
    });
}
