//! Files that are not what their names say: found by reading them again, kept from being served, and replaced from
//! another member.

mod background;
mod check;
mod heal;
mod inventory;

pub use background::Scrubbed;
pub(crate) use background::run;
pub(crate) use check::is_old_crc;
pub use check::{Verdict, check};
pub(crate) use heal::repair;
pub use heal::{heal, quarantine};
pub(crate) use inventory::inventory;
