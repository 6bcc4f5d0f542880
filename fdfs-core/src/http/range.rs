//! The `Range` header of a request, for files that nginx cannot cut itself. Read as nginx reads it for its own
//! files, so that a client cannot tell a file of this machine from one of another member (RFC 9110 14).

/// What a `Range` header means for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// The header does not count: the whole file.
    Whole,
    /// Nothing that can be answered: 416.
    Unsatisfiable,
    /// First and last byte of each part, in the order asked for. Never empty, never more bytes than the file.
    Parts(Vec<(u64, u64)>),
}

/// Most ranges of a request that is answered with parts, whatever `max_ranges` allows: each is a request to a storage.
const PARTS_MAX: usize = 64;

impl Ranges {
    /// Reads the value of a `Range` header for a file of `size` bytes. More than `max` parts: the whole file.
    pub fn parse(header: &[u8], size: u64, max: usize) -> Self {
        let set = match header.split_at_checked(6) {
            Some((unit, set)) if unit.eq_ignore_ascii_case(b"bytes=") && !set.is_empty() => set,
            _ => return Self::Whole,
        };
        if max == 0 {
            return Self::Whole;
        }
        let (mut parts, mut total) = (Vec::new(), 0_u64);
        for item in set.split(|c| *c == b',') {
            let Some((start, end)) = bounds(item, size) else { return Self::Unsatisfiable };
            if start < end {
                parts.push((start, end - 1));
                total = total.saturating_add(end - start);
                if parts.len() > max.min(PARTS_MAX) {
                    return Self::Whole;
                }
            } else if start == 0 {
                return Self::Whole;
            }
        }
        match parts.len() {
            0 => Self::Unsatisfiable,
            _ if total > size => Self::Whole,
            _ => Self::Parts(parts),
        }
    }
}

/// First byte, and the one behind the last; `None` when malformed. Blanks are allowed around numbers.
fn bounds(item: &[u8], size: u64) -> Option<(u64, u64)> {
    let item = trim(item);
    if let Some(count) = item.strip_prefix(b"-") {
        let count = number(count)?;
        return Some((size.saturating_sub(count), size));
    }
    let dash = item.iter().position(|c| *c == b'-')?;
    let (first, last) = (trim(item.get(..dash)?), trim(item.get(dash + 1..)?));
    let start = number(first)?;
    let end = if last.is_empty() { size } else { number(last)?.saturating_add(1).min(size) };
    Some((start, end))
}

fn trim(text: &[u8]) -> &[u8] {
    let Some(from) = text.iter().position(|c| *c != b' ') else { return &[] };
    let to = text.iter().rposition(|c| *c != b' ').map_or(0, |at| at + 1);
    text.get(from..to).unwrap_or_default()
}

/// Decimal digits of a number below 2^63.
fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
    text.parse().ok().filter(|number| i64::try_from(*number).is_ok())
}

/// The frame around the parts of an answer with several ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    boundary: String,
    content_type: Vec<u8>,
    size: u64,
    parts: Vec<(u64, u64)>,
}

impl Multipart {
    /// For `parts` of a file of `size` bytes. `number` should differ from answer to answer.
    pub fn new(number: u64, content_type: &[u8], size: u64, parts: &[(u64, u64)]) -> Self {
        let (boundary, content_type) = (format!("{number:020}"), content_type.to_vec());
        Self { boundary, content_type, size, parts: parts.to_vec() }
    }

    /// `Content-Type` of the answer.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// What comes before part `index`; behind the last one the end of the answer.
    pub fn before(&self, index: usize) -> Vec<u8> {
        let mut out = format!("\r\n--{}", self.boundary).into_bytes();
        let Some((first, last)) = self.parts.get(index) else {
            out.extend_from_slice(b"--\r\n");
            return out;
        };
        out.extend_from_slice(b"\r\n");
        if !self.content_type.is_empty() {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(&self.content_type);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(
            format!("Content-Range: bytes {first}-{last}/{}\r\n\r\n", self.size).as_bytes(),
        );
        out
    }

    /// `Content-Length` of the answer.
    pub fn length(&self) -> u64 {
        let frame: usize = (0..=self.parts.len()).map(|index| self.before(index).len()).sum();
        self.parts.iter().map(|(first, last)| last - first + 1).sum::<u64>() + frame as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(header: &str) -> Ranges {
        Ranges::parse(header.as_bytes(), 100, 10)
    }

    #[test]
    fn ranges_mean_what_nginx_takes_them_for() {
        for (header, want) in [
            ("bytes=0-0", vec![(0, 0)]),
            ("bytes=0-9", vec![(0, 9)]),
            ("Bytes= 5 - ", vec![(5, 99)]),
            ("bytes=-10", vec![(90, 99)]),
            ("bytes=-1000", vec![(0, 99)]),
            ("bytes=90-1000", vec![(90, 99)]),
            ("bytes=0-9,20-29", vec![(0, 9), (20, 29)]),
            ("bytes=20-29, 0-9", vec![(20, 29), (0, 9)]),
            ("bytes=0-9,5-14", vec![(0, 9), (5, 14)]),
            ("bytes=0-9,900-", vec![(0, 9)]),
            ("bytes=9-1,3-4", vec![(3, 4)]),
            ("bytes=-0,3-4", vec![(3, 4)]),
        ] {
            assert_eq!(parts(header), Ranges::Parts(want), "{header}");
        }
        for header in [
            "bytes=100-",
            "bytes=-0",
            "bytes=a-b",
            "bytes=9-1",
            "bytes=-",
            "bytes=+1-2",
            "bytes=1-2,",
            "bytes=1-2,x",
            "bytes=0-99999999999999999999999",
            "bytes=1 2-3",
            "bytes=--1",
            "bytes=1-2-3",
        ] {
            assert_eq!(parts(header), Ranges::Unsatisfiable, "{header}");
        }
        for header in
            ["bytes=", "bytes", "", "items=0-1", "bytes =0-1", "0-1", "bytes=0-99,0-0", "bytes=0-60,30-99"]
        {
            assert_eq!(parts(header), Ranges::Whole, "{header}");
        }
        assert_eq!(Ranges::parse(b"bytes=0-1,3-4", 100, 1), Ranges::Whole);
        assert_eq!(Ranges::parse(b"bytes=0-1", 100, 0), Ranges::Whole);
        assert_eq!(Ranges::parse(b"bytes=0-", 0, 10), Ranges::Whole);
        assert_eq!(Ranges::parse(b"bytes=-5", 0, 10), Ranges::Whole);
    }

    #[test]
    fn a_frame_is_as_long_as_it_says() {
        let frame = Multipart::new(7, b"text/plain", 100, &[(0, 9), (20, 29)]);
        let mut all = Vec::new();
        for (index, part) in [Some(10), Some(10), None].into_iter().enumerate() {
            all.extend(frame.before(index));
            all.extend(vec![b'x'; part.unwrap_or(0)]);
        }
        assert_eq!(all.len() as u64, frame.length());
        let text = String::from_utf8(all).unwrap();
        assert!(text.starts_with(
            "\r\n--00000000000000000007\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-9/100\r\n\r\nxx"
        ));
        assert!(text.ends_with("xx\r\n--00000000000000000007--\r\n"));
    }
}
