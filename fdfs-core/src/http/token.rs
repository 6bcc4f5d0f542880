//! Tokens in URLs against links from foreign pages (protocol 6, nginx-module 4.4), and signed URLs that expire.

use md5::{Digest, Md5};
use sha2::Sha256;

use super::args::argument;
use crate::ident::GroupName;

/// Characters of a token: an MD5 in lower-case hex.
const LEN: usize = 32;

/// How a URL proves that somebody who knows a key has made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// `token` and `ts`: an MD5 of name, key and time of making, as existing clients make it.
    Md5,
    /// `sig` and `expires`: an HMAC-SHA-256 of file id and last second.
    Hmac,
}

/// Rules of a site or location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// What is in the URL.
    pub kind: TokenKind,
    /// What tokens are made with: any of these.
    pub keys: Vec<String>,
    /// Seconds for which an MD5 token is good.
    pub ttl_s: u64,
    /// Path of the file that is sent instead of a file whose token is bad; without it the answer is an error.
    pub fail_file: Option<String>,
    /// Request header that replaces a token, and what it must hold.
    pub bypass: Option<(String, String)>,
}

/// What is wrong with a request's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// An argument is missing: no [`TokenRules::fail_file`] then.
    #[error("the arguments of the token are missing")]
    Missing,
    /// The time is no number.
    #[error("the time of the token is no number")]
    Time,
    /// Older than the rules allow.
    #[error("the token has expired")]
    Expired,
    /// Of another file, time or secret.
    #[error("the token is not that of this file")]
    Mismatch,
}

impl TokenRules {
    /// Checks the arguments of a request for `name`, which is `Mpp/HH/HH/...` without the group. `now` in Unix seconds. A
    /// `ts` of 0 never expires.
    pub fn check(&self, group: &GroupName, name: &[u8], args: &[u8], now: i64) -> Result<(), BadToken> {
        let (token, time): (&[u8], &[u8]) = match self.kind {
            TokenKind::Md5 => (b"token", b"ts"),
            TokenKind::Hmac => (b"sig", b"expires"),
        };
        let given = |name| argument(args, name).filter(|value| !value.is_empty());
        let (Some(token), Some(text)) = (given(token), given(time)) else {
            return Err(BadToken::Missing);
        };
        let time: i64 =
            std::str::from_utf8(&text).ok().and_then(|ts| ts.parse().ok()).ok_or(BadToken::Time)?;
        let late = match self.kind {
            TokenKind::Md5 => {
                time > 0 && u64::try_from(now.saturating_sub(time)).is_ok_and(|age| age > self.ttl_s)
            }
            TokenKind::Hmac => time < now,
        };
        if late {
            return Err(BadToken::Expired);
        }
        // Every key is tried, whether one before it fits or not.
        let fits = self.keys.iter().fold(false, |fits, key| {
            fits | match self.kind {
                TokenKind::Md5 => equal(&token, &token_of(name, key, time)),
                TokenKind::Hmac => equal(&token, &signature_of(group, name, key, time)),
            }
        });
        if fits { Ok(()) } else { Err(BadToken::Mismatch) }
    }

    /// Whether a request header with this value replaces the token.
    pub fn bypassed(&self, value: &[u8]) -> bool {
        self.bypass.as_ref().is_some_and(|(_, wanted)| equal(value, wanted.as_bytes()))
    }
}

/// The token of a file at a time.
pub fn token_of(name: &[u8], secret: &str, time: i64) -> [u8; LEN] {
    let mut md5 = Md5::new();
    md5.update(name);
    md5.update(secret);
    md5.update(time.to_string());
    hex(&md5.finalize())
}

/// The signature of a file until a time: HMAC-SHA-256 in lower-case hex, over `group/Mpp/HH/HH/...`, a line feed, and the
/// Unix second in decimal.
pub fn signature_of(group: &GroupName, name: &[u8], key: &str, expires: i64) -> [u8; 64] {
    let message = [group.bytes(), b"/", name, b"\n", expires.to_string().as_bytes()].concat();
    hex(&hmac_sha256(key.as_bytes(), &message))
}

/// The signature of an upload that goes on: HMAC-SHA-256 in lower-case hex, over a word of its own, the file's id and its
/// final length, so that no signature of a download is one of an upload.
pub(super) fn upload_signature_of(id: &str, length: u64, key: &str) -> [u8; 64] {
    hex(&hmac_sha256(key.as_bytes(), format!("upload\n{id}\n{length}").as_bytes()))
}

/// RFC 2104.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let hashed = Sha256::digest(key);
    let key = if key.len() > BLOCK { hashed.as_slice() } else { key };
    let pad = |byte: u8| {
        let mut pad = [byte; BLOCK];
        pad.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        pad
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5C)).chain_update(inner).finalize().into()
}

/// `N` digits of as many half bytes.
fn hex<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut text = [0; N];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

/// Takes as long for the first difference as for the last.
pub(super) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg";
    const TOKEN: &str = "74aaa46fdb262288e416ad7f27d6224f";

    fn rules() -> TokenRules {
        let bypass = Some(("X-Inside".into(), "yes".into()));
        let keys = vec!["new one".into(), "FastDFS1234567890".into()];
        TokenRules { kind: TokenKind::Md5, keys, ttl_s: 600, fail_file: None, bypass }
    }

    fn group() -> GroupName {
        GroupName::new(b"group1").unwrap()
    }

    #[test]
    fn hmac_of_rfc_4231() {
        let shown = |key: &[u8], message: &[u8]| {
            String::from_utf8(hex::<64>(&hmac_sha256(key, message)).to_vec()).unwrap()
        };
        assert_eq!(
            shown(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            shown(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn signed_urls_end_with_their_second() {
        let keys = vec!["old".to_owned(), "new".to_owned()];
        let rules = TokenRules { kind: TokenKind::Hmac, keys, ..rules() };
        let url = |key: &str, time: i64| {
            let sig = signature_of(&group(), NAME, key, time);
            format!("sig={}&expires={time}", std::str::from_utf8(&sig).unwrap())
        };
        let check = |args: &str, now| rules.check(&group(), NAME, args.as_bytes(), now);
        for key in ["old", "new"] {
            assert_eq!(check(&url(key, 1000), 1000), Ok(()));
            assert_eq!(check(&url(key, 1000), 1001), Err(BadToken::Expired));
        }
        assert_eq!(check(&url("other", 1000), 1), Err(BadToken::Mismatch));
        assert_eq!(check(&url("old", 0), 1), Err(BadToken::Expired), "no signature is for ever");
        assert_eq!(
            check(&url("old", 1000).replace("expires=1000", "expires=2000"), 1),
            Err(BadToken::Mismatch)
        );
        assert_eq!(check(&format!("token={TOKEN}&ts=1528901661"), 1_528_901_661), Err(BadToken::Missing));
        let other = GroupName::new(b"group2").unwrap();
        assert_eq!(rules.check(&other, NAME, url("old", 1000).as_bytes(), 1), Err(BadToken::Mismatch));
    }

    #[test]
    fn tokens_of_existing_clients() {
        assert_eq!(token_of(NAME, "FastDFS1234567890", 1_528_901_661), *TOKEN.as_bytes());
        let never = token_of(NAME, "FastDFS1234567890", 0);
        assert_eq!(&never, b"0c1ecb860effad9b53aa297ce90ec09e");
    }

    #[test]
    fn good_late_and_wrong() {
        let (rules, time) = (rules(), 1_528_901_661);
        let check = |args: String, now| rules.check(&group(), NAME, args.as_bytes(), now);
        let good = format!("token={TOKEN}&ts={time}");
        assert_eq!(check(good.clone(), time + 600), Ok(()));
        assert_eq!(check(format!("a=b&{good}&c"), time - 5000), Ok(()), "the future has no bound");
        assert_eq!(check(good.clone(), time + 601), Err(BadToken::Expired));
        assert_eq!(check("token=0c1ecb860effad9b53aa297ce90ec09e&ts=0".into(), i64::MAX), Ok(()));
        assert_eq!(check(format!("token={}&ts={time}", TOKEN.to_uppercase()), time), Err(BadToken::Mismatch));
        assert_eq!(check(format!("token={TOKEN}&ts={}", time + 1), time), Err(BadToken::Mismatch));
        assert_eq!(check(format!("token={TOKEN}&ts=x"), time), Err(BadToken::Time));
        for args in ["", "token=&ts=1", "xtoken=1&ts=1", "ts=1"] {
            assert_eq!(check(args.into(), time), Err(BadToken::Missing), "{args}");
        }
        assert_eq!(rules.check(&group(), b"M00/00/00/other", good.as_bytes(), time), Err(BadToken::Mismatch));
    }

    #[test]
    fn a_header_replaces_the_token() {
        assert!(rules().bypassed(b"yes"));
        assert!(!rules().bypassed(b"no") && !rules().bypassed(b""));
        assert!(!TokenRules { bypass: None, ..rules() }.bypassed(b"yes"));
    }
}
