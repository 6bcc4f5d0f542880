//! `fdfs_crc32`: prints the crc of a local file.

use std::io::Read;

use super::Ended;

pub(super) const USAGE: &str = "<filename>";

pub(super) fn run(args: &[String]) -> Ended {
    let [name] = args else { return Ended::Usage };
    let read = || -> std::io::Result<u32> {
        let mut file = std::fs::File::open(name)?;
        let (mut crc, mut buffer) = (crc32fast::Hasher::new(), vec![0; 256 << 10]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(crc.finalize()),
                n => crc.update(&buffer[..n]),
            }
        }
    };
    match read() {
        Ok(crc) => Ended::Said(format!("{crc:x}\n"), serde_json::json!({ "file": name, "crc32": crc })),
        Err(error) => {
            let code = error.raw_os_error().and_then(|errno| u8::try_from(errno).ok()).unwrap_or(5);
            Ended::Failed(format!("{name}: {error}"), code)
        }
    }
}
