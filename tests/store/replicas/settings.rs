//! Stores that were given other settings than the others.

use linkgate_tests::{Reached, Replicas, StoreProcess, wait_until};

use super::{accepted, assert_done, ended, holding, with_long_lease};

/// Waits until one of these stores has left a job to others.
async fn left_to_others(stores: &[StoreProcess]) {
    wait_until(async || {
        let lines: Vec<_> = stores.iter().flat_map(StoreProcess::log).collect();
        let is_left = lines.iter().any(|line| line.contains("it is left to others"));
        if is_left { Ok(()) } else { Err("nothing was left to others".to_owned()) }
    })
    .await;
}

/// Stores that get packages from nowhere.
fn allowing_nothing() -> Reached {
    Reached::with("LINKGATE_FETCH_ALLOWED_HOSTS", "elsewhere.example.com")
}

/// The same, and they leave to others for longer what they may not do.
fn allowing_nothing_for_long() -> Reached {
    let mut reached = with_long_lease();
    reached.settings.extend(allowing_nothing().settings);
    reached
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_upload_that_one_store_may_not_do_is_left_to_one_that_may() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let mut dying = replicas.store(&source, &Reached::default());
    let upload = accepted(&dying, dying.request(source.url())).await;
    source.wait_for_requests(1).await;
    // Two, so that each knows of another one that lives.
    let forbidden = [(), ()].map(|()| replicas.store(&source, &allowing_nothing_for_long()));
    dying.kill_9();
    left_to_others(&forbidden).await;
    let allowed = replicas.store(&source, &Reached::default());
    source.release();
    assert_done(&allowed, &upload).await;
    assert_eq!(source.requests().len(), 2);
    forbidden.into_iter().chain([allowed]).for_each(StoreProcess::stop);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_upload_that_no_store_may_do_any_more_ends() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let mut dying = replicas.store(&source, &Reached::default());
    let upload = accepted(&dying, dying.request(source.url())).await;
    source.wait_for_requests(1).await;
    dying.kill_9();
    let forbidden = replicas.store(&source, &allowing_nothing());
    let failed = ended(&forbidden, &upload).await;
    assert_eq!(
        (&failed["state"], &failed["error"]["code"]),
        (&"failed".into(), &"VALIDATION_ERROR".into()),
        "{failed}"
    );
    assert_eq!(source.requests().len(), 1);
    forbidden.stop();
    replicas.collect(&source).await;
}
