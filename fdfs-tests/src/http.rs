//! A GET by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Fewer bytes arrived than the header promised.
    pub cut: bool,
}

/// GET over a new connection.
pub fn get(addr: SocketAddr, path: &str) -> Answer {
    get_with(addr, path, "")
}

/// The same with more header lines, each ended by CR LF.
pub fn get_with(addr: SocketAddr, path: &str, more: &str) -> Answer {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut raw = Vec::new();
    let broken = stream.read_to_end(&mut raw).is_err();
    let Some(end) = raw.windows(4).position(|part| part == b"\r\n\r\n") else {
        return Answer { status: 0, body: Vec::new(), cut: true };
    };
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.parse::<usize>().ok());
    let body = raw.split_off(end + 4);
    let cut = broken || length.is_some_and(|length| length != body.len());
    Answer { status, body, cut }
}
