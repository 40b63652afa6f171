//! The console: what the API replies with, as pages for those whose browsers ask, and requests that only our pages can make.

use linkgate_tests::token::good_claims;
use linkgate_tests::{FakeSource, LinkRequestBuilder, Reply, TestStore, package_of};
use reqwest::Method;
use serde_json::{Value, json};

use crate::reading::MANY;

const PACKAGES: &str = "/bkapps/applications/app_code/modules/default/source_package/";
const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// A token for one who came through the console and may do all this.
fn token(store: &TestStore, action: &str, actions: &[&str]) -> String {
    let mut claims = good_claims();
    claims["linkgate"] = json!({"action": action, "console": {"actions": actions, "contact": "ops@example.com"}});
    store.mint().sign(&claims)
}

/// What a browser sends that goes somewhere.
fn page(store: &TestStore, path: &str, action: &str) -> LinkRequestBuilder {
    let may = ["read", "upload", "download", "delete", "restore", "pin", "sign", "cleanup"];
    let request = store.reading(path).header("accept", BROWSER).in_english();
    request.token(Some(token(store, action, &may)))
}

async fn read_page(store: &TestStore, path: &str, action: &str) -> Reply {
    let reply = store.send(page(store, path, action)).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    reply
}

async fn store_with_package() -> (FakeSource, TestStore) {
    let source = FakeSource::serving(package_of("what a package holds")).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(store.request(source.url()).version("1.0")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    (source, store)
}

#[tokio::test]
async fn each_endpoint_that_reads_has_a_page() {
    let (_source, store) = store_with_package().await;
    for (path, action, shown) in [
        ("", "read", "example:1.0"),
        ("1/", "read", "signature verified"),
        ("1/members/", "download", "20 B"),
        ("link/", "upload", "done"),
        ("events/", "read", "upload"),
        ("usage/", "read", "Packages: 1"),
        ("cleanup/", "cleanup", "No retention rule"),
    ] {
        let reply = read_page(&store, path, action).await;
        assert!(reply.body.contains(shown), "{path}: {}", reply.body);
        assert!(reply.body.contains("<html lang=\"en\">") && reply.body.contains("admin"), "{path}");
        for own in ["<script>", " style=", " onclick=", "<style"] {
            assert!(!reply.body.contains(own), "{path} has {own}, which its policy forbids");
        }
    }
    store.finish().await;
}

#[tokio::test]
async fn a_script_of_a_page_gets_what_every_program_gets() {
    let (_source, store) = store_with_package().await;
    for accept in ["application/json", "*/*"] {
        let script = store.reading("").header("accept", accept).token(Some(token(&store, "read", &["read"])));
        let reply = store.send(script).await;
        assert_eq!((reply.status, reply.json()["count"].clone()), (200, json!(1)), "{accept}");
        assert_eq!(reply.header("content-security-policy"), None);
    }
    let program = store.send(store.reading("").header("accept", BROWSER)).await;
    assert_eq!(program.json()["count"], 1, "only who comes through the console gets pages");
    store.finish().await;
}

#[tokio::test]
async fn what_is_refused_is_a_page_too_and_a_download_is_none() {
    let (_source, store) = store_with_package().await;
    let missing = store.send(page(&store, "7/", "read")).await;
    assert_eq!((missing.status, missing.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert!(missing.body.contains("There is no such page"), "{}", missing.body);
    let download = store.send(page(&store, "1/download/", "download")).await;
    assert_eq!((download.status, download.header("content-type")), (200, Some("application/gzip")));
    let gone = store.send(page(&store, "7/download/", "download")).await;
    assert_eq!((gone.status, gone.header("content-type")), (404, Some("text/html; charset=utf-8")));
    store.finish().await;
}

#[tokio::test]
async fn a_page_offers_what_its_reader_may_do_and_nothing_else() {
    let (_source, store) = store_with_package().await;
    let reader = |may: &[&str]| {
        store.reading("1/").header("accept", BROWSER).in_english().token(Some(token(&store, "read", may)))
    };
    let shown = store.send(reader(&["read"])).await.body;
    for offered in ["data-call", "href=\"download/\"", "href=\"members/\"", "cleanup/"] {
        assert!(!shown.contains(offered), "{offered}");
    }
    let shown = store.send(reader(&["read", "delete", "download"])).await.body;
    assert!(shown.contains("data-call=\"DELETE\"") && shown.contains("href=\"download/\""), "{shown}");
    assert!(!shown.contains("data-call=\"PUT\""), "nobody lets them pin");
    store.finish().await;
}

#[tokio::test]
async fn texts_of_others_are_escaped() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let evil = "<script>alert(1)</script>\"'&";
    let reply = store.send(store.request(source.url()).version(evil)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    for (path, action) in [("", "read"), ("1/", "read"), ("events/", "read"), ("1/members/", "download")] {
        let body = read_page(&store, path, action).await.body;
        assert!(!body.contains("<script>alert") && body.contains("&lt;script&gt;alert(1)"), "{path}: {body}");
    }
    let searched = read_page(&store, "?search_term=%22%3E%3Cscript%3E", "read").await.body;
    assert!(!searched.contains("\"><script>"), "{searched}");
    store.finish().await;
}

#[tokio::test]
async fn a_browsers_request_changes_nothing_without_the_token_of_a_page() {
    let (_source, store) = store_with_package().await;
    let page = read_page(&store, "1/", "read").await;
    let good = page.csrf_token();
    let delete = |shown: Option<&str>| {
        let request = store.below(Method::DELETE, "1/").in_english().token(Some(token(&store, "delete", &["delete"])));
        match shown {
            None => request,
            Some(shown) => request.header("x-csrf-token", shown),
        }
    };
    let forged = format!("{good}x");
    for shown in [None, Some(""), Some("1.x"), Some(forged.as_str())] {
        let refused = store.send(delete(shown)).await;
        assert_eq!(refused.status, 403, "{shown:?}");
        assert!(refused.body.contains("reload the page of the console"), "{}", refused.body);
    }
    assert_eq!(store.read("1/").await.json()["is_deleted"], false, "nothing has happened");
    assert_eq!(store.send(delete(Some(good))).await.status, 200);
    assert_eq!(store.read("1/").await.json()["is_deleted"], true);
    store.finish().await;
}

#[tokio::test]
async fn a_token_is_its_users_alone() {
    let (_source, store) = store_with_package().await;
    let page = read_page(&store, "1/", "read").await;
    let mut claims = good_claims();
    claims["user"]["username"] = "anna".into();
    claims["linkgate"] = json!({"action": "delete", "console": {}});
    let anna = store.below(Method::DELETE, "1/").token(Some(store.mint().sign(&claims)));
    assert_eq!(store.send(anna.header("x-csrf-token", page.csrf_token())).await.status, 403);
    assert_eq!(store.read("1/").await.json()["is_deleted"], false);
    store.finish().await;
}

#[tokio::test]
async fn a_page_takes_little_whatever_is_on_it() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    store.directory().execute(MANY).await;
    let page = read_page(&store, "", "read").await;
    assert!(page.body.contains(">1.0.1005<") && !page.body.contains(">1.0.980<"), "25 of them");
    let assets: usize = {
        let mut sum = 0;
        for name in ["console.css", "console.js", "icon.svg"] {
            sum += asset(&store, name, "").await.body.len();
        }
        sum
    };
    assert!(page.body.len() + assets <= 60_000, "{} and {assets}", page.body.len());
    store.finish().await;
}

async fn asset(store: &TestStore, name: &str, query: &str) -> Reply {
    let path = format!("/console/assets/{name}{query}");
    let reply = store.send(store.reading("").path(path).token(None)).await;
    assert_eq!(reply.status, 200, "{name}");
    reply
}

#[tokio::test]
async fn assets_are_for_everybody_and_those_of_a_release_are_good_for_ever() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let page = read_page(&store, "", "read").await.body;
    let (_, rest) = page.split_once("assets/console.js").unwrap();
    let query = rest.split_once('"').unwrap().0;
    let pinned = asset(&store, "console.js", query).await;
    assert_eq!(pinned.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(pinned.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(asset(&store, "console.css", "").await.header("cache-control"), Some("public, max-age=300"));
    for (path, status) in [("/console/assets/other.js", 404), ("/console/", 404), ("/console/assets/", 404)] {
        assert_eq!(store.send(store.reading("").path(path).token(None)).await.status, status, "{path}");
    }
    let posted = store.request("").path("/console/assets/console.js").token(None);
    assert_eq!(store.send(posted).await.status, 405);
    store.finish().await;
}

/// A token about no module, with these grants.
fn listing_token(store: &TestStore, grants: Value) -> String {
    let mut claims = good_claims();
    claims["linkgate"] = json!({"action": "read", "grants": {"list": grants}});
    store.mint().sign(&claims)
}

#[tokio::test]
async fn modules_are_listed_that_a_grant_lets_the_caller_read() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    for (app, module) in [("shop", "web"), ("shop", "api"), ("blog", "web")] {
        let reply = store.send(store.request(source.url()).module(app, module)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let list = async |query: &str, grants: Value| {
        let request = store.reading("").path(format!("/bkapps/applications/{query}"));
        let reply = store.send(request.token(Some(listing_token(&store, grants)))).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let page = reply.json();
        let names = page["results"].as_array().unwrap().iter();
        let names =
            names.map(|row| format!("{}/{}", row["app_code"].as_str().unwrap(), row["module"].as_str().unwrap()));
        (names.collect::<Vec<_>>(), page["count"].clone(), page["next"].clone())
    };
    let grant = |targets: &str, modules: &str, actions: &[&str]| json!({"targets": [targets], "modules": [modules], "actions": actions});
    let all = json!([grant("*", "*", &["read"])]);
    assert_eq!(list("", all.clone()).await.0, ["blog/web", "shop/api", "shop/web"]);
    assert_eq!(list("", json!([grant("shop", "a*", &["read"])])).await.0, ["shop/api"]);
    assert_eq!(list("", json!([grant("*", "*", &["upload"])])).await.0, [""; 0], "who may only upload reads none");
    assert_eq!(list("", json!([])).await.0, [""; 0]);
    assert_eq!(list("?search_term=SHOP,web", all.clone()).await.0, ["shop/web"]);
    let (first, count, next) = list("?limit=2", all.clone()).await;
    assert_eq!((first.len(), count, next.clone()), (2, json!(3), json!("?limit=2&offset=2")));
    assert_eq!(list(next.as_str().unwrap(), all).await.0, ["shop/web"]);
    let of_a_module = store.reading("").path("/bkapps/applications/");
    assert_eq!(store.send(of_a_module).await.status, 403, "a token for modules is none for the list of them");
    store.finish().await;
}

#[tokio::test]
async fn members_of_every_kind_of_archive_are_shown_with_their_sizes() {
    let (_source, store) = store_with_package().await;
    let members = |id: &str| {
        let mut claims = good_claims();
        claims["linkgate"]["action"] = "download".into();
        store.send(store.reading(&format!("{id}/members/")).token(Some(store.mint().sign(&claims))))
    };
    let listed = members("1").await;
    assert_eq!(listed.status, 200, "{listed:?}");
    let listed = listed.json();
    assert_eq!((&listed["format"], &listed["truncated"]), (&json!("tar.gz"), &json!(false)));
    let results = listed["results"].as_array().unwrap();
    assert_eq!(results.len() as u64, listed["entries"].as_u64().unwrap());
    let file = results.iter().find(|member| member["kind"] == "file" && member["size"] == 20);
    assert!(file.is_some(), "what a package holds has 20 bytes: {listed}");
    assert_eq!(members("2").await.status, 404);
    store.finish().await;
}

#[tokio::test]
async fn uploads_of_a_module_are_listed_with_how_they_ended() {
    let (source, store) = store_with_package().await;
    let other_bytes = store.request(source.url()).version("2.0").field("sha256", "0".repeat(64));
    assert_eq!(store.send(other_bytes).await.status, 400);
    let jobs = store.read("link/").await;
    assert_eq!(jobs.status, 200, "{jobs:?}");
    let states: Vec<_> = jobs.json()["results"].as_array().unwrap().iter().map(|job| job["state"].clone()).collect();
    assert_eq!(states, [json!("failed"), json!("done")], "the latest first");
    let elsewhere = store.reading("").path("/bkapps/applications/app_code/modules/other/source_package/link/");
    assert_eq!(store.send(elsewhere).await.json()["results"], json!([]));
    assert!(store.reading("").target().starts_with(PACKAGES));
    store.finish().await;
}
