//! The tracker's cluster state: groups, members, statuses, and who serves what (tracker 2-8).
//!
//! One owner applies events (`join`, `beat`, `disk_usage`, ...) with the time as an argument; what has to be
//! saved or logged comes back in [`Effects`]. A clone of [`Cluster`] is a cheap immutable snapshot, on which
//! the queries run. Only the rotation indexes ([`Cursor`]) are shared by all snapshots.

mod cause;
mod changes;
mod effects;
mod explain;
mod group;
mod identity;
mod join;
mod list;
mod members;
mod names;
mod negotiate;
pub mod persist;
mod reconcile;
mod reports;
mod rules;
mod select;
mod space;
mod trackers;
mod trunk;

pub use cause::Cause;
pub use effects::{Effects, Level, Note, Refusal};
pub use explain::{Facts, Verdict, verdict};
pub use group::{Cluster, Cursor, Group, GroupPort, MEMBERS_MAX, PathSpace, Storage};
pub use identity::{ChangeLine, change_log_line, storage_ids_page};
pub use join::Joined;
pub use names::FileFacts;
pub use reconcile::{Missed, Removals};
pub use rules::Rules;
pub use select::StoreChoice;
pub use trackers::{Leader, ListError, PeerStatus, TrackerAddr, Trackers, parse_lines, winner};
pub use trunk::{TrunkNeed, trunk_winner};

#[cfg(test)]
mod tests;
