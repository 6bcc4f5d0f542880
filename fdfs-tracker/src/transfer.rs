//! The data files for, and from, another tracker (tracker 7.6).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::cluster::persist::Files;
use fdfs_core::cluster::{Cluster, PeerStatus, TrackerAddr, Trackers, winner};
use fdfs_core::wire::cmd;
use fdfs_net::{CallError, Peer};
use tokio::sync::Mutex;

use crate::link::{Outcome, ask_all, connect};
use crate::service::Shared;

/// Most bytes of a file in one answer.
const PIECE: usize = 8173;
/// Most bytes that a file of another tracker may have.
const FILE_MAX: usize = 16 << 20;
/// Longest time that a JOIN waits for the files of another tracker.
const FETCH_TIME: Duration = Duration::from_secs(4);

/// Whether the files of another tracker were looked for.
#[derive(Debug, Default)]
pub struct Fetched(Mutex<bool>);

/// The four files as one tracker reads them from another.
#[derive(Debug)]
pub struct SysFiles([Vec<u8>; 4]);

impl SysFiles {
    /// The files as they would be saved now.
    pub fn of(cluster: &Cluster, shared: &Shared) -> Self {
        let files = cluster.to_files(shared.rules().ids.is_some());
        let changelog = shared.dir.changelog(0, FILE_MAX as u64).unwrap_or_default();
        Self([files.groups.into_bytes(), files.servers.into_bytes(), files.synced.into_bytes(), changelog])
    }

    /// Size of a file, and the next bytes from `offset` on.
    pub fn piece(&self, index: u8, offset: i64) -> Option<(i64, &[u8])> {
        let file = self.0.get(usize::from(index))?;
        let rest = file.get(usize::try_from(offset).ok()?..)?;
        Some((i64::try_from(file.len()).ok()?, rest.get(..PIECE).unwrap_or(rest)))
    }
}

/// A tracker without any group asks the others of its first JOIN for theirs, once, before it answers: a new member
/// must not be told that there is nothing to copy. When nobody answers in time, it goes on without.
pub async fn fetch_if_new(shared: &Arc<Shared>, told: &[TrackerAddr], local: &[IpAddr]) {
    if !shared.owner.view().cluster.is_empty() {
        return;
    }
    let mut done = shared.fetched.0.lock().await;
    if *done || !shared.owner.view().cluster.is_empty() {
        return;
    }
    *done = true;
    let mut list = Trackers::default();
    if list.merge(told, local, shared.port).is_err() {
        *done = false;
        return;
    }
    let others: Vec<TrackerAddr> = list.others().cloned().collect();
    if others.is_empty() {
        return;
    }
    match tokio::time::timeout(FETCH_TIME, fetch(shared, &others)).await {
        Ok(Some(())) => {}
        Ok(None) => tracing::info!("no other tracker has groups: starting without any"),
        Err(_) => {
            tracing::warn!("the files of the other trackers did not arrive in time: starting without them")
        }
    }
}

async fn fetch(shared: &Arc<Shared>, others: &[TrackerAddr]) -> Option<()> {
    let answers = ask_all(shared, others, cmd::TRACKER_GET_STATUS, Vec::new()).await;
    let with_groups: Vec<(TrackerAddr, PeerStatus)> = answers
        .into_iter()
        .filter_map(|(tracker, outcome)| match outcome {
            Outcome::Answered(body) => PeerStatus::decode(&body).map(|status| (tracker, status)),
            _ => None,
        })
        .collect();
    let best = winner(with_groups.iter().map(|(tracker, status)| (tracker, *status)))?;
    for addr in best.all() {
        match read_all(shared, addr).await {
            Ok(files) => {
                adopt(shared, &files, addr).await;
                return Some(());
            }
            Err(error) => tracing::warn!(%addr, %error, "the files of another tracker cannot be read"),
        }
    }
    None
}

async fn read_all(shared: &Shared, addr: SocketAddr) -> Result<Files, CallError> {
    let mut peer = connect(shared, addr).await?;
    peer.ask(cmd::TRACKER_GET_SYS_FILES_START, &[], 0).await?;
    let files = Files {
        groups: read_one(&mut peer, 0).await?,
        servers: read_one(&mut peer, 1).await?,
        synced: read_one(&mut peer, 2).await?,
    };
    peer.ask(cmd::TRACKER_GET_SYS_FILES_END, &[], 0).await?;
    Ok(files)
}

async fn read_one(peer: &mut Peer, index: u8) -> Result<String, CallError> {
    let mut made = Vec::new();
    loop {
        let mut request = [0; 9];
        request[0] = index;
        request[1..].copy_from_slice(&(made.len() as i64).to_be_bytes());
        let answer = peer.ask(cmd::TRACKER_GET_ONE_SYS_FILE, &request, 8 + PIECE).await?;
        let Some((size, piece)) = answer.split_first_chunk::<8>() else { break };
        made.extend_from_slice(piece);
        let size = usize::try_from(i64::from_be_bytes(*size)).unwrap_or(0).min(FILE_MAX);
        if piece.is_empty() || made.len() >= size {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&made).into_owned())
}

async fn adopt(shared: &Arc<Shared>, files: &Files, addr: SocketAddr) {
    let (theirs, wrong) = Cluster::from_files(&shared.rules(), files, 0);
    wrong.iter().for_each(|line| tracing::warn!("{line}"));
    let change = move |state: &mut crate::owner::State, effects: &mut fdfs_core::cluster::Effects| {
        effects.save = true;
        state.cluster.merge_unknown(theirs)
    };
    if let Ok(added) = shared.owner.apply(change).await {
        tracing::info!(added, "sys files loaded from tracker server {addr}");
    }
}
