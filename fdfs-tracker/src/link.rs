//! Short conversations with other trackers: bounded in time, never on the request path.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fdfs_core::cluster::TrackerAddr;
use fdfs_core::wire::Status;
use fdfs_net::{CallError, Peer, Timeouts};
use tokio::task::JoinSet;

use crate::service::Shared;

/// Longest wait for another tracker, whatever the configuration allows to clients: a frozen one must not hold up
/// an election.
const PEER_TIMEOUT: Duration = Duration::from_secs(1);
/// Largest answer: trunk servers of 512 groups.
pub const ANSWER_MAX: usize = 32 * 512;

/// What came of a request to another tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Status 0 and this body.
    Answered(Bytes),
    /// Another status.
    Refused(Status),
    /// Not reachable, silent or garbled.
    Failed,
}

/// Connects from the address that the operator bound, so that the other side knows us.
pub async fn connect(shared: &Shared, addr: SocketAddr) -> Result<Peer, CallError> {
    let bind = shared.bound.iter().copied().find(|ip| ip.is_ipv4() == addr.is_ipv4());
    let timeouts = Timeouts {
        connect: shared.conf.connect_timeout.duration().min(PEER_TIMEOUT),
        network: shared.conf.network_timeout.duration().min(PEER_TIMEOUT),
    };
    Peer::connect(addr, timeouts, bind).await
}

/// Connects to a tracker at the first of its addresses that works.
pub async fn connect_any(shared: &Shared, tracker: &TrackerAddr) -> Result<Peer, CallError> {
    let mut last = None;
    for addr in tracker.all() {
        match connect(shared, addr).await {
            Ok(peer) => return Ok(peer),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error),
        None => connect(shared, tracker.first()).await,
    }
}

/// Sends one request to every tracker at the same time.
pub async fn ask_all(
    shared: &Arc<Shared>,
    trackers: &[TrackerAddr],
    command: u8,
    body: Vec<u8>,
) -> Vec<(TrackerAddr, Outcome)> {
    let mut calls = JoinSet::new();
    for tracker in trackers {
        let (shared, tracker, body) = (Arc::clone(shared), tracker.clone(), body.clone());
        calls.spawn(async move {
            let limit = PEER_TIMEOUT * 2;
            let outcome = tokio::time::timeout(limit, ask(&shared, &tracker, command, &body)).await;
            (tracker, outcome.unwrap_or(Outcome::Failed))
        });
    }
    let mut made = calls.join_all().await;
    made.sort_by_key(|(tracker, _)| trackers.iter().position(|asked| asked == tracker));
    made
}

async fn ask(shared: &Shared, tracker: &TrackerAddr, command: u8, body: &[u8]) -> Outcome {
    let Ok(mut peer) = connect_any(shared, tracker).await else { return Outcome::Failed };
    match peer.call(command, 0, body, ANSWER_MAX).await {
        Ok(reply) if reply.status.is_ok() => Outcome::Answered(reply.body),
        Ok(reply) => Outcome::Refused(reply.status),
        Err(_) => Outcome::Failed,
    }
}
