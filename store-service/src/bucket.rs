//! The bucket of a database, opened.

use linkgate_blob_s3::{S3BlobStore, S3Settings, S3StartError};
use linkgate_catalog::{PostgresBlobKeys, PostgresCatalog};
use linkgate_store_core::ingest::ports::KeyError;

/// A bucket with the packages of a database.
pub(crate) type SharedBlobs = S3BlobStore<PostgresBlobKeys>;

/// Opens the bucket that is the database's own, and refuses another one.
pub(crate) async fn open_bucket(settings: &S3Settings, catalog: &PostgresCatalog) -> Result<SharedBlobs, S3StartError> {
    let blobs = S3BlobStore::open(settings, catalog.blob_keys()).await?;
    tie_bucket(&blobs, catalog).await?;
    Ok(blobs)
}

/// Refuses a bucket that is not the database's own.
pub(crate) async fn tie_bucket(blobs: &SharedBlobs, catalog: &PostgresCatalog) -> Result<(), S3StartError> {
    let mark = catalog.bucket_mark().await.map_err(|e| KeyError::Database(e.into()))?;
    blobs.tie(&mark.id.to_string(), mark.is_written).await?;
    mark.note_written().await.map_err(|e| KeyError::Database(e.into()))?;
    Ok(())
}
