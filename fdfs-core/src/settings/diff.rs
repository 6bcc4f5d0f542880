//! What has changed between two readings of a config file.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// Fields that differ, with both values as text.
pub fn differences(a: &impl Debug, b: &impl Debug) -> BTreeMap<String, (String, String)> {
    let (a, b) = (fields(a), fields(b));
    let differ = a.iter().filter_map(|(key, before)| {
        let after = b.get(key)?;
        (before != after).then(|| (key.clone(), (before.clone(), after.clone())))
    });
    differ.collect()
}

/// Name and value of each field, from the indented debug text of the struct.
pub fn fields(settings: &impl Debug) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut key = String::new();
    for line in format!("{settings:#?}").lines().skip(1) {
        let Some(line) = line.strip_prefix("    ") else { continue };
        match line.split_once(": ").filter(|(name, _)| !name.starts_with([' ', ')', ']', '}'])) {
            Some((name, value)) => {
                key = name.to_owned();
                all.insert(key.clone(), value.trim_end_matches(',').to_owned());
            }
            None => {
                if let Some(value) = all.get_mut(&key) {
                    *value += line.trim().trim_end_matches(',');
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::StorageSettings;

    #[test]
    fn fields_that_differ_are_named() {
        let a = StorageSettings::default();
        let mut b = a.clone();
        assert!(differences(&a, &b).is_empty());
        b.max_connections = 9;
        b.allow_hosts = vec!["10.0.0.1".into(), "10.0.0.2".into()];
        let found = differences(&a, &b);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["allow_hosts", "max_connections"]);
        assert_eq!(found["max_connections"], ("256".into(), "9".into()));
        assert!(found["allow_hosts"].1.contains("10.0.0.2"));
    }
}
