//! Names of contents, which nobody is told: they say of themselves what they are, so that a lost index can be made anew
//! without taking the file of a client for one.

use fdfs_core::fileid::{Blob, FileName, Kind, Source, StorePath};
use fdfs_core::ident::Extension;

/// Names for one content, of which the first that is free is taken.
pub const TRIES: u32 = 10;

/// A name whose random parts, 23 bits and 7 digits, are a hash of the rest.
pub fn content_name(
    path: StorePath,
    dir: (u8, u8),
    (source, timestamp): (Source, u32),
    (size, crc): (u64, u32),
    tried: u32,
) -> FileName {
    let hash = |what: u8| {
        let mut hash = crc32fast::Hasher::new();
        hash.update(b"a content that links show");
        hash.update(&[what]);
        for part in [&source.encode()[..], &timestamp.to_be_bytes(), &size.to_be_bytes(), &crc.to_be_bytes()]
        {
            hash.update(part);
        }
        hash.update(&tried.to_be_bytes());
        hash.finalize()
    };
    let blob = Blob::new(source, timestamp, Kind::Normal, size, crc, hash(0));
    FileName::generate(path, dir, &blob, Extension::default(), hash(1))
}

/// Whether this is such a name. That one of another file passes for it has a chance of 10 in 2^46.
pub fn is_content(name: &FileName) -> bool {
    let Some(blob) = name.blob().filter(|_| name.describes_content()) else { return false };
    (0..TRIES).any(|tried| {
        let (from, of) = ((blob.source, blob.timestamp), (blob.size(), blob.crc32));
        content_name(name.path(), name.dir(), from, of, tried) == *name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_known_by_their_names() {
        let path = StorePath::new(0, 1).unwrap();
        for (n, size) in [0, 1, 5 << 30].into_iter().enumerate() {
            let n = n as u32;
            let name =
                |tried| content_name(path, (3, 9), (Source::Id(7), 1_700_000_000 + n), (size, 99), tried);
            assert!((0..TRIES).all(|tried| is_content(&name(tried))));
            assert!(name(0) != name(1));
        }
        for text in
            ["M00/00/00/Ck0AFWsCm32AEHtFAAAAC_3EqRQ870.txt", "M00/00/00/Ck0AFWsCm32AEHtFAAAAC_3EqRQ8701234"]
        {
            assert!(!is_content(&FileName::parse(text.as_bytes(), 1).unwrap()));
        }
    }
}
