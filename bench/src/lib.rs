//! What the measuring programs share: load, the CPU time of another process, and its system calls.

pub mod load;
pub mod process;
