//! Join, and the negotiation of who brings the old files (replication 6.2).

use fdfs_core::ident::{StorageId, StorageStatus};
use fdfs_core::wire::report::{JoinAnswer, JoinHead, SyncSource};
use fdfs_core::wire::{Status, Text, cmd};
use fdfs_net::{CallError, CallErrorKind, Peer};
use zerocopy::byteorder::big_endian::I64;
use zerocopy::{FromBytes, IntoBytes};

use super::calls::source;
use super::trackers::Trackers;

/// The version that peers and tools are told: the one whose protocol this is.
pub(crate) const VERSION: &str = "6.16.1";

/// Joins and settles the source of the old files. Answers whether the tracker knows that source: see [`notify`].
pub(super) async fn join(trackers: &Trackers, index: usize, tracker: &mut Peer) -> Result<bool, CallError> {
    let body = join_body(trackers, index);
    let answer = tracker.ask(cmd::STORAGE_JOIN, &body, 64).await;
    // A refusal is an answer too: a tracker that does not know us while no other one can tell it must be asked again.
    if answer.as_ref().err().is_none_or(|error| error.status().is_some()) {
        trackers.joined.borrow_mut()[index] = true;
    }
    let answer = answer?;
    let answer = JoinAnswer::read_from_bytes(&answer).map_err(|_| CallError {
        addr: tracker.addr(),
        doing: "join",
        kind: CallErrorKind::BadAnswer("not 17 bytes".into()),
    })?;
    let status = StorageStatus::from_wire(answer.status).ok();
    trackers.statuses.borrow_mut()[index] = status;
    tracing::info!(tracker = %tracker.addr(), status = status.map_or("?", StorageStatus::name), "joined");
    if let Some(status) = negotiate(trackers, tracker).await? {
        trackers.statuses.borrow_mut()[index] = Some(status);
    }
    notify(trackers, index, tracker).await
}

/// Tells a tracker who brings the old files (command 88).
///
/// Every tracker is told, since any of them may lead later. One that does not know the source yet answers 2, which is
/// `false` here: it is to be told again, or this storage would stay INIT for ever once that tracker leads. A source that
/// the leader does not know is gone, and forgotten.
pub(super) async fn notify(trackers: &Trackers, index: usize, tracker: &mut Peer) -> Result<bool, CallError> {
    let storage = &trackers.storage;
    let init = storage.init();
    let id =
        StorageId::new(init.sync_src_server.as_bytes()).ok().filter(|_| !init.sync_src_server.is_empty());
    let notice =
        SyncSource { source_id: StorageId::field_of(id), until: I64::new(init.sync_until_timestamp) };
    let reply = tracker.call(cmd::SYNC_NOTIFY, 0, notice.as_bytes(), 64).await?;
    match reply.status {
        Status::OK => tell_lost(trackers, index, tracker).await.map(|()| true),
        Status::NOENT if Some(trackers.addr(index)) == trackers.leader() => {
            tracing::warn!(source = init.sync_src_server, "the source of the old files is gone");
            save(storage.update_init(|init| init.sync_src_server.clear()));
            Ok(false)
        }
        Status::NOENT => Ok(false),
        status => Err(CallError {
            addr: tracker.addr(),
            doing: "tell the sync source",
            kind: CallErrorKind::Status(status),
        }),
    }
}

/// A storage that has lost its data is known to the other trackers as one that has everything: they must not send
/// readers here before it is filled again.
async fn tell_lost(trackers: &Trackers, index: usize, tracker: &mut Peer) -> Result<(), CallError> {
    use StorageStatus::{Active, Offline, Online, Recovery, WaitSync};
    let theirs = trackers.statuses.borrow()[index];
    let filled = trackers.storage.members.get(&trackers.storage.identity.id);
    let filled = filled.is_some_and(|member| matches!(member.status, Active | Offline | Online));
    if !trackers.is_empty.get() || filled || !matches!(theirs, Some(Active | Offline | Online | Recovery)) {
        return Ok(());
    }
    tracing::warn!(tracker = %tracker.addr(), "the tracker is told that this storage waits for its files");
    tracker.ask(cmd::CHANGE_STATUS, &[WaitSync.wire()], 64).await?;
    trackers.statuses.borrow_mut()[index] = Some(WaitSync);
    Ok(())
}

/// Once in the life of a storage. Answers what this storage is to this tracker then.
async fn negotiate(trackers: &Trackers, tracker: &mut Peer) -> Result<Option<StorageStatus>, CallError> {
    let storage = &trackers.storage;
    let _alone = trackers.negotiation.lock().await;
    if storage.init().sync_old_done {
        return Ok(None);
    }
    let body = tracker.ask(cmd::SYNC_DEST_REQ, b"", 64).await?;
    let found = source(&body);
    match &found {
        Some((id, until)) => tracing::info!(source = %id, until, "old files come from another member"),
        None => tracing::info!("no other member has old files"),
    }
    save(storage.update_init(|init| {
        init.sync_old_done = true;
        init.sync_src_server = found.map_or_else(String::new, |(id, _)| id.as_str().to_owned());
        init.sync_until_timestamp = found.map_or(0, |(_, until)| until);
    }));
    trackers.is_empty.set(found.is_some());
    Ok(Some(if found.is_some() { StorageStatus::WaitSync } else { StorageStatus::Online }))
}

fn save(done: std::io::Result<()>) {
    if let Err(error) = done {
        // Asked again after the next start.
        tracing::error!("{error}");
    }
}

fn join_body(trackers: &Trackers, index: usize) -> Vec<u8> {
    let storage = &trackers.storage;
    let (identity, init) = (&storage.identity, storage.init());
    let number = |n: u64| I64::new(i64::try_from(n).unwrap_or(i64::MAX));
    let with_ids = storage.params.load().use_storage_id;
    let head = JoinHead {
        group: Text::cut(identity.group.bytes()),
        port: number(u64::from(identity.port)),
        store_path_count: number(storage.paths.count() as u64),
        subdir_count: number(u64::from(storage.settings.subdir_count_per_path)),
        upload_priority: I64::new(i64::from(storage.settings.upload_priority)),
        join_time: I64::new(init.join_time),
        up_time: I64::new(identity.up_time),
        version: Text::cut(VERSION.as_bytes()),
        init_flag: u8::from(!init.sync_old_done),
        status: own_status(trackers),
        id: StorageId::field_of(Some(identity.id).filter(|_| with_ids)),
        tracker_ip: Text::cut(trackers.addr(index).ip().to_string().as_bytes()),
        tracker_count: number(trackers.count() as u64),
    };
    let mut body = head.as_bytes().to_vec();
    for addr in trackers.addrs() {
        body.extend_from_slice(format!("{}\n", trackers.line(*addr)).as_bytes());
    }
    body
}

/// As the leader told it; -1, "do not create me", while another tracker may still know better.
fn own_status(trackers: &Trackers) -> i8 {
    let storage = &trackers.storage;
    if let Some(member) = storage.members.get(&storage.identity.id) {
        return member.status.wire().cast_signed();
    }
    let all_asked = trackers.count() == 1 || trackers.joined.borrow().iter().all(|joined| *joined);
    if all_asked { 0 } else { -1 }
}
