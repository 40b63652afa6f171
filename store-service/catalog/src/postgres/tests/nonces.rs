//! Used nonces, among processes and over connections that break.

use linkgate_contract::{CallerApp, SignedNonce};
use linkgate_store_core::budget::Owner;
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{NonceError, UsedNonces as _};
use linkgate_store_core::testing::conformance::LIMITS;

use super::cutting_proxy::{Cut, CuttingProxy};
use super::{PostgresCatalog, ask, processes};

fn ci() -> Owner {
    Owner::App(CallerApp::new("ci").unwrap())
}

fn nonce(number: u32) -> SignedNonce {
    let now = now_ms() / 1_000;
    SignedNonce { until: now + 300, ..SignedNonce::new("ci", &number.to_string(), 1, 0) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_serves_once_in_all_processes() {
    let Some((server, all)) = processes::<3>(LIMITS).await else { return };
    for number in 0..10 {
        let tries: Vec<_> = (0..9)
            .map(|n| {
                let catalog = all[n % all.len()].clone();
                tokio::spawn(async move { catalog.use_nonce(&ci(), nonce(number)).await })
            })
            .collect();
        let mut first = 0;
        for tried in tries {
            match tried.await.unwrap() {
                Ok(()) => first += 1,
                Err(refused) => assert!(matches!(refused, NonceError::Used), "{refused}"),
            }
        }
        assert_eq!(first, 1, "{number}");
    }
    assert_eq!(ask::<i64>(&server, "select count(*) from used_nonce").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_answer_knows_its_own_nonce_and_nobody_elses() {
    let Some((server, [other])) = processes(LIMITS).await else { return };
    let proxy = CuttingProxy::start(server.socket()).await;
    let catalog = PostgresCatalog::connect(&proxy.address(), LIMITS).await.unwrap();
    for (number, cut) in [(1, Cut::AfterCommit), (2, Cut::BeforeCommit)] {
        // What is said with the caller is the statement that writes.
        proxy.cut_at(b"app:ci", cut);
        catalog.use_nonce(&ci(), nonce(number)).await.unwrap();
        for catalog in [&catalog, &other] {
            let again = catalog.use_nonce(&ci(), nonce(number)).await;
            assert!(matches!(again, Err(NonceError::Used)), "{cut:?}: {again:?}");
        }
    }
    assert_eq!(proxy.cuts(), 2);
    assert_eq!(ask::<i64>(&server, "select count(*) from used_nonce").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_are_forgotten_when_their_time_is_over_by_the_clock_of_the_server() {
    let Some((server, [catalog])) = processes(LIMITS).await else { return };
    catalog.use_nonce(&ci(), nonce(1)).await.unwrap();
    let old = "with written as (insert into used_nonce (digest, owner, attempt, until)
         select sha256(n::text::bytea), 'app:old', gen_random_uuid(), clock_timestamp() - interval '2 minutes'
             from generate_series(1, 1003) n returning 1) select count(*) from written";
    assert_eq!(ask::<i64>(&server, old).await, 1_003);
    let mut forgotten = Vec::new();
    while forgotten.last() != Some(&0) {
        forgotten.push(catalog.expire_nonces().await.unwrap());
    }
    assert_eq!(forgotten, [1_000, 3, 0]);
    assert!(matches!(catalog.use_nonce(&ci(), nonce(1)).await, Err(NonceError::Used)));
}
