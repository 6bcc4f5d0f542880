//! The bytes of one file of the log, plain or compressed.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::{packed, segment};

/// An open file of the log. Reading a compressed one goes forward only: going back begins anew.
pub(super) enum Source {
    /// `binlog.NNN`.
    Plain(File),
    /// `binlog.NNN.gz`.
    Packed(Box<Packed>),
}

pub(super) struct Packed {
    file: File,
    unpack: MultiGzDecoder<BufReader<File>>,
    /// Place of the next byte that comes out.
    at: u64,
}

impl Source {
    /// The plain file if it is there.
    pub fn open(dir: &Path, index: u32) -> io::Result<Self> {
        let plain = || File::open(segment(dir, index)).map(Self::Plain);
        let missing = match plain() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => error,
            done => return done,
        };
        match Packed::open(&packed(dir, index)) {
            Ok(packed) => Ok(Self::Packed(Box::new(packed))),
            // Another program has unpacked it in this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => plain().map_err(|_| missing),
            Err(error) => Err(error),
        }
    }

    /// Up to `buf.len()` bytes from `at` on; 0 at the end.
    pub fn read_at(&mut self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read_at(buf, at),
            Self::Packed(packed) => packed.read_at(buf, at),
        }
    }
}

impl Packed {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let unpack = decoder(&file)?;
        Ok(Self { file, unpack, at: 0 })
    }

    fn read_at(&mut self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        if at < self.at {
            (self.unpack, self.at) = (decoder(&self.file)?, 0);
        }
        if at > self.at {
            let skipped = io::copy(&mut (&mut self.unpack).take(at - self.at), &mut io::sink())?;
            self.at += skipped;
            if self.at < at {
                return Ok(0);
            }
        }
        let got = self.unpack.read(buf)?;
        self.at += got as u64;
        Ok(got)
    }
}

impl Read for Packed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let at = self.at;
        self.read_at(buf, at)
    }
}

fn decoder(file: &File) -> io::Result<MultiGzDecoder<BufReader<File>>> {
    use io::Seek;
    let mut file = file.try_clone()?;
    file.rewind()?;
    Ok(MultiGzDecoder::new(BufReader::with_capacity(64 << 10, file)))
}
