//! Which key stores seal with that share a database.

use linkgate_store_core::testing::conformance::LIMITS;
use tokio::task::JoinSet;

use super::super::{PostgresCatalog, SealingKeyError};
use super::{ask, processes};

fn ids(digits: &[&str]) -> Vec<String> {
    digits.iter().map(|digits| digits.repeat(32)).collect()
}

async fn begin(catalog: &PostgresCatalog, held: &[&str], given_up: &[&str]) -> Result<(), String> {
    catalog.agree_on_sealing(&ids(held), &ids(given_up)).await.map_err(|error| match error {
        SealingKeyError::Missing { recorded } => recorded[..2].to_owned(),
        SealingKeyError::Database(error) => panic!("{error}"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_open_what_the_others_seal_is_refused() {
    let Some((server, [one, other])) = processes(LIMITS).await else { return };
    let missing = |id: &str| Err(id.to_owned());
    begin(&one, &[], &[]).await.unwrap();
    begin(&one, &["0a"], &[]).await.unwrap();
    assert_eq!(begin(&other, &[], &[]).await, missing("0a"));
    assert_eq!(begin(&other, &["0b"], &[]).await, missing("0a"));
    assert_eq!(begin(&other, &["0b"], &["0c"]).await, missing("0a"), "another one was given up");
    begin(&other, &["0a"], &[]).await.unwrap();

    begin(&other, &["0b", "0a"], &[]).await.unwrap();
    assert_eq!(begin(&one, &["0a"], &[]).await, missing("0b"), "it was left behind");
    begin(&one, &["0b"], &[]).await.unwrap();
    begin(&one, &["0c"], &["0b"]).await.unwrap();
    begin(&one, &[], &["0c"]).await.unwrap();
    begin(&other, &[], &[]).await.unwrap();
    assert_eq!(ask::<i64>(&server, "select count(*) from sealing_key").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_that_begin_at_once_all_seal_with_one_key() {
    let Some((server, catalogs)) = processes::<4>(LIMITS).await else { return };
    let mut starting = JoinSet::new();
    for (number, catalog) in catalogs.into_iter().enumerate() {
        starting.spawn(async move { begin(&catalog, &[&format!("{number:02}")], &[]).await.is_ok() });
    }
    let begun = starting.join_all().await;
    assert_eq!(begun.iter().filter(|is_good| **is_good).count(), 1, "{begun:?}");
    assert_eq!(ask::<i64>(&server, "select count(*) from sealing_key").await, 1);
}
