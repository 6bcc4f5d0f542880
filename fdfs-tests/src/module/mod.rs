//! A stock nginx with the module, and storages that can be told how to misbehave.

pub mod member;
pub mod server;

use fdfs_core::fileid::{Blob, FileName, Kind, Source, StorePath, crc32};
use fdfs_core::ident::Extension;

/// Time of every id that [`id`] makes, s.
pub const TIME: u32 = 0x6500_0000;

/// A file id whose source is `ip`; `random` makes names of equal content differ.
pub fn id(content: &[u8], kind: Kind, ip: &str, random: u32) -> String {
    let source = Source::Ip(ip.parse().unwrap());
    let blob = Blob::new(source, TIME, kind, content.len() as u64, crc32(content), random);
    let path = StorePath::new(0, 1).unwrap();
    FileName::generate(path, (0, 0), &blob, Extension::new(b"txt").unwrap(), 1234).logic()
}
