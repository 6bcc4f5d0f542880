//! The words of a value: booleans, whole numbers, sizes, times of day (tracker 9.1, storage 2.1).
//!
//! The existing daemons read garbage as 0 or false. Here every function gives `None`, and the reader says
//! where the garbage stands.

use super::ini::Entry;

/// What trims a line, a key and a value.
pub(super) const BLANKS: [char; 5] = [' ', '\t', '\r', '\n', '\0'];

/// `true`, `yes`, `on`, `1`, and their opposites, in any case.
pub fn parse_bool(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is(&["true", "yes", "on", "1"]) => Some(true),
        () if is(&["false", "no", "off", "0"]) => Some(false),
        () => None,
    }
}

/// Decimal digits behind an optional sign.
pub fn parse_int(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Bytes: digits, blanks, a unit `K`, `M`, `G` or `T` in any case (powers of 1024), `B`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim_matches(BLANKS);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let number: u64 = digits.parse().ok()?;
    let unit = unit.trim_start_matches(BLANKS).to_ascii_uppercase();
    let power = match unit.strip_suffix('B').unwrap_or(&unit) {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    number.checked_mul(1024_u64.checked_pow(power)?)
}

/// `H:M` or `H:M:S` as hour, minute and second.
pub fn parse_time(text: &str) -> Option<(u8, u8, u8)> {
    let mut parts = text.split(':').map(|part| part.trim_matches(BLANKS));
    let mut next = |max: u8| {
        let part = parts.next()?;
        let ok = matches!(part.len(), 1 | 2) && part.bytes().all(|c| c.is_ascii_digit());
        part.parse::<u8>().ok().filter(|&number| ok && number <= max)
    };
    let (hour, minute) = (next(23)?, next(59)?);
    let second = if text.matches(':').count() == 1 { 0 } else { next(59)? };
    parts.next().is_none().then_some((hour, minute, second))
}

/// A share such as `20%`, as a number above 0 and below 100.
pub fn parse_percent(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?.trim_end_matches(BLANKS);
    if !number.bytes().all(|c| c.is_ascii_digit() || c == b'.') {
        return None;
    }
    number.parse().ok().filter(|&percent| percent > 0.0 && percent < 100.0)
}

/// A value that can never hold a `#`, without the comment that someone wrote behind it. The format has no such
/// comments: the second part says whether there was one.
pub fn without_comment(value: &str) -> (&str, bool) {
    let mut from = 0;
    while let Some(found) = value.get(from..).and_then(|rest| rest.find('#')) {
        let at = from + found;
        let head = value.get(..at).unwrap_or_default();
        if head.ends_with([' ', '\t']) {
            return (head.trim_end_matches(BLANKS), true);
        }
        from = at + 1;
    }
    (value, false)
}

/// What the log says when [`without_comment`] dropped something.
pub(crate) fn comment_dropped(entry: &Entry, word: &str) -> String {
    format!(
        "{} = {word}: the text behind the value is taken for a comment; put comments on lines of their own, \
         other programs that read this file take them for a part of the value",
        entry.key
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for text in ["true", "TRUE", "yes", "On", "1"] {
            assert_eq!(parse_bool(text), Some(true), "{text}");
        }
        for text in ["false", "No", "OFF", "0"] {
            assert_eq!(parse_bool(text), Some(false), "{text}");
        }
        for text in ["", "2", "truee", "enabled", "true #x"] {
            assert_eq!(parse_bool(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers() {
        for (text, number) in [("0", 0), ("-5", -5), ("+7", 7), ("007", 7), ("9223372036854775807", i64::MAX)]
        {
            assert_eq!(parse_int(text), Some(number), "{text}");
        }
        for text in ["", "-", "+-1", "1.5", "0x10", "10s", "9223372036854775808", "１"] {
            assert_eq!(parse_int(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("256KB", 256 << 10),
            ("256 k", 256 << 10),
            ("64\tMb ", 64 << 20),
            ("2g", 2 << 30),
            ("1TB", 1 << 40),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in
            ["", "KB", "-1", "1.5MB", "1KiB", "1 X", "1KBB", "1B K", "99999999999TB", "18446744073709551616"]
        {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, time) in
            [("0:0", (0, 0, 0)), ("02:00", (2, 0, 0)), ("23:59:59", (23, 59, 59)), ("1 : 5", (1, 5, 0))]
        {
            assert_eq!(parse_time(text), Some(time), "{text}");
        }
        for text in
            ["", "2", "24:00", "1:60", "1:1:60", "1:1:1:1", "1:", ":1", "a:b", "-1:00", "001:00", "1:1:"]
        {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn percents() {
        assert_eq!(parse_percent("20%"), Some(20.0));
        assert_eq!(parse_percent("0.5 %"), Some(0.5));
        for text in ["", "%", "0%", "100%", "-1%", "20", "a%", "inf%", "nan%", "1e1%", "1.2.3%"] {
            assert_eq!(parse_percent(text), None, "{text}");
        }
    }

    #[test]
    fn comments_behind_values() {
        assert_eq!(without_comment("true   #why"), ("true", true));
        assert_eq!(without_comment("a#b\t# c"), ("a#b", true));
        assert_eq!(without_comment("a#b"), ("a#b", false));
        assert_eq!(without_comment("#"), ("#", false));
    }
}
