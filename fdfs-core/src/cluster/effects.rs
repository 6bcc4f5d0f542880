//! What an event leaves to do outside: save, log, answer.

use crate::wire::{BadMessage, Status};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// Status of the answer.
    pub status: Status,
    /// The reason in words, for log lines and counters.
    pub why: &'static str,
}

impl Refusal {
    /// A refusal.
    pub const fn new(status: Status, why: &'static str) -> Self {
        Self { status, why }
    }
    pub(super) const fn unknown_group() -> Self {
        Self::new(Status::NOENT, "unknown group")
    }
    pub(super) const fn unknown_storage() -> Self {
        Self::new(Status::NOENT, "unknown storage")
    }
}

impl From<BadMessage> for Refusal {
    fn from(bad: BadMessage) -> Self {
        match bad {
            BadMessage::Length { .. } => Self::new(Status::INVAL, "wrong body length"),
            BadMessage::Inconsistent { .. } => Self::new(Status::INVAL, "lengths do not add up"),
            BadMessage::Field(what) => Self::new(Status::INVAL, what),
        }
    }
}

/// Urgency of a [`Note`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the curious.
    Debug,
    /// A change of state.
    Info,
    /// Something an operator should look at.
    Warn,
}

/// One line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Urgency.
    pub level: Level,
    /// The text.
    pub text: String,
}

/// What the owner does after an event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Effects {
    /// Save the data files.
    pub save: bool,
    /// Lines to append to the change log, each with its line end.
    pub changelog: String,
    /// Lines for the log.
    pub notes: Vec<Note>,
}

impl Effects {
    pub(super) fn info(&mut self, text: String) {
        self.notes.push(Note { level: Level::Info, text });
    }
    pub(super) fn warn(&mut self, text: String) {
        self.notes.push(Note { level: Level::Warn, text });
    }
    pub(super) fn debug(&mut self, text: String) {
        self.notes.push(Note { level: Level::Debug, text });
    }
}
