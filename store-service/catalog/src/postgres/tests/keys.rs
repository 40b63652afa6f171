//! Keys of uploads that no queue keeps apart.

use linkgate_contract::Sha256;
use linkgate_store_core::ingest::KEY_LIFE_MS;
use linkgate_store_core::ingest::ports::{Catalog as _, CatalogError, JobKey, JobQueue as _};
use linkgate_store_core::testing::conformance::{LIMITS, job, package};
use sqlx::{Connection as _, PgConnection};

use super::processes;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_another_ones_once_its_day_is_over() {
    let Some((server, [catalog])) = processes(LIMITS).await else { return };
    let key = JobKey { key: Sha256::from_bytes([7; 32]), fingerprint: Sha256::from_bytes([1; 32]) };
    let record = async |version: &str| {
        let mut job = job(1, "h", "a").record;
        (job.keys, job.is_queued) = (vec![key], false);
        let recorded = catalog.record(package(b"bytes", version), job.clone(), None).await;
        recorded.map(|_| job.view.id)
    };
    record("1").await.unwrap();
    let mut connection = PgConnection::connect(&server.address()).await.unwrap();
    for (age_ms, is_free) in [(KEY_LIFE_MS - 60_000, false), (60_000, true)] {
        let older = sqlx::query("update job_key set created_ms = created_ms - $1").bind(age_ms);
        older.execute(&mut connection).await.unwrap();
        match record("2").await {
            Ok(id) => {
                assert!(is_free);
                assert_eq!(catalog.find_job_by_key(key.key, 0).await.unwrap(), Some((id, key.fingerprint)));
            }
            Err(CatalogError::KeyTaken) => assert!(!is_free),
            Err(other) => panic!("{other:?}"),
        }
    }
}
