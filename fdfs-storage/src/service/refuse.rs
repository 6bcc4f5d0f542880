//! Requests that are refused.

use std::io;

use fdfs_core::wire::{BadMessage, Header, Status};
use fdfs_net::{Conn, ConnError, Flow};

use super::Body;

/// Largest rest of a refused body that is read so that the connection can stay open.
const DISCARD_MAX: u64 = 1 << 20;

/// Why a request got no answer of its own.
#[derive(Debug)]
pub enum Refused {
    /// The connection is broken.
    Conn(ConnError),
    /// It is answered with a status.
    Status {
        /// What the client gets.
        status: Status,
        /// What the log gets.
        why: String,
    },
}

impl Refused {
    /// Malformed: status 22.
    pub fn invalid(why: impl Into<String>) -> Self {
        Self::Status { status: Status::INVAL, why: why.into() }
    }

    /// With a status.
    pub fn new(status: Status, why: impl Into<String>) -> Self {
        Self::Status { status, why: why.into() }
    }

    /// A failed system call while `doing` something.
    pub fn io(doing: &str, what: impl std::fmt::Display, error: &io::Error) -> Self {
        Self::Status { status: Status::from_io(error), why: format!("{doing} {what}: {error}") }
    }

    /// For who works for no client.
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Conn(error) => io::Error::other(error),
            Self::Status { status, why } => {
                io::Error::new(io::Error::from_raw_os_error(status.0.into()).kind(), why)
            }
        }
    }
}

impl From<ConnError> for Refused {
    fn from(error: ConnError) -> Self {
        Self::Conn(error)
    }
}

impl From<BadMessage> for Refused {
    fn from(bad: BadMessage) -> Self {
        Self::Status { status: bad.status(), why: bad.to_string() }
    }
}

/// Answers with a status. As clients know it, 22 closes the connection and others do not; the rest of a body is
/// never read as a request (storage 8). Behind what a member of this implementation sends more is on its way, `pipelined`: it would be
/// lost with the connection, again and again.
pub(super) async fn answer(
    conn: &mut Conn,
    head: &Header,
    body: &Body,
    status: Status,
    why: &str,
    pipelined: bool,
) -> Result<Flow, ConnError> {
    let (peer, cmd) = (conn.peer(), head.cmd);
    match status {
        // What clients ask every day is no trouble of this daemon.
        Status::NOENT | Status::EXIST => tracing::debug!(%peer, cmd, status = status.0, "{why}"),
        Status::INVAL => tracing::warn!(%peer, cmd, status = status.0, "refused: {why}"),
        _ => tracing::error!(%peer, cmd, status = status.0, "failed: {why}"),
    }
    let close = !pipelined && (status == Status::INVAL || body.left > DISCARD_MAX);
    if !close {
        conn.discard(body.left).await?;
    }
    conn.reply_status(status);
    Ok(if close { Flow::Close } else { Flow::Keep })
}
