//! What is stored moves from a data directory to what stores share, and back: the same packages under the same ids.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use linkgate_catalog::testing::PostgresServer;
use linkgate_tests::process::{Finished, WITH_FAILPOINTS, command, command_of, command_with};
use linkgate_tests::{
    Behaviour, DataDirectory, FakeSource, LinkRequestBuilder, StoreProcess, TokenMint, another_package_of_size,
    package_of, sha256_hex, wait_until,
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::shared::{nothing_is_secret_in, servers, start};

type Settings = [(&'static str, String)];

const MODULES: [&str; 2] = ["default", "other"];

fn shared_command(
    program: &str,
    data_dir: &Path,
    arguments: &[&str],
    settings: &Settings,
    more: &[(&str, &str)],
) -> Finished {
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    let settings: Vec<_> = settings.chain(more.iter().copied()).collect();
    let done = command_of(program, data_dir, arguments, &settings);
    nothing_is_secret_in(&[done.out.clone(), done.err.clone()]);
    done
}

fn restore(data_dir: &Path, backup: &Path, settings: &Settings) -> Finished {
    shared_command("linkgate-store", data_dir, &["restore", backup.to_str().unwrap()], settings, &[])
}

/// What a backup and a restore say that the rows come to.
fn rows(done: &Finished) -> &str {
    done.out.lines().find(|line| line.starts_with("Rows: ")).unwrap_or_else(|| panic!("{done:?}"))
}

/// All that callers see of both modules: every page of every list, and all that is told of each package.
async fn seen(store: &StoreProcess) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for module in MODULES {
        let mut packages = Vec::new();
        for list in ["?limit=2&is_deleted=all", "?limit=2", "events/?limit=3", "usage/"] {
            let (below, mut next) = match list.split_once('?') {
                Some((below, query)) => (below, Some(format!("?{query}"))),
                None => (list, Some(String::new())),
            };
            while let Some(query) = next {
                let page = look(store, module, &format!("{below}{query}"), &mut seen).await;
                let page: Value = serde_json::from_str(&page).unwrap();
                if list.contains("all") {
                    packages.extend(page["results"].as_array().unwrap().iter().map(|row| row["id"].clone()));
                }
                next = page["next"].as_str().map(str::to_owned);
            }
        }
        for id in packages {
            for below in ["", "attestation/", "download/"] {
                look(store, module, &format!("{id}/{below}"), &mut seen).await;
            }
        }
    }
    seen
}

/// A reply, its body by its digest where that is the bytes of a package.
async fn look(store: &StoreProcess, module: &str, path: &str, seen: &mut BTreeMap<String, String>) -> String {
    let reply = store.below_module("app_code", module, Method::GET, path).in_english().open(store.base()).await;
    let (status, etag) = (reply.status().as_u16(), reply.headers().get("etag").cloned());
    let body = reply.bytes().await.unwrap();
    let text = if path.ends_with("download/") && status == 200 {
        sha256_hex(&body)
    } else {
        String::from_utf8(body.to_vec()).unwrap()
    };
    seen.insert(format!("{module} {path}"), format!("{status} {etag:?} {text}"));
    text
}

fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    for (path, reply) in before {
        assert_eq!(after.get(path), Some(reply), "{path}");
    }
    assert_eq!(before.len(), after.len());
}

async fn upload(store: &StoreProcess, source: &FakeSource, module: &str, version: &str, bytes: Vec<u8>) {
    let path = format!("/{}", sha256_hex(&bytes));
    source.on(&path, Behaviour::Bytes(bytes));
    let request = store.request(source.url_of(&path)).module("app_code", module).version(version).overwriting();
    let reply = store.send(request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

/// A data directory with a package of each kind: 1 in two modules, 2 overwritten, 3 deleted, 4 purged, 5 pinned, 6 large.
async fn fill(source: &FakeSource, data: &Path) {
    let store = StoreProcess::trusting(source, data, &[]);
    for content in ["1", "2", "3", "4", "5"] {
        upload(&store, source, "default", content, package_of(content)).await;
    }
    upload(&store, source, "default", "6", another_package_of_size(9 << 20)).await;
    upload(&store, source, "other", "1", package_of("1")).await;
    upload(&store, source, "other", "\u{e9}\\t\u{1f4e6}", package_of("odd")).await;
    upload(&store, source, "default", "2", package_of("2 again")).await;
    for id in [3, 4] {
        assert_eq!(store.send(store.below(Method::DELETE, &format!("{id}/"))).await.status, 200);
    }
    let pin = store.below(Method::PUT, "5/pins/release-1/").json(&json!({"protect_bytes": true}));
    assert_eq!(store.send(pin).await.status, 200);
    assert_eq!(store.send(keyed(&store, source)).await.status, 200);
    store.stop();
    DataDirectory::new(data).execute("update source_package set purge_after_ms = 1 where id = 4").await;
    assert_eq!(command(data, &["purge"]).code(), 0);
}

/// An upload whose caller may ask again what came of it.
fn keyed(store: &StoreProcess, source: &FakeSource) -> LinkRequestBuilder {
    store.request(source.url_of("/keyed")).version("keyed").header("idempotency-key", "k").in_english()
}

fn hurried(store: &StoreProcess, source: &FakeSource) -> LinkRequestBuilder {
    store.request(source.url_of("/held")).version("held").header("prefer", "respond-async").in_english()
}

async fn job(store: &StoreProcess, id: &str) -> Value {
    store.send(store.below(Method::GET, &format!("link/{id}/")).in_english()).await.json()
}

/// Statements by the names of their files.
fn statements(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folders = std::fs::read_dir(root.join("attestations")).unwrap();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    let files = files.map(|file| file.unwrap().path());
    files.map(|path| (path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap())).collect()
}

#[allow(clippy::too_many_lines, reason = "one way there and back, and what is the same at its end")]
#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_stored_moves_to_what_stores_share_and_back() {
    let Some((_postgres, weed, _keys, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("unused")).await);
    let [data, saved, operator, back] = ["data", "saved", "operator", "back"].map(|name| dir.path().join(name));
    source.on("/keyed", Behaviour::Bytes(package_of("keyed")));
    source.on("/held", Behaviour::Held(package_of("held")));
    fill(&source, &data).await;
    let mut store = StoreProcess::trusting(&source, &data, &[]);
    let accepted = store.send(hurried(&store, &source)).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let id = accepted.json()["job_id"].as_str().unwrap().to_owned();
    let before = seen(&store).await;
    store.kill_9();
    let done = command(&data, &["backup", saved.to_str().unwrap()]);
    assert_eq!(done.code(), 0);

    let moved = restore(&operator, &saved, &settings);
    assert_eq!(moved.code(), 0);
    let said = "Restored to the database and the bucket `linkgate`: 7 packages (";
    assert!(moved.out.contains(said) && moved.out.contains(", 0 of them were there, 0 missing"), "{}", moved.out);
    assert_eq!(rows(&moved), rows(&done));
    assert!(rows(&moved).starts_with("Rows: module 2, source_package 9, provenance 9, pin 1, event "), "{}", moved.out);
    let key = |dir: &Path| std::fs::read(dir.join("attestation.key")).unwrap();
    assert!(key(&operator) == key(&data), "statements go on under the same key");
    assert!(!operator.join(".restore").exists());
    let objects = weed.objects().await;
    assert_eq!(objects.len(), 14, "7 packages and the statements about them: {objects:?}");

    let one = start(&source, &operator, &settings);
    let other = start(&source, &dir.path().join("other"), &settings);
    for store in [&one, &other] {
        assert_same(&before, &seen(store).await);
    }
    let asked = source.requests().len();
    let again = other.send(keyed(&other, &source)).await;
    assert_eq!((again.status, &again.json()["version"]), (200, &json!("keyed")), "{}", again.body);
    assert!(
        !source.requests()[asked..].iter().any(|request| request.contains("/keyed")),
        "nobody asks the source again"
    );
    // What was accepted before is done now, and no id is given out twice.
    assert_eq!(job(&one, &id).await["ended"], Value::Null);
    source.release();
    let ended = wait_until(async || match job(&other, &id).await {
        ended if ended["state"] == "done" => Ok(ended),
        other => Err(other.to_string()),
    })
    .await;
    assert_eq!(ended["package"]["id"], 10);
    let verified = shared_command("linkgate-store", &operator, &["verify"], &settings, &[]);
    assert_eq!(verified.code(), 0);

    // And back, while both stores run.
    let before = seen(&one).await;
    let saved_again = dir.path().join("saved again");
    let done = shared_command("linkgate-store", &operator, &["backup", saved_again.to_str().unwrap()], &settings, &[]);
    assert_eq!(done.code(), 0);
    assert!(done.out.contains(": 8 packages (") && done.out.contains(" 0 missing"), "{}", done.out);
    for store in [one, other] {
        nothing_is_secret_in(&store.stop_and_read());
    }
    let moved = command(&back, &["restore", saved_again.to_str().unwrap()]);
    assert_eq!((moved.code(), rows(&moved)), (0, rows(&done)));
    assert_eq!(command(&back, &["verify"]).code(), 0);
    let (first, second) = (statements(&saved), statements(&back));
    assert_eq!((first.len(), second.len()), (7, 8));
    first.iter().for_each(|(name, bytes)| assert!(second[name] == *bytes, "{}", name.display()));
    let store = StoreProcess::trusting(&source, &back, &[]);
    assert_same(&before, &seen(&store).await);
    upload(&store, &source, "default", "7", package_of("7")).await;
    assert_eq!(store.rows().await.last().unwrap().id, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_cut_off_is_done_again_and_no_store_begins_before() {
    let Some((postgres, _weed, _keys, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("keyed")).await);
    let [data, saved, other, operator] = ["data", "saved", "other", "operator"].map(|name| dir.path().join(name));
    source.on("/keyed", Behaviour::Bytes(package_of("keyed")));
    fill(&source, &data).await;
    assert_eq!(command(&data, &["backup", saved.to_str().unwrap()]).code(), 0);
    let store = StoreProcess::trusting(&source, &data, &[]);
    upload(&store, &source, "default", "more", package_of("more")).await;
    let before = seen(&store).await;
    store.stop();
    assert_eq!(command(&data, &["backup", other.to_str().unwrap()]).code(), 0);

    // In the middle of the packages, and when all rows are written.
    for step in ["blob-committed:3", "commit-due:1"] {
        let arguments = ["restore", other.to_str().unwrap()];
        let killed =
            shared_command(WITH_FAILPOINTS, &operator, &arguments, &settings, &[("LINKGATE_STORE_FAILPOINT", step)]);
        assert_eq!(killed.code, None, "{killed:?}");
        let half = "the database holds half of a restore";
        let mint = TokenMint::new();
        let begun = shared_command(
            "linkgate-store",
            &operator,
            &[],
            &settings,
            &[("LINKGATE_JWT_PUBLIC_KEYS", &mint.setting())],
        );
        assert!(begun.code() == 1 && begun.err.contains(half), "{}", begun.err);
        let refused = shared_command("linkgate-store", &operator, &["verify"], &settings, &[]);
        assert!(refused.code() == 2 && refused.err.contains(half), "{}", refused.err);
        let refused = restore(&operator, &saved, &settings);
        assert!(refused.code() == 2 && refused.err.contains("half of a restore of another backup"), "{}", refused.err);
        let mut connection = PgConnection::connect(&postgres.address()).await.unwrap();
        let rows: i64 =
            sqlx::query_scalar("select count(*) from source_package").fetch_one(&mut connection).await.unwrap();
        assert_eq!(rows, 0, "none counts before all are there");
    }
    let done = restore(&operator, &other, &settings);
    assert_eq!(done.code(), 0);
    assert!(
        done.out.contains(": 8 packages (") && done.out.contains(", 8 of them were there, 0 missing"),
        "{}",
        done.out
    );
    let store = start(&source, &operator, &settings);
    assert_same(&before, &seen(&store).await);
    store.stop();
    let refused = restore(&operator, &other, &settings);
    assert!(refused.code() == 2 && refused.err.contains("the database holds packages already"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_is_refused_and_stays_as_it_is() {
    let Some((_postgres, weed, _keys, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("x")).await);
    let [data, saved, operator] = ["data", "saved", "operator"].map(|name| dir.path().join(name));
    let store = StoreProcess::trusting(&source, &data, &[]);
    upload(&store, &source, "default", "1", package_of("backed up")).await;
    store.stop();
    assert_eq!(command(&data, &["backup", saved.to_str().unwrap()]).code(), 0);

    let store = start(&source, &dir.path().join("store"), &settings);
    upload(&store, &source, "default", "1", package_of("in use")).await;
    let (before, objects) = (seen(&store).await, weed.objects().await);
    let refused = restore(&operator, &saved, &settings);
    assert!(refused.code() == 2 && refused.err.contains("the database holds packages already"), "{}", refused.err);
    // A database of its own, and the bucket of another one.
    let empty = PostgresServer::start();
    let with = |name: &'static str, value: &str| -> Vec<(&'static str, String)> {
        let set = |(known, old): &(&'static str, String)| {
            (*known, if *known == name { value.to_owned() } else { old.clone() })
        };
        settings.iter().map(set).collect()
    };
    let elsewhere = with("LINKGATE_DATABASE_URL", &empty.address());
    let refused = restore(&operator, &saved, &elsewhere);
    assert!(refused.code() == 2 && refused.err.contains("the bucket holds packages"), "{}", refused.err);
    let refused = restore(&operator, &data, &settings);
    assert!(refused.code() == 2 && refused.err.contains("is a data directory, not a backup"), "{}", refused.err);
    let refused = restore(&dir.path().join("store"), &saved, &settings);
    assert!(refused.code() == 2 && refused.err.contains("is used by another store"), "{}", refused.err);
    assert_same(&before, &seen(&store).await);
    assert_eq!(weed.objects().await, objects);
    store.stop();

    let prefix: Vec<_> = elsewhere
        .iter()
        .map(|(name, value)| (*name, if *name == "LINKGATE_S3_PREFIX" { "other/".to_owned() } else { value.clone() }))
        .collect();
    assert_eq!(restore(&operator, &saved, &prefix).code(), 0, "nothing was begun there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_or_missing_in_a_backup_is_told_and_the_rest_is_restored() {
    let Some((_postgres, _weed, _keys, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("x")).await);
    let [data, saved, operator] = ["data", "saved", "operator"].map(|name| dir.path().join(name));
    let store = StoreProcess::trusting(&source, &data, &[]);
    let contents = ["good", "damaged", "missing"];
    for content in contents {
        upload(&store, &source, "default", content, package_of(content)).await;
    }
    store.stop();
    assert_eq!(command(&data, &["backup", saved.to_str().unwrap()]).code(), 0);
    let [_, damaged, missing] = contents.map(|content| sha256_hex(&package_of(content)));
    let backup = DataDirectory::new(&saved);
    std::fs::remove_file(backup.blob(&damaged)).unwrap();
    std::fs::write(backup.blob(&damaged), "other bytes").unwrap();
    std::fs::remove_file(backup.blob(&missing)).unwrap();

    let done = restore(&operator, &saved, &settings);
    assert_eq!(done.code(), 1);
    assert!(done.out.contains(&format!("{damaged} is corrupt in the backup")), "{}", done.out);
    assert!(done.out.contains(&format!("{missing} is in the catalog and missing")), "{}", done.out);
    assert!(done.out.contains(": 1 packages (") && done.out.contains(" 2 missing"), "{}", done.out);
    let found = shared_command("linkgate-store", &operator, &["verify"], &settings, &[]);
    assert_eq!(found.code(), 1);
    for sha256 in [&damaged, &missing] {
        assert!(found.out.contains(&format!("{sha256} is missing, referenced by row")), "{}", found.out);
    }
    let store = start(&source, &operator, &settings);
    for content in ["damaged", "missing"] {
        upload(&store, &source, "default", content, package_of(content)).await;
    }
    let downloaded = store.download(1, &[]).await;
    assert_eq!((downloaded.status, downloaded.bytes), (200, package_of("good")));
    let found = shared_command("linkgate-store", &operator, &["verify"], &settings, &[]);
    assert_eq!(found.code(), 0, "the same bytes again put it right");
}

#[tokio::test]
async fn a_backup_is_counted_and_one_of_an_earlier_release_is_not() {
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("x")).await);
    let [data, saved, older, restored] = ["data", "saved", "older", "restored"].map(|name| dir.path().join(name));
    let store = StoreProcess::trusting(&source, &data, &[]);
    upload(&store, &source, "default", "1", package_of("x")).await;
    store.stop();
    let done = command(&data, &["backup", saved.to_str().unwrap()]);
    let counted = "Rows: module 1, source_package 1, provenance 1, pin 0, event 1, job 1, job_key 0; SHA-256 ";
    assert!(done.code() == 0 && done.out.contains(counted), "{}", done.out);
    DataDirectory::new(&data).execute("delete from _sqlx_migrations where version > 12").await;
    assert_eq!(command(&data, &["backup", older.to_str().unwrap()]).code(), 0);
    let done = command_with(&restored, &["restore", older.to_str().unwrap()], &[]);
    assert!(done.code() == 0 && done.out.contains("The rows are of another release"), "{}", done.out);
}
