//! A single byte range of a request (RFC 9110 14.1.2), for files that nginx cannot cut itself.

/// One range as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// `first-` or `first-last`.
    From {
        /// First byte.
        first: u64,
        /// Last byte, when given.
        last: Option<u64>,
    },
    /// `-count`: the last bytes.
    Suffix(u64),
}

impl ByteRange {
    /// Reads a `Range` header. `None` for several ranges, another unit or anything malformed: such a header
    /// is ignored and the whole file answered, as the RFC allows.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok()?.trim();
        let (unit, set) = text.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", count) => number(count).map(Self::Suffix),
            (first, "") => number(first).map(|first| Self::From { first, last: None }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From { first, last: Some(last) })
            }
        }
    }

    /// First and last byte inside a file of `size` bytes; `None` when nothing of the range lies in it.
    pub fn resolve(self, size: u64) -> Option<(u64, u64)> {
        let end = size.checked_sub(1)?;
        match self {
            Self::From { first, last } if first <= end => {
                Some((first, last.map_or(end, |last| last.min(end))))
            }
            Self::Suffix(count) if count > 0 => Some((size.saturating_sub(count), end)),
            _ => None,
        }
    }
}

/// Decimal digits only; a number above 2^64 is as good as the largest.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_resolve_like_the_rfc_says() {
        for (header, want) in [
            ("bytes=0-0", Some((0, 0))),
            ("bytes=0-9", Some((0, 9))),
            ("Bytes = 5-", Some((5, 99))),
            ("bytes=-10", Some((90, 99))),
            ("bytes=-1000", Some((0, 99))),
            ("bytes=90-1000", Some((90, 99))),
            ("bytes=0-99999999999999999999999", Some((0, 99))),
            ("bytes=100-", None),
            ("bytes=-0", None),
        ] {
            assert_eq!(ByteRange::parse(header.as_bytes()).unwrap().resolve(100), want, "{header}");
        }
        for header in
            ["bytes=0-1,3-4", "items=0-1", "bytes=a-b", "bytes=9-1", "bytes=", "bytes=-", "0-1", "bytes=+1-2"]
        {
            assert_eq!(ByteRange::parse(header.as_bytes()), None, "{header}");
        }
        assert_eq!(ByteRange::Suffix(1).resolve(0), None);
    }
}
