//! Is a file what its name says?

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use fdfs_core::fileid::{Blob, Crc32Legacy, FileName};

use crate::disk;
use crate::storage::Storage;

const STEP: usize = 256 << 10;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Size and crc are those of the name, in either variant of the crc (protocol 5.4).
    Good,
    /// They are not.
    Damaged,
    /// The name does not tell: appenders, slaves, metadata, links, files in trunk files.
    Unknown,
}

/// Reads the file; `pace` is told the bytes of each step, and may wait.
pub fn check(storage: &Storage, name: &FileName, mut pace: impl FnMut(u64) -> bool) -> io::Result<Verdict> {
    let Some(blob) = name.blob().filter(|_| name.describes_content() && name.trunk_slot().is_none()) else {
        return Ok(Verdict::Unknown);
    };
    if !disk::is_file(&disk::lstat(&storage.paths, name)?) {
        return Ok(Verdict::Unknown);
    }
    let mut file = File::from(disk::open(&storage.paths, name)?);
    let (mut crc, mut size, mut buffer) = (crc32fast::Hasher::new(), 0u64, vec![0; STEP]);
    loop {
        let got = file.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        crc.update(&buffer[..got]);
        size += got as u64;
        if !pace(got as u64) {
            return Ok(Verdict::Unknown);
        }
    }
    let same_size = size == blob.size();
    if same_size && (crc.finalize() == blob.crc32 || is_old_crc(&file, &blob)?) {
        return Ok(Verdict::Good);
    }
    Ok(Verdict::Damaged)
}

/// Whether the crc in the name is that which versions before 5.12 computed. Reads the whole file.
pub(crate) fn is_old_crc(file: &File, blob: &Blob) -> io::Result<bool> {
    let (mut crc, mut at, mut buffer) = (Crc32Legacy::default(), 0, vec![0; STEP]);
    loop {
        let got = file.read_at(&mut buffer, at)?;
        if got == 0 {
            return Ok(crc.finish() == blob.crc32);
        }
        crc.update(&buffer[..got]);
        at += got as u64;
    }
}
