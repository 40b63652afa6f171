//! A database that goes away and comes back, or another one in its place.

use std::collections::BTreeMap;
use std::time::Duration;

use linkgate_tests::process::terminate_in_start;
use linkgate_tests::replicas::LEASE_S;
use linkgate_tests::{FakeSource, PostgresProxy, Reached, Replicas, StoreProcess, wait_until, wait_until_holds};
use sqlx::Executor as _;
use tokio::time::sleep;

use super::{LONG_LEASE_S, accepted, assert_done, ended, holding, package, with_long_lease};

/// Longer than any lease.
const AWAY: Duration = Duration::from_secs(20);

async fn two(replicas: &Replicas, source: &FakeSource) -> [StoreProcess; 2] {
    [(); 2].map(|()| replicas.store(source, &with_long_lease()))
}

async fn assert_ready(store: &StoreProcess) {
    wait_until(async || match store.get("/readyz").await.status {
        200 => Ok(()),
        status => Err(format!("the store is answered {status}")),
    })
    .await;
}

/// An upload that its caller waits for, and one whose caller does not, at the first of two stores; what happens to the database
/// meanwhile neither ends them nor hands them to the other store.
async fn assert_uploads_go_on(replicas: &mut Replicas, happens: impl AsyncFnOnce(&mut Replicas, &[StoreProcess; 2])) {
    let source = holding(0).await;
    let stores = two(replicas, &source).await;
    let waits = tokio::spawn(stores[0].request(source.url()).version("1").try_send_owned(stores[0].base()));
    source.wait_for_requests(1).await;
    let upload = accepted(&stores[0], stores[0].request(source.url()).version("2")).await;
    source.wait_for_requests(2).await;
    happens(replicas, &stores).await;
    for store in &stores {
        assert_ready(store).await;
    }
    sleep(Duration::from_secs(LONG_LEASE_S + LEASE_S)).await;
    let logs = || stores.each_ref().map(StoreProcess::log);
    assert_eq!(source.requests().len(), 2, "nothing was taken over\n{:#?}", logs());
    source.release();
    let reply = waits.await.unwrap().unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
    let document = ended(&stores[1], &upload).await;
    assert_eq!(document["state"], "done", "{document}\n{:#?}", logs());
    assert_eq!(source.requests().len(), 2, "both downloads went on");
    for store in stores {
        store.stop();
    }
    let left = replicas.collect(&source).await;
    assert_eq!((left.rows.len(), left.blobs.len()), (2, 1));
    assert_eq!(replicas.ask::<i64>("select count(*) from event").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_go_on_when_the_database_crashes_and_starts_again() {
    let Some(mut replicas) = Replicas::start().await else { return };
    assert_uploads_go_on(&mut replicas, async |replicas, stores| {
        replicas.postgres.stop();
        assert_eq!(stores[0].get("/readyz").await.status, 503);
        replicas.postgres.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_go_on_when_the_database_stands_still_for_longer_than_a_lease() {
    let Some(mut replicas) = Replicas::start().await else { return };
    assert_uploads_go_on(&mut replicas, async |replicas, stores| {
        replicas.postgres.pause();
        assert_eq!(stores[0].get("/readyz").await.status, 503);
        sleep(AWAY).await;
        replicas.postgres.go_on();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_package_is_lost_when_a_synchronous_standby_takes_over() {
    let Some(mut replicas) = Replicas::start().await else { return };
    let standby = replicas.postgres.start_standby();
    replicas.execute("alter system set synchronous_standby_names = 'standby'").await;
    replicas.ask::<bool>("select pg_reload_conf()").await;
    wait_until(async || {
        let waits_for = "select exists(select from pg_stat_replication where sync_state = 'sync')";
        if replicas.ask::<bool>(waits_for).await { Ok(()) } else { Err("nobody repeats what is committed".to_owned()) }
    })
    .await;
    let proxy = PostgresProxy::before(replicas.postgres.socket()).await;
    let source = FakeSource::serving(package(0)).await;
    let reached = Reached { database: Some(proxy.address()), ..Reached::default() };
    let store = replicas.store(&source, &reached);
    let held = holding(1).await;
    let patient = Reached { database: Some(proxy.address()), ..Reached::default() };
    let other = replicas.store(&held, &patient);
    let under_way = accepted(&other, other.request(held.url()).module("other", "default")).await;
    held.wait_for_requests(1).await;

    let mut acknowledged = BTreeMap::new();
    let mut upload = async |number: usize| {
        let version = number.to_string();
        let reply = store.send(store.request(source.url()).version(&version)).await;
        if reply.status == 200 {
            acknowledged.insert(version, reply.json()["id"].as_i64().unwrap());
        }
        reply.status
    };
    for number in 0..5 {
        assert_eq!(upload(number).await, 200);
    }
    replicas.postgres.stop();
    standby.promote();
    proxy.lead_to(standby.socket());
    drop(std::mem::replace(&mut replicas.postgres, standby));
    assert_ready(&store).await;
    for number in 5..8 {
        assert_eq!(upload(number).await, 200);
    }
    held.release();
    wait_until(async || match replicas.look().await.map_err(|e| e.to_string())?.rows.len() {
        9 => Ok(()),
        rows => Err(format!("{rows} packages; the job says {:?}", super::view(&other, &under_way).await)),
    })
    .await;
    let rows = replicas.look().await.unwrap().rows;
    let found: BTreeMap<String, i64> =
        rows.into_iter().filter(|row| row.app_code != "other").map(|row| (row.version, row.id)).collect();
    assert_eq!(found, acknowledged);
    store.stop();
    other.stop();
    assert_eq!(replicas.collect(&source).await.rows.len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_is_told_of_is_found_all_the_same() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let hasty = Reached::with("LINKGATE_STORE_SHUTDOWN_GRACE_S", "0");
    let leaving = replicas.store(&source, &hasty);
    let other = replicas.store(&source, &Reached::default());
    let upload = accepted(&leaving, leaving.request(source.url())).await;
    source.wait_for_requests(1).await;
    let follower = other.send(other.request(source.url()).version("else").header("prefer", "respond-async")).await;
    source.wait_for_requests(2).await;
    let deaf = async {
        loop {
            let listening = "select count(pg_terminate_backend(pid)) from pg_stat_activity where query ilike 'listen%'";
            replicas.ask::<i64>(listening).await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let taken_over = async {
        leaving.stop();
        source.wait_for_requests(3).await;
        source.release();
        assert_done(&other, &upload).await;
        assert_done(&other, &follower).await;
    };
    tokio::select! {
        never = deaf => never,
        () = taken_over => {}
    }
    other.stop();
    assert_eq!(replicas.collect(&source).await.rows.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_upload_goes_on_when_the_database_was_away_at_its_end() {
    let Some(mut replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let store = replicas.store(&source, &with_long_lease());
    let upload = accepted(&store, store.request(source.url()).version("1")).await;
    source.wait_for_requests(1).await;
    replicas.postgres.stop();
    source.release();
    // Its bytes find no place then, and that it failed could be recorded as soon as the database is back.
    sleep(AWAY).await;
    let refused = store.send(store.below(reqwest::Method::GET, "").in_english()).await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &"SERVICE_UNAVAILABLE".into()), "{}", refused.body);
    replicas.postgres.start_again();
    assert_done(&store, &upload).await;
    store.stop();
    let left = replicas.collect(&source).await;
    assert_eq!((left.rows.len(), left.blobs.len()), (1, 1));
    assert_eq!(replicas.ask::<i64>("select lives from job").await, 1, "it was no fault of the upload");
}

/// Else whoever stops it waits for as long as the database lets a start wait, and reads of a failure then.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_for_the_database_ends_when_it_is_asked_to() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = FakeSource::serving(package(0)).await;
    replicas.store(&source, &Reached::default()).stop();
    let mut others = replicas.connect().await.unwrap();
    others.execute("begin; lock table signing_key in access exclusive mode").await.unwrap();
    let waits = "select exists(select from pg_locks where relation = 'signing_key'::regclass and not granted)";
    let settings = replicas.settings(&source.host(), &Reached::default());
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let has_come_far = wait_until_holds("the start", async || replicas.ask::<bool>(waits).await);
    let ended = terminate_in_start(&replicas.next_data_dir(), &settings, has_come_far).await;
    assert_eq!(ended.code(), 0, "{}", ended.err);
    assert!(ended.err.contains("Stopping: SIGTERM"), "{}", ended.err);
}
