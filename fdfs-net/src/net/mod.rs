//! The network and the clock of the daemons: those of the machine, or with the feature `sim` simulated ones.
//!
//! Both sides offer the same names, so that a normal build has nothing but the machine's own types.

#[cfg(not(feature = "sim"))]
mod os;
#[cfg(feature = "sim")]
mod sim;

#[cfg(not(feature = "sim"))]
pub use os::unix_now;
#[cfg(not(feature = "sim"))]
pub(crate) use os::{OwnedReadHalf, OwnedWriteHalf, TcpStream, dial, nothing_to_read, send_file};
#[cfg(feature = "sim")]
pub(crate) use sim::{
    OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream, dial, nothing_to_read, same_clock, send_file,
};
#[cfg(feature = "sim")]
pub use sim::{Skew, unix_now, with_clock};

/// Bytes of a file that are asked of one call, so that one fast peer does not keep a worker for long.
pub const SLICE: u64 = 1 << 20;
