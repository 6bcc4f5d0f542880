//! A connection that can be cut, or stand still.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Stands in front of a member, under an address that stays when the member starts again elsewhere.
#[derive(Clone)]
pub struct Proxy {
    pub addr: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    still: Arc<AtomicBool>,
    /// Counts up with every cut: connections of before end.
    cut: Arc<AtomicU32>,
    refuse: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            addr: listener.local_addr().unwrap(),
            target: Arc::new(Mutex::new(target)),
            still: Arc::default(),
            cut: Arc::default(),
            refuse: Arc::default(),
            ended: Arc::default(),
        };
        let accepting = proxy.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Relaxed) {
                    return;
                }
                if accepting.refuse.load(Relaxed) {
                    continue;
                }
                let target = *accepting.target.lock().unwrap();
                let Ok(other) = TcpStream::connect(target) else { continue };
                for stream in [&stream, &other] {
                    stream.set_nodelay(true).unwrap();
                    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                }
                let (one, two) = (stream.try_clone().unwrap(), other.try_clone().unwrap());
                accepting.clone().carry(stream, other);
                accepting.clone().carry(two, one);
            }
        });
        proxy
    }

    fn carry(self, mut from: TcpStream, mut to: TcpStream) {
        let before = self.cut.load(Relaxed);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                if self.cut.load(Relaxed) != before || self.ended.load(Relaxed) {
                    break;
                }
                if self.still.load(Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
                match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(got) if to.write_all(&buffer[..got]).is_err() => break,
                    Ok(_) => {}
                    Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
                    Err(_) => break,
                }
            }
            let _ = from.shutdown(std::net::Shutdown::Both);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    }

    pub fn set_target(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }

    /// Ends all connections; with `refuse`, new ones too.
    pub fn cut(&self, refuse: bool) {
        self.refuse.store(refuse, Relaxed);
        self.cut.fetch_add(1, Relaxed);
    }

    pub fn still(&self, still: bool) {
        self.still.store(still, Relaxed);
    }

    pub fn pass(&self) {
        self.refuse.store(false, Relaxed);
        self.still(false);
    }

    pub fn end(&self) {
        self.ended.store(true, Relaxed);
        let _ = TcpStream::connect(self.addr);
    }
}
