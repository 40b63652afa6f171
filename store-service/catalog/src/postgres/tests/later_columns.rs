//! A store that runs while a later release adds columns to its tables.

use linkgate_contract::{Operator, PinName, Sha256};
use linkgate_store_core::conditions::Conditions;
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{
    Actor, Catalog as _, Change, Changes as _, Deletion, EventQuery, HolderId, JobKey, JobQueue as _, NewPackage,
    NewPin, PackageQuery, PackageReader as _,
};
use linkgate_store_core::testing::conformance::{LIMITS, failed, job, package};
use linkgate_store_core::testing::example_target;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::super::PostgresCatalog;
use super::{claim, enqueue, id, processes};
use crate::shared::{EventFilter, EventLog as _};

/// As many times as there are connections, so that each of them knows each statement.
const ROUNDS: u8 = 5;

const ADD_COLUMNS: &str = "do $$ declare name text; begin
    for name in select table_name from information_schema.tables
        where table_schema = 'public' and table_type = 'BASE TABLE' and table_name not like '\\_%'
    loop execute format('alter table %I add column later integer', name); end loop; end $$";

/// The life of a package and of an upload, and whatever reads of them.
async fn live(catalog: &PostgresCatalog, number: u8) {
    let (target, version) = (example_target(), number.to_string());
    let mut recording = job(number, "h", "a").record;
    recording.keys = vec![JobKey { key: Sha256::from_bytes([number; 32]), fingerprint: Sha256::from_bytes([1; 32]) }];
    let new = package(&[number], &version);
    let row = catalog.record(new.clone(), recording.clone(), None).await.unwrap().row;
    let again = NewPackage { allow_overwrite: true, ..new.clone() };
    catalog.record(again, job(number, "h", "a").record, None).await.unwrap();
    assert!(catalog.find_live(&target, &new.version).await.unwrap().is_some());
    assert!(catalog.find_stored(&target, &new.sha256).await.unwrap().is_some());
    let change =
        Change { target: target.clone(), id: row.id, conditions: Conditions::default(), actor: Actor::default() };
    let (name, by) = (PinName::new("release").unwrap(), Operator::new("admin").unwrap());
    catalog.pin(&change, NewPin { name: name.clone(), until_ms: None, protect_bytes: true, by }).await.unwrap();
    assert_eq!(catalog.protecting_pins(&target, &new.version).await.unwrap().len(), 1);
    assert_eq!(catalog.find_package(&target, row.id).await.unwrap().unwrap().pins.len(), 1);
    catalog.unpin(&change, &name).await.unwrap();
    let query = PackageQuery { limit: 10, ..PackageQuery::default() };
    assert!(!catalog.list_packages(&target, &query).await.unwrap().rows.is_empty());
    let query = EventQuery { limit: 10, ..EventQuery::default() };
    assert!(!catalog.list_events(&target, &query).await.unwrap().rows.is_empty());
    let all = EventFilter { app_code: None, module: None };
    assert!(!catalog.events_after(&all, 0, 10).await.unwrap().is_empty());
    catalog.delete(&change, Deletion { force: false, restore_ms: 1 }).await.unwrap();
    assert_eq!(catalog.purge_due(now_ms() + 1_000).await.unwrap().len(), 1);

    let upload = job(number, "h", "a");
    enqueue(catalog, &upload).await;
    catalog.accept(upload.record.clone()).await.unwrap();
    assert!(catalog.find_job(id(&upload)).await.unwrap().is_some());
    assert!(catalog.watch(id(&upload)).await.unwrap().is_some());
    catalog.unfinished().await.unwrap();
    let claimed = claim(catalog).await;
    catalog.finish(claimed.record, failed(), Some(claimed.fence)).await.unwrap();
    assert!(!catalog.list_jobs(&target, 10).await.unwrap().is_empty());
    assert!(catalog.find_job_by_key(Sha256::from_bytes([number; 32]), 0).await.unwrap().is_some());
    assert!(catalog.claim_now(HolderId::random()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_goes_on_when_a_later_release_adds_columns() {
    let Some((server, [catalog])) = processes(LIMITS).await else { return };
    for number in 1..=ROUNDS {
        live(&catalog, number).await;
    }
    PgConnection::connect(&server.address()).await.unwrap().execute(ADD_COLUMNS).await.unwrap();
    for number in 11..=10 + ROUNDS {
        live(&catalog, number).await;
    }
}
