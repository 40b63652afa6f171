//! Keys of objects in PostgreSQL, under their suite; and that no row is without its bytes, whatever races.

use std::time::Duration;

use linkgate_contract::Sha256;
use linkgate_store_core::blob_keys_tests;
use linkgate_store_core::ingest::ports::{
    BlobKeys as _, BlobObject, Catalog as _, CatalogError, CatalogReader as _, KeyHolder, NewPackage, ObjectKey,
    Published, Retirement,
};
use linkgate_store_core::testing::blob_keys::KeyDatabase;
use linkgate_store_core::testing::conformance::{LIMITS, job, package};
use sqlx::{Connection as _, PgConnection};

use super::cutting_proxy::{Cut, CuttingProxy};
use super::{ask, processes};
use crate::PostgresCatalog;
use crate::postgres::PostgresBlobKeys;
use crate::testing::PostgresServer;

/// How often whatever races does so.
const ROUNDS: u8 = 60;

struct PostgresKeys {
    catalog: PostgresCatalog,
    server: PostgresServer,
}

impl PostgresKeys {
    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.server.address()).await.unwrap()
    }
}

impl KeyDatabase for PostgresKeys {
    type Keys = PostgresBlobKeys;

    fn missing() -> Option<&'static str> {
        PostgresServer::missing()
    }

    async fn create() -> Self {
        let server = PostgresServer::start();
        let catalog = PostgresCatalog::connect(&server.address(), LIMITS).await.unwrap();
        Self { catalog, server }
    }

    fn keys(&self) -> PostgresBlobKeys {
        self.catalog.blob_keys()
    }

    async fn reference(&self, object: &BlobObject) {
        record(&self.catalog, object).await.unwrap();
    }

    async fn unreference(&self, sha256: Sha256) {
        let gone = sqlx::query("delete from source_package where sha256 = $1").bind(sha256.to_string());
        assert_eq!(gone.execute(&mut self.connect().await).await.unwrap().rows_affected(), 1);
    }

    async fn let_pass(&self, time: Duration) {
        for statement in [
            "update blob_holder set alive_until = alive_until - $1",
            "update blob set published_at = published_at - $1",
            "update blob_key set since = since - $1",
        ] {
            sqlx::query(statement).bind(time).execute(&mut self.connect().await).await.unwrap();
        }
    }
}

blob_keys_tests!(PostgresKeys);

fn object(number: u8) -> BlobObject {
    BlobObject { sha256: Sha256::from_bytes([number; 32]), size_bytes: 1, key: ObjectKey::unused("") }
}

/// A package with these bytes, under a version of its own.
fn package_of(object: &BlobObject) -> NewPackage {
    let version = format!("1.{}", &object.sha256.to_string()[..8]);
    NewPackage { sha256: object.sha256, ..package(b"x", &version) }
}

async fn record(catalog: &PostgresCatalog, object: &BlobObject) -> Result<(), CatalogError> {
    catalog.record(package_of(object), job(1, "h", "a").record, None).await.map(|_| ())
}

async fn publish(keys: &PostgresBlobKeys, holder: KeyHolder, object: &BlobObject) -> Published {
    keys.begin(holder, &object.key).await.unwrap();
    keys.publish(holder, object, None).await.unwrap()
}

async fn living(keys: &PostgresBlobKeys) -> KeyHolder {
    let holder = KeyHolder::random();
    keys.beat(holder).await.unwrap();
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_blob_was_retired_or_put_into_quarantine_meanwhile_is_refused_and_leaves_nothing() {
    let Some((server, [one, other])) = processes(LIMITS).await else { return };
    let (keys, theirs) = (one.blob_keys(), other.blob_keys());
    let holder = living(&keys).await;
    let (retired, bad) = (object(1), object(2));
    publish(&keys, holder, &retired).await;
    publish(&keys, holder, &bad).await;
    assert_eq!(theirs.retire(retired.sha256, Duration::ZERO).await.unwrap(), Retirement::Retired);
    assert_eq!(theirs.quarantine(bad.sha256).await.unwrap().as_ref(), Some(&bad.key));
    for object in [&retired, &bad] {
        assert!(record(&one, object).await.is_err());
        assert!(!one.is_referenced(&object.sha256).await.unwrap());
    }
    let left =
        "select (select count(*) from source_package) + (select count(*) from event) + (select count(*) from job)";
    assert_eq!(ask::<i64>(&server, left).await, 0, "nothing of it was recorded");
    let again = BlobObject { key: ObjectKey::unused(""), ..retired };
    assert_eq!(publish(&keys, holder, &again).await, Published::New);
    record(&one, &again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_blob_was_ever_in_an_object_storage_rows_need_none() {
    let Some((_server, [catalog])) = processes(LIMITS).await else { return };
    record(&catalog, &object(1)).await.unwrap();
    living(&catalog.blob_keys()).await;
    assert!(record(&catalog, &object(2)).await.is_err(), "now they do");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_retires_waits_for_a_row_that_is_being_recorded() {
    let Some((server, [one, other])) = processes(LIMITS).await else { return };
    let (keys, object) = (one.blob_keys(), object(1));
    publish(&keys, living(&keys).await, &object).await;
    let mut recording = PgConnection::connect(&server.address()).await.unwrap();
    let mut tx = recording.begin().await.unwrap();
    let insert = sqlx::query(
        "insert into source_package (app_code, module, version, version_key, package_name, size_bytes, search_text, sha256,
             operator, created_ms, updated_ms)
         values ('a', 'default', '1', '1', 'p', 1, '1', $1, 'admin', 1, 1)",
    );
    insert.bind(object.sha256.to_string()).execute(&mut *tx).await.unwrap();
    let retiring = tokio::spawn({
        let (keys, sha256) = (other.blob_keys(), object.sha256);
        async move { keys.retire(sha256, Duration::ZERO).await.unwrap() }
    });
    while !ask::<bool>(&server, "select exists(select from pg_locks where not granted)").await {}
    assert!(!retiring.is_finished());
    tx.commit().await.unwrap();
    assert_eq!(retiring.await.unwrap(), Retirement::Referenced);
    assert_eq!(keys.find(object.sha256).await.unwrap().unwrap().object, object);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_begins_to_hold_waits_for_what_is_being_retired() {
    let Some((server, [one, other])) = processes(LIMITS).await else { return };
    let keys = one.blob_keys();
    let holder = living(&keys).await;
    let mut retiring = PgConnection::connect(&server.address()).await.unwrap();
    let mut tx = retiring.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock_shared(7305)").execute(&mut *tx).await.unwrap();
    let holding = tokio::spawn({
        let keys = other.blob_keys();
        async move { keys.hold(holder).await.unwrap() }
    });
    while !ask::<bool>(&server, "select exists(select from pg_locks where not granted)").await {}
    assert!(!holding.is_finished());
    tx.commit().await.unwrap();
    let hold = holding.await.unwrap();
    keys.release(hold).await.unwrap();
    assert!(keys.hold(KeyHolder::random()).await.is_err(), "of a holder that never showed a sign of life");
    assert_eq!(ask::<i64>(&server, "select count(*) from blob_hold").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_race_of_two_processes_leaves_a_row_without_its_blob() {
    let Some((server, [one, other])) = processes(LIMITS).await else { return };
    let (keys, theirs) = (one.blob_keys(), other.blob_keys());
    let holder = living(&keys).await;
    let mut recorded = 0;
    for number in 0..ROUNDS {
        let object = object(number);
        let uploading = tokio::spawn({
            let (catalog, keys, object) = (one.clone(), keys.clone(), object.clone());
            async move {
                publish(&keys, holder, &object).await;
                record(&catalog, &object).await.is_ok()
            }
        });
        let mut is_retired = false;
        while !uploading.is_finished() {
            is_retired |= theirs.retire(object.sha256, Duration::ZERO).await.unwrap() == Retirement::Retired;
        }
        let is_recorded = uploading.await.unwrap();
        let found = keys.find(object.sha256).await.unwrap();
        assert_eq!((is_recorded, found.is_some()), (!is_retired, !is_retired), "round {number}");
        assert_eq!(one.is_referenced(&object.sha256).await.unwrap(), is_recorded);
        recorded += u64::from(is_recorded);
    }
    println!("{recorded} of {ROUNDS} were recorded before they could be retired");
    let lost = "select count(*) from source_package where sha256 not in (select sha256 from blob)";
    assert_eq!(ask::<i64>(&server, lost).await, 0);
    assert_eq!(
        ask::<i64>(&server, "select (select count(*) from blob) + (select count(*) from blob_key)").await,
        i64::from(ROUNDS),
        "every key is in one state"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_whose_reply_is_lost_is_told_as_it_is() {
    let Some((server, [direct])) = processes(LIMITS).await else { return };
    let proxy = CuttingProxy::start(server.socket()).await;
    let cut_off = PostgresCatalog::connect(&proxy.address(), LIMITS).await.unwrap().blob_keys();
    let holder = living(&cut_off).await;
    for (number, cut) in [Cut::BeforeCommit, Cut::AfterCommit].into_iter().enumerate() {
        let (first, again) = (object(number as u8), object(number as u8));
        let replacing = BlobObject { key: ObjectKey::unused(""), ..first.clone() };
        for object in [&first, &again, &replacing] {
            cut_off.begin(holder, &object.key).await.unwrap();
        }
        proxy.cut(cut);
        assert_eq!(cut_off.publish(holder, &first, None).await.unwrap(), Published::New, "{cut:?}");
        proxy.cut(cut);
        let existing = Published::Existing(first.clone());
        assert_eq!(cut_off.publish(holder, &again, None).await.unwrap(), existing, "{cut:?}");
        proxy.cut(cut);
        let replaced = cut_off.publish(holder, &replacing, Some(&first.key)).await.unwrap();
        assert_eq!(replaced, Published::Replaced, "{cut:?}");
        assert_eq!(proxy.cuts(), 3 * (number + 1), "{cut:?}");
        let found = direct.blob_keys().find(first.sha256).await.unwrap().unwrap();
        assert_eq!(found.object, replacing, "{cut:?}");
    }
    let states = "select string_agg(state, ' ' order by state) from blob_key";
    assert_eq!(ask::<String>(&server, states).await, "retired retired written written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_uploaded_is_published_when_the_server_comes_back() {
    let Some((mut server, [catalog])) = processes(LIMITS).await else { return };
    let keys = catalog.blob_keys();
    let (holder, known, new) = (living(&keys).await, object(1), object(2));
    keys.begin(holder, &known.key).await.unwrap();
    server.stop();
    let going_on = tokio::spawn({
        let (keys, known, new) = (keys.clone(), known.clone(), new.clone());
        async move {
            let (begun, noted, published) = tokio::join!(
                keys.begin(holder, &new.key),
                keys.note_upload(&known.key, "upload"),
                keys.publish(holder, &known, None),
            );
            begun.unwrap();
            noted.unwrap();
            published.unwrap()
        }
    });
    // Longer than what is tried a few times only.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!going_on.is_finished(), "it is away");
    server.start_again();
    assert_eq!(going_on.await.unwrap(), Published::New);
    assert_eq!(keys.publish(holder, &new, None).await.unwrap(), Published::New);
}
