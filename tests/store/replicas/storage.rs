//! A storage that fails, is slow, goes away or lies.

use std::time::Duration;

use futures_util::future::join_all;
use linkgate_tests::wait::wait_until_holds;
use linkgate_tests::{Behaviour, FakeSource, Fate, Reached, Replicas, Rule, S3Proxy, StoreProcess, wait_until};
use serde_json::Value;
use tokio::time::sleep;

use super::{accepted, assert_done, ended, holding, idle, package, refusal, view};
use crate::NOT_BEGUN;

/// Uploads at once.
const AT_ONCE: usize = 6;
/// What an open list without anything on it says.
const NO_UPLOADS: &str = "<?xml version=\"1.0\"?><ListMultipartUploadsResult></ListMultipartUploadsResult>";

async fn behind(replicas: &Replicas) -> (S3Proxy, Reached) {
    let proxy = S3Proxy::before(replicas.weed.port(), 1).await;
    let reached = Reached { endpoint: Some(proxy.endpoint()), ..Reached::default() };
    (proxy, reached)
}

/// A store that soon gives up.
fn impatient(reached: &Reached) -> Reached {
    let settings = vec![("LINKGATE_S3_RETRY_TIMEOUT_MS", "1000".to_owned())];
    Reached { settings, ..reached.clone() }
}

async fn assert_only(replicas: &Replicas, source: &FakeSource, store: StoreProcess, packages: usize) {
    idle(&store).await;
    store.stop();
    let left = replicas.collect(source).await;
    assert_eq!(left.rows.len(), packages);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_fails_or_is_slow_now_and_then_fails_no_upload() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = FakeSource::serving(package(0)).await;
    for number in 0..AT_ONCE {
        source.on(&format!("/{number}.tgz"), Behaviour::Bytes(package(number)));
    }
    let (proxy, reached) = behind(&replicas).await;
    let store = replicas.store(&source, &reached);
    let fates = [Fate::Status(500), Fate::Status(503), Fate::Late(Duration::from_secs(2)), Fate::LostReply];
    for (round, fate) in fates.iter().enumerate() {
        let before = proxy.struck();
        proxy.set(vec![Rule::some(20, fate.clone())]);
        let uploads = (0..AT_ONCE).map(|number| {
            let request = store.request(source.url_of(&format!("/{number}.tgz"))).version(&format!("{round}.{number}"));
            request.try_send_owned(store.base())
        });
        for reply in join_all(uploads.collect::<Vec<_>>()).await {
            let reply = reply.unwrap();
            assert_eq!(reply.status, 200, "{fate:?}: {}", reply.body);
        }
        assert!(proxy.struck() > before, "{fate:?} was met");
    }
    proxy.set(Vec::new());
    assert_only(&replicas, &source, store, fates.len() * AT_ONCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_when_the_storage_comes_back() {
    let Some(mut replicas) = Replicas::start().await else { return };
    for number in 0..2 {
        let source = holding(number).await;
        let store = replicas.store(&source, &Reached::default());
        let waits = tokio::spawn(store.request(source.url()).version(&number.to_string()).try_send_owned(store.base()));
        source.wait_for_requests(1).await;
        // It stands still, or crashes and is started again.
        if number == 0 {
            replicas.weed.pause()
        } else {
            replicas.weed.kill()
        }
        source.release();
        assert_eq!(store.get("/readyz").await.status, 503);
        if number == 0 {
            replicas.weed.go_on()
        } else {
            replicas.weed.resume().await
        }
        let reply = waits.await.unwrap().unwrap();
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_only(&replicas, &source, store, number + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_told_while_the_storage_is_away_and_served_once_it_is_back() {
    let Some(mut replicas) = Replicas::start().await else { return };
    let source = FakeSource::serving(package(0)).await;
    let patient = replicas.store(&source, &Reached::default());
    let stored = patient.send(patient.request(source.url()).version("stored")).await;
    let id = stored.json()["id"].as_i64().unwrap();
    patient.stop();
    let store = replicas.store(&source, &impatient(&Reached::default()));
    replicas.weed.kill();
    assert_eq!(store.get("/readyz").await.status, 503);
    let refused = store.send(store.request(source.url()).version("refused").in_english()).await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &"SERVICE_UNAVAILABLE".into()), "{}", refused.body);
    let download = store.download(id, &[]).await;
    assert_eq!(download.status, 503);
    let listed = store.send(store.below(reqwest::Method::GET, "")).await;
    assert_eq!((listed.status, &listed.json()["count"]), (200, &1.into()), "what needs no bytes goes on");
    let before = source.requests().len();
    let upload = accepted(&store, store.request(source.url()).version("accepted")).await;
    let waited = store.send(store.request(source.url()).version("waited").in_english()).await;
    assert_eq!((waited.status, &waited.json()["code"]), (503, &"SERVICE_UNAVAILABLE".into()), "{}", waited.body);
    assert_eq!(source.requests().len(), before, "nothing is downloaded that cannot be stored");
    assert_eq!(view(&store, &upload).await.json()["state"], "queued");
    replicas.weed.resume().await;
    // A storage that has just begun answers this store in time sooner or later.
    wait_until_holds("readiness", async || store.get("/readyz").await.status == 200).await;
    wait_until_holds("a download", async || store.download(id, &[]).await.status == 200).await;
    assert_done(&store, &upload).await;
    assert_only(&replicas, &source, store, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_without_its_bytes_whichever_request_or_reply_gets_lost() {
    let Some(replicas) = Replicas::start().await else { return };
    let small = FakeSource::serving(linkgate_tests::package_of("small")).await;
    let large = FakeSource::serving(package(0)).await;
    let (proxy, reached) = behind(&replicas).await;
    let hosts = format!("{},{}", small.host(), large.host());
    let hosts = ["LINKGATE_FETCH_ALLOWED_HOSTS", "LINKGATE_FETCH_PRIVATE_HOSTS"].map(|name| (name, hosts.clone()));
    let store = replicas.store(&small, &Reached { settings: hosts.to_vec(), ..reached });
    let lost: [(&[&str], &FakeSource); 6] = [
        (&["PUT", "/p/"], &small),
        (&["POST", "uploads"], &large),
        (&["PUT", "partNumber"], &large),
        (&["POST", "uploadId"], &large),
        (&["HEAD", "/p/"], &large),
        (&["PUT", "intoto"], &large),
    ];
    let mut uploads = 0;
    for (matching, source) in lost {
        for fate in [Fate::LostReply, Fate::LostRequest] {
            let before = proxy.struck();
            proxy.set(vec![Rule::next(matching, fate.clone())]);
            let version = uploads.to_string();
            let reply = store.send(store.request(source.url()).version(&version)).await;
            assert_eq!(reply.status, 200, "{matching:?} {fate:?}: {}", reply.body);
            assert_eq!(proxy.struck(), before + 1, "{matching:?} {fate:?}");
            assert_eq!(store.download(reply.json()["id"].as_i64().unwrap(), &[]).await.status, 200);
            uploads += 1;
        }
    }
    assert_only(&replicas, &small, store, uploads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_what_was_sent_is_never_recorded() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = FakeSource::serving(package(0)).await;
    let (proxy, reached) = behind(&replicas).await;
    let store = replicas.store(&source, &impatient(&reached));
    let lies = [
        Rule::all(&["HEAD", "/p/"], Fate::Changed("content-length", "5".to_owned())),
        Rule::all(&["PUT", "partNumber"], Fate::Changed("etag", "\"0123456789abcdef0123456789abcdef\"".to_owned())),
    ];
    for lie in lies {
        proxy.set(vec![lie.clone()]);
        let refused = store.send(store.request(source.url()).in_english()).await;
        assert!(refused.status >= 500, "{lie:?}: {refused:?}");
        assert!(replicas.look().await.unwrap().rows.is_empty(), "{lie:?}");
        // And no store starts on such a bucket.
        let started = refusal(&replicas, &source, &reached);
        assert_eq!(started.code, Some(1), "{lie:?}: {started:?}");
        assert!(started.err.contains("the storage cannot"), "{lie:?}: {}", started.err);
    }
    proxy.set(Vec::new());
    assert_only(&replicas, &source, store, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_lags_hides_nothing_that_anybody_needs() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = FakeSource::serving(package(0)).await;
    source.on("/broken.tgz", Behaviour::Announce(20 << 20, package(1)));
    let (proxy, reached) = behind(&replicas).await;
    let settings = [
        ("LINKGATE_STORE_GC_INTERVAL_S", "1"),
        ("LINKGATE_STORE_SCRUB_BYTES_PER_S", "1000000000"),
        ("LINKGATE_FETCH_TOTAL_TIMEOUT_S", "5"),
    ];
    let settings = settings.map(|(name, value)| (name, value.to_owned())).to_vec();
    let store = replicas.store(&source, &reached);
    proxy.set(vec![Rule::all(&["GET", "uploads"], Fate::Answer(NO_UPLOADS.to_owned()))]);
    let stored = store.send(store.request(source.url()).version("1")).await;
    assert_eq!(stored.status, 200, "{}", stored.body);
    let broken = store.send(store.request(source.url_of("/broken.tgz")).version("2")).await;
    assert_eq!(broken.status, 502, "{}", broken.body);
    wait_until(async || match replicas.weed.open_uploads().await {
        open if open.is_empty() => Ok(()),
        open => Err(format!("open though their names are known: {open:?}")),
    })
    .await;
    // It starts before the list lags, as the probe looks at it.
    proxy.set(Vec::new());
    let looking = replicas.store(&source, &Reached { settings, ..reached });
    proxy.set(vec![Rule::all(&["GET", "uploads"], Fate::Answer(NO_UPLOADS.to_owned()))]);
    let log = looking.log_with("Scrubbed all 1 blobs").await;
    sleep(Duration::from_secs(2)).await;
    assert!(!log.contains("Found damage") && !log.contains("Deleted"), "{log}");
    let look = replicas.look().await.unwrap();
    assert_eq!((look.left_over(), look.rows.len(), look.objects.len()), (Vec::new(), 1, 2));
    looking.stop();
    assert_only(&replicas, &source, store, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_upload_outlasts_credentials_and_rights_that_are_taken_away() {
    let Some(replicas) = Replicas::start().await else { return };
    let (proxy, reached) = behind(&replicas).await;
    for (number, status) in [403, 401].into_iter().enumerate() {
        let source = holding(number).await;
        let store = replicas.store(&source, &reached);
        let upload = accepted(&store, store.request(source.url()).version(&number.to_string())).await;
        source.wait_for_requests(1).await;
        proxy.set(vec![Rule::all(&[], Fate::Status(status))]);
        source.release();
        store.log_with(NOT_BEGUN).await;
        assert_eq!(store.get("/readyz").await.status, 503);
        assert_eq!(view(&store, &upload).await.json()["ended"], Value::Null);
        proxy.set(Vec::new());
        assert_done(&store, &upload).await;
        assert_only(&replicas, &source, store, number + 1).await;
    }
}

/// What is wrong with it may be the upload itself, and nobody may download it for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_storage_never_takes_though_it_is_well_is_given_up() {
    let Some(replicas) = Replicas::start().await else { return };
    let (proxy, reached) = behind(&replicas).await;
    let source = FakeSource::serving(package(0)).await;
    let store = replicas.store(&source, &impatient(&reached));
    proxy.set(vec![Rule::all(&["/ready"], Fate::Late(Duration::ZERO)), Rule::all(&["PUT "], Fate::Status(403))]);
    let upload = accepted(&store, store.request(source.url()).version("1")).await;
    let failed = ended(&store, &upload).await;
    assert_eq!(failed["error"]["code"], "UPLOAD_ABANDONED", "{failed}");
    assert_eq!(source.requests().len(), 3, "as many as it has lives");
    assert_eq!(store.get("/readyz").await.status, 200);
    proxy.set(Vec::new());
    let taken = store.send(store.request(source.url()).version("2")).await;
    assert_eq!(taken.status, 200, "{}", taken.body);
    assert_only(&replicas, &source, store, 1).await;
}
