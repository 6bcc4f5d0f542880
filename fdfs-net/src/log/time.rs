//! Local time, from the C library's time zone.

use std::fmt;

use crate::net::unix_now;

/// A local date and time; shown as `2026-01-31 23:59:59`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Year.
    pub year: i32,
    /// 1..=12
    pub month: i32,
    /// 1..=31
    pub day: i32,
    /// 0..=23
    pub hour: i32,
    /// 0..=59
    pub minute: i32,
    /// 0..=60
    pub second: i32,
}

impl LocalTime {
    /// The local time of a Unix time in seconds.
    pub fn of(unix_secs: i64) -> Self {
        let clock: libc::time_t = unix_secs;
        // SAFETY: all-zero is a valid value of this plain C struct.
        let mut tm: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live values of this frame; localtime_r writes only to the second.
        unsafe { libc::localtime_r(&clock, &mut tm) };
        Self {
            year: tm.tm_year + 1900,
            month: tm.tm_mon + 1,
            day: tm.tm_mday,
            hour: tm.tm_hour,
            minute: tm.tm_min,
            second: tm.tm_sec,
        }
    }

    /// Seconds since midnight.
    pub fn second_of_day(&self) -> i32 {
        self.hour * 3600 + self.minute * 60 + self.second
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Now.
pub fn local_time() -> LocalTime {
    LocalTime::of(unix_now())
}
