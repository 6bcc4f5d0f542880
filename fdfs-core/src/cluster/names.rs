//! What a query takes from a file name (tracker 6.6, protocol 3.4).

use crate::fileid::{Blob, FileName, Kind, Source, decode27};

/// Source, time and kind of a file, from its logic name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Where it was uploaded; `None` when the name does not tell.
    pub source: Option<Source>,
    /// Time of the upload, s.
    pub timestamp: i64,
    /// Neither slave nor appender: any member that has received it may serve it.
    pub normal: bool,
}

/// Characters before the encoded part: `Mpp/HH/HH/`.
const PREFIX: usize = 10;

impl FileFacts {
    /// Reads `name`, without its group. A name that tells nothing counts as an old ordinary file: any member may answer.
    pub fn of(name: &[u8]) -> Self {
        let text = name.get(PREFIX..).and_then(|rest| rest.first_chunk());
        let Some(blob) = text.and_then(decode27).map(|bytes| Blob::decode(&bytes)) else {
            return Self { source: None, timestamp: 0, normal: true };
        };
        let plain = if blob.kind() == Kind::Trunk { FileName::TRUNK } else { FileName::ORDINARY };
        Self {
            source: Some(blob.source),
            timestamp: i64::from(blob.timestamp),
            normal: name.len() <= plain && blob.kind() != Kind::Appender,
        }
    }
}
