//! Replication between the members of a group, both ends (replication 7 to 10).

mod mark;
mod push;
mod receive;
mod sender;
mod synced;

pub(crate) use push::{bind_addr, timeouts};
pub use receive::receive;
pub use sender::send_to;
pub use synced::Synced;
