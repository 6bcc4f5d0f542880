//! Files in slots of a container, read without anybody's index: the name tells the place, the slot's header whether the
//! file is there (trunk 3.1 and 5).

use crate::fileid::{FileName, Kind};

/// Where a name says its content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Number of the container.
    pub container: u32,
    /// Offset of the slot's header in the container, bytes.
    pub offset: u64,
    /// Bytes of content behind the header.
    pub size: u64,
    /// The header of such a file; its first byte is the type.
    head: [u8; Self::HEAD],
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The file.
    File,
    /// A link: its content is the name of the file that is meant.
    Link,
    /// Nothing, or another file by now.
    Other,
}

impl Slot {
    /// Bytes of a slot's header.
    pub const HEAD: usize = 24;
    /// Longest content of a link that is read, bytes.
    pub const LINK_MAX: u64 = 127;

    /// The slot of a name; `None` for names of files that have none, slaves among them.
    pub fn of(name: &FileName) -> Option<Self> {
        let blob = name.blob().filter(|blob| blob.kind() == Kind::Trunk && !name.is_slave())?;
        let place = name.trunk_slot()?;
        let size = u32::try_from(blob.size()).ok()?;
        let end = name.true_name().last_chunk::<7>()?;
        let mut head = [0; Self::HEAD];
        let fields = [place.size, size, blob.crc32, blob.timestamp].map(u32::to_be_bytes);
        let bytes = fields.iter().flatten().chain(end);
        head.iter_mut().skip(1).zip(bytes).for_each(|(to, from)| *to = *from);
        Some(Self { container: place.file, offset: place.offset.into(), size: size.into(), head })
    }

    /// The container, relative to the `data` directory: `HH/HH/NNNNNN`.
    pub fn file(&self, name: &FileName) -> String {
        let (high, low) = name.dir();
        format!("{high:02X}/{low:02X}/{:06}", self.container)
    }

    /// Offset of the content, bytes.
    pub const fn content(&self) -> u64 {
        self.offset + Self::HEAD as u64
    }

    /// Compares with the header in the container.
    pub fn holds(&self, head: &[u8; Self::HEAD]) -> Held {
        let ([kind, found @ ..], [_, wanted @ ..]) = (head, &self.head);
        match kind {
            b'F' if found == wanted => Held::File,
            b'L' if found == wanted && self.size <= Self::LINK_MAX => Held::Link,
            _ => Held::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "M01/00/00/Ck0AFmsCng6IWgIfAAATiI9_KjQAAAAAgAAAAAAABQA742.jpg";

    #[test]
    fn a_name_tells_the_slot() {
        let name = FileName::parse(NAME.as_bytes(), 2).unwrap();
        let slot = Slot::of(&name).unwrap();
        assert_eq!((slot.container, slot.offset, slot.size, slot.content()), (2, 0, 5000, 24));
        assert_eq!(slot.file(&name), "00/00/000002");
        // The header as it was on disk (trunk 3.1), but for the type.
        let mut head = *b"F\0\0\x14\0\0\0\x13\x88\x8f\x7f\x2a\x34\x6b\x02\x9e\x0e742.jpg";
        assert_eq!(slot.holds(&head), Held::File);
        head[0] = b'L';
        assert_eq!(slot.holds(&head), Held::Other, "5000 bytes are no name");
        head[0] = 0;
        assert_eq!(slot.holds(&head), Held::Other);
        for at in 1..Slot::HEAD {
            let mut head = *b"F\0\0\x14\0\0\0\x13\x88\x8f\x7f\x2a\x34\x6b\x02\x9e\x0e742.jpg";
            head[at] ^= 1;
            assert_eq!(slot.holds(&head), Held::Other, "{at}");
        }
        let slave = NAME.replace(".jpg", "_s.jpg");
        assert_eq!(Slot::of(&FileName::parse(slave.as_bytes(), 2).unwrap()), None);
    }
}
