//! Fixed-width text fields (protocol 1.2 and 2).

use std::fmt;
use std::net::IpAddr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Text in a field of `N` bytes, padded with NUL. A full field has no terminator.
///
/// Readers stop at the first NUL: peers leave anything behind it (replication, conventions).
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
pub struct Text<const N: usize>([u8; N]);

/// The text does not fit its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("text longer than its field of {0} bytes")]
pub struct TextError(pub usize);

impl<const N: usize> Text<N> {
    /// All NUL.
    pub const EMPTY: Self = Self([0; N]);

    /// Pads `text`; fails when it is longer than the field.
    pub fn new(text: &[u8]) -> Result<Self, TextError> {
        if text.len() > N {
            return Err(TextError(N));
        }
        Ok(Self::cut(text))
    }

    /// Pads `text`, leaving out what does not fit.
    pub fn cut(text: &[u8]) -> Self {
        let mut field = [0; N];
        for (to, from) in field.iter_mut().zip(text) {
            *to = *from;
        }
        Self(field)
    }

    /// Bytes up to the first NUL or the full width.
    pub fn bytes(&self) -> &[u8] {
        let end = memchr::memchr(0, &self.0).unwrap_or(N);
        self.0.get(..end).unwrap_or_default()
    }

    /// The text as UTF-8, empty when it is none.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// The text up to the first byte that is no visible ASCII character.
    pub fn graphic(&self) -> Self {
        let text = self.bytes();
        let end = text.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(text.len());
        Self::cut(text.get(..end).unwrap_or_default())
    }

    /// Whether the first byte is NUL.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// The whole field with its padding.
    pub const fn raw(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.bytes()))
    }
}

/// An address as text in 46 bytes (since 6.11).
pub type IpField = Text<46>;

impl IpField {
    /// The text of `ip`.
    pub fn of(ip: IpAddr) -> Self {
        Self::cut(ip.to_string().as_bytes())
    }

    /// The address, `None` when empty or no address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.as_str().parse().ok()
    }
}

/// Width of address fields in answers: the parameter `response_ip_addr_size` (protocol 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AddrWidth {
    /// 16 bytes, 15 in "ip + port" records.
    #[default]
    V4,
    /// 46 bytes, 45 in "ip + port" records.
    V6,
}

impl AddrWidth {
    /// Bytes of a stand-alone address field.
    pub const fn field(self) -> usize {
        match self {
            Self::V4 => 16,
            Self::V6 => 46,
        }
    }

    /// Bytes of the address in an "ip + port" record.
    pub const fn record(self) -> usize {
        self.field() - 1
    }
}

/// Appends `text` to `out`, cut or padded with NUL to exactly `width` bytes.
pub fn put_ip(out: &mut impl bytes::BufMut, text: &[u8], width: usize) {
    let kept = text.len().min(width);
    out.put_slice(text.get(..kept).unwrap_or_default());
    out.put_bytes(0, width - kept);
}

/// As [`put_ip`], from the address itself: every query ends with one, so IPv4 takes no allocation.
pub fn put_ip_of(out: &mut impl bytes::BufMut, ip: IpAddr, width: usize) {
    let IpAddr::V4(ip) = ip else { return put_ip(out, ip.to_string().as_bytes(), width) };
    let mut text = [0; 16];
    let mut len = 0;
    let mut push = |byte: u8| {
        if let Some(place) = text.get_mut(len) {
            *place = byte;
            len += 1;
        }
    };
    for (at, part) in ip.octets().into_iter().enumerate() {
        if at > 0 {
            push(b'.');
        }
        if part >= 100 {
            push(b'0' + part / 100);
        }
        if part >= 10 {
            push(b'0' + part / 10 % 10);
        }
        push(b'0' + part % 10);
    }
    put_ip(out, text.get(..len).unwrap_or_default(), width);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_for_a_file_of_lines_ends_at_the_first_odd_byte() {
        for (text, graphic) in
            [("6.16.1", "6.16.1"), ("x\n[Ab]", "x"), ("a b", "a"), ("\u{7f}", ""), ("", "")]
        {
            assert_eq!(Text::<8>::cut(text.as_bytes()).graphic().as_str(), graphic, "{text:?}");
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        let texts = ["0.0.0.0", "255.255.255.255", "10.20.100.9", "1.99.101.110", "::1", "2001:db8::7"];
        let all = (0..=255_u8).map(|part| IpAddr::from([part, 7, 200, part]));
        for ip in texts.iter().map(|text| text.parse().unwrap()).chain(all) {
            for width in [15, 16, 46] {
                let (mut one, mut two) = (Vec::new(), Vec::new());
                put_ip_of(&mut one, ip, width);
                put_ip(&mut two, ip.to_string().as_bytes(), width);
                assert_eq!(one, two, "{ip}");
            }
        }
    }

    #[test]
    fn a_full_field_has_no_terminator() {
        let full = Text::<4>::new(b"abcd").unwrap();
        assert_eq!(full.bytes(), b"abcd");
        assert_eq!(Text::<4>::new(b"abcde"), Err(TextError(4)));
        assert_eq!(Text::<4>::cut(b"abcde").bytes(), b"abcd");
    }

    #[test]
    fn bytes_after_the_nul_are_not_read() {
        let field: Text<8> = Text(*b"ab\0junk!");
        assert_eq!(field.as_str(), "ab");
        assert!(Text::<3>::EMPTY.is_empty());
    }

    #[test]
    fn address_records_are_one_byte_shorter() {
        assert_eq!((AddrWidth::V4.field(), AddrWidth::V4.record()), (16, 15));
        let mut out = Vec::new();
        put_ip(&mut out, b"1.2.3.4", 15);
        assert_eq!(out.len(), 15);
        assert_eq!(IpField::of("::1".parse().unwrap()).ip(), Some("::1".parse().unwrap()));
    }
}
