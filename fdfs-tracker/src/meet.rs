//! What this tracker missed, from the files of another (tracker 7.6, asking side): while it was down, or on the other side of a partition.
//!
//! A tracker without any group asks before it answers its first JOIN. All else happens in the background: at the start with every other
//! tracker, later between a leader and the one that begins to follow it, both ways.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fdfs_core::cluster::persist::Files;
use fdfs_core::cluster::{Cluster, PeerStatus, Removals, TrackerAddr, Trackers, winner};
use fdfs_core::wire::peer::{SysFilePiece, SysFileRequest};
use fdfs_core::wire::{Status, cmd};
use fdfs_net::{CallError, CancellationToken, Peer};
use tokio::sync::{Mutex, Notify};
use zerocopy::IntoBytes;

use crate::link::{Outcome, ask_all, connect};
use crate::owner::State;
use crate::service::Shared;
use crate::transfer::{CHANGELOG, PIECE};

/// Most bytes that a file of another tracker may have: twice that of 512 groups of 32 members.
const FILE_MAX: usize = 64 << 20;
/// Longest time that a JOIN waits for the files of another tracker.
const FETCH_TIME: Duration = Duration::from_secs(4);
/// Longest time that reading them takes in the background.
const MEET_TIME: Duration = Duration::from_secs(30);
/// Until a tracker that did not answer is asked again, and how often at most. Whoever is down then is met when it begins to follow.
const AGAIN: Duration = Duration::from_secs(2);
const TRIES: u32 = 3;

/// Whether the files of another tracker were looked for before the first JOIN was answered.
#[derive(Debug, Default)]
pub struct Fetched(Mutex<bool>);

#[cfg(test)]
impl Fetched {
    /// Nobody is asked any more.
    pub fn never(&mut self) {
        *self.0.get_mut() = true;
    }
}

/// The trackers whose files are to be read, and how often that was tried.
#[derive(Debug, Default)]
pub struct Meetings {
    waiting: std::sync::Mutex<Vec<(SocketAddr, u32)>>,
    wake: Notify,
}

impl Meetings {
    /// Reads the files of this tracker soon.
    pub fn arrange(&self, addr: SocketAddr) {
        self.put(addr, 0);
        self.wake.notify_one();
    }

    fn put(&self, addr: SocketAddr, tries: u32) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|(other, _)| *other == addr) {
            waiting.push((addr, tries));
        }
    }

    fn take(&self) -> Vec<(SocketAddr, u32)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Meets trackers until `stop`.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let work = async {
        loop {
            shared.meetings.wake.notified().await;
            meet_all(&shared).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

async fn meet_all(shared: &Arc<Shared>) {
    loop {
        let round = shared.meetings.take();
        if round.is_empty() {
            return;
        }
        let mut failed = false;
        for (addr, tries) in round {
            let error = match tokio::time::timeout(MEET_TIME, read_all(shared, addr)).await {
                Ok(Ok(read)) => {
                    adopt(shared, &read, addr).await;
                    continue;
                }
                // It has no groups yet.
                Ok(Err(error)) if error.status() == Some(Status::NOENT) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it takes too long".to_owned(),
            };
            if tries + 1 < TRIES {
                shared.meetings.put(addr, tries + 1);
                failed = true;
            } else {
                tracing::warn!(%addr, error, "the files of another tracker cannot be read");
            }
        }
        if failed {
            tokio::time::sleep(AGAIN).await;
        }
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
            Ok(read) => {
                adopt(shared, &read, addr).await;
                return Some(());
            }
            Err(error) => tracing::warn!(%addr, %error, "the files of another tracker cannot be read"),
        }
    }
    None
}

/// The files of another tracker, and its change log.
struct Read {
    files: Files,
    log: Vec<u8>,
}

async fn read_all(shared: &Shared, addr: SocketAddr) -> Result<Read, CallError> {
    let mut peer = connect(shared, addr).await?;
    peer.ask(cmd::TRACKER_GET_SYS_FILES_START, &[], 0).await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let files = Files {
        groups: read_one(&mut peer, 0).await.map(text)?,
        servers: read_one(&mut peer, 1).await.map(text)?,
        synced: read_one(&mut peer, 2).await.map(text)?,
    };
    let log = match read_one(&mut peer, CHANGELOG).await {
        // It has none: nobody was ever removed.
        Err(error) if error.status().is_some() => Vec::new(),
        log => log?,
    };
    peer.ask(cmd::TRACKER_GET_SYS_FILES_END, &[], 0).await?;
    Ok(Read { files, log })
}

async fn read_one(peer: &mut Peer, index: u8) -> Result<Vec<u8>, CallError> {
    let mut made = Vec::new();
    loop {
        let request = SysFileRequest { index, offset: (made.len() as i64).into() };
        let answer: Bytes = peer.ask(cmd::TRACKER_GET_ONE_SYS_FILE, request.as_bytes(), 8 + PIECE).await?;
        let Ok(SysFilePiece { size, piece }) = SysFilePiece::parse(&answer) else { break };
        made.extend_from_slice(piece);
        let size = usize::try_from(size).unwrap_or(0).min(FILE_MAX);
        if piece.is_empty() || made.len() >= size {
            break;
        }
    }
    Ok(made)
}

async fn adopt(shared: &Arc<Shared>, read: &Read, addr: SocketAddr) {
    let (theirs, wrong) = Cluster::from_files(&shared.rules(), &read.files, 0);
    wrong.iter().for_each(|line| tracing::warn!("{addr}: {line}"));
    let there = Removals::parse(&read.log);
    // The log of this tracker is short: a line per removal of years.
    let here = Removals::parse(&shared.dir.changelog(0, FILE_MAX as u64).unwrap_or_default());
    let change = move |state: &mut State, effects: &mut fdfs_core::cluster::Effects| {
        state.cluster.reconcile(theirs, &there, &here, effects)
    };
    if let Ok(missed) = shared.owner.apply(change).await {
        let (added, removed) = (missed.added, missed.removed);
        if added + removed > 0 {
            tracing::info!(added, removed, "sys files loaded from tracker server {addr}");
        } else {
            tracing::debug!("tracker server {addr} knows nothing that is not known here");
        }
    }
}
