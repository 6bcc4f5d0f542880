//! What the measuring programs share: load, the CPU time of another process, and its system calls.

pub mod copy;
pub mod echo;
pub mod floor;
pub mod group;
pub mod load;
pub mod pipeline;
pub mod process;
pub mod storage;
pub mod tracker;
