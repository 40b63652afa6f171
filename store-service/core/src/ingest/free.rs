//! How the bytes of what was replaced or given up are freed.

use linkgate_contract::Sha256;
use tracing::warn;

use super::chain;
use super::ports::{BlobStore, CatalogReader};

/// Deletes a blob that no row needs. Called with its lock. A blob too many costs space, a blob too few costs a
/// package: whenever the catalog does not answer, it stays.
pub(crate) async fn free_unless_referenced(blobs: &impl BlobStore, catalog: &impl CatalogReader, sha256: Sha256) {
    match catalog.is_referenced(&sha256).await {
        Ok(true) => {}
        Ok(false) => {
            if let Err(e) = blobs.delete(sha256).await {
                warn!(
                    package.sha256 = %sha256,
                    error = chain(&e),
                    "Cannot delete blob `{sha256}`, which no row references; leaving it for garbage collection"
                );
            }
        }
        Err(e) => warn!(
            package.sha256 = %sha256,
            error = chain(&e),
            "Cannot ask the catalog who references blob `{sha256}`; leaving it for garbage collection"
        ),
    }
}
