//! Where the books are. One adapter today: SQLite.

mod sqlite;

pub use sqlite::{LedgerStartError, SqliteLedger};
