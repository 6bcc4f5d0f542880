//! A thread for each peer: a slow peer or a cold disk delays no other.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use fdfs_core::ident::StorageId;
use fdfs_net::CancellationToken;
use tokio::task::LocalSet;

use super::sender::send_to;
use crate::link::Calls;
use crate::storage::Storage;

/// Replicates to all members that show up, until `stop`. Blocks.
pub fn run(storage: &Arc<Storage>, calls: &Calls, stop: &CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut running: HashMap<StorageId, JoinHandle<()>> = HashMap::new();
    let mut changes = storage.members.follow();
    while !stop.is_cancelled() {
        for member in storage.members.list().iter() {
            let ended = running.get(&member.id).is_none_or(JoinHandle::is_finished);
            if member.id == storage.identity.id || member.status.is_gone() || !ended {
                continue;
            }
            match start(storage, member.id, calls, stop) {
                Ok(thread) => drop(running.insert(member.id, thread)),
                Err(error) => {
                    tracing::error!(peer = %member.id, %error, "cannot start a thread for the peer")
                }
            }
        }
        runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = changes.changed() => {}
                // A sender that was about to end when its member came back is started again.
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            }
        });
    }
    for (peer, thread) in running {
        if thread.join().is_err() {
            tracing::error!(%peer, "a sending thread panicked");
        }
    }
    Ok(())
}

fn start(
    storage: &Arc<Storage>,
    peer: StorageId,
    calls: &Calls,
    stop: &CancellationToken,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (storage, calls, stop) = (Arc::clone(storage), calls.clone(), stop.clone());
    std::thread::Builder::new().name(format!("sync {peer}")).spawn(move || {
        let progress = storage.peers.enter(&peer);
        LocalSet::new().block_on(&runtime, send_to(&storage, &peer, &calls, &progress, &stop));
        storage.peers.leave(&peer);
    })
}
