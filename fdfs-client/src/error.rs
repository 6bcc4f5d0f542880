//! Why a call failed: what was being done, at which server, with which status.

use std::io;
use std::net::SocketAddr;

use fdfs_core::wire::{BadMessage, Status};
use fdfs_net::{CallError, CallErrorKind, ConnError};

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub struct ClientError {
    /// What was being done.
    pub doing: &'static str,
    /// The server, if one was involved.
    pub server: Option<SocketAddr>,
    /// What went wrong.
    pub kind: ErrorKind,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// A server answered with an error.
    #[error("{}", .0.text())]
    Status(Status),
    /// There is no connection to the server; nothing was sent.
    #[error("{0}")]
    Connect(String, Status),
    /// A server did not answer, or not by the protocol. What was asked may have happened.
    #[error("{0}")]
    Network(String, Status),
    /// A local file.
    #[error("{0}")]
    Local(String, Status),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl ClientError {
    /// A mistake of the caller: 22.
    pub fn invalid(doing: &'static str, why: impl Into<String>) -> Self {
        Self { doing, server: None, kind: ErrorKind::Invalid(why.into()) }
    }

    /// A failed system call on a local file.
    pub fn local(doing: &'static str, path: &std::path::Path, error: &io::Error) -> Self {
        let text = format!("{}: {error}", path.display());
        Self { doing, server: None, kind: ErrorKind::Local(text, Status::from_io(error)) }
    }

    /// An answer that does not follow the protocol.
    pub fn answer(doing: &'static str, server: SocketAddr, bad: &BadMessage) -> Self {
        Self {
            doing,
            server: Some(server),
            kind: ErrorKind::Network(format!("bad answer: {bad}"), Status::PROTO),
        }
    }

    /// The number that tools print and exit with.
    pub fn status(&self) -> Status {
        match &self.kind {
            ErrorKind::Status(status)
            | ErrorKind::Connect(_, status)
            | ErrorKind::Network(_, status)
            | ErrorKind::Local(_, status) => *status,
            ErrorKind::Invalid(_) => Status::INVAL,
        }
    }

    /// Whether a server said no, rather than nothing.
    pub fn is_answer(&self) -> bool {
        matches!(self.kind, ErrorKind::Status(_))
    }

    pub(crate) fn connect(doing: &'static str) -> impl Fn(CallError) -> Self {
        move |error| {
            let failed = Self::call(doing)(error);
            match failed.kind {
                ErrorKind::Network(text, status) => Self { kind: ErrorKind::Connect(text, status), ..failed },
                kind => Self { kind, ..failed },
            }
        }
    }

    pub(crate) fn call(doing: &'static str) -> impl Fn(CallError) -> Self {
        move |error| {
            let kind = match error.kind {
                CallErrorKind::Status(status) => ErrorKind::Status(status),
                CallErrorKind::Conn(ConnError::TimedOut(secs)) => ErrorKind::Network(
                    format!("{}: no answer for {secs} seconds", error.doing),
                    Status::TIMEDOUT,
                ),
                CallErrorKind::Conn(ConnError::Io(io)) => {
                    ErrorKind::Network(format!("{}: {io}", error.doing), Status::from_io(&io))
                }
                CallErrorKind::Conn(other) => {
                    ErrorKind::Network(format!("{}: {other}", error.doing), Status::CONNRESET)
                }
                CallErrorKind::BadAnswer(text) => {
                    ErrorKind::Network(format!("bad answer: {text}"), Status::PROTO)
                }
            };
            Self { doing, server: Some(error.addr), kind }
        }
    }
}

/// `what: server: reason`
impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.doing)?;
        if let Some(server) = self.server {
            write!(f, "{server}: ")?;
        }
        self.kind.fmt(f)
    }
}
