//! How files are taken that callers send themselves.

use std::time::Duration;

use crate::budget::Bounds;

/// What a caller who sends a file may take of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRules {
    /// Files that come at once: of one caller, and in sum. They take none of the places of downloads.
    pub at_once: Bounds,
    /// The largest file.
    pub max_bytes: u64,
    /// How long no byte may come.
    pub idle_timeout: Duration,
    /// How long a whole file may take to come.
    pub total_timeout: Duration,
    /// Bytes per second that must come; 0 for any.
    pub min_rate: u64,
    /// Over how long they are counted.
    pub min_rate_window: Duration,
}

impl Default for FileRules {
    fn default() -> Self {
        Self {
            at_once: Bounds { per_owner: 8, in_sum: 32 },
            max_bytes: 1 << 30,
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(600),
            min_rate: 1 << 10,
            min_rate_window: Duration::from_secs(30),
        }
    }
}
