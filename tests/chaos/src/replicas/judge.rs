//! Holds what stores share against what was acknowledged. Uses none of their code: it reads rows and objects itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use linkgate_tests::FakeSource;
use linkgate_tests::replicas::{Replicas, Shared};
use tokio::time::sleep;

use super::fleet::Fleet;
use crate::crash::caller::Caller;
use crate::crash::judge::Look;
use crate::crash::packages::Packages;

/// Looks when nothing is under way: every acknowledged package is there once, and every row has its object.
pub(super) async fn after_round(replicas: &Replicas, callers: &mut [Caller], packages: &Packages) -> Look {
    let mut look = Look::default();
    let shared = match replicas.look().await {
        Ok(shared) => shared,
        Err(error) => {
            look.wrong.push(format!("the database cannot be read: {error}"));
            return look;
        }
    };
    look.compare(&shared.rows, &shared.modules, &stored(&shared, packages), callers, packages);
    look
}

/// Blobs whose objects are in the bucket. What those hold is looked at after a collection.
fn stored(shared: &Shared, packages: &Packages) -> BTreeMap<String, u64> {
    let is_there = |key: &String| shared.objects.binary_search(key).is_ok();
    let known = shared.blobs.iter().filter(|(_, key)| is_there(key));
    known.filter_map(|(sha256, _)| Some((sha256.clone(), packages.of_digest(sha256)?.size))).collect()
}

/// Lets a store collect what is left over; what is left nevertheless, or is wrong, and how many objects were hashed.
pub(super) async fn after_collection(fleet: &Fleet, source: &FakeSource, within: Duration) -> (Vec<String>, u64) {
    let replicas = &fleet.replicas;
    replicas.let_holders_expire().await;
    let collecting = replicas.store(source, &Replicas::collecting());
    let begun = Instant::now();
    let (shared, mut wrong) = loop {
        replicas.let_graces_pass().await;
        let shared = replicas.look().await.unwrap();
        let wrong = shared.left_over();
        if wrong.is_empty() || begun.elapsed() > within {
            break (shared, wrong);
        }
        sleep(Duration::from_millis(200)).await;
    };
    collecting.stop();
    for (sha256, key) in &shared.blobs {
        let found = linkgate_tests::sha256_hex(&replicas.weed.stored(key).await);
        if found != *sha256 {
            wrong.push(format!("the object {key} of {sha256} holds {found}"));
        }
    }
    (wrong, shared.blobs.len() as u64)
}
