//! Where a package came from is recorded, and said in a statement that others can check.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::DecodePublicKey as _;
use ed25519_dalek::{Signature, VerifyingKey};
use linkgate_tests::{
    Behaviour, DataDirectory, FakeSource, RangedFile, TestStore, package_of, package_of_size, redacted, sha256_hex,
};
use serde_json::{Value, json};

/// The statements about a package, each after its signature was checked with the store's public key.
pub(crate) fn statements(directory: &DataDirectory, sha256: &str) -> Vec<Value> {
    let pem = std::fs::read_to_string(directory.path().join("attestation.pub.pem")).unwrap();
    let key = VerifyingKey::from_public_key_pem(&pem).unwrap();
    let path = directory.path().join("attestations").join(&sha256[..2]).join(format!("{sha256}.intoto.jsonl"));
    let lines = std::fs::read_to_string(path).unwrap();
    lines.lines().map(|line| checked(&key, line)).collect()
}

fn checked(key: &VerifyingKey, line: &str) -> Value {
    let envelope: Value = serde_json::from_str(line).unwrap();
    let decode = |text: &Value| STANDARD.decode(text.as_str().unwrap()).unwrap();
    let (payload, kind) = (decode(&envelope["payload"]), envelope["payloadType"].as_str().unwrap());
    assert_eq!(kind, "application/vnd.in-toto+json");
    let signed = [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), &payload].concat();
    let signature = Signature::from_slice(&decode(&envelope["signatures"][0]["sig"])).unwrap();
    key.verify_strict(&signed, &signature).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

fn build_of(statement: &Value) -> &Value {
    &statement["predicate"]["buildDefinition"]
}

/// What differs from one statement to the next.
const VARIES: [&str; 8] = [
    "/predicate/buildDefinition/externalParameters/package_url",
    "/predicate/buildDefinition/resolvedDependencies/0/uri",
    "/predicate/buildDefinition/resolvedDependencies/0/digest/sha256",
    "/predicate/runDetails/builder/version/linkgate-store",
    "/predicate/runDetails/metadata/invocationId",
    "/predicate/runDetails/metadata/startedOn",
    "/predicate/runDetails/metadata/finishedOn",
    "/subject/0/digest/sha256",
];

fn assert_form(statement: &Value) {
    insta::assert_json_snapshot!(redacted(statement.clone(), &VARIES), @r#"
    {
      "_type": "https://in-toto.io/Statement/v1",
      "predicate": {
        "buildDefinition": {
          "buildType": "urn:linkgate:upload-via-link:v1",
          "externalParameters": {
            "app_code": "app_code",
            "module": "default",
            "package_url": "…",
            "version": "0.0.5"
          },
          "internalParameters": {
            "attempts": 1,
            "caller": {
              "app_code": "app_code",
              "operator": "admin",
              "request_id": "request-7"
            },
            "size_bytes": 10000
          },
          "resolvedDependencies": [
            {
              "annotations": {},
              "digest": {
                "sha256": "…"
              },
              "uri": "…"
            }
          ]
        },
        "runDetails": {
          "builder": {
            "id": "urn:linkgate:store",
            "version": {
              "linkgate-store": "…"
            }
          },
          "metadata": {
            "finishedOn": "…",
            "invocationId": "…",
            "startedOn": "…"
          }
        }
      },
      "predicateType": "https://slsa.dev/provenance/v1",
      "subject": [
        {
          "digest": {
            "sha256": "…"
          },
          "name": "moved:0.0.5"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_package_has_a_signed_statement_of_its_source() {
    if linkgate_tests::engine::is_about_directories("it reads the file of a statement") {
        return;
    }
    let body = package_of_size(10_000);
    let source = FakeSource::serving(body.clone()).await;
    source.on("/moved?sign=s3cret", Behaviour::Redirect(302, format!("{}?token=s3cret", source.url())));
    let store = TestStore::trusting(&source).await;
    let request = store.request(source.url_of("/moved?sign=s3cret")).header("x-bkapi-request-id", "request-7");
    assert_eq!(store.send(request).await.status, 200);
    let sha256 = sha256_hex(&body);
    let said = statements(store.directory(), &sha256);
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["subject"][0]["digest"]["sha256"], sha256);
    let build = &said[0]["predicate"]["buildDefinition"];
    let (asked, found) = (&build["externalParameters"]["package_url"], &build["resolvedDependencies"][0]);
    assert_eq!((asked, &found["uri"]), (&json!(source.url_of("/moved")), &json!(source.url())));
    assert_eq!(found["digest"]["sha256"], sha256);
    assert_form(&said[0]);
    let recorded = store.directory().provenance().await;
    assert_eq!(recorded, [(source.url_of("/moved"), Some(source.url()), "request-7".to_owned())]);
    let all = std::fs::read(store.directory().path().join("catalog.sqlite3")).unwrap();
    assert!(!all.windows(6).any(|window| window == b"s3cret"));
}

#[tokio::test]
async fn validators_are_recorded_as_the_source_gave_them() {
    if linkgate_tests::engine::is_about_directories("it reads the file of a statement") {
        return;
    }
    let mut file = RangedFile::new(package_of("abc"));
    (file.etag, file.modified) = (Some("\"v7\"".into()), Some("Tue, 20 Aug 2024 11:37:00 GMT".into()));
    let source = FakeSource::start(Behaviour::Ranged(file)).await;
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let said = &statements(store.directory(), &sha256_hex(&package_of("abc")))[0];
    let said = &build_of(said)["resolvedDependencies"][0]["annotations"];
    assert_eq!((&said["etag"], &said["last_modified"]), (&json!("\"v7\""), &json!("Tue, 20 Aug 2024 11:37:00 GMT")));
}

#[tokio::test]
async fn a_statement_about_bytes_that_were_stored_names_their_source_and_calls_the_link_claimed() {
    if linkgate_tests::engine::is_about_directories("it reads the file of a statement") {
        return;
    }
    let body = package_of_size(1_000);
    let source = FakeSource::serving(body.clone()).await;
    source.on("/moved", Behaviour::Redirect(302, source.url()));
    let store = TestStore::trusting(&source).await;
    let sha256 = sha256_hex(&body);
    assert_eq!(store.send(store.request(source.url_of("/moved"))).await.status, 200);
    let run = &statements(store.directory(), &sha256)[0]["predicate"]["runDetails"];
    let downloaded_by = run["metadata"]["invocationId"].clone();
    // The second reuses what the first has, and the third what the second has.
    for version in ["2", "3"] {
        let link = source.url_of(&format!("/official-{version}?sign=s3cret"));
        let claiming = store.request(link).version(version).field("sha256", sha256.as_str());
        assert_eq!(store.send(claiming).await.status, 200);
        let said = statements(store.directory(), &sha256);
        let build = build_of(&said[0]);
        assert_eq!(build["resolvedDependencies"][0]["uri"], source.url());
        let reused = json!({"job_id": downloaded_by, "package_url": source.url_of("/moved")});
        assert_eq!(build["internalParameters"]["reused"], reused);
        let asked = &build["externalParameters"];
        assert_eq!(asked["claimed_url"], source.url_of(&format!("/official-{version}")));
        assert!(asked.get("package_url").is_none(), "nobody asked it: {asked}");
    }
    let rows = store.directory().provenance().await;
    assert!(rows.iter().all(|(_, final_url, _)| *final_url == Some(source.url())), "{rows:?}");
    // Of what it is not known where it came from, nothing is said: it is downloaded.
    store.directory().execute("update provenance set final_url = null").await;
    let again = store.request(source.url()).version("4").field("sha256", sha256.as_str());
    assert_eq!(store.send(again).await.status, 200);
    let said = &statements(store.directory(), &sha256)[0];
    assert_eq!(build_of(said)["externalParameters"]["package_url"], source.url());
    assert_eq!(source.requests().len(), 3, "the redirect, its target, and the last upload");
    store.finish().await;
}

#[tokio::test]
async fn every_row_of_a_package_has_its_statement_and_those_of_others_go_with_their_bytes() {
    if linkgate_tests::engine::is_about_directories("it reads the file of a statement") {
        return;
    }
    let (old, new) = (package_of_size(1_000), package_of_size(2_000));
    let source = FakeSource::serving(old.clone()).await;
    source.on("/new.tar.gz", Behaviour::Bytes(new.clone()));
    let store = TestStore::trusting(&source).await;
    let sha256 = sha256_hex(&old);
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let held = store.request(source.url()).version("2").field("sha256", sha256.clone());
    assert_eq!(store.send(held).await.status, 200);
    let said = statements(store.directory(), &sha256);
    assert_eq!(said.len(), 2);
    assert!(build_of(&said[0])["internalParameters"]["reused"].is_object(), "the newest first");
    for version in ["0.0.5", "2"] {
        let over = store.request(source.url_of("/new.tar.gz")).version(version).overwriting();
        assert_eq!(store.send(over).await.status, 200);
    }
    assert_eq!(statements(store.directory(), &sha256_hex(&new)).len(), 2);
    let gone = store.directory().path().join("attestations").join(&sha256[..2]).join(format!("{sha256}.intoto.jsonl"));
    assert!(!gone.exists());
    assert_eq!(store.directory().provenance().await.len(), 2);
    store.finish().await;
}
