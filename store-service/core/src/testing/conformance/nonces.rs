//! Nonces of signed requests.

use linkgate_contract::{CallerApp, Sha256, SignedNonce};

use super::{Adapters, LIMITS};
use crate::budget::{Bounds, Exhausted, Owner};
use crate::ingest::now_ms;
use crate::ingest::ports::{NonceError, UsedNonces as _};
use crate::settings::QueueLimits;

fn nonce_until(number: u8, until: i64) -> SignedNonce {
    SignedNonce { digest: Sha256::from_bytes([number; 32]), until }
}

/// One that a gate takes for some more minutes.
fn nonce(number: u8) -> SignedNonce {
    nonce_until(number, now_ms() / 1_000 + 300)
}

fn app(code: &str) -> Owner {
    Owner::App(CallerApp::new(code).unwrap())
}

/// Of all who use up a nonce at once one is the first, and it stays so after the process has ended.
pub async fn a_nonce_serves_once<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    let tries = (0..16).map(|n| {
        let catalog = catalog.clone();
        // What one caller uses up is used up for all: the nonce stands for its caller already.
        tokio::spawn(async move { catalog.use_nonce(&app(["a", "b"][n % 2]), nonce(1)).await })
    });
    let mut first = 0;
    for tried in tries.collect::<Vec<_>>() {
        match tried.await.unwrap() {
            Ok(()) => first += 1,
            Err(refused) => assert!(matches!(refused, NonceError::Used), "{refused}"),
        }
    }
    assert_eq!(first, 1);
    catalog.use_nonce(&app("a"), nonce(2)).await.unwrap();
    let catalog = adapters.reopen(LIMITS).await;
    let catalog = catalog.catalog();
    assert_eq!(catalog.expire_nonces().await.unwrap(), 0, "their time is not over");
    for number in [1, 2] {
        let again = catalog.use_nonce(&app("a"), nonce(number)).await;
        assert!(matches!(again, Err(NonceError::Used)), "{again:?}");
    }
    catalog.use_nonce(&app("a"), nonce(3)).await.unwrap();
}

/// One that comes later than any is remembered is refused, so what is forgotten never serves again.
pub async fn a_late_nonce_is_refused<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    let over = now_ms() / 1_000 - SignedNonce::ON_ITS_WAY_S;
    for until in [over - 1, over - 3_600, 0] {
        let late = catalog.use_nonce(&app("a"), nonce_until(1, until)).await;
        assert!(matches!(late, Err(NonceError::Expired)), "{until}: {late:?}");
    }
    // Whose signature is too old by now was judged in time.
    catalog.use_nonce(&app("a"), nonce_until(1, over + 200)).await.unwrap();
}

/// So many are remembered of one caller, and of all; who used one up before is told so all the same.
pub async fn nonces_are_bounded<A: Adapters>() {
    let bounded = |per_owner, in_sum| QueueLimits { nonces: Bounds { per_owner, in_sum }, ..LIMITS };
    let adapters = A::create(bounded(3, 1_000)).await;
    let catalog = adapters.catalog();
    for number in 1..=3 {
        catalog.use_nonce(&app("a"), nonce(number)).await.unwrap();
    }
    let over = catalog.use_nonce(&app("a"), nonce(4)).await;
    assert!(matches!(over, Err(NonceError::Full(Exhausted::Owner { bound: 3 }))), "{over:?}");
    let again = catalog.use_nonce(&app("a"), nonce(3)).await;
    assert!(matches!(again, Err(NonceError::Used)), "{again:?}");
    catalog.use_nonce(&app("b"), nonce(4)).await.unwrap();
    // As many as there are: nobody's share helps.
    let adapters = adapters.reopen(bounded(3, 4)).await;
    let catalog = adapters.catalog();
    let over = catalog.use_nonce(&app("c"), nonce(5)).await;
    assert!(matches!(over, Err(NonceError::Full(Exhausted::Sum { bound: 4 }))), "{over:?}");
    let again = catalog.use_nonce(&app("b"), nonce(4)).await;
    assert!(matches!(again, Err(NonceError::Used | NonceError::Full(Exhausted::Sum { .. }))), "{again:?}");
}
