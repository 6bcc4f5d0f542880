//! The ten bytes before every body (protocol 1.1).

use super::Status;

/// Frame header: body length, command, status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes that follow the header. Signed on the wire; a negative value closes the connection.
    pub len: i64,
    /// Command number; [`super::cmd::RESPONSE`] in every answer.
    pub cmd: u8,
    /// Errno of the answer. In requests 0, but for the flags of a few commands.
    pub status: u8,
}

impl Header {
    /// Encoded size in bytes.
    pub const SIZE: usize = 10;
    /// Body length of an answer that ends only with the connection (2^58, protocol of command 26).
    pub const UNTIL_CLOSE: i64 = 1 << 58;

    /// A request with a body of `len` bytes.
    pub const fn request(cmd: u8, len: u64) -> Self {
        Self { len: clamp(len), cmd, status: 0 }
    }

    /// A successful answer with a body of `len` bytes.
    pub const fn success(len: u64) -> Self {
        Self { len: clamp(len), cmd: super::cmd::RESPONSE, status: 0 }
    }

    /// An answer that is only a status.
    pub const fn answer(status: Status) -> Self {
        Self { len: 0, cmd: super::cmd::RESPONSE, status: status.0 }
    }

    /// Reads a header. Any ten bytes are a header; the caller judges the values.
    pub const fn decode(bytes: &[u8; Self::SIZE]) -> Self {
        let [a, b, c, d, e, f, g, h, cmd, status] = *bytes;
        Self { len: i64::from_be_bytes([a, b, c, d, e, f, g, h]), cmd, status }
    }

    /// Reads the header at the front of `bytes`, `None` when fewer than ten are there.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(Self::decode)
    }

    /// The ten bytes.
    pub const fn encode(&self) -> [u8; Self::SIZE] {
        let [a, b, c, d, e, f, g, h] = self.len.to_be_bytes();
        [a, b, c, d, e, f, g, h, self.cmd, self.status]
    }

    /// Body length as an unsigned number, `None` when negative.
    pub const fn body(&self) -> Option<u64> {
        if self.len < 0 { None } else { Some(self.len.unsigned_abs()) }
    }
}

const fn clamp(len: u64) -> i64 {
    if len > i64::MAX as u64 { i64::MAX } else { len as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_length_command_status() {
        let head = Header { len: 0x0102_0304_0506_0708, cmd: 11, status: 22 };
        assert_eq!(head.encode(), [1, 2, 3, 4, 5, 6, 7, 8, 11, 22]);
        assert_eq!(Header::decode(&head.encode()), head);
    }

    #[test]
    fn negative_lengths_have_no_body() {
        assert_eq!(Header { len: -1, cmd: 11, status: 0 }.body(), None);
        assert_eq!(Header::request(11, u64::MAX).len, i64::MAX);
        assert_eq!(Header::peek(&[0; 9]), None);
    }
}
