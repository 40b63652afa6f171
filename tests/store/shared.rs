//! Stores that share a database and a bucket.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::pkcs8::DecodePublicKey as _;
use ed25519_dalek::{Signature, VerifyingKey};
use linkgate_catalog::testing::PostgresServer;
use linkgate_tests::process::{Finished, command_with};
use linkgate_tests::token::good_claims;
use linkgate_tests::weed::{BUCKET, KEY_ID, SECRET, Weed};
use linkgate_tests::{
    FakeSource, SigningKeys, StoreProcess, TokenMint, another_package_of_size, package_of, package_path, sha256_hex,
    wait_until,
};
use reqwest::Method;
use serde_json::{Value, json};

/// In parts, and then some.
const BYTES: usize = 9 << 20;

/// Servers of their own, keys, and the settings of stores on them; none where one of them is not to be had.
pub(super) async fn servers() -> Option<(PostgresServer, Weed, SigningKeys, Vec<(&'static str, String)>)> {
    if let Some(missing) = PostgresServer::missing() {
        println!("not tried: {missing}");
        return None;
    }
    let weed = Weed::start().await?;
    let (postgres, keys) = (PostgresServer::start(), SigningKeys::generate());
    let mut settings = vec![
        ("LINKGATE_DATABASE_URL", postgres.address()),
        ("LINKGATE_S3_BUCKET", BUCKET.to_owned()),
        ("LINKGATE_S3_PREFIX", "packages/".to_owned()),
        ("LINKGATE_S3_ENDPOINT", weed.endpoint()),
        ("LINKGATE_S3_ACCESS_KEY_ID", KEY_ID.to_owned()),
        ("LINKGATE_S3_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ];
    settings.extend(keys.settings());
    Some((postgres, weed, keys, settings))
}

pub(super) fn start(source: &FakeSource, data_dir: &Path, settings: &[(&'static str, String)]) -> StoreProcess {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    StoreProcess::trusting(source, data_dir, &settings)
}

pub(super) fn nothing_is_secret_in(log: &[String]) {
    assert!(!log.iter().any(|line| line.contains(SECRET) || line.contains("postgres://")), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_store_has_stored_another_one_lists_sends_and_deletes() {
    let Some((_postgres, weed, _keys, settings)) = servers().await else { return };
    let (dir, bytes) = (tempfile::tempdir().unwrap(), another_package_of_size(BYTES));
    let source = FakeSource::serving(bytes.clone()).await;
    let one = start(&source, &dir.path().join("one"), &settings);
    let other = start(&source, &dir.path().join("other"), &settings);
    for store in [&one, &other] {
        assert_eq!(store.get("/readyz").await.status, 200);
    }

    let uploaded = one.send(one.request(source.url()).version("1").in_english()).await;
    assert_eq!(uploaded.status, 200, "{}", uploaded.body);
    let id = uploaded.json()["id"].as_i64().unwrap();
    let again = other.send(other.request(source.url()).version("1").in_english()).await;
    assert_eq!((again.status, again.json()["code"].as_str()), (400, Some("PACKAGE_ALREADY_EXISTS")), "{}", again.body);

    let listed = other.send(other.below(Method::GET, "")).await.json();
    assert_eq!((&listed["count"], &listed["results"][0]["id"]), (&json!(1), &json!(id)), "{listed}");
    for store in [&one, &other] {
        let downloaded = store.download(id, &[]).await;
        assert_eq!((downloaded.status, downloaded.bytes == bytes), (200, true));
    }
    let part = other.download(id, &[("range", "bytes=8388600-8388620")]).await;
    assert_eq!((part.status, part.bytes.as_slice()), (206, &bytes[8_388_600..=8_388_620]));

    let deleted = other.send(other.below(Method::DELETE, &format!("{id}/"))).await;
    assert_eq!((deleted.status, &deleted.json()["is_deleted"]), (200, &json!(true)), "{}", deleted.body);
    for store in [&one, &other] {
        let gone = store.download(id, &[]).await;
        assert_eq!((gone.status, gone.code().as_str()), (410, "PACKAGE_DELETED"));
    }
    let listed = one.send(one.below(Method::GET, "")).await.json();
    assert_eq!(listed["count"], json!(0), "{listed}");

    // It may be restored, so its bytes are there: its object, and the statement beside it.
    wait_until(async || {
        let objects = weed.objects().await;
        let has_statement = objects.len() == 2 && objects[1] == format!("{}.intoto.jsonl", objects[0]);
        if has_statement && weed.open_uploads().await.is_empty() { Ok(()) } else { Err(format!("{objects:?}")) }
    })
    .await;
    for (store, name) in [(one, "one"), (other, "other")] {
        nothing_is_secret_in(&store.stop_and_read());
        assert!(!dir.path().join(name).join("catalog.sqlite3").exists(), "it is not in the data directory");
    }
}

/// The payload of a statement, once its signature was checked with the public half in this data directory.
fn checked_statement(envelope: &[u8], data_dir: &Path) -> Value {
    let envelope: Value = serde_json::from_slice(envelope.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let decode = |text: &Value| STANDARD.decode(text.as_str().unwrap()).unwrap();
    let (payload, kind) = (decode(&envelope["payload"]), envelope["payloadType"].as_str().unwrap());
    let signed = [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), &payload].concat();
    check(&data_dir.join("attestation.pub.pem"), &signed, &decode(&envelope["signatures"][0]["sig"]));
    serde_json::from_slice(&payload).unwrap()
}

/// The claims of a link's token, likewise.
fn checked_link(url: &str, data_dir: &Path) -> Value {
    let token = url.split_once("?lg_token=").unwrap().1;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    check(&data_dir.join("signed-urls.pub.pem"), signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap());
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap()).unwrap()
}

fn check(public: &Path, signed: &[u8], signature: &[u8]) {
    let key = VerifyingKey::from_public_key_pem(&std::fs::read_to_string(public).unwrap()).unwrap();
    key.verify_strict(signed, &Signature::from_slice(signature).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_store_has_signed_is_verified_by_what_another_one_has() {
    let Some((_postgres, _weed, keys, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("x")).await);
    let [one_dir, other_dir] = ["one", "other"].map(|name| dir.path().join(name));
    let (one, other) = (start(&source, &one_dir, &settings), start(&source, &other_dir, &settings));
    let id = one.send(one.request(source.url())).await.json()["id"].as_i64().unwrap();

    let statement = other.fetch(Method::GET, id, "attestation/", &[]).await;
    assert_eq!(statement.status, 200);
    let statement = checked_statement(&statement.bytes, &other_dir);
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    for (maker, judge) in [(&one, &other_dir), (&other, &one_dir)] {
        let made = maker.send(maker.about_package(Method::POST, id, "download_url/")).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let claims = checked_link(made.json()["download_url"].as_str().unwrap(), judge);
        assert_eq!(claims["app"], "app_code");
    }
    for (store, data_dir) in [(one, &one_dir), (other, &other_dir)] {
        store.stop();
        for (private, public, given) in [
            ("attestation.key", "attestation.pub.pem", "statements.pub"),
            ("signed-urls.key", "signed-urls.pub.pem", "urls.pub"),
        ] {
            assert!(!data_dir.join(private).exists(), "the key that was given is the only one");
            let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
            assert_eq!(read(data_dir.join(public)), read(keys.path(given)));
        }
    }
}

/// A store that is to refuse to start.
fn refused(data_dir: &Path, settings: &[(&'static str, String)]) -> Finished {
    let mint = TokenMint::new();
    let more = [("LINKGATE_JWT_PUBLIC_KEYS", mint.setting()), ("LINKGATE_STORE_LISTEN", "127.0.0.1:0".to_owned())];
    let settings: Vec<_> = settings.iter().chain(&more).map(|(name, value)| (*name, value.as_str())).collect();
    command_with(data_dir, &[], &settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_another_key_is_refused_unless_that_is_to_replace_the_one_of_the_others() {
    let Some((_postgres, _weed, old, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("x")).await);
    start(&source, &dir.path().join("one"), &settings).stop();

    let (new, shared) = (SigningKeys::generate(), &settings[..settings.len() - 2]);
    let changed = [shared, &new.settings()].concat();
    let other_dir = dir.path().join("other");
    let said = refused(&other_dir, &changed);
    assert_eq!(said.code(), 1);
    for part in [&old.ids[0], &new.ids[0], "LINKGATE_STORE_REPLACED_KEYS"] {
        assert!(said.err.contains(part), "{part} in {}", said.err);
    }
    let rotating = [&changed[..], &[("LINKGATE_STORE_REPLACED_KEYS", old.ids.join(","))]].concat();
    start(&source, &other_dir, &rotating).stop();
    start(&source, &other_dir, &changed).stop();
    let left_behind = refused(&dir.path().join("one"), &settings);
    assert_eq!(left_behind.code(), 1);
    assert!(left_behind.err.contains(&new.ids[0]), "{}", left_behind.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_another_bucket_or_another_ones_is_refused() {
    let Some((_postgres, weed, _keys, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("x")).await);
    let (another, other_dir) = (PostgresServer::start(), dir.path().join("other"));
    let with = |changed: &'static str, value: &str| -> Vec<(&'static str, String)> {
        let own = settings.iter().filter(|(name, _)| *name != changed).cloned();
        own.chain([(changed, value.to_owned())]).collect()
    };
    let store = start(&source, &dir.path().join("one"), &settings);
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    store.stop();
    let objects = weed.objects().await;

    let empty = Weed::start().await.expect("there is one");
    let [elsewhere, below, anothers] = [
        with("LINKGATE_S3_ENDPOINT", &empty.endpoint()),
        with("LINKGATE_S3_PREFIX", "elsewhere/"),
        with("LINKGATE_DATABASE_URL", &another.address()),
    ];
    for (settings, why) in [
        (&elsewhere, "the packages of this database are not there"),
        (&below, "the packages of this database are not there"),
        (&anothers, "the packages there are of another database"),
    ] {
        let said = refused(&other_dir, settings);
        assert!(said.code() == 1 && said.err.contains(why), "{}", said.err);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for command in [&["verify", "--repair"][..], &["gc"]] {
            let said = command_with(&other_dir, command, &settings);
            assert!(said.code() == 2 && (said.err.contains(why) || said.err.contains("no store")), "{}", said.err);
        }
    }
    assert_eq!((weed.objects().await, empty.objects().await), (objects, Vec::new()));
    start(&source, &dir.path().join("one"), &settings).stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_open_what_the_others_seal_is_refused() {
    let Some((_postgres, _weed, _keys, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("x")).await);
    let [old, new] = ["01d5ea15", "0e35ea15"].map(|digits| digits.repeat(8));
    let with = |keys: &[&str]| [&settings[..], &[("LINKGATE_STORE_SEALING_KEY", keys.join("\n"))]].concat();
    start(&source, &dir.path().join("one"), &with(&[&old])).stop();

    let other_dir = dir.path().join("other");
    for lacking in [settings.clone(), with(&[&new])] {
        let said = refused(&other_dir, &lacking);
        assert_eq!(said.code(), 1);
        for part in ["seal with the key", "LINKGATE_STORE_SEALING_KEY_FILE", "LINKGATE_STORE_REPLACED_KEYS"] {
            assert!(said.err.contains(part), "{part} in {}", said.err);
        }
        assert!(!said.err.contains("5ea15"), "{}", said.err);
    }
    start(&source, &other_dir, &with(&[&new, &old])).stop();
    assert_eq!(refused(&dir.path().join("one"), &with(&[&old])).code(), 1, "it was left behind");
    let lost = refused(&other_dir, &with(&[&old])).err;
    let id = lost.split_once("with the key ").unwrap().1.split_once(',').unwrap().0;
    let gives_it_up = [&settings[..], &[("LINKGATE_STORE_REPLACED_KEYS", id.to_owned())]].concat();
    start(&source, &other_dir, &gives_it_up).stop();
}

#[tokio::test]
async fn stores_that_share_are_not_started_without_a_key_or_with_one_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, keys) = (tempfile::tempdir().unwrap(), SigningKeys::generate());
    let shared = [
        ("LINKGATE_DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d".to_owned()),
        ("LINKGATE_S3_BUCKET", BUCKET.to_owned()),
    ];
    let without = refused(dir.path(), &shared);
    assert_eq!(without.code(), 64);
    for setting in ["LINKGATE_STORE_STATEMENT_KEY_FILE", "LINKGATE_STORE_URL_KEY_FILE"] {
        assert!(without.err.contains(&format!("{setting} is required")), "{}", without.err);
    }
    std::fs::set_permissions(keys.path("urls"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let readable = refused(dir.path(), &[&shared[..], &keys.settings()].concat());
    assert_eq!(readable.code(), 64);
    assert!(readable.err.contains("LINKGATE_STORE_URL_KEY_FILE names") && readable.err.contains("chmod 600"));
    assert!(!readable.err.contains("LINKGATE_STORE_STATEMENT_KEY_FILE"), "{}", readable.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_signed_url_is_sent_to_the_bucket_and_nobody_else() {
    let Some((_postgres, weed, _keys, mut settings)) = servers().await else { return };
    settings.push(("LINKGATE_S3_REDIRECT_ENDPOINT", weed.endpoint()));
    let (dir, bytes) = (tempfile::tempdir().unwrap(), package_of("for others"));
    let source = FakeSource::serving(bytes.clone()).await;
    let store = start(&source, dir.path(), &settings);
    let uploaded = store.send(store.request(source.url()).version("1")).await.json();
    let id = uploaded["id"].as_i64().unwrap();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let ask = |method: Method, expected: Option<&str>| {
        let mut claims = good_claims();
        claims["linkgate"] = json!({"action": "download", "expected_sha256": expected});
        let url = format!("{}{}", store.base(), package_path(id, "download/"));
        client.request(method, url).header("x-bkapi-jwt", store.mint().sign(&claims))
    };
    let sha256 = sha256_hex(&bytes);
    let sent = ask(Method::GET, Some(&sha256)).send().await.unwrap();
    assert_eq!((sent.status().as_u16(), sent.headers()["x-checksum-sha256"].to_str().unwrap()), (302, sha256.as_str()));
    assert_eq!(sent.headers()["cache-control"], "no-store");
    let there = sent.headers()["location"].to_str().unwrap().to_owned();
    assert!(there.starts_with(&weed.endpoint()) && there.contains("X-Amz-Expires=300") && !there.contains(SECRET));
    let got = client.get(&there).send().await.unwrap();
    let named = got.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(named.starts_with("attachment; filename=\"") && named.contains("tar.gz"), "{named}");
    assert_eq!(got.headers()["content-type"], "application/gzip");
    assert_eq!(got.bytes().await.unwrap(), bytes);
    let part = client.get(&there).header("range", "bytes=1-3").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap().as_ref()), (206, &bytes[1..4]));
    let other = client.get(there.replace("X-Amz-Expires=300", "X-Amz-Expires=3000")).send().await.unwrap();
    assert_eq!(other.status(), 403, "it is good for this time and no longer");

    // The head, what the caller has already, and whoever has a header that would go along: from the store.
    assert_eq!(ask(Method::HEAD, Some(&sha256)).send().await.unwrap().status(), 200);
    let has = ask(Method::GET, Some(&sha256)).header("if-none-match", format!("\"{sha256}\"")).send().await.unwrap();
    assert_eq!(has.status(), 304);
    let known = ask(Method::GET, None).send().await.unwrap();
    assert_eq!((known.status().as_u16(), known.bytes().await.unwrap()), (200, bytes.into()));
    // Other bytes, and a deleted package, have no address.
    assert_eq!(ask(Method::GET, Some(&"0".repeat(64))).send().await.unwrap().status(), 410);
    assert_eq!(store.send(store.below(Method::DELETE, &format!("{id}/"))).await.status, 200);
    assert_eq!(ask(Method::GET, Some(&sha256)).send().await.unwrap().status(), 410);
    nothing_is_secret_in(&store.stop_and_read());
}
