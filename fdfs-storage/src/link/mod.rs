//! The trackers: start, join, beats, what they tell (storage 7, tracker 3).

mod answers;
mod bootstrap;
mod calls;
mod join;
mod merge;
mod moved;
mod refresh;
mod session;
mod trackers;

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use fdfs_net::CancellationToken;
use tokio::task::LocalSet;
use tokio_util::task::TaskTracker;

pub use answers::Answers;
pub use bootstrap::{Bootstrap, TrackerAddrs, resolve};
pub use calls::Calls;
pub use moved::report_move;
pub use trackers::Trackers;

use crate::storage::Storage;

/// Runs the conversations with all trackers, until `stop`. Blocks; has a thread and a runtime of its own, so that
/// nothing here can delay a request.
pub fn run(storage: &Arc<Storage>, calls: Calls, stop: &CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let trackers = Rc::new(Trackers::new(Arc::clone(storage), calls));
    let tasks = TaskTracker::new();
    for index in 0..trackers.count() {
        tasks.spawn_local_on(session::keep(Rc::clone(&trackers), index, stop.clone()), &local);
    }
    tasks.close();
    local.block_on(&runtime, tasks.wait());
    Ok(())
}
