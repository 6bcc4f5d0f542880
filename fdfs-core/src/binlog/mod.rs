//! Replication log and progress marks as text (replication 2 and 3).

mod mark;
mod record;
mod window;

pub use mark::{BadMark, Mark, Pos};
pub use record::{BadRecord, Op, Record};
pub use window::{Ticket, Window};
