//! A simulated network and clock: turmoil's.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};

pub(crate) use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
pub(crate) use turmoil::net::{TcpListener, TcpStream};

use super::SLICE;
use crate::error::ConnError;
use crate::timed::within;

/// Wall clock at the start of every simulation, Unix seconds.
const EPOCH: u64 = 1_750_000_000;
/// Seconds by which the wall clock of a simulated machine is ahead; may be changed at any time.
pub type Skew = Arc<AtomicI64>;

tokio::task_local! {
    static SKEW: Skew;
}

/// Runs `work` on a machine whose wall clock is ahead by `skew`.
pub async fn with_clock<T>(skew: Skew, work: impl Future<Output = T>) -> T {
    SKEW.scope(skew, work).await
}

/// Wraps a new task of the machine that the calling task runs on.
pub fn same_clock<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let skew = SKEW.try_with(Arc::clone).unwrap_or_default();
    SKEW.scope(skew, work)
}

/// Wall clock of the calling task's machine, since 1970.
pub fn unix_time() -> Duration {
    let skew = SKEW.try_with(|skew| skew.load(Relaxed)).unwrap_or_default();
    let now = EPOCH.saturating_add_signed(skew);
    Duration::from_secs(now) + turmoil::sim_elapsed().unwrap_or_default()
}

/// Runs `work` at once: a simulated machine waits for no disk.
pub async fn blocking<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    work()
}

/// Connects to `addr`. A simulated machine has one address, so there is none to choose.
pub(crate) async fn dial(addr: SocketAddr, _bind: Option<IpAddr>) -> io::Result<TcpStream> {
    TcpStream::connect(addr).await
}

/// A simulated connection cannot be asked: it is taken as good until it fails.
pub(crate) fn nothing_to_read(_stream: &OwnedReadHalf) -> bool {
    true
}

/// Sends `head`, then `len` bytes of `file` from `offset`, by way of a buffer.
pub(crate) async fn send_file(
    stream: &mut (impl AsyncWrite + Unpin),
    head: &[u8],
    file: BorrowedFd<'_>,
    offset: u64,
    len: u64,
    limit: Duration,
    ready: impl AsyncFn(u64, u64) -> io::Result<()>,
) -> Result<(), ConnError> {
    within(limit, stream.write_all(head)).await?;
    let mut buf = vec![0; usize::try_from(len.min(SLICE)).unwrap_or(0)];
    let (mut at, mut left) = (offset, len);
    while left > 0 {
        let most = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let got = rustix::io::pread(file, &mut buf[..most], at).map_err(io::Error::from)?;
        if got == 0 {
            return Err(ConnError::FileShort { missing: left });
        }
        within(limit, stream.write_all(&buf[..got])).await?;
        at += got as u64;
        left -= got as u64;
        if left > 0 {
            ready(at, left.min(SLICE)).await?;
        }
    }
    Ok(())
}
