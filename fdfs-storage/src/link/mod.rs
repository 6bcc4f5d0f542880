//! The trackers: start, join, beats, what they tell (storage 7, tracker 3).

mod bootstrap;
mod join;
mod merge;
mod session;
mod trackers;

use std::collections::HashSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use fdfs_core::ident::StorageStatus;
use fdfs_net::CancellationToken;
use tokio::task::LocalSet;
use tokio_util::task::TaskTracker;

pub use bootstrap::{Bootstrap, resolve};
pub use trackers::Trackers;

use crate::storage::Storage;
use crate::sync::send_to;

/// Runs the conversations with all trackers and the replication to all members, until `stop`. Blocks; has a thread
/// and a runtime of its own, so that nothing here can delay a request.
pub fn run(
    storage: &Arc<Storage>,
    trackers: Vec<std::net::SocketAddr>,
    stop: &CancellationToken,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let trackers = Rc::new(Trackers::new(Arc::clone(storage), trackers));
    let tasks = TaskTracker::new();
    for index in 0..trackers.count() {
        tasks.spawn_local_on(session::keep(Rc::clone(&trackers), index, stop.clone()), &local);
    }
    let senders = start_senders(Arc::clone(storage), Rc::clone(&trackers), stop.clone(), tasks.clone());
    tasks.spawn_local_on(senders, &local);
    tasks.close();
    local.block_on(&runtime, tasks.wait());
    Ok(())
}

/// Starts a sender for each member that shows up.
async fn start_senders(
    storage: Arc<Storage>,
    trackers: Rc<Trackers>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let mut changes = storage.members.follow();
    let running: Rc<std::cell::RefCell<HashSet<_>>> = Rc::default();
    loop {
        for member in storage.members.list().iter() {
            let gone = matches!(
                member.status,
                StorageStatus::Deleted | StorageStatus::IpChanged | StorageStatus::None
            );
            if member.id == storage.identity.id || gone || !running.borrow_mut().insert(member.id) {
                continue;
            }
            let (id, running) = (member.id, Rc::clone(&running));
            let sender = send_to(Arc::clone(&storage), id, Rc::clone(&trackers), stop.clone());
            tasks.spawn_local(async move {
                sender.await;
                running.borrow_mut().remove(&id);
            });
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.changed() => {}
        }
    }
}
