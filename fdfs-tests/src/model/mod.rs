//! What clients know of their files, beside what lies on the disks.

pub mod client;
pub mod disk;
pub mod random;
pub mod settle;
