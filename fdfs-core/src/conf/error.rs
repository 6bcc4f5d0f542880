//! What can be wrong with a config file, and what is only worth a line in the log.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Where a key or directive stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// File as the operator named it, or as an include resolved to.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the text is not a file.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue {
    /// Where it stands.
    pub at: Origin,
    /// Its key, `[section] key` outside the global section.
    pub key: String,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, key, found, expected } = self;
        match found.is_empty() {
            true => write!(f, "{at}: {key} is empty: expected {expected}"),
            false => write!(f, "{at}: {key} = {found}: expected {expected}"),
        }
    }
}

impl std::error::Error for BadValue {}

/// Why a config file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// The file itself, or a file it includes, cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A directive or line that cannot be followed.
    #[error("{at}: {why}")]
    Syntax {
        /// Where it stands.
        at: Origin,
        /// What is wrong and what was expected.
        why: String,
    },
    /// A value that cannot be used.
    #[error(transparent)]
    Value(Box<BadValue>),
    /// A key that must be there.
    #[error("{at}: {key} is missing: expected {expected}")]
    Missing {
        /// End of the file, or the head of the section that should hold the key.
        at: Origin,
        /// The key, `[section] key` outside the global section.
        key: String,
        /// What it should say.
        expected: String,
    },
}

impl ConfError {
    /// The exit code of a daemon that stops over this (tracker 9.2): the error of the read, 2 for a missing
    /// key, 22 for a bad one.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Read { source, .. } => {
                source.raw_os_error().and_then(|e| u8::try_from(e).ok()).unwrap_or(5)
            }
            Self::Missing { .. } => 2,
            Self::Syntax { .. } | Self::Value(_) => 22,
        }
    }
}

/// How loud a [`Warning`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing to do: an old key that needs no value any more.
    Note,
    /// Probably not what the operator meant.
    Warning,
}

/// Something in a config file that does not stop a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// How loud.
    pub severity: Severity,
    /// Where.
    pub at: Origin,
    /// What, in words.
    pub text: String,
}

impl Warning {
    /// One that the operator should look at.
    pub fn new(at: Origin, text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, at, text: text.into() }
    }

    /// One for the record.
    pub fn note(at: Origin, text: impl Into<String>) -> Self {
        Self { severity: Severity::Note, at, text: text.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text)
    }
}
