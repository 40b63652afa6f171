//! What inspections may take of the process, all together.

use std::time::Duration;

/// What inspections may take of the process.
#[derive(Clone, Copy, Debug)]
pub struct InspectionRules {
    /// Memory of all decoders together, in bytes.
    pub decoder_memory_bytes: u64,
    /// How long an inspection may wait for its decoder's memory, from its beginning.
    pub memory_timeout: Duration,
    /// CPU time of one inspection.
    pub cpu_limit: Duration,
}

impl Default for InspectionRules {
    /// Fits a container of 512 MiB, and what a package of 4 GiB takes.
    fn default() -> Self {
        let (memory_timeout, cpu_limit) = (Duration::from_secs(600), Duration::from_secs(300));
        Self { decoder_memory_bytes: 192 << 20, memory_timeout, cpu_limit }
    }
}
