//! A store path that lost its files gets them back from another member (replication 11).
//!
//! The daemon serves meanwhile; to the trackers it is in RECOVERY, so that they send no reader here, and joins when the
//! path is whole. What changes at others in that time arrives by replication afterwards.

mod fetch;
mod files;
mod list;
mod serve;
mod source;
mod state;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::fileid::StorePath;
use fdfs_core::ident::StorageStatus;
use fdfs_net::CancellationToken;

pub(crate) use files::download;
pub(crate) use serve::serve;

use crate::link::Calls;
use crate::storage::Storage;
use source::Group;
use state::State;

/// Between two attempts to find a member that has the files.
const AGAIN: Duration = Duration::from_secs(1);

/// Brings back every store path that needs it, or returns when told to stop: the next start goes on.
pub async fn run(storage: &Arc<Storage>, calls: &Calls, stop: &CancellationToken) -> io::Result<()> {
    let wanted: Vec<StorePath> = storage.paths.indexes().filter(|path| is_wanted(storage, *path)).collect();
    for path in wanted {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            done = recover(storage, calls, path) => done?,
        }
    }
    Ok(())
}

/// Whether its directories had to be made although this storage had its files once, or a recovery was interrupted.
fn is_wanted(storage: &Storage, path: StorePath) -> bool {
    State::exists(storage, path) || (storage.paths.is_fresh(path) && storage.init().sync_old_done)
}

async fn recover(storage: &Arc<Storage>, calls: &Calls, path: StorePath) -> io::Result<()> {
    let mut state = State::open(storage, path)?;
    let base = storage.paths.base(path).display();
    tracing::warn!(path = %base, "the store path has lost its files: they come from another member");
    let mut said = String::new();
    loop {
        match attempt(storage, calls, &mut state).await {
            Ok(Ended::Done { files, missing }) => {
                tracing::info!(path = %base, files, missing, "the store path is recovered");
                break;
            }
            Ok(Ended::NothingToDo(why)) => {
                tracing::info!(path = %base, "nothing to recover: {why}");
                break;
            }
            Err(error) => {
                let text = error.to_string();
                if text != said {
                    tracing::warn!(path = %base, "recovery waits: {text}");
                    said = text;
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
    if let Some(status) = state.saved_status() {
        report(storage, calls, status).await;
    }
    state.remove()
}

/// How a recovery ended.
enum Ended {
    Done { files: u64, missing: u64 },
    NothingToDo(&'static str),
}

/// Why an attempt was interrupted; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error(transparent)]
    Call(#[from] fdfs_net::CallError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Source(String),
}

async fn attempt(storage: &Arc<Storage>, calls: &Calls, state: &mut State) -> Result<Ended, Broken> {
    let group = Group::ask(storage, calls).await?;
    match group.own_status {
        None | Some(StorageStatus::Init | StorageStatus::IpChanged | StorageStatus::Deleted) => {
            return Ok(Ended::NothingToDo("the trackers do not know this storage as a member with files"));
        }
        Some(status) => state.save_status(status)?,
    }
    if group.others == 0 {
        return Ok(Ended::NothingToDo("the group has no other member"));
    }
    if group.paths > 0 && state.path.index() >= group.paths {
        return Ok(Ended::NothingToDo("the group has no such store path yet"));
    }
    report(storage, calls, StorageStatus::Recovery).await;
    if group.sources.is_empty() {
        return Err(Broken::Source("no other member is active".into()));
    }
    if !state.is_fetched() {
        fetch::fetch(storage, state, &group).await?;
    }
    list::distribute(storage, state)?;
    files::all(storage, state, &group).await
}

async fn report(storage: &Arc<Storage>, calls: &Calls, status: StorageStatus) {
    let ip = storage.identity.ips.first().copied();
    let addr = std::net::SocketAddr::new(ip.unwrap_or([0, 0, 0, 0].into()), storage.identity.port);
    calls.report_status(&storage.identity.id, addr, status).await;
}
