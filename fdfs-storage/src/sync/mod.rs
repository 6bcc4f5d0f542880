//! Replication between the members of a group, both ends (replication 7 to 10).

mod agree;
mod fence;
mod lane;
mod mark;
mod pace;
mod peer;
mod probe;
mod progress;
mod receive;
mod request;
mod sender;
mod stream;
mod synced;
mod threads;

pub use fence::{Fence, Fences};
pub(crate) use pace::Rate;
pub(crate) use peer::{bind_addr, timeouts};
pub use progress::{Lag, Peers};
pub use receive::receive;
pub use synced::Synced;
pub use threads::run;
