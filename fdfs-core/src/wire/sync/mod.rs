//! What storages of one group send each other (replication 8).

mod copy;
mod delete;
mod own;
mod pair;
mod range;

pub use copy::SyncCopy;
pub use delete::SyncDelete;
pub use own::{Hello, HelloAnswer, Probe};
pub use pair::SyncPair;
pub use range::{SyncRange, SyncTruncate};

use super::BadMessage;
use super::storage::NAME_MAX;

/// Length of a name as announced: 1 to 127.
fn name_len(len: i64) -> Result<u8, BadMessage> {
    match u8::try_from(len) {
        Ok(len) if len > 0 && usize::from(len) <= NAME_MAX => Ok(len),
        _ => Err(BadMessage::Field("name length")),
    }
}
