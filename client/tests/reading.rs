//! Reading operations, credentials and repetitions, against a gateway of a script.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panic")]

mod support;

use std::sync::{Arc, Mutex};

use linkgate_client::{Client, Credentials, DeleteOptions, Error, ModuleQuery, PackageQuery, Settings, UrlRequest};
use linkgate_contract::{MemberKind, PackageId, PinName};
use serde_json::{Value, json};
use support::{Gateway, Turn, hurried, json, module};

fn package(id: i64) -> Value {
    json!({
        "id": id, "version": "1.0", "package_name": "app:1.0", "package_size": "7", "sha256_signature": "ab".repeat(32),
        "is_deleted": false, "updated": "2026-01-01 00:00:00", "created": "2026-01-01 00:00:00", "operator": "admin",
    })
}

fn page(ids: &[i64], next: Option<&str>) -> Value {
    let results: Vec<_> = ids.iter().map(|id| package(*id)).collect();
    json!({"count": 3, "next": next, "previous": null, "results": results})
}

fn usage() -> Value {
    let sums = json!({
        "packages": 1, "bytes": 7, "deleted_packages": 0, "deleted_bytes": 0, "max_packages": null, "max_bytes": null,
    });
    json!({"module": sums, "application": sums, "max_package_bytes": null})
}

fn refusal(status: u16, code: &str, more: &[(&'static str, &str)]) -> Turn {
    let headers = more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Turn::Reply(status, headers, json!({"code": code, "detail": "why"}).to_string().into_bytes())
}

const ID: PackageId = PackageId::from_row(7);

#[tokio::test]
async fn a_list_is_walked_page_by_page_under_the_prefix() {
    let gateway =
        Gateway::start(vec![json(200, &page(&[3, 2], Some("?limit=2&offset=2"))), json(200, &page(&[1], None))]).await;
    let client = gateway.client();
    let query = PackageQuery { limit: Some(2), search_term: Some("a b".to_owned()), ..PackageQuery::default() };
    let first = client.list_packages(&module(), &query).await.unwrap();
    let second = client.next_packages(&module(), &first).await.unwrap().unwrap();
    assert!(client.next_packages(&module(), &second).await.unwrap().is_none());
    let path = "/stag/bkapps/applications/app_code/modules/default/source_package/";
    let lines: Vec<_> = gateway.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [format!("GET {path}?limit=2&search_term=a+b HTTP/1.1"), format!("GET {path}?limit=2&offset=2 HTTP/1.1")]
    );
    let seen = &gateway.seen()[0];
    assert_eq!(
        seen.header("x-bkapi-authorization"),
        Some(r#"{"bk_app_code":"ci","bk_app_secret":"s3cret","bk_ticket":"t1cket"}"#)
    );
    assert_eq!((seen.header("accept-language"), seen.header("prefer")), (Some("en"), Some("handling=strict")));
}

fn modules(names: &[&str], next: Option<&str>) -> Value {
    let row = |name: &&str| json!({"app_code": "shop", "module": name, "packages": 1, "bytes": 7});
    json!({"count": 3, "next": next, "previous": null, "results": names.iter().map(row).collect::<Vec<_>>()})
}

#[tokio::test]
async fn modules_are_listed_by_their_own_path_and_page_by_page() {
    let pages = [modules(&["a", "b"], Some("?limit=2&offset=2")), modules(&["c"], None)];
    let gateway = Gateway::start(pages.iter().map(|page| json(200, page)).collect()).await;
    let client = gateway.client();
    let query = ModuleQuery { limit: Some(2), ..ModuleQuery::default() };
    let first = client.list_modules(&query).await.unwrap();
    let second = client.next_modules(&first).await.unwrap().unwrap();
    assert!(client.next_modules(&second).await.unwrap().is_none());
    let names = first.results.iter().chain(&second.results).map(|row| row.module.as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["a", "b", "c"]);
    let lines: Vec<_> = gateway.seen().into_iter().map(|seen| seen.line).collect();
    let path = "/stag/bkapps/applications/";
    assert_eq!(lines, [format!("GET {path}?limit=2 HTTP/1.1"), format!("GET {path}?limit=2&offset=2 HTTP/1.1")]);
}

#[tokio::test]
async fn jobs_and_members_are_read_as_the_store_writes_them() {
    let member = json!({"path": "app/run", "kind": "symlink", "size": null, "target": "start"});
    let members = json!({"format": "tar.gz", "entries": 1, "truncated": false, "results": [member]});
    let gateway = Gateway::start(vec![json(200, &json!({"results": []})), json(200, &members)]).await;
    let client = gateway.client();
    assert!(client.list_jobs(&module(), Some(5)).await.unwrap().results.is_empty());
    let members = client.list_members(&module(), ID).await.unwrap();
    assert_eq!((members.results[0].kind, members.results[0].target.as_deref()), (MemberKind::Symlink, Some("start")));
    let path = "/stag/bkapps/applications/app_code/modules/default/source_package/";
    let lines: Vec<_> = gateway.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(lines, [format!("GET {path}link/?limit=5 HTTP/1.1"), format!("GET {path}7/members/ HTTP/1.1")]);
}

#[tokio::test]
async fn a_signed_request_has_no_secret_in_it_and_each_try_another_nonce() {
    let gateway = Gateway::start(vec![refusal(503, "SERVICE_UNAVAILABLE", &[]), json(200, &usage())]).await;
    let credentials = Credentials::default().app_code("ci").signing_with("s3cret".into()).ticket("t".into());
    gateway.client_with(credentials).get_usage(&module()).await.unwrap();
    let seen = gateway.seen();
    assert_eq!(seen.len(), 2);
    for seen in &seen {
        assert!(seen.line.contains("/usage/?bk_nonce=") && seen.line.contains("&bk_signature="), "{seen:?}");
        assert!(!format!("{seen:?}").contains("s3cret"), "{seen:?}");
    }
    assert_ne!(seen[0].line, seen[1].line);
}

#[tokio::test]
async fn a_refusal_says_all_that_the_gateway_says() {
    let gateway = Gateway::start(vec![refusal(403, "ERROR", &[("x-bkapi-request-id", "ab12")])]).await;
    let Err(Error::Refused(refusal)) = gateway.client().get_usage(&module()).await else { panic!("refused") };
    assert_eq!((refusal.status, refusal.code.as_str(), refusal.detail.as_str()), (403, "ERROR", "why"));
    assert_eq!(refusal.request_id.as_deref(), Some("ab12"));
    assert_eq!(gateway.seen().len(), 1, "the same again would be refused again");
}

#[tokio::test]
async fn what_fails_for_a_moment_is_tried_again_and_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let script = vec![
        refusal(429, "TOO_MANY_REQUESTS", &[("retry-after", "0")]),
        Turn::HangUp,
        Turn::CutAfter(200, Vec::new(), 500, b"{".to_vec()),
        json(200, &usage()),
    ];
    let gateway = Gateway::start(script).await;
    let listener = Arc::clone(&told);
    let settings = Settings::new(&gateway.base, Credentials::default()).unwrap().retries(hurried());
    let settings = settings.on_retry(move |notice| listener.lock().unwrap().push(notice.sent));
    let found = Client::new(settings).unwrap().get_usage(&module()).await.unwrap();
    assert_eq!(found.module.packages, 1);
    assert_eq!((gateway.seen().len(), told.lock().unwrap().clone()), (4, vec![1, 2, 3]));
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    let gateway = Gateway::start(vec![Turn::HangUp]).await;
    let client = gateway.client();
    let pin = PinName::new("prod").unwrap();
    assert!(matches!(client.unpin_package(&module(), ID, &pin).await, Err(Error::BrokenOff { .. })));
    assert!(matches!(client.run_cleanup(&module(), "plan").await, Err(Error::BrokenOff { .. })));
    let options = DeleteOptions { if_match: Some("\"7.1\"".to_owned()), ..DeleteOptions::default() };
    assert!(matches!(client.delete_package(&module(), ID, &options).await, Err(Error::BrokenOff { .. })));
    assert_eq!(gateway.seen().len(), 3);
    assert!(client.delete_package(&module(), ID, &DeleteOptions::default()).await.is_err());
    assert_eq!(gateway.seen().len(), 3 + 4, "a second deletion changes nothing");
}

#[tokio::test]
async fn nobody_there_is_told_from_a_broken_connection() {
    let gateway = Gateway::start(vec![Turn::HangUp]).await;
    let base = gateway.base.clone();
    drop(gateway);
    // The port is free once the task is gone.
    let client = Client::new(Settings::new(&base, Credentials::default()).unwrap().retries(hurried())).unwrap();
    let found = loop {
        match client.get_usage(&module()).await {
            Err(Error::BrokenOff { .. }) => {}
            other => break other,
        }
    };
    assert!(matches!(found, Err(Error::Unreachable { .. })), "{found:?}");
}

#[tokio::test]
async fn another_service_is_no_gateway() {
    let redirect = Turn::Reply(302, vec![("location", "http://127.0.0.1:1/".to_owned())], Vec::new());
    for turn in [redirect, Turn::Reply(200, Vec::new(), b"<html>hello".to_vec())] {
        let gateway = Gateway::start(vec![turn]).await;
        let found = gateway.client().get_usage(&module()).await;
        assert!(matches!(found, Err(Error::NotOurs { .. })), "{found:?}");
        assert_eq!(gateway.seen().len(), 1, "credentials go nowhere else");
    }
}

#[tokio::test]
async fn a_link_for_others_is_made_whole() {
    let reply = json!({"download_url": "../download/?lg_token=abc", "expires": "2026-01-01 00:00:00"});
    let gateway = Gateway::start(vec![json(200, &reply)]).await;
    let made = gateway.client().create_download_url(&module(), ID, &UrlRequest::default()).await.unwrap();
    let expected = "/bkapps/applications/app_code/modules/default/source_package/7/download/?lg_token=abc";
    assert_eq!(made.download_url, format!("{}{expected}", gateway.base));
    assert_eq!(gateway.seen()[0].body, b"{}");
}

#[test]
fn calls_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    let client = Client::new(Settings::new("http://127.0.0.1:1", Credentials::default()).unwrap()).unwrap();
    let module = module();
    is_send(&client.get_usage(&module));
    is_send(&client.get_package(&module, ID));
}
