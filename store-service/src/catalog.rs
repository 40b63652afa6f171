//! Where the books are. One adapter today: SQLite.

mod books;
mod jobs;
mod packages;
mod provenance;
mod sqlite;

pub use books::{Booked, Books, RowName};
pub use sqlite::{CatalogStartError, SqliteCatalog};
