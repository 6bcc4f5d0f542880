//! Frames by hand, independent of the code under test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u8,
    pub body: Vec<u8>,
}

/// A connection.
pub struct Raw(pub TcpStream);

impl Raw {
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// A header with any length, command and status.
    pub fn head(len: i64, cmd: u8, status: u8) -> [u8; 10] {
        let mut head = [0; 10];
        head[..8].copy_from_slice(&len.to_be_bytes());
        head[8] = cmd;
        head[9] = status;
        head
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    pub fn ask(&mut self, cmd: u8, body: &[u8]) -> io::Result<Answer> {
        let head = Self::head(i64::try_from(body.len()).unwrap(), cmd, 0);
        self.send(&[&head, body].concat())?;
        self.answer()
    }

    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut head = [0; 10];
        self.0.read_exact(&mut head)?;
        let len = i64::from_be_bytes(head[..8].try_into().unwrap());
        let mut body = vec![0; usize::try_from(len).unwrap()];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status: head[9], body })
    }

    /// Whether the server closes without sending anything more.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// `text` in a field of `width` bytes.
pub fn field(text: &str, width: usize) -> Vec<u8> {
    let mut field = text.as_bytes().to_vec();
    field.resize(width, 0);
    field
}

/// Body of a request about a file.
pub fn file(group: &str, name: &str) -> Vec<u8> {
    [field(group, 16), name.as_bytes().to_vec()].concat()
}

/// Body of an upload.
pub fn upload(path: u8, ext: &str, content: &[u8]) -> Vec<u8> {
    let size = (content.len() as u64).to_be_bytes();
    [&[path], &size[..], &field(ext, 6), content].concat()
}

/// Body of a set-metadata.
pub fn set_metadata(mode: u8, group: &str, name: &str, text: &[u8]) -> Vec<u8> {
    let mut body = (name.len() as u64).to_be_bytes().to_vec();
    body.extend_from_slice(&(text.len() as u64).to_be_bytes());
    body.push(mode);
    body.extend_from_slice(&field(group, 16));
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(text);
    body
}

/// Body of a download.
pub fn download(offset: u64, count: u64, group: &str, name: &str) -> Vec<u8> {
    [&offset.to_be_bytes()[..], &count.to_be_bytes(), &file(group, name)].concat()
}

pub const UPLOAD: u8 = 11;
pub const DELETE: u8 = 12;
pub const SET_METADATA: u8 = 13;
pub const DOWNLOAD: u8 = 14;
pub const GET_METADATA: u8 = 15;
pub const FILE_INFO: u8 = 22;
