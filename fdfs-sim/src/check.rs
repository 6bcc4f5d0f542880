//! The checker: a machine that nothing happens to, and that asks every tracker all the time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use fdfs_core::wire::list::{GroupRecord, StorageRecord};
use fdfs_core::wire::{Text, cmd};
use fdfs_net::{CallError, Peer, Reply, Timeouts};
use tokio::time::{sleep, timeout};

use crate::truth::{STORAGES, Shared, TRACKERS, Truth, group_of, storage_ip, tracker_addr};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(500);
/// Every tracker that runs answers within this time.
const ANSWER: Duration = Duration::from_secs(1);
/// After a start or a thaw, until a tracker has to answer.
const WAKES: Duration = Duration::from_millis(500);
/// After everything was healed, until there is one leader and no other.
const ONE_LEADER: Duration = Duration::from_secs(20);
/// After everything was healed, until all members serve again and know the leader.
const ALL_SERVE: Duration = Duration::from_secs(30);
const ACTIVE: u8 = 7;
const DELETED: u8 = 4;
const TIMEOUTS: Timeouts = Timeouts { connect: ANSWER, network: ANSWER };

/// What a tracker says.
struct Said {
    leader: Option<SocketAddr>,
    /// Status by member.
    members: BTreeMap<String, u8>,
    /// Status of the answer to a query for a store server.
    store: u8,
}

/// Looks until the end.
pub async fn run(truth: Shared) -> turmoil::Result {
    while !truth.borrow().over {
        if truth.borrow().remove_now {
            remove(&truth).await;
        }
        let mut said = Vec::new();
        for tracker in 0..TRACKERS {
            let before = since_up(&truth.borrow(), tracker);
            let answer = timeout(ANSWER, ask(tracker)).await;
            let mut truth = truth.borrow_mut();
            let after = since_up(&truth, tracker);
            // Only if it ran all the time.
            let ran =
                matches!((before, after), (Some(before), Some(after)) if before > WAKES && after > before);
            match answer {
                Ok(Ok(answer)) => {
                    members(&mut truth, tracker, &answer.members);
                    said.push((tracker, answer));
                }
                Ok(Err(error)) if ran => {
                    truth.history.fail(format!("tracker {tracker} does not answer: {error}"))
                }
                Err(_) if ran => truth.history.fail(format!("tracker {tracker} does not answer in time")),
                _ => {}
            }
        }
        whole(&mut truth.borrow_mut(), &said);
        sleep(PERIOD).await;
    }
    Ok(())
}

fn since_up(truth: &Truth, tracker: usize) -> Option<Duration> {
    Some(turmoil::sim_elapsed().unwrap_or_default().saturating_sub(truth.up[tracker]?))
}

async fn ask(tracker: usize) -> Result<Said, CallError> {
    let mut peer = Peer::connect(tracker_addr(tracker), TIMEOUTS, None).await?;
    let leader = call(&mut peer, cmd::GET_LEADER, &[]).await?;
    let leader =
        std::str::from_utf8(&leader.body).ok().and_then(|text| text.trim_end_matches('\0').parse().ok());
    let groups = GroupRecord::parse_list(&call(&mut peer, cmd::LIST_ALL_GROUPS, &[]).await?.body);
    let mut members = BTreeMap::new();
    for group in groups.unwrap_or_default() {
        let name = Text::<16>::cut(group.name.bytes());
        let reply = call(&mut peer, cmd::LIST_STORAGE, name.raw()).await?;
        for record in StorageRecord::parse_list(&reply.body).unwrap_or_default() {
            members.insert(format!("{}/{}", name.as_str(), record.head.id.as_str()), record.head.status);
        }
    }
    let store = call(&mut peer, cmd::QUERY_STORE_WITHOUT_GROUP_ONE, &[]).await?.status.0;
    Ok(Said { leader, members, store })
}

async fn call(peer: &mut Peer, command: u8, body: &[u8]) -> Result<Reply, CallError> {
    peer.call(command, 0, body, 64 << 10).await
}

fn member(at: usize) -> String {
    format!("{}/{}", group_of(at), storage_ip(at))
}

/// No member is forgotten, and none that was removed comes back.
fn members(truth: &mut Truth, tracker: usize, members: &BTreeMap<String, u8>) {
    let removed = truth.removed.map(|(at, confirmed)| (member(at), confirmed));
    for known in truth.told[tracker].clone() {
        let is_removed = removed.as_ref().is_some_and(|(name, _)| *name == known);
        if !members.contains_key(&known) && !is_removed {
            truth.history.fail(format!("tracker {tracker} has forgotten {known}"));
        }
    }
    if let Some((name, true)) = removed
        && members.get(&name).is_some_and(|status| *status != DELETED)
    {
        truth.history.fail(format!("tracker {tracker} has revived {name}, which was removed"));
    }
    truth.told[tracker].extend(members.keys().cloned());
}

/// What holds when nothing is broken for some time.
fn whole(truth: &mut Truth, said: &[(usize, Said)]) {
    let now = turmoil::sim_elapsed().unwrap_or_default();
    let Some(healed) = truth.healed.map(|healed| now.saturating_sub(healed)) else { return };
    if healed > ONE_LEADER {
        let leaders: Vec<_> = said.iter().map(|(_, said)| said.leader).collect();
        let first = leaders.first().copied().flatten();
        if leaders.len() != TRACKERS || first.is_none() || leaders.iter().any(|leader| *leader != first) {
            truth.history.fail(format!(
                "the trackers do not agree {healed:?} after everything was healed: {leaders:?}"
            ));
        } else if truth.agreed != first {
            truth.leader_changes += u64::from(truth.agreed.is_some());
            truth.agreed = first;
            truth.history.note(&format!("all agree on {first:?}"));
        }
    }
    if healed > ALL_SERVE {
        let gone = truth.removed.map(|(at, _)| at);
        let up = truth.storage_up;
        for at in (0..STORAGES).filter(|at| Some(*at) != gone && up[*at]) {
            let name = member(at);
            for (tracker, said) in said {
                if said.members.get(&name) != Some(&ACTIVE) {
                    let status = said.members.get(&name);
                    truth.history.fail(format!("{name} does not serve at tracker {tracker}: {status:?}"));
                }
            }
            if truth.leader_of_storage.get(&at).copied() != truth.agreed {
                let knows = truth.leader_of_storage.get(&at);
                truth
                    .history
                    .fail(format!("{name} believes that {knows:?} leads, but {:?} does", truth.agreed));
            }
        }
        for (tracker, said) in said.iter().filter(|(_, said)| said.store != 0) {
            truth
                .history
                .fail(format!("tracker {tracker} answers {} to a query for a store server", said.store));
        }
    }
}

/// An administrator removes a storage that was stopped, at every tracker.
async fn remove(truth: &Shared) {
    let Some((at, _)) = truth.borrow().removed else { return };
    let body =
        [Text::<16>::cut(group_of(at).as_bytes()).raw(), storage_ip(at).to_string().as_bytes()].concat();
    let mut confirmed = true;
    for tracker in 0..TRACKERS {
        let reply = async {
            let mut peer = Peer::connect(tracker_addr(tracker), TIMEOUTS, None).await?;
            call(&mut peer, cmd::DELETE_STORAGE, &body).await
        };
        confirmed &= reply.await.is_ok_and(|reply| reply.status.is_ok());
    }
    let mut truth = truth.borrow_mut();
    truth.remove_now = false;
    truth.history.note(&format!("storage {at} is removed: {confirmed}"));
    if confirmed {
        truth.removed = Some((at, true));
    }
}
