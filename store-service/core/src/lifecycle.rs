//! What becomes of a package once it is stored: it is deleted, restored and pinned.
//!
//! Promises: a package that a caller was told is live has its bytes; bytes are freed only after the catalog was asked, while
//! nobody publishes, whether anybody else needs them. Refuses to restore what has lost its bytes.

use linkgate_contract::{ModuleRef, Operator, PackageVersion, PinName};
use tracing::info;

use crate::ingest::free_unless_referenced;
use crate::ingest::ports::{
    BlobStore, CatalogReader as _, Change, ChangeError, Changes, Deletion, NewPin, PackageDetail, PackageReader as _,
    Pin, Services,
};
use crate::metrics::Metrics;
use crate::settings::{Quota, QuotaRules};

/// What the operator decides about stored packages.
#[derive(Clone, Debug)]
pub struct LifecycleRules {
    /// For how long a deleted package can be restored. 0: not at all.
    pub restore_ms: i64,
    /// How much is kept.
    pub quotas: QuotaRules,
}

/// Changes stored packages, over whatever blob store and catalog it is given.
pub struct Lifecycle<V: Services> {
    blobs: V::Blobs,
    catalog: V::Catalog,
    rules: LifecycleRules,
    metrics: Metrics,
}

impl<V: Services> Lifecycle<V> {
    /// Brings the parts together.
    #[must_use]
    pub fn new(blobs: V::Blobs, catalog: V::Catalog, rules: LifecycleRules, metrics: Metrics) -> Self {
        Self { blobs, catalog, rules, metrics }
    }

    /// Deletes a package, also a pinned one with `force`. Its bytes stay until they are purged, unless there is no time to
    /// restore it in.
    ///
    /// # Errors
    /// [`ChangeError`] says why it is as it was.
    pub async fn delete(&self, change: &Change, force: bool) -> Result<PackageDetail, ChangeError> {
        let deletion = Deletion { force, restore_ms: self.rules.restore_ms };
        let deleted = self.counted("delete", change, self.catalog.delete(change, deletion).await)?;
        if deleted.purged_ms.is_some() {
            let _lock = self.catalog.lock_blob(&deleted.row.sha256).await;
            free_unless_referenced(&self.blobs, &self.catalog, deleted.row.sha256).await;
        }
        Ok(deleted)
    }

    /// Restores a deleted package, under another version if its own belongs to another one by now.
    ///
    /// # Errors
    /// [`ChangeError`] says why it is as it was.
    pub async fn restore(
        &self,
        change: &Change,
        version: Option<&PackageVersion>,
    ) -> Result<PackageDetail, ChangeError> {
        let found = self.catalog.find_package(&change.target, change.id).await?.ok_or(ChangeError::NotFound)?;
        let _is_not_freed = self.catalog.lock_blob(&found.row.sha256).await;
        let is_here = self.blobs.stat(found.row.sha256).await?.is_some();
        if found.row.is_deleted && !is_here && change.holds_for(&found) {
            return Err(ChangeError::Purged);
        }
        let quota = self.rules.quotas.of_module(&change.target);
        self.counted("restore", change, self.catalog.restore(change, version, &quota).await)
    }

    /// What a module and its application may keep.
    #[must_use]
    pub fn quota(&self, target: &ModuleRef) -> Quota {
        self.rules.quotas.of_module(target)
    }

    /// Pins a package.
    ///
    /// # Errors
    /// [`ChangeError`] says why it is as it was.
    pub async fn pin(&self, change: &Change, pin: NewPin) -> Result<(PackageDetail, Pin), ChangeError> {
        self.counted("pin", change, self.catalog.pin(change, pin).await)
    }

    /// Takes a pin away.
    ///
    /// # Errors
    /// [`ChangeError`] says why it is as it was.
    pub async fn unpin(&self, change: &Change, name: &PinName) -> Result<(PackageDetail, Pin), ChangeError> {
        self.counted("unpin", change, self.catalog.unpin(change, name).await)
    }

    /// Counts and logs how a change ended.
    fn counted<T>(&self, what: &'static str, change: &Change, done: Result<T, ChangeError>) -> Result<T, ChangeError> {
        self.metrics.changed(what, done.as_ref().map_or_else(ChangeError::kind, |_| "done"));
        let Change { target, id, actor, .. } = change;
        let operator = actor.operator.as_ref().map_or("", Operator::as_str);
        match &done {
            Ok(_) => info!(
                request.id = actor.request_id,
                app.code = %target.app,
                module.name = %target.module,
                package.id = %id,
                change.action = what,
                "Did `{what}` to package {id} of `{}`/`{}` for `{operator}`",
                target.app,
                target.module
            ),
            Err(e) => info!(
                request.id = actor.request_id,
                app.code = %target.app,
                module.name = %target.module,
                package.id = %id,
                change.action = what,
                error = crate::ingest::chain(e),
                "Refused `{what}` of package {id} of `{}`/`{}`",
                target.app,
                target.module
            ),
        }
        done
    }
}
