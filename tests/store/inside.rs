//! What is inside a package decides whether it is kept, and what is recorded of it.

use linkgate_tests::token::good_claims;
use linkgate_tests::{
    Behaviour, Compression, FakeSource, Row, TestStore, allow_unknown_formats, bytes, sha256_hex, tar, trust, zip,
};
use serde_json::{Value, json};

use crate::{assert_field_refused, assert_refused};

const DESCRIPTION: &[u8] = b"spec_version: 2\napp_version: 1.10\napp:\n  bk_app_code: app_code\n";

/// Where the operator allows files that are no archives.
async fn lenient(source: &FakeSource) -> TestStore {
    TestStore::with(|config| {
        trust(config, &[source]);
        allow_unknown_formats(config, "the test is about files that are no archives");
    })
    .await
}

fn app() -> [(&'static str, &'static [u8]); 2] {
    [("app/app_desc.yaml", DESCRIPTION), ("app/main.py", b"print('hello')\n")]
}

fn meta_info(row: &Row) -> Value {
    serde_json::from_str(row.meta_info.as_deref().unwrap()).unwrap()
}

#[tokio::test]
async fn every_format_is_told_by_its_content_and_its_description_is_recorded() {
    for (format, package) in [
        ("tar", tar(&app(), Compression::None)),
        ("tar.gz", tar(&app(), Compression::Gzip)),
        ("tar.bz2", tar(&app(), Compression::Bzip2)),
        ("tar.xz", tar(&app(), Compression::Xz)),
        ("tar.zst", tar(&app(), Compression::Zstd)),
        ("zip", zip(&app())),
    ] {
        let source = FakeSource::serving(package.clone()).await;
        let store = TestStore::trusting(&source).await;
        let reply = store.send(store.request(source.url_of("/any.name")).without("version")).await;
        assert_eq!((reply.status, &reply.json()["version"]), (200, &json!("1.10")), "{format}: {}", reply.body);
        assert_eq!(reply.json()["package_name"], "any:1.10");
        let row = store.rows().await.remove(0);
        assert_eq!((row.format.as_deref(), row.relative_path.as_str()), (Some(format), "app/"));
        assert_eq!(meta_info(&row)["app"]["bk_app_code"], "app_code", "{format}");
        assert_eq!(row.declared_version.as_deref(), Some("1.10"));
        assert!(row.entries >= Some(2) && row.unpacked_bytes > Some(50), "{row:?}");
        assert_eq!(store.stored_files(), [sha256_hex(&package)]);
        store.finish().await;
    }
}

#[tokio::test]
async fn the_version_of_the_request_wins() {
    let source = FakeSource::serving(tar(&app(), Compression::Gzip)).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(store.request(source.url()).version("7.0")).await;
    assert_eq!(reply.json()["version"], "7.0");
    let row = store.rows().await.remove(0);
    assert_eq!((row.version.as_str(), row.declared_version.as_deref()), ("7.0", Some("1.10")));
}

#[tokio::test]
async fn a_version_that_is_nowhere_is_asked_for() {
    let source = FakeSource::serving(tar(&[("a.txt", b"a")], Compression::Gzip)).await;
    let store = TestStore::trusting(&source).await;
    let request = store.request(source.url()).without("version");
    let message = "Give a version: the package has no app_desc.yaml, or none with a version in it.";
    assert_field_refused(&store, request, "version", message).await;

    let opaque = FakeSource::serving(bytes(1000)).await;
    let lenient = lenient(&opaque).await;
    let request = lenient.request(opaque.url()).without("version");
    let message = "Give a version: the file is no archive that could name one.";
    assert_field_refused(&lenient, request, "version", message).await;
}

#[tokio::test]
async fn the_versions_own_rules_hold_for_packages_too() {
    let description: &[u8] = b"spec_version: 2\napp_version: ' '\n";
    let source = FakeSource::serving(tar(&[("app_desc.yml", description)], Compression::Gzip)).await;
    let store = TestStore::trusting(&source).await;
    let detail = "app_desc.yml: its version may not be blank";
    let request = store.request(source.url()).without("version");
    assert_refused(&store, request, 400, "PACKAGE_DESCRIPTION_INVALID", detail).await;
    // The request's version wins, so nobody needs the other one.
    let reply = store.send(store.request(source.url()).version("7.0")).await;
    assert_eq!((reply.status, reply.json()["version"].as_str()), (200, Some("7.0")), "{reply:?}");
}

#[tokio::test]
async fn what_is_no_good_package_is_refused_with_its_fault() {
    let good = tar(&app(), Compression::Gzip);
    let (mut damaged, cut) = (good.clone(), &good[..good.len() - 5]);
    let end = damaged.len() - 6;
    damaged[end] ^= 1;
    let up: &[(&str, &[u8])] = &[("../up", b"x")];
    let anchors: &[(&str, &[u8])] = &[("app_desc.yaml", b"a: 1\nb: *c\n")];
    let zeros = vec![0; 64 << 20];
    let bomb: &[(&str, &[u8])] = &[("zeros", &zeros)];
    let unsupported = |looks: &str| {
        format!("This is no package, it looks like {looks}; supported are: tar, tar.gz, tar.bz2, tar.xz, tar.zst, zip")
    };
    let cases = [
        (bytes(2_000), "PACKAGE_FORMAT_UNSUPPORTED", unsupported("unknown binary data")),
        (Vec::new(), "PACKAGE_FORMAT_UNSUPPORTED", unsupported("an empty file")),
        (b"#!/bin/sh\n".to_vec(), "PACKAGE_FORMAT_UNSUPPORTED", unsupported("a script")),
        (cut.to_vec(), "PACKAGE_BROKEN", "The tar.gz archive is broken: it is cut off".to_owned()),
        (damaged, "PACKAGE_BROKEN", "The tar.gz archive is broken: its compressed data are damaged".to_owned()),
        (tar(up, Compression::Zstd), "PACKAGE_MEMBER_REFUSED", "../up: the path has `..` in it".to_owned()),
        (zip(up), "PACKAGE_MEMBER_REFUSED", "../up: the path has `..` in it".to_owned()),
        (
            tar(anchors, Compression::None),
            "PACKAGE_DESCRIPTION_INVALID",
            "app_desc.yaml: line 2, column 4: while parsing node, found unknown anchor".to_owned(),
        ),
        (
            tar(bomb, Compression::Gzip),
            "PACKAGE_LIMIT_EXCEEDED",
            "The package has more than 100 unpacked bytes for each packed one".to_owned(),
        ),
    ];
    for (package, code, detail) in cases {
        let source = FakeSource::serving(package).await;
        let store = TestStore::trusting(&source).await;
        assert_refused(&store, store.request(source.url()), 400, code, &detail).await;
        store.finish().await;
    }
}

#[tokio::test]
async fn a_file_that_is_no_archive_passes_for_the_token_that_says_so_alone() {
    let file = bytes(1_000);
    let source = FakeSource::serving(file.clone()).await;
    let store = TestStore::trusting(&source).await;
    let mut claims = good_claims();
    claims["linkgate"] = json!({"opaque": true});
    let allowed = store.mint().sign(&claims);
    let request = |version: &str| store.request(source.url()).version(version);
    assert_eq!(store.send(request("1").token(Some(allowed.clone()))).await.status, 200);
    // Nor is what is kept already recorded for another one, with its digest and without a download.
    for request in [request("2"), request("2").field("sha256", sha256_hex(&file))] {
        let reply = store.send(request).await;
        assert_eq!(
            (reply.status, reply.json()["code"].as_str()),
            (400, Some("PACKAGE_FORMAT_UNSUPPORTED")),
            "{reply:?}"
        );
    }
    assert_eq!(store.rows().await.len(), 1);
    let held = request("2").token(Some(allowed)).field("sha256", sha256_hex(&file));
    assert_eq!((store.send(held).await.status, source.requests().len()), (200, 3));
}

#[tokio::test]
async fn files_that_are_no_archives_pass_where_the_operator_says_so_but_empty_ones_and_broken_archives_never() {
    let source = FakeSource::serving(bytes(1_000)).await;
    let store = lenient(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    assert_eq!(store.rows().await[0].format.as_deref(), Some("opaque"));
    let good = tar(&app(), Compression::Xz);
    for (bad, code) in [(Vec::new(), "PACKAGE_FORMAT_UNSUPPORTED"), (good[..good.len() / 2].to_vec(), "PACKAGE_BROKEN")]
    {
        let source = FakeSource::serving(bad).await;
        let store = lenient(&source).await;
        let reply = store.send(store.request(source.url())).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some(code)));
        store.directory().assert_empty().await;
    }
}

#[tokio::test]
async fn faults_are_told_in_chinese_too() {
    let up: &[(&str, &[u8])] = &[("../up", b"x")];
    let source = FakeSource::serving(tar(up, Compression::Gzip)).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(store.request(source.url())).await;
    assert_eq!(reply.json(), json!({"code": "PACKAGE_MEMBER_REFUSED", "detail": "../up：路径中含有 `..`"}));
}

#[tokio::test]
async fn a_bad_package_ends_its_download_at_once() {
    // Half of it comes, and the rest would never.
    let mut package = tar(&[("../up", b"x")], Compression::None);
    package.resize(1 << 20, 0);
    let source = FakeSource::start(Behaviour::Held(package)).await;
    let store = TestStore::trusting(&source).await;
    let request = store.request(source.url());
    assert_refused(&store, request, 400, "PACKAGE_MEMBER_REFUSED", "../up: the path has `..` in it").await;
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_must_prove_that_it_is_whole() {
    let package = tar(&app(), Compression::Gzip);
    for whole in [package.clone(), zip(&app())] {
        let source = FakeSource::start(Behaviour::UntilClose(whole.clone())).await;
        let store = TestStore::trusting(&source).await;
        assert_eq!(store.send(store.request(source.url())).await.status, 200);
        assert_eq!(store.stored_files(), [sha256_hex(&whole)]);
    }
    let source = FakeSource::start(Behaviour::UntilClose(package[..package.len() / 2].to_vec())).await;
    let store = TestStore::trusting(&source).await;
    let request = store.request(source.url());
    assert_refused(&store, request, 400, "PACKAGE_BROKEN", "The tar.gz archive is broken: it is cut off").await;

    let opaque = bytes(1_000);
    let source = FakeSource::start(Behaviour::UntilClose(opaque.clone())).await;
    let store = lenient(&source).await;
    let detail = "The package_url could not be read: the source did not say how long the file is, so it may be cut off; \
                  give its sha256 or its size";
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", detail).await;
    for (field, value) in [("sha256", json!(sha256_hex(&opaque))), ("size", json!(1_000))] {
        let reply = store.send(store.request(source.url()).version(field).field(field, value)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
}

#[tokio::test]
async fn a_checksum_that_does_not_fit_is_said_before_what_is_wrong_inside() {
    let package = tar(&app(), Compression::Gzip);
    let cut = package[..package.len() - 5].to_vec();
    let source = FakeSource::serving(cut.clone()).await;
    let store = TestStore::trusting(&source).await;
    let (expected, got) = (sha256_hex(&package), sha256_hex(&cut));
    let detail = format!("The package has another SHA-256: expected {expected}, got {got}");
    let request = store.request(source.url()).field("sha256", expected);
    assert_refused(&store, request, 400, "CHECKSUM_MISMATCH", &detail).await;
}

#[tokio::test]
async fn a_package_that_is_held_brings_its_description_along() {
    let package = tar(&app(), Compression::Gzip);
    let source = FakeSource::serving(package.clone()).await;
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let held = store.request(source.url()).without("version").field("sha256", sha256_hex(&package));
    let reply = store.send(held).await;
    assert_eq!((reply.status, &reply.json()["version"]), (200, &json!("1.10")), "{}", reply.body);
    assert_eq!(source.requests().len(), 1, "no second download");
    let rows = store.rows().await;
    let inside = |row: &Row| (row.format.clone(), row.relative_path.clone(), row.meta_info.clone(), row.entries);
    assert_eq!(inside(&rows[0]), inside(&rows[1]));
}

#[tokio::test]
async fn a_package_that_was_never_looked_into_is_downloaded_again() {
    let package = tar(&app(), Compression::Gzip);
    let source = FakeSource::serving(package.clone()).await;
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    // As a store of the release before left it.
    store.directory().execute("update source_package set format = null, entries = null, unpacked_bytes = null").await;
    let again = store.request(source.url()).version("2").field("sha256", sha256_hex(&package));
    assert_eq!(store.send(again).await.status, 200);
    assert_eq!(source.requests().len(), 2);
    assert_eq!(store.rows().await[1].format.as_deref(), Some("tar.gz"));
}

#[tokio::test]
async fn a_restarted_download_is_looked_into_from_its_beginning() {
    let package = tar(&app(), Compression::None);
    let broken = Behaviour::Announce(package.len() as u64, package[..700].to_vec());
    let source = FakeSource::start(Behaviour::Turns(vec![broken, Behaviour::Bytes(package.clone())])).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(store.request(source.url())).await;
    assert_eq!((reply.status, source.requests().len()), (200, 2), "{}", reply.body);
    assert_eq!(store.stored_files(), [sha256_hex(&package)]);
}
