//! Counters: kept per thread, summed when read, saved in `storage_stat.dat` (storage 6.3 and 15).

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};

use fdfs_core::dist::Dist;
use fdfs_core::wire::list::{StatBlock, stat};
use zerocopy::byteorder::big_endian::I64;

/// Counters that threads share out among them.
pub const SHARDS: usize = 16;
const COUNTERS: usize = 42;

/// One thread's counters, on cache lines of their own.
#[repr(align(128))]
struct Shard([AtomicI64; COUNTERS]);

/// All counters.
pub struct Stat {
    shards: Box<[Shard; SHARDS]>,
}

static NEXT: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % SHARDS);
}

/// The number of this thread's counters.
pub fn shard() -> usize {
    MINE.with(Cell::get)
}

impl Stat {
    /// Counters that start with what was saved.
    pub fn new(saved: &[i64; COUNTERS]) -> Self {
        let shards = Box::new(std::array::from_fn(|_| Shard(std::array::from_fn(|_| AtomicI64::new(0)))));
        for (counter, value) in shards_first(&shards).iter().zip(saved) {
            counter.store(*value, Relaxed);
        }
        Self { shards }
    }

    /// Adds to one counter of [`stat`].
    pub fn add(&self, counter: usize, n: u64) {
        self.shards[shard()].0[counter].fetch_add(i64::try_from(n).unwrap_or(i64::MAX), Relaxed);
    }

    /// Counts one request: its total, and on success its success.
    pub fn count(&self, counter: usize, success: bool) {
        self.add(counter, 1);
        if success {
            self.add(counter + 1, 1);
        }
    }

    /// As [`Stat::count`], for bytes.
    pub fn count_bytes(&self, counter: usize, bytes: u64, success: bool) {
        self.add(counter, bytes);
        if success {
            self.add(counter + 1, bytes);
        }
    }

    /// Notes a time; it never goes back.
    pub fn at(&self, counter: usize, unix_secs: i64) {
        shards_first(&self.shards)[counter].fetch_max(unix_secs, Relaxed);
    }

    /// The sums.
    pub fn sums(&self) -> [i64; COUNTERS] {
        std::array::from_fn(|counter| self.shards.iter().map(|shard| shard.0[counter].load(Relaxed)).sum())
    }

    /// The body of a heart beat.
    pub fn block(&self, connections: [i32; 3]) -> StatBlock {
        let mut block = StatBlock::default();
        for (to, from) in block.connections.iter_mut().zip(connections) {
            to.set(from);
        }
        for (to, from) in block.counters.iter_mut().zip(self.sums()) {
            *to = I64::new(from);
        }
        // The tracker fills these in itself.
        block.counters[stat::LAST_SYNCED] = I64::ZERO;
        block.counters[stat::LAST_HEART_BEAT] = I64::ZERO;
        block
    }

    /// The text of `storage_stat.dat`.
    pub fn text(&self, dist: Dist) -> String {
        let sums = self.sums();
        let mut text = String::new();
        for (key, counter, pair) in KEYS {
            if *pair {
                text += &format!("total_{key}={}\nsuccess_{key}={}\n", sums[*counter], sums[*counter + 1]);
            } else {
                text += &format!("{key}={}\n", sums[*counter]);
            }
        }
        text + &format!(
            "dist_path_index_high={}\ndist_path_index_low={}\ndist_write_file_count={}\n",
            dist.high, dist.low, dist.files
        )
    }
}

fn shards_first(shards: &[Shard; SHARDS]) -> &[AtomicI64; COUNTERS] {
    &shards[0].0
}

/// Reads `storage_stat.dat`: missing, torn and unknown lines count as zero.
pub fn read_saved(text: &str) -> ([i64; COUNTERS], Dist) {
    let all: HashMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect();
    let number = |key: &str| all.get(key).and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
    let mut saved = [0; COUNTERS];
    for (key, counter, pair) in KEYS {
        if *pair {
            saved[*counter] = number(&format!("total_{key}"));
            saved[*counter + 1] = number(&format!("success_{key}"));
        } else {
            saved[*counter] = number(key);
        }
    }
    let dist = Dist {
        high: u16::try_from(number("dist_path_index_high")).unwrap_or(0),
        low: u16::try_from(number("dist_path_index_low")).unwrap_or(0),
        files: u32::try_from(number("dist_write_file_count")).unwrap_or(0),
    };
    (saved, dist)
}

/// Keys in the order of the file; whether there are a total and a success.
const KEYS: &[(&str, usize, bool)] = &[
    ("upload_count", stat::UPLOAD, true),
    ("append_count", stat::APPEND, true),
    ("modify_count", stat::MODIFY, true),
    ("truncate_count", stat::TRUNCATE, true),
    ("download_count", stat::DOWNLOAD, true),
    ("last_source_update", stat::LAST_SOURCE_UPDATE, false),
    ("last_sync_update", stat::LAST_SYNC_UPDATE, false),
    ("set_meta_count", stat::SET_META, true),
    ("delete_count", stat::DELETE, true),
    ("get_meta_count", stat::GET_META, true),
    ("create_link_count", stat::CREATE_LINK, true),
    ("delete_link_count", stat::DELETE_LINK, true),
    ("upload_bytes", stat::UPLOAD_BYTES, true),
    ("append_bytes", stat::APPEND_BYTES, true),
    ("modify_bytes", stat::MODIFY_BYTES, true),
    ("download_bytes", stat::DOWNLOAD_BYTES, true),
    ("sync_in_bytes", stat::SYNC_IN_BYTES, true),
    ("sync_out_bytes", stat::SYNC_OUT_BYTES, true),
    ("file_open_count", stat::FILE_OPEN, true),
    ("file_read_count", stat::FILE_READ, true),
    ("file_write_count", stat::FILE_WRITE, true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_threads_and_a_restart() {
        let stat = Stat::new(&[0; COUNTERS]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    stat.count(stat::UPLOAD, true);
                    stat.count_bytes(stat::UPLOAD_BYTES, 10, false);
                    stat.at(stat::LAST_SOURCE_UPDATE, 77);
                });
            }
        });
        let dist = Dist { high: 1, low: 2, files: 3 };
        let text = stat.text(dist);
        assert!(text.starts_with("total_upload_count=4\nsuccess_upload_count=4\ntotal_append_count=0\n"));
        let (saved, again) = read_saved(&text);
        assert_eq!(again, dist);
        assert_eq!(Stat::new(&saved).text(dist), text);
        assert_eq!(read_saved("total_upload_co"), ([0; COUNTERS], Dist::default()));
    }
}
