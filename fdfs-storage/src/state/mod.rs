//! State that outlives the process: `.data_init_flag`, `storage_stat.dat`.

mod atomic_file;
mod init_flag;
mod stat;

pub use atomic_file::{clean, save};
pub use init_flag::InitFlag;
pub use stat::{SHARDS, Stat, read_saved, shard};
