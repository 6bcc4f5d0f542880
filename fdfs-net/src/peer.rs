//! A connection to another server.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fdfs_core::wire::{Header, Status, cmd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::{CallError, CallErrorKind, ConnError};
use crate::net::{OwnedReadHalf, OwnedWriteHalf, dial, nothing_to_read, send_file};
use crate::timed::within;

/// Most that one read adds to the buffer.
const READ_STEP: usize = 64 << 10;

/// How long to wait for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection.
    pub connect: Duration,
    /// For one read or write without progress.
    pub network: Duration,
}

/// An answer with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status of the header.
    pub status: Status,
    /// The body.
    pub body: Bytes,
}

/// A framed connection to a server. Several requests may be sent before the answers are read.
#[derive(Debug)]
pub struct Peer {
    reader: PeerReader,
    writer: PeerWriter,
}

/// The half that reads answers.
#[derive(Debug)]
pub struct PeerReader {
    stream: OwnedReadHalf,
    input: BytesMut,
    addr: SocketAddr,
    timeout: Duration,
}

/// The half that sends requests.
#[derive(Debug)]
pub struct PeerWriter {
    stream: OwnedWriteHalf,
    addr: SocketAddr,
    timeout: Duration,
}

impl Peer {
    /// Connects to `addr`, from the local address `bind` if there is one.
    pub async fn connect(
        addr: SocketAddr,
        timeouts: Timeouts,
        bind: Option<IpAddr>,
    ) -> Result<Self, CallError> {
        let failed = |kind: ConnError| CallError { addr, doing: "connect", kind: kind.into() };
        let stream = within(timeouts.connect, dial(addr, bind)).await.map_err(failed)?;
        let (reader, writer) = stream.into_split();
        let timeout = timeouts.network;
        Ok(Self {
            reader: PeerReader { stream: reader, input: BytesMut::new(), addr, timeout },
            writer: PeerWriter { stream: writer, addr, timeout },
        })
    }

    /// The server.
    pub fn addr(&self) -> SocketAddr {
        self.reader.addr
    }

    /// Our own address on this connection.
    pub fn local(&self) -> Option<SocketAddr> {
        self.writer.stream.local_addr().ok()
    }

    /// Whether the server has closed, or sent something nobody asked for; asks the kernel, does not wait.
    pub fn is_stale(&self) -> bool {
        !self.reader.input.is_empty() || !nothing_to_read(&self.reader.stream)
    }

    /// Sends a request with `status` in its header and reads the answer, whose body may have `max` bytes.
    pub async fn call(&mut self, cmd: u8, status: u8, body: &[u8], max: usize) -> Result<Reply, CallError> {
        self.send(Header { status, ..Header::request(cmd, body.len() as u64) }, &[body]).await?;
        self.recv(max).await
    }

    /// As [`Peer::call`] with status 0; an error status is an error.
    pub async fn ask(&mut self, cmd: u8, body: &[u8], max: usize) -> Result<Bytes, CallError> {
        let reply = self.call(cmd, 0, body, max).await?;
        match reply.status {
            Status::OK => Ok(reply.body),
            status => Err(self.reader.failed("answer", CallErrorKind::Status(status))),
        }
    }

    /// Sends a header and what follows it.
    pub async fn send(&mut self, head: Header, parts: &[&[u8]]) -> Result<(), CallError> {
        self.writer.send(head, parts).await
    }

    /// Sends `before`, then `len` bytes of `file` from `offset`.
    pub async fn send_file(
        &mut self,
        before: &[u8],
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
    ) -> Result<(), CallError> {
        self.writer.send_file(before, file, offset, len).await
    }

    /// Reads a whole answer.
    pub async fn recv(&mut self, max: usize) -> Result<Reply, CallError> {
        self.reader.recv(max).await
    }

    /// Reads the header of an answer.
    pub async fn recv_head(&mut self) -> Result<Header, CallError> {
        self.reader.recv_head().await
    }

    /// Reads `n` bytes of a body.
    pub async fn recv_exact(&mut self, n: usize) -> Result<Bytes, CallError> {
        self.reader.recv_exact(n).await
    }

    /// Reads the next 1 to `max` bytes of a body.
    pub async fn recv_chunk(&mut self, max: usize) -> Result<Bytes, CallError> {
        self.reader.recv_chunk(max).await
    }

    /// Two halves, to send requests while answers are read.
    pub fn into_split(self) -> (PeerReader, PeerWriter) {
        (self.reader, self.writer)
    }
}

impl PeerWriter {
    /// Sends a header and what follows it, in one write if the kernel takes it.
    pub async fn send(&mut self, head: Header, parts: &[&[u8]]) -> Result<(), CallError> {
        let head = head.encode();
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(1 + parts.len());
        slices.push(IoSlice::new(&head));
        slices.extend(parts.iter().filter(|part| !part.is_empty()).map(|part| IoSlice::new(part)));
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            let sent = within(self.timeout, self.stream.write_vectored(left)).await;
            match sent {
                Ok(0) => return Err(self.failed("send the request", ConnError::Closed)),
                Ok(n) => IoSlice::advance_slices(&mut left, n),
                Err(error) => return Err(self.failed("send the request", error)),
            }
        }
        Ok(())
    }

    /// Sends bytes that hold whole requests.
    pub async fn send_raw(&mut self, mut bytes: &[u8]) -> Result<(), CallError> {
        while !bytes.is_empty() {
            match within(self.timeout, self.stream.write(bytes)).await {
                Ok(0) => return Err(self.failed("send the requests", ConnError::Closed)),
                Ok(n) => bytes = &bytes[n..],
                Err(error) => return Err(self.failed("send the requests", error)),
            }
        }
        Ok(())
    }

    /// Sends `before`, then `len` bytes of `file` from `offset` with sendfile(2).
    pub async fn send_file(
        &mut self,
        before: &[u8],
        file: BorrowedFd<'_>,
        offset: u64,
        len: u64,
    ) -> Result<(), CallError> {
        let sent =
            send_file(&mut self.stream, before, file, offset, len, self.timeout, async |_, _| Ok(())).await;
        sent.map_err(|error| self.failed("send the file", error))
    }

    /// The server.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn failed(&self, doing: &'static str, kind: ConnError) -> CallError {
        CallError { addr: self.addr, doing, kind: kind.into() }
    }
}

impl PeerReader {
    /// Reads a whole answer, whose body may have `max` bytes.
    pub async fn recv(&mut self, max: usize) -> Result<Reply, CallError> {
        let head = self.recv_head().await?;
        let len = head.body().and_then(|len| usize::try_from(len).ok()).filter(|&len| len <= max);
        let Some(len) = len else {
            let text = format!("a body of {} bytes, expected at most {max}", head.len);
            return Err(self.failed("read the answer", CallErrorKind::BadAnswer(text)));
        };
        let body = self.recv_exact(len).await?;
        Ok(Reply { status: Status(head.status), body })
    }

    /// Reads the header of an answer.
    pub async fn recv_head(&mut self) -> Result<Header, CallError> {
        let bytes = self.recv_exact(Header::SIZE).await?;
        match Header::peek(&bytes) {
            Some(head) if head.cmd == cmd::RESPONSE && head.len >= 0 => Ok(head),
            _ => {
                let text = "not the header of an answer".to_owned();
                Err(self.failed("read the answer", CallErrorKind::BadAnswer(text)))
            }
        }
    }

    /// Reads `n` bytes, for a body whose length was checked.
    pub async fn recv_exact(&mut self, n: usize) -> Result<Bytes, CallError> {
        while self.input.len() < n {
            self.fill(n - self.input.len()).await?;
        }
        Ok(self.input.split_to(n).freeze())
    }

    /// Reads the next 1 to `max` bytes.
    pub async fn recv_chunk(&mut self, max: usize) -> Result<Bytes, CallError> {
        if self.input.is_empty() && max > 0 {
            self.fill(max.min(READ_STEP)).await?;
        }
        let n = max.min(self.input.len());
        Ok(self.input.split_to(n).freeze())
    }

    /// The server.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    async fn fill(&mut self, missing: usize) -> Result<(), CallError> {
        self.input.reserve(missing.clamp(256, READ_STEP));
        match within(self.timeout, self.stream.read_buf(&mut self.input)).await {
            Ok(0) => Err(self.failed("read the answer", ConnError::Closed.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed("read the answer", error.into())),
        }
    }

    fn failed(&self, doing: &'static str, kind: CallErrorKind) -> CallError {
        CallError { addr: self.addr, doing, kind }
    }
}
