//! An object whose parts are on their way.
//!
//! Promises: whatever ends it, the storage has answered for the parts on their way before their upload is aborted, unless it takes
//! too long: one that is cut off goes on with what it has, and some make anew what the abort had deleted.

use std::sync::Arc;

use linkgate_store_core::ingest::ports::{BlobError, BlobKeys};
use tokio::runtime::Handle;

use super::part::Part;
use super::store::Shared;
use super::unpublished::Unpublished;
use super::upload::PartSender;

/// An object and what is sent of it.
pub(crate) struct Sending<K: BlobKeys> {
    /// `None` once it has ended.
    open: Option<(PartSender, Unpublished<K>)>,
}

impl<K: BlobKeys> Sending<K> {
    pub(crate) async fn begin(shared: &Shared<K>) -> Result<Self, BlobError> {
        let mut object = shared.begin_object().await?;
        let upload = object.begin_upload().await?;
        let sender = PartSender::new(shared.cleaner.bucket.clone(), Arc::clone(&shared.budget), upload);
        Ok(Self { open: Some((sender, object)) })
    }

    pub(crate) async fn send(&mut self, part: Part) -> Result<(), BlobError> {
        let (sender, _) = self.open.as_mut().ok_or(BlobError::WriterGone)?;
        sender.send(part).await
    }

    /// The object with so many bytes in it.
    pub(crate) async fn complete(mut self, size_bytes: u64) -> Result<Unpublished<K>, BlobError> {
        let (sender, _) = self.open.as_mut().ok_or(BlobError::WriterGone)?;
        sender.complete(size_bytes).await?;
        self.open.take().map(|(_, object)| object).ok_or(BlobError::WriterGone)
    }

    /// Ends it; nothing is left once this returns, unless the storage does not answer soon.
    pub(crate) async fn discard(mut self) {
        if let Some((sender, object)) = self.open.take() {
            sender.stop().await;
            object.discard().await;
        }
    }
}

impl<K: BlobKeys> Drop for Sending<K> {
    fn drop(&mut self) {
        let Some((sender, object)) = self.open.take() else { return };
        // Without a runtime nothing is on its way, either.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                sender.stop().await;
                drop(object);
            });
        }
    }
}
