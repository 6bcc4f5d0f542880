//! What is known of each member's status and its reason: command 206 ([`fdfs_core::wire::explain`]).

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use fdfs_core::cluster::{Facts, Refusal};
use fdfs_core::wire::Text;
use fdfs_core::wire::explain::ExplainHead;
use zerocopy::IntoBytes;

use crate::owner::State;
use crate::service::{Request, exact};

/// Answers from a snapshot.
pub fn answer(
    state: &State,
    receiver: IpAddr,
    request: &Request<'_>,
    out: &mut BytesMut,
) -> Result<(), Refusal> {
    exact(&request.body, 0)?;
    let shared = request.shared;
    let rules = shared.rules();
    let leader = state.trackers.leader_addr().map_or(String::new(), |addr| addr.to_string());
    let head = ExplainHead {
        now: crate::now().into(),
        started: shared.started.into(),
        check_active: rules.check_active.into(),
        leader: Text::cut(leader.as_bytes()),
    };
    out.put_slice(head.as_bytes());
    for group in state.cluster.groups() {
        for member in group.storages() {
            out.put_slice(Facts::of(&rules, group, member, receiver).record().as_bytes());
        }
    }
    Ok(())
}
