//! What operators see of the store over time.

use std::collections::BTreeSet;

use linkgate_tests::{Behaviour, FakeSource, TestStore, package_of, package_of_size};
use reqwest::Method;

/// The value of a series; `None` if it is not there.
async fn value(store: &TestStore, series: &str) -> Option<f64> {
    let reply = store.get("/metrics").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let prefix = format!("linkgate_store_{series} ");
    reply.body.lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok())
}

#[tokio::test]
async fn uploads_are_counted_by_what_came_of_them() {
    let source = FakeSource::start(Behaviour::Bytes(package_of_size(100_000))).await;
    let store = TestStore::trusting(&source).await;
    for (version, status) in [("1", 200), ("1", 400), ("2", 200)] {
        assert_eq!(store.send(store.request(source.url()).version(version)).await.status, status);
    }
    let stranger = FakeSource::start(Behaviour::Bytes(package_of("x"))).await;
    assert_eq!(store.send(store.request(stranger.url()).version("3")).await.status, 400, "not an allowed host");
    for (series, want) in [
        ("uploads_total{result=\"stored\"}", 2.0),
        ("uploads_total{result=\"already_exists\"}", 1.0),
        ("upload_duration_seconds_count{result=\"stored\"}", 2.0),
        ("stage_duration_seconds_count{stage=\"open\"}", 2.0),
        ("stage_duration_seconds_count{stage=\"record\"}", 2.0),
        ("stored_bytes_total", 200_000.0),
        ("deduplicated_total", 1.0),
        ("uploads_active", 0.0),
        ("http_requests_total{route=\"upload_source_package_via_link\",status=\"200\"}", 2.0),
        ("http_requests_total{route=\"upload_source_package_via_link\",status=\"400\"}", 2.0),
    ] {
        assert_eq!(value(&store, series).await, Some(want), "{series}");
    }
    assert!(value(&store, "disk_free_bytes").await.unwrap() > 0.0);
    store.finish().await;
}

#[tokio::test]
async fn an_upload_is_active_while_it_runs_and_callers_make_no_series() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(100_000))).await;
    let store = TestStore::trusting(&source).await;
    let running = tokio::spawn(store.request(source.url()).try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    assert_eq!(value(&store, "uploads_active").await, Some(1.0));
    source.release();
    assert_eq!(running.await.unwrap().unwrap().status, 200);

    let before = store.get("/metrics").await.body.lines().count();
    for path in ["/a", "/b?c=d", "/metrics/", "/bkapps/applications/x"] {
        assert_eq!(store.get(path).await.status, 404);
    }
    let after = store.get("/metrics").await.body.lines().count();
    // Two more at the most: the scrape itself, and all paths that are unknown.
    assert!(after <= before + 2, "{before} lines, then {after}");
    store.finish().await;
}

#[tokio::test]
async fn the_document_lists_what_the_store_serves() {
    const DOCUMENT: &str = include_str!("../../docs/reference/METRICS.md");
    let listed: BTreeSet<_> = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `linkgate_store_"))
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let name = ["_total", "_info"].iter().find_map(|end| cells[1].strip_suffix(end)).unwrap_or(cells[1]);
            format!("{name} {}", cells[2])
        })
        .collect();
    let source = FakeSource::start(Behaviour::Bytes(package_of("x"))).await;
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    assert_eq!(store.download(1, &[]).await.status, 200);
    assert_eq!(store.send(store.below(Method::DELETE, "1/")).await.status, 200);
    let text = store.get("/metrics").await.body;
    let served = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned);
    let (own, common): (BTreeSet<_>, BTreeSet<_>) = served.partition(|name| name.starts_with("linkgate_store_"));
    assert_eq!(listed, own);
    assert_eq!(common.len(), 7, "{common:?}");
    for name in common.iter().map(|line| line.split(' ').next().unwrap()) {
        assert!(DOCUMENT.contains(&format!("`{name}")), "{name}");
    }
    store.finish().await;
}
