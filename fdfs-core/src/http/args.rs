//! Arguments of a URL that change the answer: `filename` and, for FLV files, `start` and `end` (nginx-module 6.2, 6.6).

use std::net::{IpAddr, SocketAddr};

use super::plan::Site;

/// The value of the first argument of this name, percent-decoded, `+` as a blank. A `%` without two hex digits stays.
pub fn argument(args: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let value =
        args.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))?;
    let (mut out, mut rest) = (Vec::with_capacity(value.len()), value);
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        out.push(match (first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match hex(*high).zip(hex(*low)) {
                Some((high, low)) => {
                    rest = after;
                    high << 4 | low
                }
                None => b'%',
            },
            _ => *first,
        });
    }
    Some(out)
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Longest file name that is passed on, bytes.
const NAME_MAX: usize = 255;

/// `Content-Disposition` of a request with a `filename` argument.
///
/// A plain name is a quoted string, as clients know it. Any other one is given in both forms of RFC 6266: reduced to
/// harmless ASCII, and whole as UTF-8. Bytes that are no UTF-8 go through as they are, in the quoted string.
pub fn disposition(args: &[u8]) -> Option<Vec<u8>> {
    let mut name = argument(args, b"filename").filter(|name| !name.is_empty())?;
    // Nothing that could end the header line.
    name.iter_mut().filter(|byte| byte.is_ascii_control()).for_each(|byte| *byte = b'_');
    let quotable = |byte: &u8| !matches!(byte, b'"' | b'\\');
    let mut out = b"attachment; filename=\"".to_vec();
    let Ok(text) = std::str::from_utf8(&name) else {
        name.truncate(NAME_MAX);
        out.extend(name.iter().map(|byte| if quotable(byte) { *byte } else { b'_' }));
        out.push(b'"');
        return Some(out);
    };
    let end = (0..=NAME_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let text = text.get(..end.unwrap_or(0)).unwrap_or_default();
    let plain = |c: char| u8::try_from(c).is_ok_and(|byte| byte.is_ascii() && quotable(&byte));
    out.extend(text.chars().map(|c| if plain(c) { c as u8 } else { b'_' }));
    out.push(b'"');
    if !text.chars().all(plain) {
        out.extend_from_slice(b"; filename*=UTF-8''");
        percent_encode(&mut out, text.as_bytes(), b"");
    }
    Some(out)
}

/// Writes `bytes`; what is neither a letter, a digit, one of `-._~` nor in `keep` as `%XX`.
pub fn percent_encode(out: &mut Vec<u8>, bytes: &[u8], keep: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || keep.contains(byte) {
            out.push(*byte);
        } else {
            let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
            out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// The same file at the web server of another member; an argument says that this request was redirected.
pub fn redirect_url(https: bool, there: SocketAddr, path: &[u8], args: &[u8]) -> String {
    let (scheme, usual) = if https { ("https", 443) } else { ("http", 80) };
    let mut url = Vec::with_capacity(64 + path.len() + args.len());
    let host = match there.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    url.extend_from_slice(format!("{scheme}://{host}").as_bytes());
    if there.port() != usual {
        url.extend_from_slice(format!(":{}", there.port()).as_bytes());
    }
    percent_encode(&mut url, path, b"/:@!$&'()*+,;=");
    url.push(b'?');
    if !args.is_empty() {
        percent_encode(&mut url, args, b"/:@!$&'()*+,;=?%");
        url.push(b'&');
    }
    url.extend_from_slice(Site::REDIRECTED);
    url.extend_from_slice(b"=1");
    String::from_utf8_lossy(&url).into_owned()
}

/// Where a player wants to begin in an FLV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlvPart {
    start: u64,
    end: Option<u64>,
}

/// What a player needs before content that begins in the middle.
pub const FLV_HEAD: &[u8; 13] = b"FLV\x01\x01\0\0\0\x09\0\0\0\x09";

impl FlvPart {
    /// From the arguments `start` and `end`; `None` when they ask for the whole file. What is no number does not count.
    pub fn of(args: &[u8]) -> Option<Self> {
        let number = |name: &[u8]| {
            let text = argument(args, name)?;
            std::str::from_utf8(&text).ok()?.parse::<u64>().ok()
        };
        let (start, end) = (number(b"start").unwrap_or(0), number(b"end").filter(|end| *end > 0));
        (start > 0 || end.is_some()).then_some(Self { start, end })
    }

    /// First and last byte in a file of `size` bytes; `None` when nothing lies there: 400.
    pub fn resolve(self, size: u64) -> Option<(u64, u64)> {
        let end = self.end.map_or(size, |end| end.min(size));
        (self.start < end).then(|| (self.start, end - 1))
    }

    /// Whether [`FLV_HEAD`] goes first.
    pub const fn has_head(self) -> bool {
        self.start > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(args: &str) -> String {
        String::from_utf8_lossy(&disposition(args.as_bytes()).unwrap_or_default()).into_owned()
    }

    #[test]
    fn names_of_attachments() {
        assert_eq!(shown("filename=foo.bin"), "attachment; filename=\"foo.bin\"");
        assert_eq!(shown("a=b&filename=foo+bar%20x.bin&c"), "attachment; filename=\"foo bar x.bin\"");
        assert_eq!(
            shown("filename=foo%20bar%22.bin"),
            "attachment; filename=\"foo bar_.bin\"; filename*=UTF-8''foo%20bar%22.bin"
        );
        assert_eq!(
            shown("filename=%E4%BD%A0%E5%A5%BD.txt"),
            "attachment; filename=\"__.txt\"; filename*=UTF-8''%E4%BD%A0%E5%A5%BD.txt"
        );
        assert_eq!(shown("filename=a%0d%0aX:1"), "attachment; filename=\"a__X:1\"");
        assert_eq!(
            disposition(b"filename=%C4%E3%22.txt").unwrap(),
            b"attachment; filename=\"\xC4\xE3_.txt\""
        );
        assert_eq!(shown("filename=50%&x"), "attachment; filename=\"50%\"");
        for args in ["", "filename", "filename=", "xfilename=a"] {
            assert_eq!(disposition(args.as_bytes()), None, "{args}");
        }
        let long = format!("filename={}", "%E4%BD%A0".repeat(200));
        assert!(shown(&long).ends_with(&"%E4%BD%A0".repeat(85)) && shown(&long).len() < 1000);
    }

    #[test]
    fn redirects_keep_path_and_arguments() {
        let url = |https, there: &str, path: &str, args: &str| {
            redirect_url(https, there.parse().unwrap(), path.as_bytes(), args.as_bytes())
        };
        assert_eq!(url(false, "10.0.0.1:80", "/g/M00/x", ""), "http://10.0.0.1/g/M00/x?redirect=1");
        assert_eq!(
            url(true, "10.0.0.1:8443", "/g/a b\r\n\"\u{e4}", "token=1&filename=%20\r\nä"),
            "https://10.0.0.1:8443/g/a%20b%0D%0A%22%C3%A4?token=1&filename=%20%0D%0A%C3%A4&redirect=1"
        );
        assert_eq!(url(true, "[fd00::1]:443", "/x", "a"), "https://[fd00::1]/x?a&redirect=1");
    }

    #[test]
    fn players_begin_where_they_like() {
        let at =
            |args: &str, size| FlvPart::of(args.as_bytes()).map(|part| (part.has_head(), part.resolve(size)));
        assert_eq!(at("start=20", 333), Some((true, Some((20, 332)))));
        assert_eq!(at("start=20&end=30", 333), Some((true, Some((20, 29)))));
        assert_eq!(at("end=1", 333), Some((false, Some((0, 0)))));
        assert_eq!(at("end=1000", 333), Some((false, Some((0, 332)))));
        assert_eq!(at("start=333", 333), Some((true, None)));
        assert_eq!(at("start=30&end=30", 333), Some((true, None)));
        for args in ["", "start=0", "start=x", "start=-1", "end=0"] {
            assert_eq!(at(args, 333), None, "{args}");
        }
    }
}
