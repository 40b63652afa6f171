//! What things cost, as measured, and what is assumed of the machines.

/// Seconds of one of the database's processors, unless it says otherwise. Measured by `cargo xtask bench queue` with PostgreSQL
/// 15 on two busy processors of a virtual machine, which gave 4.0 ms for an upload, 0.49 ms for a look, and 0.47, 0.90 and 1.63 ms
/// for signs of life of 1, 16 and 64 jobs. What of an upload is queueing and what recording is by the time that each took (1.4
/// and 3.1 ms). A lock is held for as long as the server computes under it.
pub mod measured {
    /// To queue an upload: what the server does under the lock of the queue.
    pub const QUEUE: f64 = 0.000_9;
    /// To look for a job under the same lock, whether one is found or not.
    pub const LOOK: f64 = 0.000_5;
    /// To record a package and the end of its job.
    pub const RECORD: f64 = 0.002_1;
    /// A sign of life of all jobs of a store, and what each of them adds.
    pub const BEAT: f64 = 0.000_45;
    pub const BEAT_OF_EACH: f64 = 0.000_02;
    /// Whether the database can be written, for those who ask a store whether it is ready; and whether others are to be told of
    /// the end of a job. Not measured: less than any of the others.
    pub const STATEMENT: f64 = 0.000_1;
    /// To take a package from its source into a bucket, with SHA-256 and inspection: seconds of a store's processors for each
    /// GiB. The upper end of what was measured, where parts go through temporary files.
    pub const STORE_GIB: f64 = 2.6;
}

/// How the store is built.
pub mod built {
    /// Between two looks of a store that nobody wakes.
    pub const LOOK_EVERY: f64 = 2.0;
    /// Between two signs of life: six in a lease of 60 s.
    pub const BEAT_EVERY: f64 = 10.0;
    /// Between two answers to those who ask for readiness, however many do.
    pub const READY_EVERY: f64 = 1.0;
    /// Connections of a store: five, and the one that listens.
    pub const CONNECTIONS: u64 = 6;
    /// Journeys to the server and back while an upload has the lock of the queue, besides the one that takes it.
    pub const QUEUE_TRIPS: f64 = 2.0;
    /// The same with the lock of an application, while a package is recorded.
    pub const RECORD_TRIPS: f64 = 12.0;
    /// Bytes of a part, and how many parts of an upload are under way at once.
    pub const PART: f64 = 8.0 * MIB;
    pub const PARTS_AT_ONCE: u32 = 3;
    /// The most that `LINKGATE_STORE_MAX_UPLOADS` can be, for all stores together.
    pub const MOST_UPLOADS: u64 = 256;
    pub const MIB: f64 = 1_048_576.0;
}

/// What is assumed of the machines and of those who upload.
#[derive(Clone, Debug)]
pub struct Assumed {
    /// Bytes of a package.
    pub package: f64,
    /// Bytes a second that one connection to a source gives.
    pub source_rate: f64,
    /// Hosts that packages come from, and bytes a second that each gives in all.
    pub hosts: usize,
    pub host_rate: f64,
    /// Bytes a second that the bucket takes in all, and how long it takes to answer.
    pub bucket_rate: f64,
    pub bucket_latency: f64,
    /// Processors of the database.
    pub database_cores: u32,
    /// A journey to the database and back.
    pub trip: f64,
    /// Until a commit is durable.
    pub flush: f64,
    /// Processors of one store.
    pub store_cores: u32,
    /// Applications whose packages these are.
    pub applications: usize,
    /// Uploads that run at once, for each store; all together no more than `most_uploads`.
    pub uploads_per_store: u64,
    pub most_uploads: u64,
    /// Callers who always have one more upload, for each store.
    pub callers_per_store: u64,
}

impl Default for Assumed {
    fn default() -> Self {
        Self {
            package: 64.0 * built::MIB,
            source_rate: 10e6,
            hosts: 1_000,
            host_rate: 1e9,
            bucket_rate: 1.25e9,
            bucket_latency: 0.02,
            database_cores: 8,
            trip: 0.000_3,
            flush: 0.001,
            store_cores: 2,
            applications: 256,
            uploads_per_store: 16,
            most_uploads: built::MOST_UPLOADS,
            callers_per_store: 32,
        }
    }
}
