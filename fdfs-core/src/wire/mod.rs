//! The wire: frame header, command and status numbers, fixed-width fields, typed messages.
//!
//! Source: protocol 1-4, tracker 3 and 7, replication 6 and 8. Every integer is big-endian.

pub mod cluster_stat;
pub mod cmd;
pub mod edit;
pub mod explain;
mod field;
mod header;
pub mod identity;
pub mod lag;
pub mod list;
mod min_copies;
pub mod peer;
pub mod query;
#[cfg(test)]
mod recorded;
pub mod report;
mod status;
pub mod storage;
pub mod sync;

pub use field::{AddrWidth, IpField, Text, TextError, put_ip, put_ip_of};
pub use header::Header;
pub use min_copies::MinCopies;
pub use status::Status;

/// Why a request or reply body was not understood. Answered with [`Status::INVAL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// The body is too short for its fixed part, or its length is none of the documented ones.
    #[error("body of {got} bytes, expected {want}")]
    Length {
        /// Bytes announced or received.
        got: u64,
        /// What the layout asks for, in words.
        want: &'static str,
    },
    /// A length field inside the body contradicts the body's length.
    #[error("lengths inside the body do not add up to {body}")]
    Inconsistent {
        /// Announced body length in bytes.
        body: u64,
    },
    /// A field holds a value that is never valid.
    #[error("bad {0}")]
    Field(&'static str),
}

impl BadMessage {
    /// Every malformed message is answered with 22 (protocol 1.4).
    pub fn status(&self) -> Status {
        Status::INVAL
    }
}

impl From<crate::ident::BadIdent> for BadMessage {
    fn from(bad: crate::ident::BadIdent) -> Self {
        Self::Field(bad.what())
    }
}
