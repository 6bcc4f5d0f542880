//! One accepted connection: buffered reads of bodies, gathered replies.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use fdfs_core::wire::{Header, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::ConnError;
use crate::net::{TcpStream, send_file};
use crate::timed::within;

/// Read buffer of a connection that is waiting for a request.
const IDLE_BUFFER: usize = 4 << 10;
/// Most that one read adds to the buffer.
const READ_STEP: usize = 64 << 10;
/// Replies of pipelined requests are written when they add up to this.
const OUT_STEP: usize = 64 << 10;
/// Most bytes that are kept for answers while a connection waits.
const IDLE_OUT: usize = 16 << 10;

/// One accepted connection on its worker thread.
///
/// Reads are buffered. Replies are gathered and written before the worker waits for more input, so that
/// pipelined requests share their writes.
pub struct Conn {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    input: BytesMut,
    out: BytesMut,
    timeout: Duration,
    max_body: usize,
    answered: Option<Status>,
}

impl Conn {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
        timeout: Duration,
        max_body: usize,
    ) -> Self {
        let input = BytesMut::with_capacity(IDLE_BUFFER);
        Self { stream, peer, local, input, out: BytesMut::new(), timeout, max_body, answered: None }
    }

    /// Address of the other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Address that was connected to.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Longest wait without progress.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Largest body that is read as a whole, in bytes.
    pub fn max_body(&self) -> u64 {
        self.max_body as u64
    }

    /// The whole body of `head`, at most the server's `buff_size`.
    pub async fn body(&mut self, head: &Header) -> Result<Bytes, ConnError> {
        let len = head.body().unwrap_or(u64::MAX);
        match usize::try_from(len) {
            Ok(len) if len <= self.max_body => self.take(len).await,
            _ => Err(ConnError::TooLong { len, max: self.max_body as u64 }),
        }
    }

    /// The next `n` bytes of the body, for its fixed part. `n` is bounded by the caller.
    pub async fn take(&mut self, n: usize) -> Result<Bytes, ConnError> {
        if n == 0 {
            return Ok(Bytes::new());
        }
        while self.input.len() < n {
            let missing = n - self.input.len();
            self.input.reserve(missing);
            self.fill().await?;
        }
        Ok(self.input.split_to(n).freeze())
    }

    /// As [`Conn::body`], if all of it has arrived.
    pub fn arrived_body(&mut self, head: &Header) -> Option<Bytes> {
        let len =
            usize::try_from(head.body()?).ok().filter(|len| *len <= self.max_body.min(self.input.len()))?;
        Some(if len == 0 { Bytes::new() } else { self.input.split_to(len).freeze() })
    }

    /// The next piece of a streamed body, 1 to `max` bytes: first what is buffered.
    pub async fn chunk(&mut self, max: usize) -> Result<Bytes, ConnError> {
        if self.input.is_empty() && max > 0 {
            self.input.reserve(max.min(READ_STEP));
            self.fill().await?;
        }
        let n = max.min(self.input.len());
        Ok(self.input.split_to(n).freeze())
    }

    /// Reads the next 1 to `buf.len()` bytes of a streamed body into `buf`: first what is buffered, then straight
    /// from the socket.
    pub async fn read_into(&mut self, buf: &mut [u8]) -> Result<usize, ConnError> {
        if !self.input.is_empty() {
            let n = buf.len().min(self.input.len());
            buf[..n].copy_from_slice(&self.input.split_to(n));
            return Ok(n);
        }
        self.flush().await?;
        match within(self.timeout, self.stream.read(buf)).await? {
            0 if !buf.is_empty() => Err(ConnError::Closed),
            n => Ok(n),
        }
    }

    /// Bytes of the body that have arrived and were not taken yet (they may belong to the next request as well).
    pub fn buffered(&self) -> &[u8] {
        &self.input
    }

    /// Reads and throws away the next `n` bytes.
    pub async fn discard(&mut self, n: u64) -> Result<(), ConnError> {
        let mut left = n;
        while left > 0 {
            let max = usize::try_from(left.min(READ_STEP as u64)).unwrap_or(READ_STEP);
            left -= self.chunk(max).await?.len() as u64;
        }
        Ok(())
    }

    /// A reply that is only a status.
    pub fn reply_status(&mut self, status: Status) {
        self.answered = Some(status);
        self.out.extend_from_slice(&Header::answer(status).encode());
    }

    /// A successful reply with this body.
    pub fn reply(&mut self, body: &[u8]) {
        self.out.reserve(Header::SIZE + body.len());
        self.reply_head(body.len() as u64);
        self.out.extend_from_slice(body);
    }

    /// The header of a successful reply; `len` bytes of body follow through [`Conn::out`] or [`Conn::send_file`].
    pub fn reply_head(&mut self, len: u64) {
        self.answered = Some(Status::OK);
        self.out.extend_from_slice(&Header::success(len).encode());
    }

    /// Leaves room for the header of a reply; its body follows through [`Conn::out`], then [`Conn::finish`].
    pub fn begin(&mut self) -> usize {
        let at = self.out.len();
        self.out.extend_from_slice(&[0; Header::SIZE]);
        at
    }

    /// Writes the header that [`Conn::begin`] left room for. With a status other than 0 the body is dropped.
    pub fn finish(&mut self, at: usize, status: Status) {
        if !status.is_ok() {
            self.out.truncate(at + Header::SIZE);
        }
        let len = self.out.len().saturating_sub(at + Header::SIZE);
        let head = if status.is_ok() { Header::success(len as u64) } else { Header::answer(status) };
        if let Some(field) = self.out.get_mut(at..at + Header::SIZE) {
            field.copy_from_slice(&head.encode());
        }
        self.answered = Some(status);
    }

    /// The status of the reply that began last; `None`: none since the last call.
    pub(crate) fn take_answered(&mut self) -> Option<Status> {
        self.answered.take()
    }

    /// What is going to be written.
    pub fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Writes the gathered replies.
    pub async fn flush(&mut self) -> Result<(), ConnError> {
        while !self.out.is_empty() {
            let sent = within(self.timeout, self.stream.write(&self.out)).await?;
            if sent == 0 {
                return Err(ConnError::Closed);
            }
            // The whole buffer at once is the rule: clearing keeps its memory, splitting would not.
            if sent == self.out.len() {
                self.out.clear();
            } else {
                drop(self.out.split_to(sent));
            }
        }
        Ok(())
    }

    /// Writes the gathered replies, then `len` bytes of `file` from `offset` with sendfile(2).
    ///
    /// When the file is shorter, the peer has been promised bytes that do not exist: the error ends the connection.
    pub async fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, len: u64) -> Result<(), ConnError> {
        self.send_file_with(file, offset, len, async |_, _| Ok(())).await
    }

    /// As [`Conn::send_file`]; before each piece but the first, of at most [`SLICE`](crate::SLICE) bytes, `ready(offset, len)` makes sure
    /// that it can be read without waiting for a disk.
    pub async fn send_file_with(
        &mut self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
        ready: impl AsyncFn(u64, u64) -> io::Result<()>,
    ) -> Result<(), ConnError> {
        send_file(&mut self.stream, &self.out, file, offset, len, self.timeout, ready).await?;
        self.out.clear();
        Ok(())
    }

    /// The next header if it is there, and there is no need to write the gathered replies first.
    pub(crate) fn arrived_header(&mut self) -> Option<Header> {
        let head = Header::peek(&self.input).filter(|_| self.out.len() < OUT_STEP)?;
        // Not split_to, which makes the buffer a shared one for nothing.
        self.input.advance(Header::SIZE);
        Some(head)
    }

    /// The next header if it is there or can be completed. `None`: closed between requests, by the peer or
    /// because `leave` is done.
    ///
    /// Waits without a limit for a first byte, unless `first` (nothing was ever asked); a header that has begun is
    /// bounded by the network timeout. `idle` is told when the wait for a first byte begins.
    pub(crate) async fn next_header(
        &mut self,
        first: bool,
        mut leave: Pin<&mut impl Future<Output = ()>>,
        idle: impl Fn(),
    ) -> Result<Option<Header>, ConnError> {
        loop {
            if self.out.len() >= OUT_STEP {
                self.flush().await?;
            }
            if let Some(head) = self.arrived_header() {
                return Ok(Some(head));
            }
            self.flush().await?;
            if !self.input.is_empty() {
                self.fill().await?;
                continue;
            }
            self.shrink();
            idle();
            let read = self.stream.read_buf(&mut self.input);
            let read = async { if first { within(self.timeout, read).await } else { Ok(read.await?) } };
            let got = tokio::select! {
                biased;
                got = read => got?,
                () = &mut leave => 0,
            };
            if got == 0 {
                return Ok(None);
            }
        }
    }

    /// Ends the connection so that what was written arrives: a socket closed over unread bytes would be reset.
    pub(crate) async fn close(&mut self) {
        const MOST: u64 = 16 << 20;
        const LONGEST: Duration = Duration::from_secs(2);
        if self.flush().await.is_err() || self.stream.shutdown().await.is_err() {
            return;
        }
        self.input.clear();
        let drain = async {
            let mut seen = 0;
            while seen < MOST {
                self.input.clear();
                self.input.reserve(READ_STEP);
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => seen += n as u64,
                }
            }
        };
        let _ = tokio::time::timeout(LONGEST, drain).await;
    }

    async fn fill(&mut self) -> Result<(), ConnError> {
        self.flush().await?;
        if self.input.capacity() == self.input.len() {
            self.input.reserve(IDLE_BUFFER);
        }
        match within(self.timeout, self.stream.read_buf(&mut self.input)).await? {
            0 => Err(ConnError::Closed),
            _ => Ok(()),
        }
    }

    /// A connection that waits holds little memory. A shared buffer remembers how large it was, so that it is not enough to take from it.
    fn shrink(&mut self) {
        if self.out.capacity() > IDLE_OUT {
            self.out = BytesMut::new();
        }
        self.input.reserve(IDLE_BUFFER);
        if self.input.capacity() > 2 * IDLE_BUFFER {
            self.input = BytesMut::with_capacity(IDLE_BUFFER);
        }
    }
}
