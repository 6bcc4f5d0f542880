//! How far a peer has everything: seven lines `key=value` (replication 3).

use std::fmt;

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Pos {
    /// Number of the file, `binlog.NNN`.
    pub index: u32,
    /// Byte in it.
    pub offset: u64,
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.index, self.offset)
    }
}

/// A peer's mark file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark {
    /// First record that the peer may not have.
    pub pos: Pos,
    /// We are the source of its full copy.
    pub need_sync_old: bool,
    /// The full copy has reached the end of the log once.
    pub sync_old_done: bool,
    /// Replica records up to this time belong to the full copy, s.
    pub until_timestamp: i64,
    /// Records read.
    pub scanned: u64,
    /// Records sent.
    pub synced: u64,
}

/// Why a mark file cannot be used: a key is missing or no number. The log is then read from its beginning, which is
/// safe and slow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is missing or no number")]
pub struct BadMark(&'static str);

impl Mark {
    /// Reads the file.
    pub fn parse(text: &str) -> Result<Self, BadMark> {
        let value = |key: &'static str| {
            let line = text.lines().filter_map(|line| line.split_once('=')).rfind(|(k, _)| k.trim() == key);
            line.map(|(_, value)| value.trim()).ok_or(BadMark(key))
        };
        let number = |key| value(key)?.parse::<u64>().map_err(|_| BadMark(key));
        let flag = |key| Ok(matches!(value(key)?.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"));
        let index = number("binlog_index")?;
        Ok(Self {
            pos: Pos {
                index: u32::try_from(index).map_err(|_| BadMark("binlog_index"))?,
                offset: number("binlog_offset")?,
            },
            need_sync_old: flag("need_sync_old")?,
            sync_old_done: flag("sync_old_done")?,
            until_timestamp: value("until_timestamp")?.parse().map_err(|_| BadMark("until_timestamp"))?,
            scanned: number("scan_row_count")?,
            synced: number("sync_row_count")?,
        })
    }
}

/// The file.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "binlog_index={}\nbinlog_offset={}\nneed_sync_old={}\nsync_old_done={}\nuntil_timestamp={}\n\
             scan_row_count={}\nsync_row_count={}\n",
            self.pos.index,
            self.pos.offset,
            u8::from(self.need_sync_old),
            u8::from(self.sync_old_done),
            self.until_timestamp,
            self.scanned,
            self.synced
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "binlog_index=0\nbinlog_offset=934\nneed_sync_old=1\nsync_old_done=1\n\
                          until_timestamp=1795333403\nscan_row_count=16\nsync_row_count=16\n";

    #[test]
    fn the_file_round_trips() {
        let mark = Mark::parse(SAMPLE).unwrap();
        assert_eq!(mark.pos, Pos { index: 0, offset: 934 });
        assert!(mark.need_sync_old && mark.sync_old_done);
        assert_eq!(mark.to_string(), SAMPLE);
    }

    #[test]
    fn torn_files_are_refused() {
        for end in 0..SAMPLE.len() - "16\n".len() {
            assert!(Mark::parse(&SAMPLE[..end]).is_err(), "{end}");
        }
        assert!(Mark::parse(&SAMPLE.replace("934", "-1")).is_err());
    }
}
