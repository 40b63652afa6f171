//! Packages that are stored are found, page by page and one by one, with what happened to them and what they take.

use linkgate_tests::{FakeSource, Reply, TestStore, another_package_of_size, package_of, sha256_hex, trust};
use serde_json::{Value, json};

use crate::assert_problem;

/// Packages of this module by SQL, older than all uploads. The version of the first is `1.0.1`.
pub const MANY: &str = "with recursive number(i) as (select 1 union all select i + 1 from number where i < 1005)
    insert into source_package (app_code, module, version, package_name, size_bytes, sha256, operator, created_ms, updated_ms)
    select 'app_code', 'default', '1.0.' || i, 'example:1.0.' || i, i % 10, printf('%064x', i), 'admin', 1000 * i, 1000 * i
    from number";

async fn store() -> (FakeSource, TestStore) {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    (source, store)
}

async fn upload(store: &TestStore, source: &FakeSource, version: &str) -> Value {
    let reply = store.send(store.request(source.url()).version(version)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn versions(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let results = reply.json()["results"].clone();
    results.as_array().unwrap().iter().map(|row| row["version"].as_str().unwrap().to_owned()).collect()
}

/// The fields of a page besides its rows.
fn frame(reply: &Reply) -> (Value, Value, Value) {
    let page = reply.json();
    (page["count"].clone(), page["next"].clone(), page["previous"].clone())
}

#[tokio::test]
async fn a_page_has_the_fields_of_uploads_in_their_order_and_the_newest_first() {
    let (source, store) = store().await;
    let empty = store.read("").await;
    assert_eq!((empty.status, empty.body.as_str()), (200, r#"{"count":0,"next":null,"previous":null,"results":[]}"#));
    let (first, second) = (
        store.send(store.request(source.url()).version("1")).await.body,
        store.send(store.request(source.url()).version("2")).await.body,
    );
    let reply = store.read("").await;
    assert_eq!(reply.body, format!(r#"{{"count":2,"next":null,"previous":null,"results":[{second},{first}]}}"#));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!((reply.header("link"), reply.header("x-linkgate-count")), (None, None));
    let elsewhere = store.reading("").path("/bkapps/applications/app_code/modules/other/source_package/");
    assert_eq!(frame(&store.send(elsewhere).await).0, 0, "another module has its own");
    let head = store.send(store.reading("").method(reqwest::Method::HEAD)).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    store.finish().await;
}

#[tokio::test]
async fn limits_and_offsets_mean_what_they_mean_to_the_reference() {
    if linkgate_tests::engine::is_about_directories("it writes rows in SQLite's words") {
        return;
    }
    let (_source, store) = store().await;
    store.directory().execute(MANY).await;
    for (query, rows, next, previous) in [
        ("", 100, json!("?limit=100&offset=100"), json!(null)),
        ("?limit=0", 100, json!("?limit=100&offset=100"), json!(null)),
        ("?limit=-1", 100, json!("?limit=100&offset=100"), json!(null)),
        ("?limit=x&offset=x", 100, json!("?limit=100&offset=100"), json!(null)),
        ("?limit=7&offset=-3", 7, json!("?limit=7&offset=7"), json!(null)),
        ("?limit=5000", 1_000, json!("?limit=1000&offset=1000"), json!(null)),
        ("?limit=99999999999999999999", 1_000, json!("?limit=1000&offset=1000"), json!(null)),
        ("?limit=10&offset=10", 10, json!("?limit=10&offset=20"), json!("?limit=10")),
        ("?limit=10&offset=15", 10, json!("?limit=10&offset=25"), json!("?limit=10&offset=5")),
        ("?limit=10&offset=1000", 5, json!(null), json!("?limit=10&offset=990")),
        ("?limit=10&offset=99999999999999999999", 0, json!(null), json!("?limit=10&offset=18446744073709551605")),
        (
            "?search_term=example&limit=2&order_by=-updated&page=3",
            2,
            json!("?limit=2&offset=2&order_by=-updated&search_term=example"),
            json!(null),
        ),
    ] {
        let reply = store.read(query).await;
        assert_eq!(versions(&reply).len(), rows, "{query}");
        assert_eq!(frame(&reply), (json!(1_005), next, previous), "{query}");
    }
    let reply = store.read("?limit=10&offset=10").await;
    assert_eq!(reply.header("link"), Some(r#"<?limit=10&offset=20>; rel="next", <?limit=10>; rel="prev""#));
}

#[tokio::test]
async fn pages_lead_to_the_gateway_where_that_is_known() {
    let (gateway, source) = ("https://gw.example.com/prod", FakeSource::serving(package_of("x")).await);
    let change = |config: &mut linkgate_store::config::Config| {
        trust(config, &[&source]);
        config.public_url = Some(gateway.into());
    };
    let store = TestStore::with(change).await;
    for version in ["1", "2", "3"] {
        upload(&store, &source, version).await;
    }
    let packages = format!("{gateway}/bkapps/applications/app_code/modules/default/source_package/");
    let (next, previous) = (format!("{packages}?limit=1&offset=2"), format!("{packages}?limit=1"));
    let reply = store.read("?limit=1&offset=1").await;
    assert_eq!(frame(&reply), (json!(3), json!(next), json!(previous)));
    let link = format!("<{next}>; rel=\"next\", <{previous}>; rel=\"prev\"");
    assert_eq!(reply.header("link"), Some(link.as_str()));
    let events = store.read("events/?limit=1").await;
    assert_eq!(frame(&events).1, format!("{packages}events/?before_id=3&limit=1"));
}

#[tokio::test]
async fn a_walk_in_any_order_shows_each_package_once() {
    if linkgate_tests::engine::is_about_directories("it writes rows in SQLite's words") {
        return;
    }
    let (_source, store) = store().await;
    store.directory().execute(MANY).await;
    for order in ["package_size", "-package_size", "created", "-version_natural", "package_size,-updated", "operator"] {
        let (mut walked, mut next) = (Vec::new(), Some(format!("?limit=200&order_by={order}")));
        while let Some(query) = next {
            let reply = store.read(&query).await;
            walked.extend(versions(&reply));
            next = frame(&reply).1.as_str().map(str::to_owned);
        }
        assert_eq!(walked.len(), 1_005, "{order}");
        walked.sort();
        walked.dedup();
        assert_eq!(walked.len(), 1_005, "{order}");
    }
    for (order, first) in [
        ("", "1.0.1005"),
        ("created", "1.0.1"),
        ("-created", "1.0.1005"),
        ("-version", "1.0.999"),
        ("-version_natural", "1.0.1005"),
        ("version", "1.0.1"),
        ("package_size", "1.0.10"),
        ("-package_size", "1.0.999"),
        ("package_size,-id", "1.0.1000"),
        ("nonsense,-id", "1.0.1005"),
        ("nonsense", "1.0.1005"),
        ("id", "1.0.1"),
    ] {
        assert_eq!(versions(&store.read(&format!("?limit=1&order_by={order}")).await), [first], "{order}");
    }
}

#[tokio::test]
async fn a_walk_by_id_is_not_disturbed_by_what_comes_in() {
    let (source, store) = store().await;
    for version in ["1", "2", "3", "4"] {
        upload(&store, &source, version).await;
    }
    let first = store.read("?limit=2&before_id=4").await;
    assert_eq!(versions(&first), ["3", "2"]);
    assert_eq!(frame(&first), (json!(4), json!("?before_id=2&limit=2"), json!(null)));
    upload(&store, &source, "5").await;
    let second = store.read("?before_id=2&limit=2").await;
    assert_eq!(versions(&second), ["1"]);
    assert_eq!(frame(&second), (json!(5), json!(null), json!(null)));
}

#[tokio::test]
async fn every_term_must_occur_and_quotes_keep_a_phrase() {
    if linkgate_tests::engine::is_about_directories("it writes rows in SQLite's words") {
        return;
    }
    let (_source, store) = store().await;
    store
        .directory()
        .execute(
            "insert into source_package (app_code, module, version, package_name, size_bytes, sha256, operator, created_ms,
                 updated_ms)
             values ('app_code', 'default', '1.0 beta', 'Shop:1.0', 1234567, printf('%064x', 1), 'ann', 0, 0),
                    ('app_code', 'default', '2.0,b', 'shop:2.0', 7, printf('%064x', 2), 'bob', 1000, 1000),
                    ('app_code', 'default', '100%', 'x_y:3', 8, printf('%064x', 3), 'bob', 2000, 2000)",
        )
        .await;
    for (search, expected) in [
        ("SHOP", &["1.0 beta", "2.0,b"][..]),
        ("shop+beta", &["1.0 beta"]),
        ("shop,beta", &["1.0 beta"]),
        ("%22shop+beta%22", &[]),
        ("%221.0+beta%22", &["1.0 beta"]),
        ("%272.0,b%27", &["2.0,b"]),
        ("2345", &["1.0 beta"]),
        ("%25", &["100%"]),
        ("x_y", &["100%"]),
        ("p_p", &[]),
        ("%22%22", &["1.0 beta", "2.0,b", "100%"]),
        ("b", &["1.0 beta", "2.0,b"]),
        ("shop+:2", &["2.0,b"]),
        ("ann", &[]),
    ] {
        assert_eq!(versions(&store.read(&format!("?order_by=id&search_term={search}")).await), expected, "{search}");
    }
    for (filter, expected) in [
        ("version=100%25", &["100%"][..]),
        ("package_name=shop:2.0", &["2.0,b"]),
        ("operator=bob", &["2.0,b", "100%"]),
        ("operator=bo", &[]),
        (&format!("sha256_signature={:064X}", 2), &["2.0,b"]),
        ("created_after=1970-01-01T00:00:01Z", &["2.0,b", "100%"]),
        ("created_before=1970-01-01T00:00:01Z", &["1.0 beta"]),
        ("updated_after=1970-01-01+08:00:01&updated_before=1970-01-01+08:00:02", &["2.0,b"]),
        ("pinned=true", &[]),
        ("pinned=false", &["1.0 beta", "2.0,b", "100%"]),
        ("is_deleted=true", &[]),
        ("is_deleted=all", &["1.0 beta", "2.0,b", "100%"]),
        ("is_deleted=nonsense&created_after=nonsense&sha256_signature=x", &["1.0 beta", "2.0,b", "100%"]),
    ] {
        assert_eq!(versions(&store.read(&format!("?order_by=id&{filter}")).await), expected, "{filter}");
    }
}

#[tokio::test]
async fn what_no_text_holds_is_refused_and_so_is_too_much_of_it() {
    let (_source, store) = store().await;
    for (search, message) in [
        ("a%00b".to_owned(), "Null characters are not allowed."),
        ("a+".repeat(17), "There is too much to search for: at most 16 terms, 1024 bytes in all."),
    ] {
        let reply = store.send(store.reading(&format!("?search_term={search}")).in_english()).await;
        assert_problem(
            &reply,
            400,
            None,
            &json!({"code": "VALIDATION_ERROR", "detail": format!("search_term: {message}"), "fields_detail": {"search_term": [message]}}),
        );
    }
}

#[tokio::test]
async fn who_prefers_strict_handling_is_told_of_every_fault() {
    let (source, store) = store().await;
    upload(&store, &source, "1").await;
    let strict =
        async |query: &str| store.send(store.reading(query).header("prefer", "handling=strict").in_english()).await;
    for query in [
        "?limit=0",
        "?offset=x",
        "?order_by=nonsense",
        "?is_deleted=maybe",
        "?pinned=2",
        "?created_after=yesterday",
        "?before_id=07",
        "?sha256_signature=abc",
        "?page=2",
        "events/?limit=x",
        "events/?since=1",
    ] {
        assert_eq!(store.read(query).await.status, 200, "{query}");
        let reply = strict(query).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("VALIDATION_ERROR")), "{query}");
    }
    let reply = strict("?limit=x&page=2").await;
    let fields = &reply.json()["fields_detail"];
    assert_eq!(fields["non_field_errors"], json!(["Unknown parameter: page."]));
    assert_eq!(fields["limit"], json!(["Must be a whole number in decimal digits."]));
    let good = strict("?limit=10&order_by=-version_natural,id&search_term=&is_deleted=false&bk_token=x").await;
    assert_eq!((versions(&good), good.header("preference-applied")), (vec!["1".to_owned()], Some("handling=strict")));
}

#[tokio::test]
async fn a_package_is_shown_with_all_that_is_known_of_it() {
    if linkgate_tests::engine::is_about_directories("it writes rows in SQLite's words") {
        return;
    }
    let (source, store) = store().await;
    let url = format!("{}?sign=s3cret", source.url());
    let uploaded = store.send(store.request(url).version("1.0")).await;
    let directory = store.directory();
    directory
        .execute(
            "insert into pin (package_id, name, until_ms, protect_bytes, caller_app, operator, created_ms, updated_ms)
             values (1, 'prod', null, 1, 'ci', 'ann', 0, 0), (1, 'over', 1, 0, 'ci', 'ann', 0, 0),
                    (1, 'dev', 4102444800000, 0, 'ci', 'bob', 0, 0)",
        )
        .await;
    let reply = store.read("1/").await;
    let row = uploaded.body.strip_suffix('}').unwrap();
    let (entries, unpacked) = {
        let row = store.rows().await.remove(0);
        (row.entries.unwrap(), row.unpacked_bytes.unwrap())
    };
    let extras = format!(
        r#""format":"tar.gz","relative_path":"./","entries":{entries},"unpacked_bytes":{unpacked},"revision":1,"pins":[{{"name":"dev","until":"2100-01-01 08:00:00","protect_bytes":false,"by":"bob","created":"1970-01-01 08:00:00","updated":"1970-01-01 08:00:00"}},{{"name":"prod","until":null,"protect_bytes":true,"by":"ann","created":"1970-01-01 08:00:00","updated":"1970-01-01 08:00:00"}}],"deleted":null,"purge_after":null,"purged":null,"source":"{}""#,
        source.url()
    );
    assert_eq!((reply.status, reply.body.as_str()), (200, format!("{row},{extras}}}").as_str()));
    assert_eq!(reply.header("etag"), Some("\"1.1\""));
    let known = store.send(store.reading("1/").header("if-none-match", "\"0\", W/\"1.1\"")).await;
    assert_eq!((known.status, known.body.as_str(), known.header("etag")), (304, "", Some("\"1.1\"")));
    let again = another_package_of_size(5_000);
    source.on("/again.tgz", linkgate_tests::Behaviour::Bytes(again.clone()));
    directory.execute("update pin set protect_bytes = false").await;
    let overwriting = store.request(source.url_of("/again.tgz")).version("1.0").overwriting();
    assert_eq!(store.send(overwriting).await.status, 200);
    let changed = store.send(store.reading("1/").header("if-none-match", "\"1.1\"")).await;
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"1.2\"")));
    assert_eq!(changed.json()["sha256_signature"], sha256_hex(&again));
    assert_eq!(versions(&store.read("?pinned=true").await), ["1.0"]);
}

#[tokio::test]
async fn a_deleted_package_is_shown_but_not_listed() {
    let (source, store) = store().await;
    upload(&store, &source, "1").await;
    upload(&store, &source, "2").await;
    assert_eq!(store.directory().delete("app_code", "default", "1").await.unwrap(), 1);
    assert_eq!(versions(&store.read("").await), ["2"]);
    assert_eq!(versions(&store.read("?is_deleted=true").await), ["1"]);
    assert_eq!(versions(&store.read("?is_deleted=all").await), ["2", "1"]);
    for (search, deleted) in [("example", "false"), ("example:1", "true"), ("example", "all")] {
        let found = versions(&store.read(&format!("?search_term={search}&is_deleted={deleted}")).await);
        assert_eq!(found.len(), if deleted == "all" { 2 } else { 1 }, "{search} {deleted}");
    }
    let reply = store.read("1/").await;
    assert_eq!((reply.status, &reply.json()["is_deleted"]), (200, &json!(true)));
    assert_eq!(reply.header("etag"), Some("\"1.2\""), "to delete it is a change");
}

#[tokio::test]
async fn a_package_of_another_module_is_not_told_from_one_that_never_was() {
    let (source, store) = store().await;
    upload(&store, &source, "1").await;
    let other = store.request(source.url()).module("other", "default");
    assert_eq!(store.send(other).await.json()["id"], 2);
    let ask = async |id: &str| {
        let mut reply = store.read(&format!("{id}/")).await;
        reply.headers.remove("date");
        (reply.status, reply.headers, reply.body)
    };
    assert_eq!(ask("2").await, ask("99").await);
    assert_eq!(ask("2").await.0, 404);
    for unknown in ["0", "01", "x", "-1", "99999999999999999999"] {
        assert_eq!(ask(unknown).await.0, 404, "{unknown}");
    }
}

#[tokio::test]
async fn usage_has_the_sums_of_the_module_and_of_its_application() {
    let (source, store) = store().await;
    let nothing = json!({
        "packages": 0, "bytes": 0, "deleted_packages": 0, "deleted_bytes": 0, "max_packages": null, "max_bytes": null,
    });
    assert_eq!(
        store.read("usage/").await.json(),
        json!({"module": nothing, "application": nothing, "max_package_bytes": null})
    );
    upload(&store, &source, "1").await;
    upload(&store, &source, "2").await;
    for module in ["other", "third"] {
        assert_eq!(store.send(store.request(source.url()).module("app_code", module)).await.status, 200);
    }
    assert_eq!(store.send(store.request(source.url()).module("stranger", "default")).await.status, 200);
    store.directory().delete("app_code", "default", "1").await.unwrap();
    let size = package_of("x").len();
    assert_eq!(
        store.read("usage/").await.json(),
        json!({
            "module": {
                "packages": 1, "bytes": size, "deleted_packages": 1, "deleted_bytes": size,
                "max_packages": null, "max_bytes": null,
            },
            "application": {
                "packages": 3, "bytes": 3 * size, "deleted_packages": 1, "deleted_bytes": size,
                "max_packages": null, "max_bytes": null,
            },
            "max_package_bytes": null,
        })
    );
}

#[tokio::test]
async fn events_are_listed_the_latest_first_and_only_those_of_the_module() {
    let (_source, store) = store().await;
    store
        .directory()
        .execute(
            "insert into event (at_ms, action, app_code, module, package_id, version, sha256_before, sha256_after, caller_app,
                 operator, request_id, client_address, reason)
             values (4102444800000, 'upload', 'app_code', 'default', 7, '1.0', null, 'b', 'ci', 'ann', 'r1', '10.0.0.1', 'user'),
                    (4102444801000, 'delete', 'app_code', 'default', 7, '1.0', 'b', 'b', '', '', '', '', 'old ones'),
                    (4102444802000, 'upload', 'app_code', 'other', 8, '1.0', null, 'c', 'ci', 'ann', 'r2', '10.0.0.1', 'user'),
                    (4102444803000, 'upload', 'app_code', 'default', 9, '2.0', null, 'd', 'ci', 'ann', 'r3', '10.0.0.1', 'user')",
        )
        .await;
    let reply = store.read("events/").await;
    let by_the_store = r#"{"id":2,"time":"2100-01-01 08:00:01","action":"delete","package_id":7,"version":"1.0","sha256_before":"b","sha256_after":"b","app":null,"user":null,"request_id":null,"client_ip":null,"reason":"old ones"}"#;
    assert!(reply.body.contains(by_the_store), "{}", reply.body);
    let ids = async |query: &str| {
        let page = store.read(&format!("events/{query}")).await.json();
        let ids: Vec<_> = page["results"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
        (ids, page["count"].clone(), page["next"].clone())
    };
    assert_eq!(ids("").await, (vec![4, 2, 1], json!(3), json!(null)));
    assert_eq!(ids("?limit=2").await, (vec![4, 2], json!(3), json!("?before_id=2&limit=2")));
    assert_eq!(ids("?before_id=2&limit=2").await, (vec![1], json!(3), json!(null)));
    assert_eq!(ids("?action=upload").await, (vec![4, 1], json!(2), json!(null)));
    assert_eq!(ids("?package_id=7&limit=1").await, (vec![2], json!(2), json!("?before_id=2&limit=1&package_id=7")));
    assert_eq!(ids("?package_id=8").await, (vec![], json!(0), json!(null)), "it is of another module");
}

#[tokio::test]
async fn nobody_reads_without_a_token() {
    let (_source, store) = store().await;
    for path in ["", "1/", "usage/", "events/"] {
        let reply = store.send(store.reading(path).token(None)).await;
        assert_eq!(reply.status, 401, "{path}");
    }
}
