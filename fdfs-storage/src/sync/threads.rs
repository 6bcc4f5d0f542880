//! A part for each peer: a slow peer or a cold disk delays no other.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::ident::StorageId;
use fdfs_net::{CancellationToken, Part};

use super::sender::send_to;
use crate::link::Calls;
use crate::storage::Storage;

/// Replicates to all members that show up, until `stop`.
pub async fn run(storage: &Arc<Storage>, calls: &Calls, stop: &CancellationToken) {
    let mut running: HashMap<StorageId, Part<()>> = HashMap::new();
    let mut changes = storage.members.follow();
    while !stop.is_cancelled() {
        for member in storage.members.list().iter() {
            let ended = running.get(&member.id).is_none_or(Part::is_finished);
            if member.id == storage.identity.id || member.status.is_gone() || !ended {
                continue;
            }
            match start(storage, member.id, calls, stop) {
                Ok(part) => drop(running.insert(member.id, part)),
                Err(error) => {
                    tracing::error!(peer = %member.id, %error, "cannot start a thread for the peer")
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            _ = changes.changed() => {}
            // A sender that was about to end when its member came back is started again.
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    for (peer, part) in running {
        if part.ended().await.is_none() {
            tracing::error!(%peer, "a sending thread panicked");
        }
    }
}

fn start(
    storage: &Arc<Storage>,
    peer: StorageId,
    calls: &Calls,
    stop: &CancellationToken,
) -> io::Result<Part<()>> {
    let (storage, calls, stop) = (Arc::clone(storage), calls.clone(), stop.clone());
    Part::start(format!("sync {peer}"), move || async move {
        let progress = storage.peers.enter(&peer);
        send_to(&storage, &peer, &calls, &progress, &stop).await;
        storage.peers.leave(&peer);
    })
}
