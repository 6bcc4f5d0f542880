//! Bytes from one file to another.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

/// Most that one call copies.
const STEP: usize = 8 << 20;
/// Most that goes through memory at a time, where the kernel cannot copy.
const BUFFER: usize = 256 << 10;

/// Copies `len` bytes from the beginning of one file to `start` of another.
pub(crate) fn copy_range(from: &File, to: &File, start: u64, len: u64) -> io::Result<()> {
    let (mut at, mut out) = (0, start);
    while at < len {
        let most = usize::try_from(len - at).unwrap_or(STEP).min(STEP);
        match rustix::fs::copy_file_range(from, Some(&mut at), to, Some(&mut out), most) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let mut bytes = vec![0; most.min(BUFFER)];
                let got = from.read_at(&mut bytes, at)?;
                if got == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                to.write_all_at(&bytes[..got], out)?;
                (at, out) = (at + got as u64, out + got as u64);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
