//! When replication may run, and how fast.

use std::time::Duration;

use fdfs_core::settings::TimeOfDay;
use fdfs_net::log::local_time;
use tokio::time::Instant;

use crate::schedule::Schedule;

/// Whether `now` lies between `start` and `end`, both included to the minute, over midnight if `end` is before `start`.
pub fn within(start: TimeOfDay, end: TimeOfDay, now: TimeOfDay) -> bool {
    let minute = |time: TimeOfDay| time.seconds() / 60;
    let (start, end, now) = (minute(start), minute(end), minute(now));
    if start <= end { (start..=end).contains(&now) } else { now >= start || now <= end }
}

/// Whether replication may run at this time of the day.
pub fn is_open(schedule: &Schedule) -> bool {
    let Some((start, end)) = schedule.sync_times else { return true };
    let now = local_time();
    let part = |n: i32| u8::try_from(n).unwrap_or(0);
    within(start, end, TimeOfDay::new(part(now.hour), part(now.minute)))
}

/// A number of bytes a second. What was not used is kept for a quarter of a second.
#[derive(Debug)]
pub struct Rate {
    bytes: u64,
    /// Up to when the bytes so far are paid.
    paid: Instant,
}

impl Rate {
    const BURST: Duration = Duration::from_millis(250);

    /// 0: no limit.
    pub fn new(bytes: u64) -> Self {
        Self { bytes, paid: Instant::now() }
    }

    /// Another number of bytes a second from now on.
    pub fn set(&mut self, bytes: u64) {
        if self.bytes != bytes {
            *self = Self::new(bytes);
        }
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.bytes > 0
    }

    /// Counts `bytes`; answers how long to wait before they are sent.
    pub fn take(&mut self, bytes: u64) -> Duration {
        if self.bytes == 0 {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let earliest = now.checked_sub(Self::BURST).unwrap_or(now);
        self.paid = self.paid.max(earliest);
        let wait = self.paid.saturating_duration_since(now);
        self.paid += Duration::from_secs_f64(bytes as f64 / self.bytes as f64);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        let t = TimeOfDay::new;
        assert!(within(t(1, 0), t(5, 30), t(1, 0)) && within(t(1, 0), t(5, 30), t(5, 30)));
        assert!(!within(t(1, 0), t(5, 30), t(0, 59)) && !within(t(1, 0), t(5, 30), t(5, 31)));
        // Over midnight.
        assert!(within(t(22, 0), t(6, 0), t(23, 59)) && within(t(22, 0), t(6, 0), t(0, 0)));
        assert!(within(t(22, 0), t(6, 0), t(6, 0)) && !within(t(22, 0), t(6, 0), t(12, 0)));
    }

    #[test]
    fn rates() {
        let mut free = Rate::new(0);
        assert_eq!(free.take(1 << 40), Duration::ZERO);
        let mut rate = Rate::new(1_000_000);
        let waits: Duration = (0..20).map(|_| rate.take(1_000_000)).last().unwrap();
        // 19 seconds of bytes before this one, less what was kept and what this test took.
        assert!(waits > Duration::from_secs(17) && waits <= Duration::from_secs(19), "{waits:?}");
        rate.set(1_000_000);
        assert!(!rate.take(1).is_zero());
        rate.set(0);
        assert!(rate.take(1 << 40).is_zero() && !rate.is_limited());
    }
}
