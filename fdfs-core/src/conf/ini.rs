//! A config file as read: sections of keys in file order, each with its place.

use std::fmt;
use std::sync::Arc;

use super::error::Origin;

/// Name of the section that holds the keys before any `[section]` line.
pub const GLOBAL: &str = "";

/// One `key = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name, case-sensitive.
    pub key: String,
    /// Text after the first `=`, trimmed.
    pub value: String,
    /// Where it stands.
    pub at: Origin,
    /// One of several values of a TOML array, which only list keys may have.
    pub in_array: bool,
}

/// A section; the global one has the name [`GLOBAL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Text between the brackets.
    pub name: String,
    /// The first line that opened it; the end of the file for the global one.
    pub at: Origin,
    /// Keys in file order, those of reopened sections behind the earlier ones.
    pub entries: Vec<Entry>,
}

/// A config file with everything it includes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ini {
    sections: Vec<Section>,
}

impl Ini {
    /// A file without keys.
    pub fn new(file: &str) -> Self {
        let at = Origin { file: Arc::from(file), line: 0 };
        Self { sections: vec![Section { name: GLOBAL.into(), at, entries: Vec::new() }] }
    }

    /// The main file.
    pub fn file(&self) -> Arc<str> {
        self.sections.first().map_or_else(|| Arc::from(""), |global| Arc::clone(&global.at.file))
    }

    /// All sections, the global one first.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The value that counts for a scalar key: the last one.
    pub fn get(&self, section: &str, key: &str) -> Option<&Entry> {
        self.section(section)?.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// All values of a list key, in file order.
    pub fn all<'a>(&'a self, section: &str, key: &str) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let entries = self.section(section).map_or(&[][..], |section| &section.entries);
        let key = key.to_owned();
        entries.iter().filter(move |entry| entry.key == key)
    }

    /// Where to say that a key is missing: the section's head, else the end of the file.
    pub fn place_of(&self, section: &str) -> Origin {
        match self.section(section).or_else(|| self.sections.first()) {
            Some(section) => section.at.clone(),
            None => Origin { file: Arc::from(""), line: 0 },
        }
    }

    /// Drops all values of a key of the global section.
    pub fn unset(&mut self, key: &str) {
        if let Some(global) = self.sections.first_mut() {
            global.entries.retain(|entry| entry.key != key);
        }
    }

    /// Adds a value of a key of the global section.
    pub fn add(&mut self, key: &str, value: &str, at: Origin) {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.push(0, Entry { key, value, at, in_array: false });
    }

    /// Opens a section, or again one that exists; gives its index.
    pub(crate) fn open(&mut self, name: &str, at: Origin) -> usize {
        if let Some(index) = self.sections.iter().position(|section| section.name == name) {
            return index;
        }
        self.sections.push(Section { name: name.into(), at, entries: Vec::new() });
        self.sections.len() - 1
    }

    /// Adds a key to the section with this index.
    pub(crate) fn push(&mut self, section: usize, entry: Entry) {
        if let Some(section) = self.sections.get_mut(section) {
            section.entries.push(entry);
        }
    }

    /// Sets the line at which the main file ends.
    pub(crate) fn end_at(&mut self, line: u32) {
        if let Some(global) = self.sections.first_mut() {
            global.at.line = line;
        }
    }
}

/// The classic form; [`super::parse`] reads it back.
impl fmt::Display for Ini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            if section.name != GLOBAL {
                writeln!(f, "\n[{}]", section.name)?;
            }
            for entry in &section.entries {
                writeln!(f, "{} = {}", entry.key, entry.value)?;
            }
        }
        Ok(())
    }
}
