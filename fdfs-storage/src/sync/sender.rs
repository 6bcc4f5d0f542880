//! Replication to one peer, for as long as it is a member (replication 7).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::ident::{StorageId, StorageStatus};
use fdfs_core::wire::Status;
use fdfs_net::{CallError, CancellationToken, unix_time};
use tokio::time::Instant;

use super::agree::agree;
use super::mark;
use super::pace;
use super::peer::{connect, hello};
use super::progress::Progress;
use super::stream::Stream;
use crate::link::Calls;
use crate::storage::Storage;

const BACK_OFF: Duration = Duration::from_millis(20);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// A peer without space, or with a failing disk, is tried again after this time.
const PEERS_TROUBLE: Duration = Duration::from_secs(10);
/// Whether a peer is of this implementation is asked again after this time.
const HELLO_AGAIN: Duration = Duration::from_secs(300);

/// Why a turn ended without an error.
pub enum End {
    /// No member any more.
    Gone,
    /// It may not be sent to now.
    NotActive,
}

/// Why a turn was interrupted.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection to the peer, or a question to a tracker.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The own disk.
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
    /// The peer refuses everything.
    #[error("the peer refuses everything: {}", .0.text())]
    Refusing(Status),
}

/// What is known of the peer between turns.
#[derive(Default)]
struct Known {
    /// It does not know HELLO; since when.
    foreign: Option<Instant>,
    /// Number of the latest stream.
    stream: u64,
}

/// Sends everything to `peer` for as long as it is a member.
pub async fn send_to(
    storage: &Arc<Storage>,
    peer: &StorageId,
    calls: &Calls,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) {
    let mut back_off = BACK_OFF;
    let mut said = String::new();
    let mut known = Known::default();
    // What was left by the process before is behind already, connected or not.
    if let Ok(Some(mark)) = mark::load(storage, peer) {
        let counted = storage.binlog.records();
        if let Ok((records, log_bytes)) = storage.binlog.behind(mark.pos) {
            progress.update(|lag| {
                *lag =
                    super::Lag { confirmed: mark.pos, records, log_bytes, counted, ..super::Lag::default() };
            });
        }
    }
    loop {
        let began = Instant::now();
        let ended = tokio::select! {
            ended = turn(storage, peer, calls, progress, stop, &mut known) => ended,
            () = stop_late(stop) => return,
        };
        progress.update(|lag| lag.connected = false);
        let mut trouble = None;
        match ended {
            Ok(End::Gone) => {
                mark::retire(storage, peer);
                return tracing::info!(%peer, "no member any more, replication to it ends");
            }
            Ok(End::NotActive) => said.clear(),
            Err(error) => {
                let text = error.to_string();
                // A peer that stays away is one line, not one a second.
                if text != said {
                    tracing::warn!(%peer, "replication is interrupted: {text}");
                    said.clone_from(&text);
                }
                progress.update(|lag| lag.error = Some(text));
                if matches!(error, Broken::Refusing(_)) {
                    trouble = Some(PEERS_TROUBLE);
                }
            }
        }
        back_off = if began.elapsed() > BACK_OFF_MAX { BACK_OFF } else { (back_off * 2).min(BACK_OFF_MAX) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(trouble.unwrap_or(back_off)) => {}
        }
    }
}

/// A turn ends by itself when told to stop, unless a peer or a tracker holds it up.
async fn stop_late(stop: &CancellationToken) {
    const GRACE: Duration = Duration::from_secs(4);
    stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

/// From a member that may be sent to, until it may not be, or something breaks.
async fn turn(
    storage: &Arc<Storage>,
    peer: &StorageId,
    calls: &Calls,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
    known: &mut Known,
) -> Result<End, Broken> {
    let mut changes = storage.members.follow();
    let status = loop {
        match storage.members.get(peer).map(|member| member.status) {
            None => return Ok(End::Gone),
            Some(status) if status.is_gone() => return Ok(End::Gone),
            Some(status @ (StorageStatus::WaitSync | StorageStatus::Syncing | StorageStatus::Active))
                if pace::is_open(&storage.schedule.load()) =>
            {
                break status;
            }
            Some(status) => {
                progress.update(|lag| {
                    let why = || match status {
                        StorageStatus::WaitSync | StorageStatus::Syncing | StorageStatus::Active => {
                            "outside of sync_start_time to sync_end_time".to_owned()
                        }
                        status => format!("its status is {}", status.name()),
                    };
                    lag.error.get_or_insert_with(why);
                });
                tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(BACK_OFF_MAX) => {}
                    () = stop.cancelled() => return Ok(End::NotActive),
                }
            }
        }
    };
    let Some(member) = storage.members.get(peer) else { return Ok(End::Gone) };
    // Known to be reachable before anything is asked of a tracker or said to one.
    let mut first = connect(storage, member.addr).await?;
    known.stream = u64::try_from(unix_time().as_micros()).unwrap_or(0).max(known.stream + 1);
    let mut own = None;
    if known.foreign.is_none_or(|since| since.elapsed() > HELLO_AGAIN) {
        own = hello(storage, &mut first, known.stream).await?;
        if let Some(answer) = own.filter(|answer| answer.stream.get() > known.stream) {
            // The clock was ahead when an earlier stream began.
            known.stream = answer.stream.get() + 1;
            own = hello(storage, &mut first, known.stream).await?;
        }
        known.foreign = None;
        if own.is_none() {
            known.foreign = Some(Instant::now());
            first = connect(storage, member.addr).await?;
        }
    }
    let born = own.map(|answer| answer.born.get());
    let start = agree(storage, peer, calls, status, born).await?;
    if !start.mark.need_sync_old && status != StorageStatus::Active {
        // Another member brings it the old files; ours follow when it is active.
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(BACK_OFF_MAX) => {}
            () = stop.cancelled() => {}
        }
        return Ok(End::NotActive);
    }
    if status != StorageStatus::Active && start.mark.sync_old_done {
        // This process, or the one before, ended between the last file and its report.
        calls.report_status(peer, member.addr, StorageStatus::Offline).await;
        storage.members.set_status(peer, StorageStatus::Offline);
        return Ok(End::NotActive);
    }
    if status == StorageStatus::WaitSync {
        calls.report_status(peer, member.addr, StorageStatus::Syncing).await;
        storage.members.set_status(peer, StorageStatus::Syncing);
    }
    let full_copy = start.mark.need_sync_old && !start.mark.sync_old_done;
    tracing::info!(%peer, addr = %member.addr, pos = %start.mark.pos, full_copy, pipelined = own.is_some(),
        "replication starts");
    let number = own.map(|_| known.stream);
    let mut stream = Stream::new(storage, peer, member.addr, start, number, first, progress)?;
    let ended = stream.run(calls, stop).await;
    let saved = stream.save().await;
    let ended = ended?;
    saved?;
    Ok(ended)
}
