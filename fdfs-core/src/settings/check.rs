//! What a settings struct's values must fulfil together, and how to say it with file, line and key.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::addrs::Addrs;
use super::types::Secs;
use crate::conf::{
    BadValue, ConfError, Entry, GLOBAL, Ini, Warning, comment_dropped, name_of, parse_bool, without_comment,
};

/// Trackers that one file may name (protocol 7.1).
const MAX_TRACKERS: usize = 16;

/// The file behind the values, and where the warnings go.
pub(super) struct Check<'a> {
    pub ini: &'a Ini,
    pub warnings: &'a mut Vec<Warning>,
}

impl Check<'_> {
    /// The error that `key` has a bad value, or that it is missing.
    pub fn bad(&self, section: &str, key: &str, expected: impl Into<String>) -> ConfError {
        let (name, expected) = (name_of(section, key), expected.into());
        match self.ini.get(section, key) {
            Some(Entry { value, at, .. }) => {
                let (at, found) = (at.clone(), value.clone());
                ConfError::Value(Box::new(BadValue { at, key: name, found, expected }))
            }
            None => ConfError::Missing { at: self.ini.place_of(section), key: name, expected },
        }
    }

    /// Warns about `key`, at its place if it has one.
    pub fn warn(&mut self, section: &str, key: &str, text: impl Display) {
        let name = name_of(section, key);
        let (at, head) = match self.ini.get(section, key) {
            Some(Entry { value, at, .. }) => (at.clone(), format!("{name} = {value}")),
            None => (self.ini.place_of(section), name),
        };
        self.warnings.push(Warning::new(at, format!("{head}: {text}")));
    }

    /// A value that must not be zero.
    pub fn positive<T: PartialEq + From<u8>>(
        &self,
        key: &str,
        value: T,
        max: impl Display,
    ) -> Result<(), ConfError> {
        if value == T::from(0) {
            return Err(self.bad(GLOBAL, key, format!("a whole number 1..{max}")));
        }
        Ok(())
    }

    /// Zero stands for the default here, as in the existing daemons.
    pub fn zero_is_default<T: PartialEq + Default + Display>(
        &mut self,
        key: &str,
        value: &mut T,
        default: T,
    ) {
        if *value == T::default() {
            self.warn(GLOBAL, key, format!("the default {default} is used"));
            *value = default;
        }
    }

    /// Moves a value into its range.
    pub fn clamp<T: PartialOrd + Display>(&mut self, key: &str, value: &mut T, min: T, max: T) {
        let bound = match () {
            () if *value < min => min,
            () if *value > max => max,
            () => return,
        };
        self.warn(GLOBAL, key, format!("{bound} is used instead"));
        *value = bound;
    }

    /// A folder that must be named; without `/` at its end.
    pub fn folder(&self, key: &str, value: &mut String, what: &str) -> Result<(), ConfError> {
        if value.is_empty() {
            return Err(self.bad(GLOBAL, key, what));
        }
        *value = without_slash(value);
        Ok(())
    }

    /// `tracker_server`, which must be there.
    pub fn trackers(&mut self, trackers: &[Addrs]) -> Result<(), ConfError> {
        const EXPECTED: &str = "1 to 16 lines tracker_server = HOST:PORT, one per tracker of the cluster";
        if trackers.is_empty() || trackers.len() > MAX_TRACKERS {
            return Err(self.bad(GLOBAL, "tracker_server", EXPECTED));
        }
        let ini = self.ini;
        for (entry, addrs) in ini.all(GLOBAL, "tracker_server").zip(trackers) {
            if addrs.same_class() {
                let text = format!(
                    "tracker_server = {}: both addresses are of one kind; other programs expect an inner and an \
                     outer one",
                    entry.value
                );
                self.warnings.push(Warning::new(entry.at.clone(), text));
            }
        }
        Ok(())
    }

    /// A list key that is given without any value: refused, it would lock everybody out.
    pub fn not_blank(&self, key: &str, values: &[String]) -> Result<(), ConfError> {
        if values.iter().any(String::is_empty) {
            return Err(self.bad(GLOBAL, key, "* for everybody, a host name, an address, or a network"));
        }
        Ok(())
    }

    /// `connection_pool_max_idle_time`.
    pub fn pool(&self, idle: Secs) -> Result<(), ConfError> {
        self.positive("connection_pool_max_idle_time", idle.0, "2147483647 (seconds)")
    }

    /// A boolean of a key with a number in its name.
    pub fn bool(&mut self, section: &str, key: &str, default: bool) -> Result<bool, ConfError> {
        match self.word(section, key) {
            Some(word) => parse_bool(&word).ok_or_else(|| self.bad(section, key, "true or false")),
            None => Ok(default),
        }
    }

    fn word(&mut self, section: &str, key: &str) -> Option<String> {
        let entry = self.ini.get(section, key)?;
        let (word, cut) = without_comment(&entry.value);
        if cut {
            self.warnings.push(Warning::new(entry.at.clone(), comment_dropped(entry, word)));
        }
        Some(word.to_owned())
    }

    /// A path that is relative to the folder of the main file.
    pub fn beside(&self, name: &str) -> PathBuf {
        let file = self.ini.file();
        Path::new(&*file).parent().unwrap_or(Path::new("")).join(name)
    }
}

/// A path without `/` at its end.
pub(super) fn without_slash(path: &str) -> String {
    let short = path.trim_end_matches('/');
    if short.is_empty() && !path.is_empty() { "/".into() } else { short.into() }
}
