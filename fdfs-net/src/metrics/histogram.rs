//! How long something took, in buckets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends of the buckets of a histogram, ns; what takes longer is in one more.
const BOUNDS: [u64; 15] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
    30_000_000_000,
];

/// Times in buckets, and their sum.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    /// One more.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS.partition_point(|bound| *bound < nanos)].fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }

    /// Several of them as one: sum in seconds, and the upper end of each bucket (s) with what is in it.
    pub fn sum<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> (f64, Vec<(f64, u64)>) {
        let bounds = BOUNDS.iter().map(|bound| Duration::from_nanos(*bound).as_secs_f64());
        let count = |at: usize| all.clone().map(|one| one.buckets[at].load(Relaxed)).sum();
        let buckets =
            bounds.chain([f64::INFINITY]).enumerate().map(|(at, bound)| (bound, count(at))).collect();
        let nanos = all.clone().map(|one| one.nanos.load(Relaxed)).sum();
        (Duration::from_nanos(nanos).as_secs_f64(), buckets)
    }
}
