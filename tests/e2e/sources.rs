//! Sources that are not what they should be: each ends in a clear refusal, and nothing is kept.

use std::time::Duration;

use linkgate_tests::{Behaviour, Compression, package_of, package_of_size, tar, unknown_formats_allowed};

use crate::replies::{WholeStack, assert_problem};

const STRICT: &[(&str, &str)] = &[("LINKGATE_FETCH_MAX_BYTES", "1000"), ("LINKGATE_FETCH_RETRY_DELAY_MS", "1")];
/// Every time is over soon; nothing is to succeed here.
const IMPATIENT: &[(&str, &str)] = &[
    ("LINKGATE_FETCH_CONNECT_TIMEOUT_S", "1"),
    ("LINKGATE_FETCH_IDLE_TIMEOUT_S", "1"),
    ("LINKGATE_FETCH_TOTAL_TIMEOUT_S", "3"),
];

fn problem(code: &str, detail: &str) -> String {
    format!(r#"{{"code":"{code}","detail":"{detail}"}}"#)
}

#[tokio::test]
async fn a_source_that_fails_is_named_as_the_cause() {
    let stack = WholeStack::with(STRICT).await;
    let body = || package_of_size(500);
    assert_named(
        &stack,
        [
            ("/404", Behaviour::Status(404), "SOURCE_UNREACHABLE", 502),
            ("/500", Behaviour::Status(500), "SOURCE_UNREACHABLE", 502),
            ("/lies-more", Behaviour::Announce(900, body()), "SOURCE_UNREACHABLE", 502),
            ("/broken-chunks", Behaviour::BrokenChunks(body()), "SOURCE_UNREACHABLE", 502),
            ("/closes", Behaviour::Raw(Vec::new()), "SOURCE_UNREACHABLE", 502),
            ("/nonsense", Behaviour::Raw(b"nonsense\r\n\r\n".to_vec()), "SOURCE_UNREACHABLE", 502),
            ("/gzip", Behaviour::Encoded("gzip", body()), "SOURCE_UNREACHABLE", 502),
        ],
    )
    .await;
    let reply = stack.refuse(stack.request(stack.source().url_of("/404"))).await;
    assert!(reply.body.contains("404"), "{reply:?}");
}

#[tokio::test]
async fn a_source_that_takes_too_long_is_named_as_the_cause() {
    let stack = WholeStack::with(IMPATIENT).await;
    let body = || package_of_size(500);
    assert_named(
        &stack,
        [
            ("/stalls", Behaviour::StallBeforeHead, "SOURCE_TIMEOUT", 504),
            ("/stalls-within", Behaviour::StallInBody(body()), "SOURCE_TIMEOUT", 504),
            ("/drips", Behaviour::Drip(body(), Duration::from_millis(100)), "SOURCE_TIMEOUT", 504),
        ],
    )
    .await;
}

/// Links each, and expects this refusal with a reason that names no address.
async fn assert_named<const N: usize>(stack: &WholeStack, cases: [(&str, Behaviour, &str, u16); N]) {
    for (path, behaviour, code, status) in cases {
        let reply = stack.refuse(stack.request(stack.link_to(path, behaviour))).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (status, Some(code)), "{path}: {reply:?}");
        assert_eq!(reply.header("bkapi-error-code"), Some(code));
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(!detail.is_empty() && !detail.contains("127.0.0.1"), "{path}: {detail}");
    }
}

#[tokio::test]
async fn the_size_limit_holds_whatever_the_source_says() {
    let lenient = unknown_formats_allowed("a body without an end has no format");
    let stack = WholeStack::with(&[STRICT, &[lenient]].concat()).await;
    let cases = [
        ("/over", Behaviour::Bytes(package_of_size(1_001))),
        ("/over-in-chunks", Behaviour::Chunked(package_of_size(1_001), 100)),
        ("/over-until-close", Behaviour::UntilClose(package_of_size(1_001))),
        ("/endless", Behaviour::Endless),
    ];
    for (path, behaviour) in cases {
        let reply = stack.refuse(stack.request(stack.link_to(path, behaviour))).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("PACKAGE_TOO_LARGE")), "{path}");
        assert!(reply.body.contains("1000 bytes"), "{reply:?}");
    }
    let good = [
        ("/below", Behaviour::Bytes(package_of_size(999))),
        ("/at", Behaviour::Bytes(package_of_size(1_000))),
        ("/at-in-chunks", Behaviour::Chunked(package_of_size(1_000), 100)),
    ];
    for (path, behaviour) in good {
        let reply = stack.send(stack.request(stack.link_to(path, behaviour)).version(path)).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    }
    assert_eq!(stack.rows().await.len(), 3);
}

#[tokio::test]
async fn a_link_leads_only_where_it_may() {
    let stack = WholeStack::new().await;
    let other = linkgate_tests::FakeSource::serving(package_of("elsewhere")).await;
    let cases = [
        stack.link_to("/leaves", Behaviour::Redirect(302, other.url())),
        stack.link_to("/leaves-by-name", Behaviour::Redirect(307, format!("http://localhost:{}/", other.port()))),
        stack.link_to("/metadata", Behaviour::Redirect(302, "http://169.254.169.254/latest/".to_owned())),
        // Allowed as a host, but its address is not public, and it is not listed as private.
        format!("http://localhost:{}/generic/example.tar.gz", stack.source().port()),
    ];
    for link in cases {
        let reply = stack.refuse(stack.request(&link)).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("VALIDATION_ERROR")), "{link}: {reply:?}");
        assert!(reply.json()["fields_detail"]["package_url"].is_array(), "{reply:?}");
    }
    assert!(other.requests().is_empty(), "the host that is not allowed was never asked");
    let looped = stack.link_to("/loop", Behaviour::Redirect(302, "/loop".to_owned()));
    let reply = stack.refuse(stack.request(looped)).await;
    assert_eq!(reply.json()["code"], "SOURCE_UNREACHABLE", "{reply:?}");
    let within = stack.link_to("/moved", Behaviour::Redirect(302, "/generic/example.tar.gz".to_owned()));
    assert_eq!(stack.send(stack.request(within)).await.status, 200);
}

#[tokio::test]
async fn a_version_that_is_nowhere_is_asked_for() {
    let stack = WholeStack::new().await;
    let reply = stack.refuse(stack.request(stack.source().url()).without("version")).await;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("VALIDATION_ERROR")));
    assert!(reply.json()["fields_detail"]["version"].is_array(), "{reply:?}");
}

#[tokio::test]
async fn a_version_that_the_package_names_need_not_be_given() {
    let stack = WholeStack::new().await;
    let files: &[(&str, &[u8])] = &[("app/app_desc.yaml", b"spec_version: 2\napp_version: 1.10\n")];
    stack.source().on("/named.tar.gz", Behaviour::Bytes(tar(files, Compression::Gzip)));
    let reply =
        stack.request(stack.source().url_of("/named.tar.gz")).without("version").send(stack.gateway().base()).await;
    assert_eq!((reply.status, reply.json()["version"].as_str()), (200, Some("1.10")), "{}", reply.body);
}

#[tokio::test]
async fn a_module_that_takes_no_packages_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let modules = dir.path().join("modules.toml");
    let text = "unknown_modules = \"refuse\"\n[[modules]]\napp_code = \"app_code\"\nmodule = \"git\"\nsource_origin = \"authorized_vcs\"\n";
    std::fs::write(&modules, text).unwrap();
    let stack = WholeStack::with(&[("LINKGATE_MODULES_FILE", modules.to_str().unwrap())]).await;
    let on = |module: &str| {
        stack
            .request(stack.source().url())
            .path(format!("/stag/bkapps/applications/app_code/modules/{module}/source_package/link/"))
    };
    let chinese = stack.send(on("git")).await;
    let body = r#"{"code":"UNSUPPORTED_SOURCE_ORIGIN","detail":"未支持的源码来源"}"#;
    assert_problem(&chinese, 400, "UNSUPPORTED_SOURCE_ORIGIN", Some("4312008"), body);
    let english = stack.refuse(on("git")).await;
    let body = problem("UNSUPPORTED_SOURCE_ORIGIN", "Unsupported source origin");
    assert_problem(&english, 400, "UNSUPPORTED_SOURCE_ORIGIN", Some("4312008"), &body);
    assert_eq!(stack.refuse(on("unknown")).await.status, 404);
    assert!(stack.source().requests().is_empty());
}

#[tokio::test]
async fn a_link_reaches_its_source_byte_for_byte_also_by_way_of_a_job() {
    let stack = WholeStack::new().await;
    let written = "/a'b|c/example.tgz?sign='x'&y={z}^`\"<>&%&n=%c3%a9?";
    let line = format!("GET {written} HTTP/1.1\r\n");
    let reply = stack.send(stack.request(stack.source().url_of(written))).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let later = stack.request(stack.source().url_of(written)).version("2").header("prefer", "respond-async");
    assert_eq!(stack.send(later).await.status, 202);
    stack.source().wait_for_requests(2).await;
    let asked = stack.source().requests();
    assert!(asked.iter().all(|head| head.starts_with(&line)), "{asked:?}");
}
