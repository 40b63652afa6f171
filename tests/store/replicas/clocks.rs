//! A store whose clock is wrong.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use linkgate_tests::replicas::LEASE_S;
use linkgate_tests::{Behaviour, FakeSource, Reached, Replicas, StoreProcess, another_package_of_size, wait_until};
use tokio::time::sleep;

use super::{LONG_LEASE_S, accepted, holding, refusal, with_long_lease};

/// Where Debian has what shows another time to a program.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A store whose clock is wrong by so much.
fn wrong(by: &str) -> Reached {
    let settings = [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME", by),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("LINKGATE_STORE_GC_INTERVAL_S", "1"),
        ("LINKGATE_STORE_PURGE_INTERVAL_S", "1"),
    ];
    let mut wrong = with_long_lease();
    wrong.settings.extend(settings.map(|(name, value)| (name, value.to_owned())));
    wrong
}

/// By how many minutes it is wrong, as its replies show.
async fn minutes(store: &StoreProcess) -> i64 {
    let reply = store.get("/healthz").await;
    let shown = rfc2822::parse(reply.header("date").expect("a reply has a date")).unwrap().timestamp();
    (shown.as_second() - Timestamp::now().as_second()) / 60
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_clock_is_wrong_takes_over_what_others_left_and_nothing_else() {
    if !Path::new(FAKETIME).exists() {
        println!("not tried: there is no {FAKETIME} (Debian: faketime)");
        return;
    }
    let Some(replicas) = Replicas::start().await else { return };
    // Longer than any lease, and as long as storages take signatures for.
    for (number, by) in ["+600", "-600"].into_iter().enumerate() {
        // In parts, of which the first is sent while the rest is held back.
        let source = FakeSource::start(Behaviour::Held(another_package_of_size((20 << 20) + number))).await;
        let mut right = replicas.store(&source, &with_long_lease());
        let other = replicas.store(&source, &wrong(by));
        let wrong_by = minutes(&other).await;
        assert!((8..=12).contains(&wrong_by.abs()), "{by}: {wrong_by}");
        accepted(&right, right.request(source.url()).version(&number.to_string())).await;
        wait_until(async || match replicas.weed.open_uploads().await.len() {
            1 => Ok(()),
            open => Err(format!("{by}: {open} uploads to the bucket are open")),
        })
        .await;
        sleep(Duration::from_secs(LONG_LEASE_S + LEASE_S)).await;
        assert_eq!(source.requests().len(), 1, "{by}: whoever works on it lives");
        assert_eq!(replicas.weed.open_uploads().await.len(), 1, "{by}: what it writes is its own");
        right.kill_9();
        source.wait_for_requests(2).await;
        source.release();
        wait_until(async || match replicas.look().await.map_err(|e| e.to_string())? {
            look if look.rows.len() == number + 1 => Ok(()),
            look => Err(format!("{by}: {look:?}")),
        })
        .await;
        other.stop();
        replicas.collect(&source).await;
    }
    let source = holding(2).await;
    for by in ["+3600", "-3600"] {
        let refused = refusal(&replicas, &source, &wrong(by));
        assert_eq!(refused.code, Some(1), "{by}: {refused:?}");
        assert!(refused.err.contains("RequestTimeTooSkewed"), "{by}: {}", refused.err);
    }
    assert_eq!(replicas.look().await.unwrap().rows.len(), 2);
}
