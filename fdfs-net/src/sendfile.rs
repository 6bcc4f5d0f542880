//! A file's bytes to a socket without a copy in this process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::error::ConnError;
use crate::timed::within;

/// Bytes asked of one call, so that one fast peer does not keep a worker for long.
const SLICE: u64 = 1 << 20;

/// Sends `head`, then `len` bytes of `file` from `offset`. `head` leaves in the same segments as the content.
pub(crate) async fn send_file(
    stream: &TcpStream,
    head: &[u8],
    file: BorrowedFd<'_>,
    offset: u64,
    len: u64,
    limit: Duration,
) -> Result<(), ConnError> {
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
    while left > 0 {
        let count = usize::try_from(left.min(SLICE)).unwrap_or(SLICE as usize);
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
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

const MORE: rustix::net::SendFlags = rustix::net::SendFlags::MORE.union(rustix::net::SendFlags::NOSIGNAL);

async fn async_sendfile(stream: &TcpStream, once: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    stream.async_io(Interest::WRITABLE, once).await
}
