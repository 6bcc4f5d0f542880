//! `.tracker_status`: when the tracker started, and when it was last seen running.

/// Times of a run, Unix seconds; 0 unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackerStatus {
    /// Start.
    pub up_time: i64,
    /// Last save of this file.
    pub last_check_time: i64,
}

impl TrackerStatus {
    /// The file.
    pub fn encode(&self) -> String {
        format!("up_time={}\nlast_check_time={}\n", self.up_time, self.last_check_time)
    }

    /// Reads the file; what is missing is 0.
    pub fn decode(text: &str) -> Self {
        let number = |key: &str| {
            let value =
                text.lines().filter_map(|line| line.trim().split_once('=')).find(|(name, _)| *name == key);
            value.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
        };
        Self { up_time: number("up_time"), last_check_time: number("last_check_time") }
    }
}
