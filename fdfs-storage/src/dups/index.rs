//! What the index says: which content is here, which links show it.
//!
//! | key | value |
//! |---|---|
//! | `s` signature | name of the content that later uploads are compared with |
//! | `c` name of a content | number of links, signature |
//! | `l` name of a link | name of its content |
//! | `p` name of a link | name of its content: the link is being made or removed |
//! | `b` | how far the binlog is in the index |
//!
//! A link is entered, with a `p`, before it is made; a `p` is entered before a link is removed. Whatever happens then,
//! the disk says what became of it ([`super::finish`]).

use std::io;

use fdfs_core::binlog::Pos;

use super::signature::Signature;
use super::store::{Change, Store};

/// A content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Links that show it.
    pub links: u64,
    /// Of its bytes.
    pub signature: Signature,
}

/// The index. Names are logic names.
pub struct Index(Store);

impl Index {
    /// On a table.
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// The table.
    pub fn store(&self) -> &Store {
        &self.0
    }

    /// Content with this signature.
    pub fn find(&self, signature: &Signature) -> io::Result<Option<String>> {
        self.name(key(b's', signature))
    }

    /// A content by its name.
    pub fn content(&self, name: &str) -> io::Result<Option<Content>> {
        let value = self.0.get(&key(b'c', name.as_bytes()))?;
        Ok(value.and_then(|value| Content::decode(&value)))
    }

    /// The content that a link shows.
    pub fn shown_by(&self, link: &str) -> io::Result<Option<String>> {
        self.name(key(b'l', link.as_bytes()))
    }

    /// Enters a content and its first link, which are about to be made. Later uploads are compared with this content.
    pub fn begin_first(&self, name: &str, signature: Signature, link: &str) -> io::Result<()> {
        let content = Content { links: 1, signature };
        self.0.apply(vec![
            put(key(b'p', link.as_bytes()), name),
            put(key(b'l', link.as_bytes()), name),
            content.put(name),
            put(key(b's', &signature), name),
        ])
    }

    /// Enters one more link to a content that is in the index; it is about to be made.
    pub fn begin_more(&self, name: &str, content: Content, link: &str) -> io::Result<()> {
        if self.shown_by(link)?.is_some() {
            return self.begin_remove(name, link);
        }
        self.0.apply(vec![
            put(key(b'p', link.as_bytes()), name),
            put(key(b'l', link.as_bytes()), name),
            Content { links: content.links + 1, ..content }.put(name),
        ])
    }

    /// Notes that a link is about to be removed.
    pub fn begin_remove(&self, name: &str, link: &str) -> io::Result<()> {
        self.0.apply(vec![put(key(b'p', link.as_bytes()), name)])
    }

    /// Enters a content that was found on the disk.
    pub fn adopt(&self, name: &str, signature: Signature) -> io::Result<()> {
        let mut changes = vec![Content { links: 0, signature }.put(name)];
        if self.find(&signature)?.is_none() {
            changes.push(put(key(b's', &signature), name));
        }
        self.0.apply(changes)
    }

    /// A link is there for good.
    pub fn made(&self, link: &str) -> io::Result<()> {
        self.0.apply(vec![(key(b'p', link.as_bytes()), None)])
    }

    /// A link is gone for good. The content when that was its last link: then [`Index::forget`] is to follow.
    pub fn removed(&self, name: &str, link: &str) -> io::Result<Option<Content>> {
        let Some(content) = self.content(name)? else {
            self.made(link)?;
            return Ok(None);
        };
        // Before: a process that was killed had counted this one.
        let counted = self.shown_by(link)?.is_some();
        let content = Content { links: content.links.saturating_sub(u64::from(counted)), ..content };
        let mut changes = vec![(key(b'l', link.as_bytes()), None), content.put(name)];
        if content.links > 0 {
            changes.push((key(b'p', link.as_bytes()), None));
        }
        self.0.apply(changes)?;
        Ok((content.links == 0).then_some(content))
    }

    /// A content without links is gone.
    pub fn forget(&self, name: &str, content: &Content, link: &str) -> io::Result<()> {
        let mut changes = vec![(key(b'c', name.as_bytes()), None), (key(b'p', link.as_bytes()), None)];
        if self.find(&content.signature)?.as_deref() == Some(name) {
            changes.push((key(b's', &content.signature), None));
        }
        self.0.apply(changes)
    }

    /// Links that were being made or removed, with their contents.
    pub fn unfinished(&self) -> io::Result<Vec<(String, String)>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(self.0.all(b'p')?.iter().map(|(link, name)| (text(&link[1..]), text(name))).collect())
    }

    /// Contents that no link shows.
    pub fn unshown(&self) -> io::Result<Vec<(String, Content)>> {
        let all = self.0.all(b'c')?.into_iter().filter_map(|(name, value)| {
            let content = Content::decode(&value).filter(|content| content.links == 0)?;
            Some((String::from_utf8(name.get(1..)?.to_vec()).ok()?, content))
        });
        Ok(all.collect())
    }

    /// How far the binlog is in the index.
    pub fn seen(&self) -> io::Result<Option<Pos>> {
        let value = self.0.get(b"b")?;
        Ok(value.and_then(|value| {
            let (index, offset) = value.split_first_chunk::<4>()?;
            let offset = u64::from_be_bytes(offset.try_into().ok()?);
            Some(Pos { index: u32::from_be_bytes(*index), offset })
        }))
    }

    /// Notes how far it is.
    pub fn see(&self, pos: Pos) -> io::Result<()> {
        let value = [&pos.index.to_be_bytes()[..], &pos.offset.to_be_bytes()].concat();
        self.0.apply(vec![(b"b".to_vec(), Some(value))])
    }

    fn name(&self, key: Vec<u8>) -> io::Result<Option<String>> {
        Ok(self.0.get(&key)?.and_then(|name| String::from_utf8(name).ok()))
    }
}

impl Content {
    fn put(&self, name: &str) -> Change {
        let value = [&self.links.to_be_bytes()[..], &self.signature].concat();
        (key(b'c', name.as_bytes()), Some(value))
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (links, signature) = value.split_first_chunk::<8>()?;
        Some(Self { links: u64::from_be_bytes(*links), signature: signature.try_into().ok()? })
    }
}

fn key(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind][..], rest].concat()
}

fn put(key: Vec<u8>, name: &str) -> Change {
    (key, Some(name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_counted_once_each() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::new(Store::open(dir.path()).unwrap());
        let links = |name| index.content(name).unwrap().map(|content| content.links);
        let more = |link| index.begin_more("C", index.content("C").unwrap().unwrap(), link).unwrap();
        index.begin_first("C", [1; 24], "a").unwrap();
        index.made("a").unwrap();
        more("b");
        more("b");
        assert_eq!(links("C"), Some(2));
        assert_eq!(index.unfinished().unwrap(), [("b".to_owned(), "C".to_owned())]);
        index.made("b").unwrap();
        assert_eq!(index.find(&[1; 24]).unwrap().as_deref(), Some("C"));

        index.begin_remove("C", "a").unwrap();
        assert_eq!(index.removed("C", "a").unwrap(), None);
        assert_eq!(index.removed("C", "a").unwrap(), None, "counted twice");
        assert_eq!(links("C"), Some(1));
        // The process is killed before the content is gone: the next one is told of it again.
        index.begin_remove("C", "b").unwrap();
        let last = index.removed("C", "b").unwrap().unwrap();
        assert_eq!(index.unfinished().unwrap(), [("b".to_owned(), "C".to_owned())]);
        assert_eq!(index.removed("C", "b").unwrap(), Some(last));
        index.forget("C", &last, "b").unwrap();
        assert_eq!((links("C"), index.find(&[1; 24]).unwrap()), (None, None));
        assert!(index.unfinished().unwrap().is_empty());
    }

    #[test]
    fn content_that_was_replaced_leaves_its_successor() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::new(Store::open(dir.path()).unwrap());
        index.begin_first("old", [1; 24], "a").unwrap();
        index.begin_first("new", [1; 24], "b").unwrap();
        let old = index.removed("old", "a").unwrap().unwrap();
        index.forget("old", &old, "a").unwrap();
        assert_eq!(index.find(&[1; 24]).unwrap().as_deref(), Some("new"));
        index.see(Pos { index: 3, offset: 9 }).unwrap();
        assert_eq!(index.seen().unwrap(), Some(Pos { index: 3, offset: 9 }));
    }
}
