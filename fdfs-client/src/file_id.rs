//! `group/Mpp/HH/HH/name`

use std::fmt;
use std::str::FromStr;

use fdfs_core::fileid::{FileName, split_id};
use fdfs_core::ident::GroupName;
use fdfs_core::wire::storage::GroupAndName;

use crate::error::ClientError;

/// A checked file id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileId {
    /// The group.
    pub group: GroupName,
    /// The name in it.
    pub name: String,
}

impl FileId {
    /// From an answer of a storage.
    pub fn new(group: GroupName, name: &[u8]) -> Self {
        Self { group, name: String::from_utf8_lossy(name).into_owned() }
    }

    /// `group 16 | name`, the body of many requests.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(16 + self.name.len());
        GroupAndName { group: self.group, name: self.name.as_bytes() }.put(&mut body);
        body
    }

    /// What the name says of the file, if it carries anything.
    pub fn file_name(&self) -> Option<FileName> {
        FileName::parse(self.name.as_bytes(), 256).ok()
    }
}

impl FromStr for FileId {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let wrong = |why: String| ClientError::invalid("read the file id", format!("{text}: {why}"));
        let (group, name) = split_id(text).map_err(|bad| wrong(format!("bad {}", bad.what())))?;
        FileName::parse(name.as_bytes(), 256).map_err(|bad| wrong(bad.to_string()))?;
        Ok(Self { group, name: name.to_owned() })
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
    }
}
