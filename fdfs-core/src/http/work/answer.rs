//! What a client is told about files that were stored.

use serde::Serialize;

use super::errand::Named;

/// A file that was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Its id, group included.
    pub id: String,
    /// Where it can be fetched.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// Its name at the client, when that was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its field of the form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Stored {
    /// `prefix` goes before the id in the URL; with `has_group` the URL has the group's name.
    pub fn new(file: &Named, size: u64, prefix: &str, has_group: bool) -> Self {
        let id = file.id();
        let path = if has_group { id.clone() } else { String::from_utf8_lossy(&file.name).into_owned() };
        Self { url: format!("{}/{path}", prefix.trim_end_matches('/')), id, size, name: None, field: None }
    }
}

/// `{"files":[{"id":...,"url":...,"size":...}]}`
pub fn stored_json(files: &[Stored]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        files: &'a [Stored],
    }
    // Strings and numbers only: it cannot fail.
    serde_json::to_vec(&Answer { files }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::GroupName;

    #[test]
    fn names_of_clients_are_escaped() {
        let file = Named { group: GroupName::new(b"group1").unwrap(), name: b"M00/00/00/x.jpg".to_vec() };
        let mut stored = Stored::new(&file, 3, "", true);
        assert_eq!(
            stored_json(&[stored.clone()]),
            br#"{"files":[{"id":"group1/M00/00/00/x.jpg","url":"/group1/M00/00/00/x.jpg","size":3}]}"#
        );
        stored.name = Some("a\"\n\u{1}.jpg".into());
        let text = String::from_utf8(stored_json(&[stored])).unwrap();
        assert!(text.ends_with(r#""size":3,"name":"a\"\n\u0001.jpg"}]}"#), "{text}");
        assert_eq!(Stored::new(&file, 3, "https://cdn/", false).url, "https://cdn/M00/00/00/x.jpg");
    }
}
