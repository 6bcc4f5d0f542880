//! Tokens in URLs against links from foreign pages (protocol 6, nginx-module 4.4).

use md5::{Digest, Md5};

use super::args::argument;

/// Characters of a token: an MD5 in lower-case hex.
const LEN: usize = 32;

/// Rules of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// What tokens are made with.
    pub secret: String,
    /// Seconds for which a token is good.
    pub ttl_s: u64,
    /// Path of the file that is sent instead of a file whose token is bad; without it the answer is 400.
    pub fail_file: Option<String>,
    /// Request header that replaces a token, and what it must hold.
    pub bypass: Option<(String, String)>,
}

/// What is wrong with a request's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// No `token` or no `ts` argument: always 400.
    #[error("the arguments token and ts are missing")]
    Missing,
    /// `ts` is no number.
    #[error("the argument ts is no number")]
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
    pub fn check(&self, name: &[u8], args: &[u8], now: i64) -> Result<(), BadToken> {
        let given = |name| argument(args, name).filter(|value| !value.is_empty());
        let (Some(token), Some(ts)) = (given(b"token"), given(b"ts")) else {
            return Err(BadToken::Missing);
        };
        let time: i64 = std::str::from_utf8(&ts).ok().and_then(|ts| ts.parse().ok()).ok_or(BadToken::Time)?;
        let age = now.saturating_sub(time);
        if time > 0 && u64::try_from(age).is_ok_and(|age| age > self.ttl_s) {
            return Err(BadToken::Expired);
        }
        match equal(&token, &token_of(name, &self.secret, time)) {
            true => Ok(()),
            false => Err(BadToken::Mismatch),
        }
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
    let mut text = [0; LEN];
    for (pair, byte) in text.chunks_exact_mut(2).zip(md5.finalize()) {
        let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

/// Takes as long for the first difference as for the last.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg";
    const TOKEN: &str = "74aaa46fdb262288e416ad7f27d6224f";

    fn rules() -> TokenRules {
        let bypass = Some(("X-Inside".into(), "yes".into()));
        TokenRules { secret: "FastDFS1234567890".into(), ttl_s: 600, fail_file: None, bypass }
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
        let check = |args: String, now| rules.check(NAME, args.as_bytes(), now);
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
        assert_eq!(rules.check(b"M00/00/00/other", good.as_bytes(), time), Err(BadToken::Mismatch));
    }

    #[test]
    fn a_header_replaces_the_token() {
        assert!(rules().bypassed(b"yes"));
        assert!(!rules().bypassed(b"no") && !rules().bypassed(b""));
        assert!(!TokenRules { bypass: None, ..rules() }.bypassed(b"yes"));
    }
}
