//! The network and the clock of the daemons: those of the machine, or with the feature `sim` simulated ones.
//!
//! Both sides offer the same names, so that a normal build has nothing but the machine's own types.

#[cfg(not(feature = "sim"))]
mod os;
#[cfg(feature = "sim")]
mod sim;

#[cfg(not(feature = "sim"))]
pub(crate) use os::{OwnedReadHalf, OwnedWriteHalf, TcpStream, dial, nothing_to_read, send_file};
#[cfg(not(feature = "sim"))]
pub use os::{blocking, same_clock, unix_time};
#[cfg(feature = "sim")]
pub(crate) use sim::{
    OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream, dial, nothing_to_read, send_file,
};
#[cfg(feature = "sim")]
pub use sim::{Skew, blocking, same_clock, unix_time, with_clock};

/// Wall clock, Unix seconds.
pub fn unix_now() -> i64 {
    i64::try_from(unix_time().as_secs()).unwrap_or(i64::MAX)
}

/// Bytes of a file that are asked of one call, so that one fast peer does not keep a worker for long.
pub const SLICE: u64 = 1 << 20;
