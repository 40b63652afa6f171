//! Commits of which nobody knows whether they were done.

use linkgate_tests::{Cut, CutCommits, FakeSource, PostgresProxy, Reached, Replicas, StoreProcess};
use reqwest::Method;

use super::{accepted, assert_done, package};

const CUTS: [Cut; 2] = [Cut::BeforeCommit, Cut::AfterCommit];
/// No upload commits so often.
const MOST_COMMITS: usize = 20;

async fn cut_off(replicas: &Replicas, source: &FakeSource) -> (PostgresProxy, StoreProcess) {
    let proxy = PostgresProxy::before(replicas.postgres.socket()).await;
    let reached = Reached { database: Some(proxy.address()), ..Reached::default() };
    let store = replicas.store(source, &reached);
    (proxy, store)
}

/// Cuts at one commit of a kind of request after the other, until there is none left to cut at; at how many.
async fn at_each_commit(proxy: &PostgresProxy, cut: Cut, mut request: impl AsyncFnMut(usize)) -> usize {
    for after in 0..MOST_COMMITS {
        let before = proxy.cuts().len();
        proxy.cut(CutCommits { cut, with: "", after, times: 1 });
        request(after).await;
        if proxy.cuts().len() == before {
            proxy.cut(None);
            return after;
        }
    }
    panic!("there is no end of commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_commit_of_an_upload_gets_no_reply_its_caller_is_told_once_how_it_ended() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = FakeSource::serving(package(0)).await;
    let (proxy, store) = cut_off(&replicas, &source).await;
    for (cut, is_hurried) in CUTS.into_iter().flat_map(|cut| [(cut, false), (cut, true)]) {
        let cuts = at_each_commit(&proxy, cut, async |after| {
            let version = format!("{cut:?}.{is_hurried}.{after}");
            let request = store.request(source.url()).version(&version);
            if is_hurried {
                let upload = accepted(&store, request).await;
                assert_done(&store, &upload).await;
            } else {
                let reply = store.send(request.in_english()).await;
                assert_eq!((reply.status, &reply.json()["version"]), (200, &version.as_str().into()), "{}", reply.body);
            }
        })
        .await;
        println!("cut {cut:?} at each of {cuts} commits of an upload that its caller waits for: {}", !is_hurried);
        assert!(cuts >= 2, "there are at least those of the blob and of the row");
    }
    let rows = replicas.look().await.unwrap().rows.len() as i64;
    assert_eq!(replicas.ask::<i64>("select count(*) from event").await, rows, "each is recorded once");
    assert_eq!(replicas.ask::<i64>("select max(revision) from source_package").await, 1);
    store.stop();
    let left = replicas.collect(&source).await;
    assert_eq!((left.rows.len() as i64, left.blobs.len()), (rows, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_commit_gets_no_reply_is_done_once_and_told_once() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = FakeSource::serving(package(0)).await;
    let (proxy, store) = cut_off(&replicas, &source).await;
    let uploaded = store.send(store.request(source.url())).await.json();
    let id = uploaded["id"].as_i64().unwrap();
    let changes = [
        (Method::PUT, "pins/in-use/", "pin"),
        (Method::DELETE, "pins/in-use/", "unpin"),
        (Method::DELETE, "", "delete"),
        (Method::POST, "restore/", "restore"),
    ];
    let mut events = 1;
    for cut in CUTS {
        for (method, below, action) in &changes {
            proxy.cut(CutCommits::next(cut, "insert into event"));
            let before = proxy.cuts().len();
            let reply = store.send(store.below(method.clone(), &format!("{id}/{below}"))).await;
            assert_eq!(reply.status, 200, "{action} {cut:?}: {}", reply.body);
            assert_eq!(proxy.cuts().len(), before + 1, "{action} {cut:?}");
            events += 1;
            assert_eq!(replicas.ask::<i64>("select count(*) from event").await, events, "{action} {cut:?}");
            assert_eq!(replicas.ask::<i64>("select revision from source_package").await, events, "{action} {cut:?}");
        }
    }
    store.stop();
}
