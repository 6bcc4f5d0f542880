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

use std::rc::Rc;
use std::sync::Arc;

use fdfs_net::{CancellationToken, same_clock};
use tokio_util::task::TaskTracker;

pub use answers::Answers;
pub use bootstrap::{Bootstrap, TrackerAddrs, resolve};
pub use calls::Calls;
pub use moved::report_move;
pub use trackers::Trackers;

use crate::storage::Storage;

/// Runs the conversations with all trackers, in local tasks, until `stop`.
pub async fn run(storage: &Arc<Storage>, calls: Calls, stop: &CancellationToken) {
    let trackers = Rc::new(Trackers::new(Arc::clone(storage), calls));
    let tasks = TaskTracker::new();
    for index in 0..trackers.count() {
        tasks.spawn_local(same_clock(session::keep(Rc::clone(&trackers), index, stop.clone())));
    }
    tasks.close();
    tasks.wait().await;
}
