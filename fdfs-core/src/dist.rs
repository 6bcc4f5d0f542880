//! Which directory a new file goes to (storage 10).

/// Position of the round robin over `subdir_count` x `subdir_count` directories; kept in `storage_stat.dat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dist {
    /// First level.
    pub high: u16,
    /// Second level.
    pub low: u16,
    /// Files that the directory got in this round.
    pub files: u32,
}

impl Dist {
    /// The directory for the next file; `rotate` files go to each.
    pub fn next(&mut self, subdirs: u16, rotate: u32) -> (u8, u8) {
        let subdirs = subdirs.clamp(1, 256);
        let at = (self.high % subdirs, self.low % subdirs);
        (self.high, self.low) = at;
        self.files += 1;
        if self.files >= rotate.max(1) {
            self.files = 0;
            self.low += 1;
            if self.low >= subdirs {
                self.low = 0;
                self.high = (self.high + 1) % subdirs;
            }
        }
        (at.0 as u8, at.1 as u8)
    }
}

/// The directory by a hash of the name's first 27 characters (`file_distribute_path_mode` other than 0).
pub fn by_hash(name: &[u8], subdirs: u16) -> (u8, u8) {
    let mut hash: u32 = 0;
    for &byte in name {
        hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xF000_0000;
        if high != 0 {
            // The shift keeps the sign, as the existing daemons compute it.
            hash = (hash ^ ((high.cast_signed() >> 24).cast_unsigned())) & !high;
        }
    }
    let hash = (hash % 65_536) as u16;
    let subdirs = subdirs.clamp(1, 256);
    (((hash >> 8) % subdirs) as u8, ((hash & 255) % subdirs) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_in_turn() {
        let mut dist = Dist::default();
        let all: Vec<_> = (0..10).map(|_| dist.next(2, 2)).collect();
        assert_eq!(all, [(0, 0), (0, 0), (0, 1), (0, 1), (1, 0), (1, 0), (1, 1), (1, 1), (0, 0), (0, 0)]);
        // A count that shrank since the position was saved.
        let mut dist = Dist { high: 200, low: 255, files: 0 };
        assert_eq!(dist.next(16, 1), (8, 15));
        assert!(dist.next(16, 1).0 < 16);
    }

    #[test]
    fn hashes_stay_in_range() {
        for n in 0..1000u32 {
            let (high, low) = by_hash(format!("name{n}").as_bytes(), 7);
            assert!(high < 7 && low < 7);
        }
    }
}
