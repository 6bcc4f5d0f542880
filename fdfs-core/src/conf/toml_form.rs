//! The same configuration from a `.toml` file: turned into an [`Ini`], so that one reader serves both forms.
//!
//! A top-level table is a section, but `http` and tables inside tables become dotted keys: `[http]` with
//! `server_port` is the classic `http.server_port`. An array is a key given several times.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfError, Origin, Warning};
use super::ini::{Entry, Ini};
use super::parse::MAX_KEY;
use super::preprocess::syntax;

/// Tables whose keys are global ones with the table's name and a dot in front.
const DOTTED: &str = "http";

/// Reads `text` as the TOML file `name`.
pub fn parse(name: &str, text: &str) -> Result<(Ini, Vec<Warning>), ConfError> {
    let ends = text.match_indices('\n').map(|(at, _)| at).collect();
    let lines = Lines { file: Arc::from(name), ends };
    let table = DeTable::parse(text).map_err(|bad| syntax(lines.at(bad.span()), bad.message()))?;
    let mut ini = Ini::new(name);
    ini.end_at(u32::try_from(text.lines().count()).unwrap_or(u32::MAX));
    for (key, value) in table.get_ref().iter() {
        let at = lines.at(Some(key.span()));
        match value.get_ref() {
            DeValue::Table(table) if key.get_ref() != DOTTED => {
                let section = ini.open(key.get_ref(), at);
                for (key, value) in table.iter() {
                    add(&mut ini, section, key.get_ref(), value, &lines)?;
                }
            }
            _ => add(&mut ini, 0, key.get_ref(), value, &lines)?,
        }
    }
    Ok((ini, Vec::new()))
}

/// Adds one key, or those of a table inside, below `prefix`.
fn add(
    ini: &mut Ini,
    section: usize,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    lines: &Lines,
) -> Result<(), ConfError> {
    match value.get_ref() {
        DeValue::Table(_) if key.len() > MAX_KEY => {
            return Err(syntax(lines.at(Some(value.span())), format!("{key}: the key is too long")));
        }
        DeValue::Table(table) => {
            for (inner, value) in table.iter() {
                add(ini, section, &format!("{key}.{}", inner.get_ref()), value, lines)?;
            }
        }
        DeValue::Array(items) => {
            for item in items.iter() {
                let Some(text) = scalar(item.get_ref()) else {
                    return Err(syntax(
                        lines.at(Some(item.span())),
                        format!("{key}: expected a list of texts"),
                    ));
                };
                let at = lines.at(Some(item.span()));
                ini.push(section, Entry { key: key.into(), value: text, at, in_array: true });
            }
        }
        one => {
            let at = lines.at(Some(value.span()));
            let Some(text) = scalar(one) else {
                return Err(syntax(at, format!("{key}: expected a whole number within 64 bits")));
            };
            ini.push(section, Entry { key: key.into(), value: text, at, in_array: false });
        }
    }
    Ok(())
}

/// The value as the classic form would write it.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

/// Turns places in the text into lines.
struct Lines {
    file: Arc<str>,
    /// Ends of the lines.
    ends: Vec<usize>,
}

impl Lines {
    fn at(&self, span: Option<Range<usize>>) -> Origin {
        let place = span.map_or(0, |span| span.start);
        let line = self.ends.partition_point(|&end| end < place) + 1;
        Origin { file: Arc::clone(&self.file), line: u32::try_from(line).unwrap_or(u32::MAX) }
    }
}
