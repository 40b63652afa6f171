//! What a process that has nothing to do asks the server, over and over: each thing in one statement.

use std::time::Duration;

use linkgate_store_core::ingest::ports::{
    BlobKeys as _, Chore, HolderId, KeyHolder, Maintenance as _, Turn, UsedNonces as _,
};
use linkgate_store_core::testing::conformance::LIMITS;

use crate::PostgresCatalog;
use crate::testing::PostgresServer;

const HOUR: Duration = Duration::from_secs(3_600);

/// How what goes on beside it begins, whenever that comes: a process that hears others, and one that says that it still cleans.
const BESIDE: [&str; 2] = ["LISTEN ", "update maintenance_lease set lease_until"];

/// That this asks one thing, which has this in it.
async fn assert_asks_once(server: &PostgresServer, word: &str, idle: impl Future<Output = ()>) {
    let before = server.statements().len();
    idle.await;
    let mut asked = server.statements().split_off(before);
    asked.retain(|statement| BESIDE.iter().all(|beside| !statement.starts_with(beside)));
    assert_eq!(asked.iter().filter(|statement| statement.contains(word)).count(), 1, "{asked:#?}");
    assert_eq!(asked.len(), 1, "{asked:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_nothing_to_do_asks_each_thing_in_one_statement() {
    if let Some(missing) = PostgresServer::missing() {
        println!("{missing}: nothing was tried");
        return;
    }
    let server = PostgresServer::start_writing_statements_down();
    let catalog = PostgresCatalog::connect(&server.address(), LIMITS).await.unwrap();
    let Turn::Now(_held) = catalog.begin_chore(Chore::Scrub, HOUR).await.unwrap() else { panic!("nobody does that") };
    drop(catalog.begin_chore(Chore::Purge, HOUR).await.unwrap());
    catalog.chores.are_done().await;

    assert_asks_once(&server, "claim_job", async {
        assert!(catalog.claim_now(HolderId::random()).await.unwrap().is_none());
    })
    .await;
    for chore in [Chore::Scrub, Chore::Purge] {
        assert_asks_once(&server, "maintenance_lease", async {
            let Turn::Later(_) = catalog.begin_chore(chore, HOUR).await.unwrap() else { panic!("it is not due") };
        })
        .await;
    }
    assert_asks_once(&server, "used_nonce", async {
        assert_eq!(catalog.expire_nonces().await.unwrap(), 0);
    })
    .await;
    assert_asks_once(&server, "blob_holder", async {
        catalog.blob_keys().beat(KeyHolder::random()).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_due_for_long_is_not_asked_after_for_minutes() {
    let Some((_server, [catalog])) = super::processes(LIMITS).await else { return };
    drop(catalog.begin_chore(Chore::Purge, HOUR).await.unwrap());
    catalog.chores.are_done().await;
    let Turn::Later(wait) = catalog.begin_chore(Chore::Purge, HOUR).await.unwrap() else { panic!("it is not due") };
    assert!(wait >= HOUR / 12 && wait < HOUR, "{wait:?}");
}
