//! Sizes and times as the tools print them (protocol 8.2).

use fdfs_net::log::LocalTime;

/// A Unix time as local date and time.
pub(super) fn local_time(unix_secs: i64) -> String {
    LocalTime::of(unix_secs).to_string()
}

/// MiB in the largest fitting unit: `504 GB`, `5.0 GB`, `0  B`.
pub(super) fn mib(mib: i64) -> String {
    bytes(u64::try_from(mib).unwrap_or(0).saturating_mul(1 << 20))
}

/// Bytes in the largest fitting unit.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1024 {
        return format!("{bytes}  B");
    }
    let power = (bytes.ilog2() / 10).min(6);
    let quotient = bytes as f64 / (1u64 << (10 * power)) as f64;
    let unit = UNITS.get(power as usize - 1).copied().unwrap_or("EB");
    let tenths = (quotient * 10.0).round() / 10.0;
    if quotient < 10.0 && tenths < 10.0 {
        format!("{tenths:.1} {unit}")
    } else {
        format!("{quotient:.0} {unit}")
    }
}

/// Seconds in words: `1 day 2 hours 5 seconds`.
pub(super) fn words(secs: i64) -> String {
    if secs <= 0 {
        return "0 second".into();
    }
    let parts = [
        (secs / 86_400, "day"),
        (secs / 3600 % 24, "hour"),
        (secs / 60 % 60, "minute"),
        (secs % 60, "second"),
    ];
    let said: Vec<String> = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, unit)| format!("{n} {unit}{}", if n == 1 { "" } else { "s" }))
        .collect();
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let gib = 1024;
        assert_eq!((mib(504 * gib), mib(5 * gib), mib(0)), ("504 GB".into(), "5.0 GB".into(), "0  B".into()));
        assert_eq!(bytes(1023), "1023  B");
        assert_eq!(bytes(10_188), "9.9 KB");
        assert_eq!(bytes(10_220), "10 KB");
        assert_eq!(bytes(u64::MAX), "16 EB");
    }

    #[test]
    fn times() {
        assert_eq!(
            (words(0), words(1), words(93_784)),
            ("0 second".into(), "1 second".into(), "1 day 2 hours 3 minutes 4 seconds".into())
        );
        assert_eq!(local_time(1_795_533_578).len(), "2026-11-24 15:19:38".len());
    }
}
