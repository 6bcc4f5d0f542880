//! Why a connection ended, or a call to a server failed.

use std::io;
use std::net::SocketAddr;

use fdfs_core::wire::Status;

/// Why a connection cannot go on. The framing closes it.
#[derive(Debug, thiserror::Error)]
pub enum ConnError {
    /// The peer closed, or reset, the connection.
    #[error("closed by the peer")]
    Closed,
    /// No progress for the network timeout.
    #[error("no progress for {0} seconds")]
    TimedOut(u64),
    /// A body is larger than the configured buffer.
    #[error("body of {len} bytes, at most {max} are taken")]
    TooLong {
        /// Announced bytes.
        len: u64,
        /// Bytes that are taken.
        max: u64,
    },
    /// A file ended before the announced number of bytes was sent.
    #[error("the file ends {missing} bytes early")]
    FileShort {
        /// Bytes that were promised to the peer and are not there.
        missing: u64,
    },
    /// The system's error.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for ConnError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionReset | ConnectionAborted | UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Why a call to a server failed.
#[derive(Debug, thiserror::Error)]
#[error("{addr}: {doing}: {kind}")]
pub struct CallError {
    /// The server.
    pub addr: SocketAddr,
    /// What was being done.
    pub doing: &'static str,
    /// What went wrong.
    pub kind: CallErrorKind,
}

/// What went wrong in a call.
#[derive(Debug, thiserror::Error)]
pub enum CallErrorKind {
    /// The connection failed or ended.
    #[error(transparent)]
    Conn(#[from] ConnError),
    /// The server answered with an error status.
    #[error("status {}, {}", .0.0, .0.text())]
    Status(Status),
    /// The answer does not follow the protocol.
    #[error("bad answer: {0}")]
    BadAnswer(String),
}

impl CallError {
    /// The status that the server answered, if it answered.
    pub fn status(&self) -> Option<Status> {
        match self.kind {
            CallErrorKind::Status(status) => Some(status),
            _ => None,
        }
    }
}
