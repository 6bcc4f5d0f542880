//! Closed files of the log become `binlog.NNN.gz` (replication 2.5). Readers read both forms.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::source::Packed;
use super::{Binlog, packed, recover, segment};

const STEP: usize = 64 << 10;

/// What a run did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Compressed {
    /// Files.
    pub files: u32,
    /// Their bytes before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

impl Binlog {
    /// Compresses files below number `limit` that are closed and were written last before `closed_before`, the oldest first,
    /// until `stop` says so. The plain file goes when the compressed one is on the disk and has been compared with it.
    pub fn compress(
        &self,
        limit: u32,
        closed_before: SystemTime,
        stop: impl Fn() -> bool,
    ) -> io::Result<Compressed> {
        let mut done = Compressed::default();
        let limit = limit.min(self.end().index);
        for index in recover::compressed(&self.dir)..limit {
            let path = segment(&self.dir, index);
            match fs::metadata(&path) {
                Ok(meta) if meta.modified()? >= closed_before => break,
                Ok(meta) => {
                    let Some(after) = self.pack(index, &stop)? else { break };
                    done.files += 1;
                    done.before += meta.len();
                    done.after += after;
                }
                // It is compressed already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let state = self.lock();
            recover::save_index(&self.dir, state.end.index, Some(index + 1))?;
        }
        Ok(done)
    }

    /// Size of the compressed file; `None` when told to stop.
    fn pack(&self, index: u32, stop: &impl Fn() -> bool) -> io::Result<Option<u64>> {
        let (plain, packed) = (segment(&self.dir, index), packed(&self.dir, index));
        let temp = self.dir.join(format!(".binlog.{index:03}.gz.tmp"));
        let done = write(&plain, &temp, stop).and_then(|whole| {
            if !whole || !is_same(&plain, &temp, stop)? {
                return Ok(None);
            }
            fs::rename(&temp, &packed)?;
            File::open(&self.dir)?.sync_all()?;
            fs::remove_file(&plain)?;
            Ok(Some(fs::metadata(&packed)?.len()))
        });
        if !matches!(done, Ok(Some(_))) {
            // It is written anew the next time.
            let _ = fs::remove_file(&temp);
        }
        done
    }
}

/// Writes it to the disk; `false` when told to stop.
fn write(plain: &Path, to: &Path, stop: &impl Fn() -> bool) -> io::Result<bool> {
    let mut from = File::open(plain)?;
    let mut pack = GzEncoder::new(File::create(to)?, Compression::default());
    let mut buffer = vec![0; STEP];
    loop {
        let got = from.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        if stop() {
            return Ok(false);
        }
        pack.write_all(&buffer[..got])?;
    }
    pack.finish()?.sync_all()?;
    Ok(true)
}

/// `false` when told to stop; an error when the compressed file holds something else.
fn is_same(plain: &Path, packed: &Path, stop: &impl Fn() -> bool) -> io::Result<bool> {
    let mut plain = BufReader::with_capacity(STEP, File::open(plain)?);
    let mut packed = Packed::open(packed)?;
    let (mut one, mut other) = (vec![0; STEP], vec![0; STEP]);
    loop {
        let got = packed.read(&mut other)?;
        let same = match got {
            0 => plain.read(&mut one)? == 0,
            _ => plain.read_exact(&mut one[..got]).is_ok() && one[..got] == other[..got],
        };
        if !same {
            return Err(io::Error::other("a compressed file of the log is not what was compressed"));
        }
        if got == 0 {
            return Ok(true);
        }
        if stop() {
            return Ok(false);
        }
    }
}
