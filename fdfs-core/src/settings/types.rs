//! Units of settings, each read from text or, in TOML, from a plain number.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::conf::{GROUP, WORD, parse_int, parse_percent, parse_size, parse_time};
use crate::ident::GroupName;

/// Reads a value with `parse`; `expected` completes "expected …" when it gives `None`.
pub(super) fn read<'de, D: Deserializer<'de>, T>(
    from: D,
    name: &'static str,
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    from.deserialize_newtype_struct(name, Text { expected, parse, made: PhantomData })
}

struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
    made: PhantomData<T>,
}

impl<'de, T> Visitor<'de> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        from.deserialize_any(self)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::custom(self.expected))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_bool<E: de::Error>(self, on: bool) -> Result<T, E> {
        self.visit_str(if on { "true" } else { "false" })
    }
}

macro_rules! word_type {
    ($type:ty, $expected:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                read(from, WORD, $expected, |text| text.parse().ok())
            }
        }
    };
}

/// A text that is not what its type demands; the reader of the file says what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a value of this kind")]
pub struct BadText;

/// Field of an address; empty: none.
pub(super) fn ip_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpAddr>, D::Error> {
    read(from, WORD, "an IP address", |text| match text {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    })
}

/// Field of a group name.
pub(super) fn group_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<GroupName>, D::Error> {
    read(from, GROUP, "a group name of 1 to 16 characters A-Z, a-z and 0-9", |text| {
        text.parse().ok().map(Some)
    })
}

/// Field of a port.
pub(super) fn port<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    read(from, WORD, "a port number 1..65535", |text| text.parse().ok().filter(|&port| port != 0))
}

/// Field of a port that may be absent.
pub(super) fn port_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    port(from).map(Some)
}

/// Bytes; written `512`, `256KB`, `64MB`, `2G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

impl Size {
    /// As a length in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
    /// Whole MiB, rounded down.
    pub const fn mib(self) -> u64 {
        self.0 >> 20
    }
}

impl FromStr for Size {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        parse_size(text).map(Self).ok_or(BadText)
    }
}
word_type!(Size, "a size in bytes such as 512, 256KB, 64MB or 1G");

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut number, mut unit) = (self.0, "");
        for next in ["KB", "MB", "GB", "TB"] {
            if number == 0 || number % 1024 != 0 {
                break;
            }
            (number, unit) = (number / 1024, next);
        }
        write!(f, "{number}{unit}")
    }
}

macro_rules! time_span {
    ($(#[$doc:meta])* $type:ident, $expected:literal, $from:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
        pub struct $type(pub u64);

        impl $type {
            /// As a length of time.
            pub const fn duration(self) -> Duration {
                $from(self.0)
            }
        }
        impl FromStr for $type {
            type Err = BadText;
            fn from_str(text: &str) -> Result<Self, BadText> {
                let number = parse_int(text).ok_or(BadText)?;
                // The existing daemons keep these in 32 bits; more would overflow times computed from them.
                i32::try_from(number).ok().and_then(|n| u64::try_from(n).ok()).map(Self).ok_or(BadText)
            }
        }
        word_type!($type, $expected);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
time_span!(
    /// Seconds, as a whole number.
    Secs,
    "a whole number of seconds 0..2147483647",
    Duration::from_secs
);
time_span!(
    /// Milliseconds, as a whole number.
    Millis,
    "a whole number of milliseconds 0..2147483647",
    Duration::from_millis
);

/// Local time of day; written `2:00` or `02:00:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct TimeOfDay {
    /// 0..23
    pub hour: u8,
    /// 0..59
    pub minute: u8,
    /// 0..59
    pub second: u8,
}

impl TimeOfDay {
    /// That hour and minute.
    pub const fn new(hour: u8, minute: u8) -> Self {
        Self { hour, minute, second: 0 }
    }
    /// Seconds since midnight.
    pub const fn seconds(self) -> u32 {
        self.hour as u32 * 3600 + self.minute as u32 * 60 + self.second as u32
    }
}

impl FromStr for TimeOfDay {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        let (hour, minute, second) = parse_time(text).ok_or(BadText)?;
        Ok(Self { hour, minute, second })
    }
}
word_type!(TimeOfDay, "a time of day such as 02:00, hour 0..23 and minute 0..59");

/// `02:00`, with seconds only when there are any.
impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)?;
        if self.second > 0 { write!(f, ":{:02}", self.second) } else { Ok(()) }
    }
}

/// Disk space that uploads leave free.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reserve {
    /// Bytes, as in `1GB`.
    Bytes(u64),
    /// Percent of the disk, above 0 and below 100, as in `20%`.
    Percent(f64),
}

impl Reserve {
    /// MiB to keep free on a disk of `total_mib`.
    pub fn mib_of(self, total_mib: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes >> 20,
            Self::Percent(percent) => (total_mib as f64 * percent / 100.0) as u64,
        }
    }
}

impl FromStr for Reserve {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        match text.ends_with('%') {
            true => parse_percent(text).map(Self::Percent).ok_or(BadText),
            false => parse_size(text).map(Self::Bytes).ok_or(BadText),
        }
    }
}
word_type!(Reserve, "a size such as 1GB, or a share of the disk such as 20%");

/// As in the file and in the tracker's parameters (tracker 3.9).
impl fmt::Display for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{}MB", bytes >> 20),
            Self::Percent(percent) => write!(f, "{percent:.2}%"),
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $type:ident, $expected:literal, { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum $type { $($(#[$vdoc])* $variant,)* }

        impl $type {
            /// The word in the file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
        impl FromStr for $type {
            type Err = BadText;
            fn from_str(text: &str) -> Result<Self, BadText> {
                $(if text.eq_ignore_ascii_case($word) { return Ok(Self::$variant); })*
                Err(BadText)
            }
        }
        word_type!($type, $expected);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

words!(
    /// Which addresses a daemon listens on.
    AddressFamily, "auto, IPv4, IPv6 or both", {
    /// Those of `bind_addr`; without one IPv4 if the machine has it, else IPv6.
    #[default]
    Auto = "auto",
    /// IPv4 only.
    V4 = "IPv4",
    /// IPv6 only.
    V6 = "IPv6",
    /// Both.
    Both = "both",
});
words!(
    /// Width of address fields in answers: 46 bytes, or 16 as before version 6.11.
    AddrWidth, "auto or IPv6", {
    /// 46 when `storage_ids.conf` holds an IPv6 address, else 16.
    #[default]
    Auto = "auto",
    /// 46.
    Wide = "IPv6",
});
words!(
    /// Layout of the answer that names every storage of a file (command 105).
    FetchAllLayout, "each_port or one_port", {
    /// As since 6.16: each address has its port.
    #[default]
    EachPort = "each_port",
    /// As before, and as the Java client 1.39 and the C# client read it: one port, then addresses alone.
    OnePort = "one_port",
});
words!(
    /// What stands for the source storage in a file id.
    IdType, "ip or id", {
    /// Its IPv4 address.
    #[default]
    Ip = "ip",
    /// Its number in `storage_ids.conf`.
    Id = "id",
});
words!(
    /// Layout of log files.
    LogFormat, "classic or json", {
    /// `[YYYY-MM-DD hh:mm:ss] LEVEL - text`.
    #[default]
    Classic = "classic",
    /// An object per line.
    Json = "json",
});
words!(
    /// What a power cut may take of what was acknowledged.
    Durability, "os or group", {
    /// What the kernel has not written yet.
    #[default]
    Os = "os",
    /// Nothing.
    Group = "group",
});
words!(
    /// What a change is answered with that too few members have when the time for it is over.
    OnTimeout, "ok or fail", {
    /// Success.
    #[default]
    Ok = "ok",
    /// Status 110; the change stays.
    Fail = "fail",
});
words!(
    /// How the module answers for a file of another storage.
    ResponseMode, "proxy or redirect", {
    /// Fetches it and passes it on.
    #[default]
    Proxy = "proxy",
    /// Sends the client there.
    Redirect = "redirect",
});
words!(
    /// Which tracker or storage a client tries first.
    ConnectFirstBy, "tracker or last-connected", {
    /// As the tracker orders them.
    #[default]
    Tracker = "tracker",
    /// The one that worked last.
    LastConnected = "last-connected",
});

/// Unit of the times in the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimePrecision {
    /// Milliseconds.
    #[default]
    Millis,
    /// Microseconds.
    Micros,
}

impl FromStr for TimePrecision {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        match text.to_ascii_lowercase().as_str() {
            "ms" | "millisecond" => Ok(Self::Millis),
            "us" | "microsecond" => Ok(Self::Micros),
            _ => Err(BadText),
        }
    }
}
word_type!(TimePrecision, "ms or us");

/// Least urgent lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// `emerg`
    Emerg,
    /// `alert`
    Alert,
    /// `crit`
    Crit,
    /// `error`
    Error,
    /// `warn`
    Warn,
    /// `notice`
    Notice,
    /// `info`
    #[default]
    Info,
    /// `debug`
    Debug,
}

impl LogLevel {
    const ALL: [(&'static str, Self); 8] = [
        ("emerg", Self::Emerg),
        ("alert", Self::Alert),
        ("crit", Self::Crit),
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("notice", Self::Notice),
        ("info", Self::Info),
        ("debug", Self::Debug),
    ];

    /// The word in the file.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, level)| *level == self).map_or("info", |(name, _)| name)
    }
}

impl FromStr for LogLevel {
    type Err = BadText;

    /// In any case, `LOG_` in front allowed, and more letters behind (`warning`).
    fn from_str(text: &str) -> Result<Self, BadText> {
        let text = text.to_ascii_lowercase();
        let word = text.strip_prefix("log_").unwrap_or(&text);
        Self::ALL.iter().find(|(name, _)| word.starts_with(name)).map(|(_, level)| *level).ok_or(BadText)
    }
}
word_type!(LogLevel, "emerg, alert, crit, error, warn, notice, info or debug");

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Number of parallel replication streams per peer; `auto` and 0 leave it to the number of store paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncThreads(pub Option<u16>);

impl SyncThreads {
    /// The number for a storage with so many paths.
    pub fn resolve(self, store_paths: usize) -> u16 {
        self.0
            .unwrap_or_else(|| u16::try_from(store_paths.saturating_mul(2)).unwrap_or(u16::MAX))
            .clamp(1, 256)
    }
}

impl FromStr for SyncThreads {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self(None));
        }
        match text.parse::<u16>() {
            Ok(0) => Ok(Self(None)),
            Ok(number) if number <= 256 => Ok(Self(Some(number))),
            _ => Err(BadText),
        }
    }
}
word_type!(SyncThreads, "a whole number 1..256, or auto");

impl fmt::Display for SyncThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("auto"),
        }
    }
}
