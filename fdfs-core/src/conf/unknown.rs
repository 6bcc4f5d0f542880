//! Keys that nothing reads, each by its name and place.

use super::de::{Fields, Rules};
use super::error::Warning;
use super::ini::{Entry, GLOBAL, Ini, Section};

/// Adds a warning per key of `ini` that `fields` and `rules` do not know.
pub(super) fn report(ini: &Ini, rules: &Rules, fields: &[Fields], warnings: &mut Vec<Warning>) {
    for section in ini.sections() {
        let numbered = section.entries.iter().any(|entry| (rules.known)(&section.name, &entry.key));
        let has_fields = fields.iter().any(|known| known.section == section.name);
        if !numbered && !has_fields && section.name != GLOBAL {
            let text = format!(
                "unknown section [{}]: its keys are not read; a line [] leads back to the global keys",
                section.name
            );
            warnings.push(Warning::new(section.at.clone(), text));
            continue;
        }
        for entry in &section.entries {
            if let Some(warning) = judge(section, entry, rules, fields) {
                warnings.push(warning);
            }
        }
    }
}

fn judge(section: &Section, entry: &Entry, rules: &Rules, fields: &[Fields]) -> Option<Warning> {
    let key = entry.key.as_str();
    let known =
        |section: &str| (rules.known)(section, key) || names(section, rules, fields).any(|name| name == key);
    if known(&section.name) {
        return None;
    }
    let at = entry.at.clone();
    let obsolete =
        rules.obsolete.iter().find(|(name, _)| *name == key || name.ends_with('.') && key.starts_with(name));
    if let Some((_, why)) = obsolete {
        return Some(Warning::note(at, format!("{key} is not needed: {why}")));
    }
    if section.name != GLOBAL && known(GLOBAL) {
        let text = format!(
            "{key} stands behind [{}] and is therefore not read: move it in front of the section, or put a line \
             [] before it",
            section.name
        );
        return Some(Warning::new(at, text));
    }
    let guess = names(&section.name, rules, fields)
        .map(|name| (distance(name, key), name))
        .filter(|(far, name)| *far <= 1 + name.len().min(key.len()) / 5)
        .min_by_key(|(far, _)| *far);
    let hint = guess.map(|(_, name)| format!(", did you mean {name}?")).unwrap_or_default();
    Some(Warning::new(at, format!("unknown key {key} is not read{hint}")))
}

/// Names of the keys that are read from a section.
fn names<'a>(
    section: &'a str,
    rules: &'a Rules,
    fields: &'a [Fields],
) -> impl Iterator<Item = &'static str> + 'a {
    fields
        .iter()
        .filter(move |known| known.section == section || section == GLOBAL)
        .flat_map(move |known| {
            let elsewhere = known.section != section;
            known.names.iter().copied().filter(move |name| !elsewhere || !known.own.contains(name))
        })
        .filter(|name| !rules.nested.iter().any(|nested| nested.field() == *name))
}

/// Changes of one character that turn one name into the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<u8> = other.bytes().take(super::MAX_KEY).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b, &above) in other.iter().zip(row.iter().skip(1)) {
            let change = corner + usize::from(a != *b);
            left = change.min(above + 1).min(left + 1);
            corner = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        for (a, b, far) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("port", "prot", 2)]
        {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }
}
