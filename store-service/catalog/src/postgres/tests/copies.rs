//! Copies into SQLite and back: the same rows, and no number is given out twice.

use std::path::Path;

use linkgate_store_core::ingest::ports::{
    Catalog as _, CatalogReader as _, Deletion, EventQuery, JobQueue as _, Maintenance as _, PackageReader as _,
};
use linkgate_store_core::testing::conformance::{LIMITS, job, package};
use linkgate_store_core::testing::example_target;
use tempfile::TempDir;

use super::{ask, change_of, claim, enqueue, id, processes};
use crate::postgres::{CatalogRestoreError, PostgresCatalog, PostgresStartError, RestoreBegun};
use crate::testing::PostgresServer;
use crate::{SqliteCatalog, SqliteReader};
use linkgate_store_core::ingest::ports::Changes as _;

/// A copy in a folder of its own.
async fn copied(catalog: &PostgresCatalog) -> (TempDir, SqliteReader, SqliteCatalog) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.sqlite3");
    let reader = catalog.snapshot(&path).await.unwrap();
    let copy = open(&path).await;
    (dir, reader, copy)
}

async fn open(path: &Path) -> SqliteCatalog {
    SqliteCatalog::open(path, LIMITS).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_copied_and_restored_comes_to_the_same_and_goes_on_counting() {
    let Some((_server, [catalog])) = processes(LIMITS).await else { return };
    let (target, waits) = (example_target(), job(9, "h", "a"));
    let kept = catalog.record(package(b"kept", "1\\.\u{e9}"), job(1, "h", "a").record, None).await.unwrap().row;
    let gone = catalog.record(package(b"gone", "1.9"), job(2, "h", "a").record, None).await.unwrap().row;
    catalog.delete(&change_of(gone.id), Deletion { force: false, restore_ms: 1_000 }).await.unwrap();
    enqueue(&catalog, &waits).await;
    catalog.accept(waits.record.clone()).await.unwrap();
    // All that happened is forgotten, but its numbers are given out.
    assert_eq!(catalog.expire_events(i64::MAX).await.unwrap(), 3);
    let (_dir, reader, copy) = copied(&catalog).await;
    let sum = catalog.sum_up().await.unwrap();
    assert_eq!((reader.sum_up().await.unwrap(), copy.sum_up().await.unwrap()), (sum.clone(), sum.clone()));
    let sum = sum.unwrap();

    let other = PostgresServer::start();
    let restored = PostgresCatalog::connect_to_restore(&other.address()).await.unwrap();
    assert_eq!(restored.begin_restore(&sum).await.unwrap(), RestoreBegun::Now);
    let refused = PostgresCatalog::connect(&other.address(), LIMITS).await;
    assert!(matches!(refused, Err(PostgresStartError::HalfRestored)));
    assert!(matches!(PostgresCatalog::attach(&other.address()).await, Err(PostgresStartError::HalfRestored)));
    // No blob is there.
    let refused = restored.finish_restore(&copy, &sum, 0).await;
    assert!(matches!(refused, Err(CatalogRestoreError::BytesMissing { found: 2, known: 0 })), "{refused:?}");
    assert_eq!(ask::<i64>(&other, "select count(*) from source_package").await, 0, "all or none");
    assert_eq!(restored.begin_restore(&sum).await.unwrap(), RestoreBegun::Before);
    restored.finish_restore(&copy, &sum, 2).await.unwrap();
    let again = restored.begin_restore(&sum).await;
    assert!(matches!(again, Err(CatalogRestoreError::Used(_))), "{again:?}");
    let late = restored.finish_restore(&copy, &sum, 2).await;
    assert!(matches!(late, Err(CatalogRestoreError::NotBegun)), "{late:?}");
    restored.close().await;

    let restored = PostgresCatalog::connect(&other.address(), LIMITS).await.unwrap();
    assert_eq!(restored.sum_up().await.unwrap(), Some(sum));
    assert_eq!(restored.find_damage().await.unwrap(), None, "the sums are those of the packages");
    assert_eq!(restored.package_sums(&target).await.unwrap(), catalog.package_sums(&target).await.unwrap());
    for row in [&kept, &gone] {
        let (before, after) =
            (catalog.find_package(&target, row.id).await, restored.find_package(&target, row.id).await);
        assert_eq!(before.unwrap(), after.unwrap());
    }
    let claimed = claim(&restored).await;
    assert_eq!((claimed.record.view.id, &claimed.record.request), (id(&waits), &waits.record.request));
    let new = restored.record(package(b"new", "2"), claimed.record, Some(claimed.fence)).await.unwrap().row;
    assert_eq!(new.id.row(), gone.id.row() + 1);
    let query = EventQuery { limit: 10, ..EventQuery::default() };
    let events = restored.list_events(&target, &query).await.unwrap().rows;
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), [4], "three were forgotten");
    // Triggers are on again.
    let enabled = "select bool_and(tgenabled = 'O') from pg_trigger where tgrelid = 'source_package'::regclass";
    assert!(ask::<bool>(&other, enabled).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_begins_where_nothing_is_and_goes_on_with_the_same_backup_only() {
    let Some((server, [catalog])) = processes(LIMITS).await else { return };
    let (_dir, _, empty) = copied(&catalog).await;
    let empty = empty.sum_up().await.unwrap().unwrap();
    catalog.record(package(b"x", "1"), job(1, "h", "a").record, None).await.unwrap();
    let used = catalog.begin_restore(&empty).await;
    assert!(matches!(&used, Err(CatalogRestoreError::Used(what)) if what == "packages"), "{used:?}");
    assert_eq!(ask::<i64>(&server, "select count(*) from restore").await, 0);

    let sum = catalog.sum_up().await.unwrap().unwrap();
    assert_ne!(sum, empty);
    let other = PostgresServer::start();
    let restored = PostgresCatalog::connect_to_restore(&other.address()).await.unwrap();
    restored.begin_restore(&sum).await.unwrap();
    assert!(matches!(restored.begin_restore(&empty).await, Err(CatalogRestoreError::OtherRestore)));
    restored.take_restore_back().await.unwrap();
    assert_eq!(restored.begin_restore(&empty).await.unwrap(), RestoreBegun::Now);
}
