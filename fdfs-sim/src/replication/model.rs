//! What the members of the group have to have.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fdfs_core::fileid::crc32;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Appender,
    Slave,
    Metadata,
}

/// A file, or that there is none.
pub type Content = Option<Rc<[u8]>>;

/// A file that a client was told of.
pub struct File {
    /// Member that received it: the one whose clients change it.
    pub home: usize,
    pub kind: Kind,
    /// What it may be: more than one thing after a request without an answer. Such a file is left alone.
    pub may: Vec<Content>,
    /// A client is at work with it, or was and has no answer.
    pub busy: bool,
}

/// Size and crc, in the place of content.
pub type Sum = (u64, u32);

/// Of some content.
pub fn sum(content: &[u8]) -> Sum {
    (content.len() as u64, crc32(content))
}

/// All files.
#[derive(Default)]
pub struct Model {
    pub files: BTreeMap<String, File>,
    /// Content of uploads that no client was told the name of.
    pub strays: BTreeSet<Sum>,
}

impl Model {
    /// The content of a file that is certain.
    pub fn certain(&self, name: &str) -> Option<&Rc<[u8]>> {
        let file = self.files.get(name).filter(|file| !file.busy)?;
        match file.may.as_slice() {
            [Some(content)] => Some(content),
            _ => None,
        }
    }

    /// A file that nobody is at work with and that fits.
    pub fn some(&self, rng: &mut fastrand::Rng, fits: impl Fn(&File) -> bool) -> Option<String> {
        let names: Vec<&String> = self
            .files
            .iter()
            .filter(|(name, file)| self.certain(name).is_some() && fits(file))
            .map(|(name, _)| name)
            .collect();
        (!names.is_empty()).then(|| names[rng.usize(..names.len())].clone())
    }

    /// A client begins, or ends, to be at work with a file and its metadata.
    pub fn hold(&mut self, name: &str, busy: bool) {
        for name in [name, &format!("{name}-m")] {
            if let Some(file) = self.files.get_mut(name) {
                file.busy = busy;
            }
        }
    }

    /// Puts a file there, in place of what is known of it.
    pub fn put(&mut self, name: &str, home: usize, kind: Kind, may: Vec<Content>) {
        self.files.insert(name.to_owned(), File { home, kind, may, busy: false });
    }

    /// Whether a member may have this, when everything has arrived.
    pub fn allows(&self, name: &str, found: Option<Sum>) -> bool {
        match self.files.get(name) {
            Some(file) => file.may.iter().any(|content| content.as_deref().map(sum) == found),
            None => found.is_none_or(|found| self.strays.contains(&found)),
        }
    }
}
