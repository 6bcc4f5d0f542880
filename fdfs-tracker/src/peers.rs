//! What other trackers ask (tracker 7.1).

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use fdfs_core::cluster::{Effects, Group, Leader, Refusal, TrackerAddr};
use fdfs_core::wire::peer::{self, JoinLeader, Ping, SysFilePiece, SysFileRequest, TrunkPair};
use fdfs_core::wire::{Status, cmd};
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::I32;

use crate::owner::{Follower, State};
use crate::reports::fixed;
use crate::service::{Request, Session, Stop, exact};
use crate::transfer::SysFiles;

/// Answers; `None` when the command is none of these.
pub async fn answer(
    session: &mut Session,
    request: &Request<'_>,
    out: &mut BytesMut,
) -> Option<Result<(), Stop>> {
    Some(match request.cmd {
        cmd::TRACKER_NOTIFY_NEXT_LEADER | cmd::TRACKER_COMMIT_NEXT_LEADER => next_leader(request).await,
        cmd::TRACKER_NOTIFY_RESELECT_LEADER => reselect(request).await,
        cmd::TRACKER_JOIN_LEADER => join_leader(session, request),
        cmd::TRACKER_PING_LEADER => ping(session, request, out),
        cmd::TRACKER_GET_SYS_FILES_START => files_start(session, request),
        cmd::TRACKER_GET_ONE_SYS_FILE => one_file(session, request, out),
        cmd::TRACKER_GET_SYS_FILES_END => {
            session.files = None;
            exact(&request.body, 0).map_err(Stop::from)
        }
        _ => return None,
    })
}

async fn next_leader(request: &Request<'_>) -> Result<(), Stop> {
    let named = peer::next_leader(&request.body)?;
    if request.cmd == cmd::TRACKER_NOTIFY_NEXT_LEADER {
        request.shared.owner.apply(move |state, _| state.trackers.notify(named)).await??;
        return Ok(());
    }
    let changed = request.shared.owner.apply(move |state, _| state.trackers.commit(named)).await??;
    if changed {
        tracing::info!("the tracker leader is {named}");
        request.shared.wake.notify_one();
    }
    Ok(())
}

async fn reselect(request: &Request<'_>) -> Result<(), Stop> {
    exact(&request.body, 0)?;
    let change = |state: &mut State, _: &mut Effects| {
        state.trackers.leading() && state.trackers.set_leader(Leader::Unknown)
    };
    if !request.shared.owner.apply(change).await? {
        return Err(Refusal::new(Status::OPNOTSUPP, "this tracker does not lead").into());
    }
    tracing::warn!("i be notified that two leaders occur, should re-select leader");
    request.shared.wake.notify_one();
    Ok(())
}

fn join_leader(session: &mut Session, request: &Request<'_>) -> Result<(), Stop> {
    exact(&request.body, 24)?;
    let view = request.shared.owner.view();
    if !view.trackers.leading() {
        return Err(Refusal::new(Status::OPNOTSUPP, "this tracker does not lead").into());
    }
    if session.follower.is_some() || session.joined.is_some() {
        return Err(Refusal::new(Status::EXIST, "the connection has joined already").into());
    }
    let told: JoinLeader = fixed(&request.body)?;
    let port = u16::try_from(told.port.get()).map_err(|_| Refusal::new(Status::INVAL, "bad port"))?;
    let peer = SocketAddr::new(session.peer.ip(), port);
    // A follower behind address translation, or with several addresses, is known by its port when that is unique.
    let mut same_port = view.trackers.others().filter(|tracker| tracker.port == port);
    let by_port = same_port.next().filter(|_| same_port.next().is_none());
    let known = view.trackers.find(peer).or(by_port);
    let addr = known.ok_or(Refusal::new(Status::NOENT, "not in my tracker list"))?.first();
    session.follower = Some(addr);
    let (up_time, version) = (told.up_time.get(), *told.version.raw());
    request.shared.owner.tell(move |state, _| {
        let follower = Follower { up_time, version, last_ping: crate::now(), ..Follower::default() };
        state.followers.insert(addr, follower);
        // It may have led on the other side of a partition: the storages are told again who leads.
        state.trackers.tell_again();
    });
    // And storages may have joined there.
    request.shared.meetings.arrange(addr);
    Ok(())
}

/// Versions before 6.15.5 send no figures, and have not joined: they are known by their address, if one tracker has it.
fn ping(session: &mut Session, request: &Request<'_>, out: &mut BytesMut) -> Result<(), Stop> {
    let told = Ping::parse(&request.body)?;
    let view = request.shared.owner.view();
    if !view.trackers.leading() {
        return Err(Refusal::new(Status::OPNOTSUPP, "this tracker does not lead").into());
    }
    let mut here = view.trackers.others().filter(|tracker| tracker.ips.contains(&session.peer.ip()));
    let by_ip = here.next().filter(|_| told.is_none() && here.next().is_none());
    let addr = session
        .follower
        .or(by_ip.map(TrackerAddr::first))
        .ok_or(Refusal::new(Status::INVAL, "the connection has not joined as a tracker"))?;
    let connections = told.map(|told| told.connections.map(I32::get));
    if session.trunk_chg != view.trunk_chg {
        session.trunk_chg = view.trunk_chg;
        for (group, trunk_server) in view.cluster.groups().map(Group::trunk_pair) {
            out.put_slice(TrunkPair { group, trunk_server }.as_bytes());
        }
    }
    request.shared.owner.tell(move |state, _| {
        let follower = state.followers.entry(addr).or_default();
        follower.connections = connections.unwrap_or(follower.connections);
        follower.last_ping = crate::now();
    });
    Ok(())
}

/// The files as they are now, for this connection alone: nobody waits for its end.
fn files_start(session: &mut Session, request: &Request<'_>) -> Result<(), Stop> {
    exact(&request.body, 0)?;
    let view = request.shared.owner.view();
    if view.cluster.is_empty() {
        return Err(Refusal::new(Status::NOENT, "no group is known").into());
    }
    session.files = Some(SysFiles::of(request.shared));
    Ok(())
}

fn one_file(session: &Session, request: &Request<'_>, out: &mut BytesMut) -> Result<(), Stop> {
    let asked: SysFileRequest = fixed(&request.body)?;
    let bad = Refusal::new(Status::INVAL, "no such file or offset");
    let files = session.files.as_ref().map_or_else(|| SysFiles::of(request.shared), Arc::clone);
    let (size, piece) = files.piece(request.shared, asked.index, asked.offset.get()).ok_or(bad)?;
    SysFilePiece { size, piece: &piece }.put(out);
    Ok(())
}
