//! The floor of a copy: sendfile on one end of a connection, read and write to an unnamed file on the other.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of a read and a write.
const STEP: usize = 256 << 10;
/// Connections.
const LANES: usize = 4;

/// Copies `files` times `size` bytes in `dir`, and checks nothing: when each was there, and CPU time per file.
pub fn bare(dir: &Path, files: usize, size: usize) -> io::Result<(Vec<Duration>, Duration)> {
    let source = unnamed(dir)?;
    for at in (0..size).step_by(STEP) {
        (&source).write_all(&[7; STEP][..STEP.min(size - at)])?;
    }
    let listener = TcpListener::bind("127.0.6.3:0")?;
    let addr = listener.local_addr()?;
    let (left, done) = (Mutex::new(files), Mutex::new(Vec::new()));
    let (began, cpu) = (Instant::now(), cpu_of_this());
    std::thread::scope(|scope| {
        let mut lanes = Vec::new();
        for _ in 0..LANES.min(files) {
            let from = TcpStream::connect(addr)?;
            let (to, _) = listener.accept()?;
            lanes.push(scope.spawn(|| receive(dir, to, size)));
            lanes.push(scope.spawn(|| {
                send(&source, from, size, &left, || {
                    done.lock().map(|mut done| done.push(began.elapsed())).unwrap_or_default();
                })
            }));
        }
        lanes
            .into_iter()
            .try_for_each(|lane| lane.join().map_err(|_| io::Error::other("a thread panicked"))?)
    })?;
    let cpu = (cpu_of_this() - cpu) / u32::try_from(files).unwrap_or(u32::MAX);
    Ok((done.into_inner().unwrap_or_default(), cpu))
}

fn send(file: &File, mut to: TcpStream, size: usize, left: &Mutex<usize>, done: impl Fn()) -> io::Result<()> {
    loop {
        {
            let Ok(mut left) = left.lock() else { return Ok(()) };
            if *left == 0 {
                return Ok(());
            }
            *left -= 1;
        }
        let mut at = 0;
        while at < size as u64 {
            let count = size - at as usize;
            rustix::fs::sendfile(&to, file, Some(&mut at), count)?;
        }
        to.read_exact(&mut [0])?;
        done();
    }
}

fn receive(dir: &Path, mut from: TcpStream, size: usize) -> io::Result<()> {
    let mut buffer = vec![0; STEP];
    loop {
        let mut to = unnamed(dir)?;
        let mut left = size;
        while left > 0 {
            let most = left.min(STEP);
            match from.read(&mut buffer[..most])? {
                0 if left == size => return Ok(()),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                got => {
                    to.write_all(&buffer[..got])?;
                    left -= got;
                }
            }
        }
        from.write_all(&[0])?;
    }
}

fn unnamed(dir: &Path) -> io::Result<File> {
    Ok(rustix::fs::open(dir, OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?
        .into())
}

fn cpu_of_this() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
