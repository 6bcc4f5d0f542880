//! A service that answers with what it was sent, and a server that runs it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use fdfs_core::wire::{Header, Status};
use fdfs_net::{CancellationToken, Conn, ConnError, Flow, Server, ServerConf, Service};

/// Answers with the body.
pub const ECHO: u8 = 1;
/// Answers with the file.
pub const FILE: u8 = 2;
/// Answers 28 without reading the body.
pub const REFUSE: u8 = 3;
/// Answers with the body, read in pieces of at most 3 bytes.
pub const PIECES: u8 = 4;
/// Answers when told to.
pub const SLOW: u8 = 5;

pub struct Echo {
    pub file: Option<(File, u64)>,
    pub gate: CancellationToken,
    pub live: Mutex<usize>,
}

impl Service for Echo {
    type Session = ();

    fn connected(self: &Arc<Self>, _: SocketAddr, _: SocketAddr) {
        *self.live.lock().unwrap() += 1;
    }

    async fn handle(self: &Arc<Self>, _: &mut (), conn: &mut Conn, head: Header) -> Result<Flow, ConnError> {
        match head.cmd {
            ECHO => {
                let body = conn.body(&head).await?;
                conn.reply(&body);
            }
            FILE => {
                let (file, len) = self.file.as_ref().unwrap();
                conn.reply_head(*len);
                conn.send_file(file.as_fd(), 0, *len).await?;
            }
            PIECES => {
                let (mut left, mut all) = (head.len as usize, Vec::new());
                while left > 0 {
                    let mut buf = [0; 3];
                    let most = left.min(3);
                    let got = conn.read_into(&mut buf[..most]).await?;
                    all.extend_from_slice(&buf[..got]);
                    left -= got;
                }
                conn.reply(&all);
            }
            SLOW => {
                self.gate.cancelled().await;
                conn.reply(b"done");
            }
            REFUSE => {
                conn.reply_status(Status::NOSPC);
                return Ok(Flow::Close);
            }
            _ => {
                conn.discard(head.len as u64).await?;
                conn.reply_status(Status::INVAL);
            }
        }
        Ok(Flow::Keep)
    }

    fn closed(self: &Arc<Self>, (): &mut ()) {
        *self.live.lock().unwrap() -= 1;
    }
}

/// A running server; stops at the end.
pub struct Running {
    pub addr: SocketAddr,
    pub echo: Arc<Echo>,
    pub stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

pub fn start(adjust: impl FnOnce(&mut ServerConf)) -> Running {
    start_with(None, adjust)
}

pub fn start_with(file: Option<(File, u64)>, adjust: impl FnOnce(&mut ServerConf)) -> Running {
    let mut conf = ServerConf::new(vec!["127.0.0.1:0".parse().unwrap()]);
    conf.network_timeout = Duration::from_secs(2);
    adjust(&mut conf);
    let bound = Server::bind(conf).unwrap();
    let addr = bound.local_addrs()[0];
    let echo = Arc::new(Echo { file, gate: CancellationToken::new(), live: Mutex::new(0) });
    let stop = CancellationToken::new();
    let (service, token) = (Arc::clone(&echo), stop.clone());
    let thread = std::thread::spawn(move || bound.run(service, token).unwrap());
    Running { addr, echo, stop, thread: Some(thread) }
}

impl Running {
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    pub fn join(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.echo.gate.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn frame(cmd: u8, body: &[u8]) -> Vec<u8> {
    [&Header::request(cmd, body.len() as u64).encode()[..], body].concat()
}

pub fn answer(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 10];
    stream.read_exact(&mut head).unwrap();
    let head = Header::decode(&head);
    let mut body = vec![0; head.len as usize];
    stream.read_exact(&mut body).unwrap();
    (head.status, body)
}

pub fn ask(stream: &mut TcpStream, cmd: u8, body: &[u8]) -> (u8, Vec<u8>) {
    stream.write_all(&frame(cmd, body)).unwrap();
    answer(stream)
}

/// What is left until the server closes.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    rest
}
