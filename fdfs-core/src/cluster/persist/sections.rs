//! The plain sections that the data files consist of.

use std::collections::HashMap;

/// One `[Name]` with its `key=value` lines; the last of equal keys counts.
#[derive(Debug)]
pub struct Section<'a> {
    /// Without the brackets.
    pub name: &'a str,
    values: HashMap<&'a str, &'a str>,
}

impl<'a> Section<'a> {
    /// The sections of `text` whose name starts with `prefix`.
    pub fn all(text: &'a str, prefix: &'a str) -> impl Iterator<Item = Self> {
        let mut made: Vec<Self> = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                made.push(Self { name, values: HashMap::new() });
            } else if let (Some((key, value)), Some(last)) = (line.split_once('='), made.last_mut()) {
                last.values.insert(key.trim(), value.trim());
            }
        }
        made.into_iter().filter(move |section| section.name.starts_with(prefix))
    }

    /// The value, empty when absent.
    pub fn text(&self, key: &str) -> &'a str {
        self.values.get(key).copied().unwrap_or_default()
    }

    /// The number, 0 when absent or none.
    pub fn number(&self, key: &str) -> i64 {
        self.text(key).parse().unwrap_or(0)
    }
}
