//! What storages and administrators tell: requests that change the state (tracker 3 and 4).

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use fdfs_core::cluster::{Effects, Joined, Leader, Refusal, TrackerAddr, Trackers, TrunkNeed, parse_lines};
use fdfs_core::ident::StorageId;
use fdfs_core::wire::list::StatBlock;
use fdfs_core::wire::report::{
    Brief, IpChange, JoinAnswer, JoinHead, PathUsage, StatusReport, SyncSource, SyncSrcRequest, SyncedFrom,
};
use fdfs_core::wire::{BadMessage, Status, cmd};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::owner::State;
use crate::queries::{group_and_text, known_name, storage_id};
use crate::service::{Request, Session, Stop, exact};

/// Most bytes of the change log in one answer.
const CHANGELOG_MAX: u64 = 8182;

/// Answers; `None` when the command is none of these.
pub async fn answer(
    session: &mut Session,
    request: &Request<'_>,
    out: &mut BytesMut,
) -> Option<Result<(), Stop>> {
    Some(match request.cmd {
        cmd::STORAGE_JOIN => join(session, request, out).await,
        cmd::STORAGE_BEAT | cmd::REPORT_DISK_USAGE | cmd::SYNC_REPORT => report(session, request, out).await,
        cmd::SYNC_DEST_REQ | cmd::SYNC_NOTIFY | cmd::SYNC_SRC_REQ => negotiate(session, request, out).await,
        cmd::REPLICA_CHG | cmd::REPORT_STATUS | cmd::CHANGE_STATUS => statuses(session, request).await,
        cmd::REPORT_TRUNK_FID | cmd::REPORT_TRUNK_FREE => trunk(session, request).await,
        cmd::REPORT_IP_CHANGED => ip_changed(session, request).await,
        cmd::CHANGELOG_REQ => changelog(session, request, out).await,
        cmd::DELETE_STORAGE | cmd::DELETE_GROUP => delete(request).await,
        cmd::SET_TRUNK_SERVER => set_trunk(request, out).await,
        _ => return None,
    })
}

/// The whole body as one fixed layout.
pub fn fixed<T: FromBytes + KnownLayout + Immutable + Unaligned + Copy>(
    body: &[u8],
) -> Result<T, BadMessage> {
    let wrong = BadMessage::Length { got: body.len() as u64, want: "the fixed length of the command" };
    T::read_from_bytes(body).map_err(|_| wrong)
}

/// The whole body as entries of one layout.
fn entries<T: FromBytes + KnownLayout + Immutable + Unaligned + Clone>(
    body: &[u8],
) -> Result<Vec<T>, BadMessage> {
    let wrong = BadMessage::Length { got: body.len() as u64, want: "whole entries" };
    <[T]>::ref_from_bytes(body).map(<[T]>::to_vec).map_err(|_| wrong)
}

async fn join(session: &mut Session, request: &Request<'_>, out: &mut BytesMut) -> Result<(), Stop> {
    let (head, lines) = JoinHead::parse(&request.body)?;
    let head = *head;
    let told =
        parse_lines(lines, usize::try_from(head.tracker_count.get()).unwrap_or(0)).map_err(Refusal::from)?;
    let shared = Arc::clone(request.shared);
    let mut local = shared.bound.clone();
    local.push(session.local.ip());
    local.extend(head.tracker_ip.ip());
    crate::meet::fetch_if_new(&shared, &told, &local).await;
    let peer = session.peer.ip();
    let applied = shared.owner.apply({
        let shared = Arc::clone(&shared);
        move |state: &mut State, effects| -> Result<Joined, Refusal> {
            let added = state.trackers.merge(&told, &local, shared.port)?;
            if added > 0 {
                let total = state.trackers.list().len();
                tracing::info!("add {added} tracker servers, total tracker servers: {total}");
                shared.wake.notify_one();
            }
            // A tracker alone has nobody to agree with.
            if state.trackers.others().next().is_none() && state.trackers.set_leader(Leader::Myself) {
                tracing::info!("I am the new tracker leader {}", told_first(&state.trackers));
            }
            state.cluster.join(&shared.rules(), crate::now(), &head, peer, effects)
        }
    });
    let joined = applied.await??;
    if let Some(before) = session.joined.replace(joined).filter(|before| before.id != joined.id) {
        shared.owner.tell(move |state, effects| state.cluster.closed(&before, crate::now(), effects));
    }
    session.leader_chg = 0;
    let answer = JoinAnswer { status: joined.status.wire(), source_id: StorageId::field_of(joined.source) };
    out.put_slice(answer.as_bytes());
    Ok(())
}

/// This tracker's address for the log.
fn told_first(trackers: &Trackers) -> String {
    trackers.myself().map_or(String::new(), |me: &TrackerAddr| me.first().to_string())
}

/// A change by the joined storage, answered with what it has to know.
async fn report(session: &mut Session, request: &Request<'_>, out: &mut BytesMut) -> Result<(), Stop> {
    let who = session.storage()?;
    let (shared, body, command) = (Arc::clone(request.shared), request.body.clone(), request.cmd);
    let (peer, told) = (session.peer.ip(), session.leader_chg);
    let change = move |state: &mut State, effects: &mut Effects| -> Result<_, Refusal> {
        let (now, cluster) = (crate::now(), &mut state.cluster);
        match command {
            cmd::STORAGE_BEAT if body.is_empty() => cluster.beat(&who, now, None, effects)?,
            cmd::STORAGE_BEAT => {
                let stats: StatBlock = fixed(&body)?;
                cluster.beat(&who, now, Some(&stats), effects)?;
            }
            cmd::REPORT_DISK_USAGE => {
                cluster.disk_usage(&shared.rules(), &who, now, &entries::<PathUsage>(&body)?, effects)?;
            }
            _ => cluster.sync_report(&shared.rules(), &who, &entries::<SyncedFrom>(&body)?, now, effects)?,
        }
        if !state.trackers.leading() {
            return Ok((Default::default(), told));
        }
        let leader_chg = state.trackers.leader_chg;
        let leader = (told != leader_chg).then(|| state.trackers.leader_brief());
        Ok((state.cluster.changes(&who, peer, leader), leader_chg))
    };
    let (news, leader_chg) = request.shared.owner.apply(change).await??;
    session.leader_chg = leader_chg;
    news.put(out);
    Ok(())
}

async fn negotiate(session: &Session, request: &Request<'_>, out: &mut BytesMut) -> Result<(), Stop> {
    let owner = &request.shared.owner;
    let answer = match request.cmd {
        cmd::SYNC_DEST_REQ => {
            let who = session.storage()?;
            exact(&request.body, 0)?;
            owner
                .apply(move |state, effects| state.cluster.request_source(&who, crate::now(), effects))
                .await??
        }
        cmd::SYNC_NOTIFY => {
            let who = session.storage()?;
            let told: SyncSource = fixed(&request.body)?;
            owner
                .apply(move |state, effects| state.cluster.source_chosen(&who, &told, crate::now(), effects))
                .await??;
            None
        }
        _ => {
            let asked: SyncSrcRequest = fixed(&request.body)?;
            let group = known_name(asked.group.raw())?;
            let dest =
                storage_id(asked.dest_id.raw())?.ok_or(Refusal::new(Status::NOENT, "no storage id"))?;
            owner.apply(move |state, effects| state.cluster.source_of(&group, &dest, effects)).await??
        }
    };
    if let Some(source) = answer {
        out.put_slice(source.as_bytes());
    }
    Ok(())
}

async fn statuses(session: &Session, request: &Request<'_>) -> Result<(), Stop> {
    let (shared, owner) = (Arc::clone(request.shared), &request.shared.owner);
    match request.cmd {
        cmd::REPORT_STATUS => {
            let told = StatusReport::parse(&request.body)?;
            let group = known_name(told.group.raw())?;
            let change = move |state: &mut State, effects: &mut Effects| {
                state.cluster.report_status(&shared.rules(), &group, &told.brief, crate::now(), effects)
            };
            owner.apply(change).await??;
        }
        cmd::REPLICA_CHG => {
            let who = session.storage()?;
            let told = Brief::parse_any(&request.body)?;
            let change = move |state: &mut State, effects: &mut Effects| {
                let leads = state.trackers.leading();
                state.cluster.replica_changes(&shared.rules(), &who, &told, (leads, crate::now()), effects)
            };
            owner.apply(change).await??;
        }
        _ => {
            let who = session.storage()?;
            exact(&request.body, 1)?;
            let status = request.body.first().copied().unwrap_or(0);
            owner
                .apply(move |state, effects| state.cluster.change_status(&who, status, crate::now(), effects))
                .await??;
        }
    }
    Ok(())
}

async fn trunk(session: &Session, request: &Request<'_>) -> Result<(), Stop> {
    let who = session.storage()?;
    let (shared, body) = (Arc::clone(request.shared), request.body.clone());
    exact(&body, if request.cmd == cmd::REPORT_TRUNK_FID { 4 } else { 8 })?;
    let change =
        move |state: &mut State, effects: &mut Effects| match (body.first_chunk(), body.first_chunk()) {
            (_, Some(free)) => state.cluster.trunk_free(&shared.rules(), &who, i64::from_be_bytes(*free)),
            (Some(id), None) => state.cluster.trunk_file_id(&who, i32::from_be_bytes(*id), effects),
            (None, None) => Ok(()),
        };
    request.shared.owner.apply(change).await??;
    Ok(())
}

async fn ip_changed(session: &Session, request: &Request<'_>) -> Result<(), Stop> {
    let told = IpChange::parse(&request.body)?;
    let (group, shared) = (known_name(told.group.raw())?, Arc::clone(request.shared));
    if shared.rules().ids.is_some() {
        return Err(Refusal::new(Status::OPNOTSUPP, "addresses are not identities here").into());
    }
    let bad = Refusal::new(Status::INVAL, "bad address");
    let addrs = (told.old.ip().ok_or(bad)?, told.new.ip().ok_or(bad)?);
    if addrs.1 != session.peer.ip() {
        return Err(Refusal::new(Status::INVAL, "the new address is not the sender's").into());
    }
    let change = move |state: &mut State, effects: &mut Effects| {
        state.cluster.ip_changed(&shared.rules(), crate::now(), &group, addrs, effects)
    };
    request.shared.owner.apply_saved(change).await?;
    Ok(())
}

async fn changelog(session: &Session, request: &Request<'_>, out: &mut BytesMut) -> Result<(), Stop> {
    let (group, id) = match session.joined {
        Some(joined) => {
            exact(&request.body, 0)?;
            (joined.group, joined.id)
        }
        None => {
            exact(&request.body, 32)?;
            let (group, text) = group_and_text(&request.body, 16)?;
            (group, storage_id(text)?.ok_or(Refusal::new(Status::NOENT, "no storage id"))?)
        }
    };
    let (offset, size) = {
        let view = request.shared.owner.view();
        let storage = view.cluster.group(&group).and_then(|group| group.storage(&id));
        let storage = storage.ok_or(Refusal::new(Status::NOENT, "unknown storage"))?;
        (storage.changelog_offset, view.cluster.changelog_size)
    };
    if offset >= size {
        return Ok(());
    }
    let read = || {
        let lines = request.shared.dir.changelog(offset, CHANGELOG_MAX);
        lines.map_err(|_| Refusal::new(Status::IO, "the change log cannot be read"))
    };
    let mut lines = read()?;
    if (lines.len() as u64) < CHANGELOG_MAX.min(size - offset) {
        // Who asks has heard of a change whose line is on its way to the disk. One that takes nothing holds up nobody.
        let written = |_: &mut State, effects: &mut Effects| {
            effects.save = true;
            Ok(())
        };
        drop(request.shared.owner.apply_saved(written).await);
        lines = read()?;
    }
    // Whole lines only: a reader drops what is cut.
    lines.truncate(lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    let read_to = offset + lines.len() as u64;
    if !lines.is_empty() {
        let change = move |state: &mut State, effects: &mut Effects| {
            state.cluster.changelog_read(&group, &id, read_to, effects);
        };
        request.shared.owner.apply(change).await?;
    }
    out.put_slice(&lines);
    Ok(())
}

async fn delete(request: &Request<'_>) -> Result<(), Stop> {
    let owner = &request.shared.owner;
    if request.cmd == cmd::DELETE_GROUP {
        exact(&request.body, 16)?;
        let group = known_name(&request.body)?;
        owner.apply_saved(move |state, effects| state.cluster.delete_group(&group, effects)).await?;
        return Ok(());
    }
    if !(17..=31).contains(&request.body.len()) {
        return Err(Refusal::new(Status::INVAL, "wrong body length").into());
    }
    let (group, text) = group_and_text(&request.body, 15)?;
    let id = storage_id(text)?.ok_or(Refusal::new(Status::NOENT, "no storage id"))?;
    let change = move |state: &mut State, effects: &mut Effects| {
        state.cluster.delete_storage(crate::now(), &group, &id, effects)
    };
    owner.apply_saved(change).await?;
    Ok(())
}

async fn set_trunk(request: &Request<'_>, out: &mut BytesMut) -> Result<(), Stop> {
    let shared = Arc::clone(request.shared);
    let (group, text) = match request.body.len() {
        16..=31 => group_and_text(&request.body, 15),
        _ => Err(Refusal::new(Status::INVAL, "wrong body length")),
    }?;
    let wish = storage_id(text)?;
    let rules = shared.rules.load_full();
    let change = {
        let rules = Arc::clone(&rules);
        move |state: &mut State, effects: &mut Effects| -> Result<_, Refusal> {
            if !state.trackers.leading() || !rules.use_trunk {
                return Err(Refusal::new(Status::OPNOTSUPP, "not the leader, or trunk files are off"));
            }
            let Some(id) = state.cluster.trunk_choice(&group, wish)? else { return Ok(None) };
            Ok(Some((id, state.set_trunk_server(&rules, group, Some(id), effects))))
        }
    };
    let id = match request.shared.owner.apply(change).await?? {
        Some((id, line)) => {
            crate::trunk::note(&shared, line.unwrap_or_default());
            id
        }
        None => {
            let elected = crate::trunk::elect(&shared, &rules, group, TrunkNeed::Missing).await;
            elected.ok_or(Refusal::new(Status::NOENT, "no member can be trunk server"))?
        }
    };
    out.put_slice(id.bytes());
    out.put_u8(0);
    Ok(())
}
