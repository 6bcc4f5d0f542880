//! The machine's own network and clock.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use tokio::io::Interest;
use tokio::net::TcpSocket;

pub(crate) use tokio::net::TcpStream;
pub(crate) use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::SLICE;
use crate::error::ConnError;
use crate::timed::within;

/// Wall clock, since 1970.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Wraps a new task of the machine that the calling task runs on: here there is one machine.
pub fn same_clock<F: Future>(work: F) -> F {
    work
}

/// Runs `work`, which may wait for a disk, on a thread that may wait.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Connects to `addr`, from the local address `bind` if it is of the same family.
pub(crate) async fn dial(addr: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(ip) = bind.filter(|ip| !ip.is_unspecified() && ip.is_ipv4() == addr.is_ipv4()) {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    let stream = socket.connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether the connection is open and nothing has arrived on it; takes a byte if one has.
pub(crate) fn nothing_to_read(stream: &OwnedReadHalf) -> bool {
    let mut byte = [0; 1];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// What sendfile(2) can write to.
pub(crate) trait Socket {
    /// The whole connection.
    fn whole(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn whole(&self) -> &TcpStream {
        self
    }
}

impl Socket for OwnedWriteHalf {
    fn whole(&self) -> &TcpStream {
        self.as_ref()
    }
}

/// Sends `head`, then `len` bytes of `file` from `offset`. `head` leaves in the same segments as the content.
pub(crate) async fn send_file(
    stream: &mut impl Socket,
    head: &[u8],
    file: BorrowedFd<'_>,
    offset: u64,
    len: u64,
    limit: Duration,
    ready: impl AsyncFn(u64, u64) -> io::Result<()>,
) -> Result<(), ConnError> {
    let stream = stream.whole();
    let flags = if len > 0 { MORE } else { rustix::net::SendFlags::NOSIGNAL };
    let mut head = head;
    while !head.is_empty() {
        let sent = within(
            limit,
            stream.async_io(Interest::WRITABLE, || Ok(rustix::net::send(stream.as_fd(), head, flags)?)),
        )
        .await?;
        head = &head[sent..];
    }
    let (mut at, mut left) = (offset, len);
    let mut ready_to = offset.saturating_add(SLICE);
    while left > 0 {
        let count =
            usize::try_from(left.min(ready_to.saturating_sub(at)).min(SLICE)).unwrap_or(SLICE as usize);
        let mut from = at;
        let once = || -> io::Result<usize> {
            Ok(rustix::fs::sendfile(stream.as_fd(), file, Some(&mut from), count)?)
        };
        let sent = within(limit, async_sendfile(stream, once)).await?;
        if sent == 0 {
            return Err(ConnError::FileShort { missing: left });
        }
        at += sent as u64;
        left -= sent as u64;
        if left > 0 {
            if at >= ready_to {
                ready(at, left.min(SLICE)).await?;
                ready_to = at + SLICE;
            }
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

const MORE: rustix::net::SendFlags = rustix::net::SendFlags::MORE.union(rustix::net::SendFlags::NOSIGNAL);

async fn async_sendfile(stream: &TcpStream, once: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    stream.async_io(Interest::WRITABLE, once).await
}
