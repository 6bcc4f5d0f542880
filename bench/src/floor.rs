//! The floor for a storage: a server that does only the system calls without which there is no upload, download, append or delete,
//! and checks nothing: a thread waits for each connection, a file has its name from the start, a line goes to a log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fdfs_core::wire::{Header, cmd};

/// Bytes that are read or written at once.
const BUFFER: usize = 256 << 10;
/// Group and name in an answer: the length is that of a real one.
const ANSWER: usize = 16 + 44;

struct Floor {
    dir: PathBuf,
    log: File,
    next: AtomicU64,
}

/// Serves until the process ends; `dir` is there. All threads are there from the start, so that their CPU time can be read any time.
pub fn serve(listener: TcpListener, dir: &Path, threads: usize) -> io::Result<()> {
    let log = OpenOptions::new().create(true).append(true).open(dir.join("log"))?;
    let floor = Arc::new(Floor { dir: dir.to_owned(), log, next: AtomicU64::new(0) });
    let listener = Arc::new(listener);
    let started: Vec<_> = (0..threads)
        .map(|_| {
            let (floor, listener) = (Arc::clone(&floor), Arc::clone(&listener));
            std::thread::spawn(move || {
                let mut buffer = vec![0; BUFFER];
                while let Ok((stream, _)) = listener.accept() {
                    // Its end is the client's business.
                    let _ = floor.talk(stream, &mut buffer);
                }
            })
        })
        .collect();
    started
        .into_iter()
        .try_for_each(|thread| thread.join().map_err(|_| io::Error::other("a thread panicked")))
}

impl Floor {
    fn talk(&self, mut stream: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut head = [0; Header::SIZE];
        loop {
            // The fixed part of a request arrives with its header: one call reads both, and the beginning of the content.
            let mut filled = stream.read(buffer)?;
            if filled == 0 {
                return Ok(());
            }
            while filled < Header::SIZE {
                filled += more(&mut stream, buffer, filled)?;
            }
            head.copy_from_slice(buffer.get(..Header::SIZE).unwrap_or_default());
            let request = Header::decode(&head);
            let len = u64::try_from(request.len).unwrap_or(0);
            let fixed = Header::SIZE + fixed_part(request.cmd, len);
            while filled < fixed {
                filled += more(&mut stream, buffer, filled)?;
            }
            let told = buffer.get(Header::SIZE..fixed).unwrap_or_default().to_vec();
            match request.cmd {
                cmd::UPLOAD_FILE | cmd::UPLOAD_APPENDER_FILE => {
                    let number = self.next.fetch_add(1, Relaxed);
                    let file = File::create(self.dir.join(number.to_string()))?;
                    let left = len - told.len() as u64;
                    receive(&mut stream, &file, buffer, (fixed, filled), left)?;
                    drop(file);
                    self.note(number)?;
                    let mut answer = Header::success(ANSWER as u64).encode().to_vec();
                    answer.extend_from_slice(b"group1\0\0\0\0\0\0\0\0\0\0");
                    answer.extend_from_slice(format!("{number:044}").as_bytes());
                    stream.write_all(&answer)?;
                }
                cmd::APPEND_FILE => {
                    let file = OpenOptions::new().append(true).open(self.path(&told))?;
                    receive(&mut stream, &file, buffer, (fixed, filled), len - told.len() as u64)?;
                    drop(file);
                    self.note(0)?;
                    stream.write_all(&Header::success(0).encode())?;
                }
                cmd::DOWNLOAD_FILE => {
                    let file = File::open(self.path(&told))?;
                    send(&stream, &file, file.metadata()?.len())?;
                }
                cmd::DELETE_FILE => {
                    std::fs::remove_file(self.path(&told))?;
                    self.note(0)?;
                    stream.write_all(&Header::success(0).encode())?;
                }
                _ => stream.write_all(&Header::success(0).encode())?,
            }
        }
    }

    /// The file whose number is at the end of what was told.
    fn path(&self, told: &[u8]) -> PathBuf {
        let name = told.last_chunk::<44>().map(|name| String::from_utf8_lossy(name).into_owned());
        let number: u64 = name.and_then(|name| name.parse().ok()).unwrap_or(u64::MAX);
        self.dir.join(number.to_string())
    }

    /// What the binlog of a storage has for a change.
    fn note(&self, number: u64) -> io::Result<()> {
        (&self.log).write_all(format!("{number:054}\n").as_bytes())
    }
}

/// Bytes of a body that say what to do.
fn fixed_part(command: u8, len: u64) -> usize {
    let all = usize::try_from(len).unwrap_or(0);
    match command {
        cmd::UPLOAD_FILE | cmd::UPLOAD_APPENDER_FILE => 15,
        cmd::APPEND_FILE => 16 + 44,
        _ => all,
    }
    .min(all)
}

fn more(stream: &mut TcpStream, buffer: &mut [u8], filled: usize) -> io::Result<usize> {
    match stream.read(buffer.get_mut(filled..).unwrap_or_default())? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        got => Ok(got),
    }
}

/// Content of `left` bytes, of which `have` of the buffer is the beginning.
fn receive(
    stream: &mut TcpStream,
    mut file: &File,
    buffer: &mut [u8],
    have: (usize, usize),
    mut left: u64,
) -> io::Result<()> {
    let (mut from, mut filled) = have;
    loop {
        // Whole buffers are written.
        while (filled - from) as u64 != left && filled < buffer.len() {
            filled += more(stream, buffer, filled)?;
        }
        let part = buffer.get(from..filled).unwrap_or_default();
        file.write_all(part)?;
        left -= part.len() as u64;
        if left == 0 {
            return Ok(());
        }
        (from, filled) = (0, 0);
    }
}

fn send(mut stream: &TcpStream, file: &File, len: u64) -> io::Result<()> {
    stream.write_all(&Header::success(len).encode())?;
    let mut at = 0;
    while at < len {
        let most = usize::try_from(len - at).unwrap_or(usize::MAX);
        let sent = rustix::fs::sendfile(stream, file, Some(&mut at), most)?;
        if sent == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
