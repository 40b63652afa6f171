//! Uploads, jobs that are watched, and downloads that resume, against a gateway of a script.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panic")]

mod support;

use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, Mutex};

use linkgate_client::{Accepted, Credentials, DownloadHead, Error, FileSource, FileUpload, LinkUpload};
use linkgate_contract::{FileName, JobState, PackageId, Sha256};
use serde_json::{Value, json};
use sha2::Digest as _;
use support::{Gateway, Turn, json, module};

const JOB: &str = "0198c3a4-5f00-7abc-8def-0123456789ab";
const ID: PackageId = PackageId::from_row(7);

fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}

fn package(bytes: &[u8]) -> Value {
    json!({
        "id": 7, "version": "1.0", "package_name": "app.tgz", "package_size": bytes.len().to_string(),
        "sha256_signature": digest(bytes), "is_deleted": false, "updated": "2026-01-01 00:00:00",
        "created": "2026-01-01 00:00:00", "operator": "admin",
    })
}

fn job(state: &str, received: u64) -> Value {
    let mut job = json!({
        "job_id": JOB, "state": state, "received_bytes": received, "total_bytes": 7, "attempts": 1,
        "created": "2026-01-01 00:00:00", "started": null, "ended": null,
    });
    match state {
        "done" => job["package"] = package(b"package"),
        "failed" => job["error"] = json!({"code": "SOURCE_UNREACHABLE", "detail": "no"}),
        _ => {}
    }
    job
}

fn event(state: &str, received: u64) -> String {
    format!("event:{state}\ndata:{}\nid:{state}\nretry:5000\n\n", job(state, received))
}

fn upload() -> FileUpload {
    FileUpload::new(FileName::new("app.tgz").unwrap()).unwrap()
}

/// How chunks frame these bytes is of no interest here.
fn holds(body: &[u8], bytes: &[u8]) -> bool {
    body.windows(bytes.len()).any(|window| window == bytes)
}

#[tokio::test]
async fn an_upload_by_link_is_begun_once_under_one_key() {
    let gateway =
        Gateway::start(vec![Turn::HangUp, json(202, &job("queued", 0)), json(200, &package(b"package"))]).await;
    let client = gateway.client();
    let link = LinkUpload { allow_overwrite: true, ..LinkUpload::new("https://example.com/a.tgz").unwrap() };
    let Accepted::Job(begun) = client.begin_upload(&module(), &link).await.unwrap() else { panic!("a job") };
    assert_eq!((begun.job_id.to_string().as_str(), begun.state), (JOB, JobState::Queued));
    let Accepted::Stored(stored) = client.begin_upload(&module(), &link).await.unwrap() else { panic!("a package") };
    assert_eq!(stored.id, ID);
    let seen = gateway.seen();
    assert_eq!(seen.len(), 3);
    for seen in seen {
        assert_eq!(seen.header("idempotency-key"), Some(link.key.as_str()));
        assert_eq!(seen.header("prefer"), Some("respond-async"));
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(body, json!({"package_url": "https://example.com/a.tgz", "allow_overwrite": true}));
    }
}

#[tokio::test]
async fn a_watch_goes_on_over_connections_that_break() {
    let stopped = Turn::Reply(503, Vec::new(), br#"{"code": "SERVICE_UNAVAILABLE", "detail": "stopping"}"#.to_vec());
    let crowded = vec![("retry-after", "0".to_owned())];
    let crowded = Turn::Reply(429, crowded, br#"{"code": "TOO_MANY_REQUESTS", "detail": "many"}"#.to_vec());
    let events = |text: String| Turn::Events(text);
    let script = vec![
        events(format!(":\n\n{}{}", event("queued", 0), event("fetching", 3))),
        Turn::HangUp,
        stopped,
        events(event("fetching", 4)[..60].to_owned()),
        crowded,
        json(200, &job("fetching", 5)),
        events(event("storing", 7) + &event("done", 7)),
    ];
    let gateway = Gateway::start(script).await;
    let client = gateway.client();
    let mut heard = Vec::new();
    let watch = client.watch_job(&module(), JOB.parse().unwrap());
    let done = watch.finish(|job| heard.push((job.state.name(), job.received_bytes))).await.unwrap();
    assert_eq!(heard, [("queued", 0), ("fetching", 3), ("fetching", 5), ("storing", 7), ("done", 7)]);
    assert_eq!(done.package.unwrap().id, ID);
    assert_eq!(gateway.seen()[0].header("accept"), Some("text/event-stream"));
    assert_eq!(gateway.seen().len(), 7);
}

#[tokio::test]
async fn a_job_that_failed_says_why_and_an_unknown_one_is_no_job() {
    let unknown = json(404, &json!({"code": "ERROR", "detail": "Not found"}));
    let gateway = Gateway::start(vec![Turn::Events(event("failed", 3)), unknown]).await;
    let client = gateway.client();
    let watch = || client.watch_job(&module(), JOB.parse().unwrap());
    let Err(error @ Error::JobEnded(_)) = watch().finish(|_| ()).await else { panic!("it failed") };
    assert_eq!(error.refusal().unwrap().code, "SOURCE_UNREACHABLE");
    assert!(matches!(watch().next().await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn a_file_is_sent_whole_and_the_reply_is_held_against_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.tgz");
    let bytes = vec![7; 700_000];
    std::fs::write(&path, &bytes).unwrap();
    let script = vec![Turn::HangUp, json(200, &package(&bytes)), json(200, &package(b"other"))];
    let gateway = Gateway::start(script).await;
    let (client, source) = (gateway.client(), FileSource::Path(path.clone()));
    let told = Arc::new(Mutex::new(0));
    let listener = Arc::clone(&told);
    let progress = Arc::new(move |sent| *listener.lock().unwrap() = sent);
    let stored = client.upload_file(&module(), &upload(), &source, Some(progress)).await.unwrap();
    assert_eq!((stored.sha256_signature, *told.lock().unwrap()), (digest(&bytes), 700_000));
    let seen = &gateway.seen()[1];
    assert!(seen.line.starts_with("PUT /stag/") && seen.line.ends_with("/upload/app.tgz HTTP/1.1"), "{}", seen.line);
    assert_eq!((seen.header("content-length"), seen.body.len()), (Some("700000"), 700_000));
    let other = client.upload_file(&module(), &upload(), &source, None).await;
    assert!(matches!(other, Err(Error::DigestMismatch { .. })), "{other:?}");
    let missing = FileSource::Path(folder.path().join("missing"));
    assert!(matches!(client.upload_file(&module(), &upload(), &missing, None).await, Err(Error::File { .. })));
    let folder = FileSource::Path(folder.path().to_owned());
    assert!(matches!(client.upload_file(&module(), &upload(), &folder, None).await, Err(Error::File { .. })));
    assert_eq!(gateway.seen().len(), 3);
}

#[tokio::test]
async fn what_is_read_once_is_sent_once_after_asking() {
    let may = json(404, &json!({"code": "ERROR", "detail": "Not found"}));
    let gateway = Gateway::start(vec![may.clone(), json(200, &package(b"package")), may, Turn::HangUp]).await;
    let client = gateway.client();
    let stored = client.upload_file(&module(), &upload(), &FileSource::reader(Cursor::new(b"package")), None).await;
    assert_eq!(stored.unwrap().id, ID);
    let seen = gateway.seen();
    assert!(seen[0].line.contains("/link/00000000-0000-0000-0000-000000000000/"), "{:?}", seen[0]);
    assert!(seen[1].header("transfer-encoding").is_some() && holds(&seen[1].body, b"package"), "{:?}", seen[1]);
    let broken = client.upload_file(&module(), &upload(), &FileSource::reader(Cursor::new(b"package")), None).await;
    assert!(matches!(broken, Err(Error::BrokenOff { .. })), "{broken:?}");
    assert_eq!(gateway.seen().len(), 4);
}

#[tokio::test]
async fn who_may_not_upload_sends_nothing_large_and_who_signs_nothing_at_all() {
    let refused = json(403, &json!({"code": 1_640_301, "code_name": "APP_NO_PERMISSION", "message": "no"}));
    let gateway = Gateway::start(vec![refused]).await;
    let source = FileSource::reader(Cursor::new(vec![0; 4 << 20]));
    let outcome = gateway.client().upload_file(&module(), &upload(), &source, None).await;
    assert!(matches!(outcome, Err(Error::Refused(_))), "{outcome:?}");
    assert_eq!(gateway.seen().len(), 1);
    let signing = gateway.client_with(Credentials::default().app_code("ci").signing_with("s".into()));
    let outcome = signing.upload_file(&module(), &upload(), &source, None).await;
    assert!(matches!(outcome, Err(Error::CannotSignFile)), "{outcome:?}");
    assert_eq!(gateway.seen().len(), 1);
}

fn head(bytes: &[u8]) -> DownloadHead {
    DownloadHead { sha256: digest(bytes), bytes: bytes.len() as u64, file_name: "app.tgz".to_owned() }
}

fn part(bytes: &[u8], from: usize) -> Vec<(&'static str, String)> {
    vec![("content-range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()))]
}

#[tokio::test]
async fn a_download_goes_on_where_it_was_cut() {
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let length = bytes.len() as u64;
    let script = vec![
        Turn::CutAfter(200, Vec::new(), length, bytes[..1_000].to_vec()),
        Turn::HangUp,
        Turn::CutAfter(206, part(&bytes, 1_000), length - 1_000, bytes[1_000..99_000].to_vec()),
        Turn::Reply(206, part(&bytes, 99_000), bytes[99_000..].to_vec()),
    ];
    let gateway = Gateway::start(script).await;
    let mut out = Vec::new();
    let pulled = gateway.client().pull_to_writer(&module(), ID, &head(&bytes), &mut out, &mut |_| ()).await.unwrap();
    assert_eq!((pulled.bytes, out == bytes), (length, true));
    let asked: Vec<_> = gateway.seen().iter().map(|seen| seen.header("range").map(str::to_owned)).collect();
    assert_eq!(asked[0], None);
    assert_eq!(asked[3].as_deref(), Some("bytes=99000-"));
    let condition = format!("\"{}\"", digest(&bytes));
    assert!(gateway.seen().iter().all(|seen| seen.header("if-match") == Some(&condition)));
}

#[tokio::test]
async fn a_part_of_another_process_is_resumed_at_any_byte() {
    let bytes: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
    for cut in [0, 100, 5_000, 9_900, 10_000] {
        let status = if cut == 0 { 200 } else { 206 };
        let gateway = Gateway::start(vec![Turn::Reply(status, part(&bytes, cut), bytes[cut..].to_vec())]).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.tgz");
        std::fs::write(head(&bytes).part_path(&path), &bytes[..cut]).unwrap();
        let mut told = Vec::new();
        let pulled = gateway
            .client()
            .pull_to_file(&module(), ID, &head(&bytes), &path, &mut |there| told.push(there))
            .await
            .unwrap();
        assert_eq!((pulled.resumed_from, pulled.sha256), (cut as u64, digest(&bytes)));
        assert_eq!((told.first(), told.last()), (Some(&(cut as u64)), Some(&10_000)));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left");
        assert_eq!(gateway.seen().len(), usize::from(cut < bytes.len()));
    }
}

#[tokio::test]
async fn bytes_that_are_others_are_not_left_as_the_package() {
    let bytes = b"package".to_vec();
    let gateway = Gateway::start(vec![Turn::Reply(206, part(&bytes, 2), bytes[2..].to_vec())]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.tgz");
    std::fs::write(head(&bytes).part_path(&path), b"xx").unwrap();
    let outcome = gateway.client().pull_to_file(&module(), ID, &head(&bytes), &path, &mut |_| ()).await;
    assert!(matches!(outcome, Err(Error::DigestMismatch { .. })), "{outcome:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_download_that_cannot_go_on_says_why_and_keeps_what_came() {
    let bytes = b"package".to_vec();
    let changed = json(412, &json!({"code": "PRECONDITION_FAILED", "detail": "changed"}));
    let elsewhere = Turn::Reply(206, part(&bytes, 0), bytes.clone());
    for (turn, is_overwritten) in [(changed, true), (elsewhere, false)] {
        let gateway = Gateway::start(vec![turn]).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.tgz");
        std::fs::write(head(&bytes).part_path(&path), b"pa").unwrap();
        let outcome = gateway.client().pull_to_file(&module(), ID, &head(&bytes), &path, &mut |_| ()).await;
        assert_eq!(matches!(outcome, Err(Error::Overwritten)), is_overwritten, "{outcome:?}");
        assert!(outcome.is_err() && !Path::new(&path).exists());
        assert_eq!(std::fs::read(head(&bytes).part_path(&path)).unwrap(), b"pa");
    }
}

#[tokio::test]
async fn a_head_says_what_will_come() {
    let bytes = b"package".to_vec();
    let headers = vec![
        ("x-checksum-sha256", digest(&bytes).to_string()),
        ("content-disposition", "attachment; filename=\"app.tgz\"; filename*=UTF-8''app.tgz".to_owned()),
    ];
    let deleted = Turn::Reply(410, vec![("bkapi-error-code", "PACKAGE_DELETED".to_owned())], Vec::new());
    let gateway = Gateway::start(vec![Turn::Reply(200, headers, bytes.clone()), deleted]).await;
    let client = gateway.client();
    assert_eq!(client.head_download(&module(), ID).await.unwrap(), head(&bytes));
    let Err(Error::Refused(refusal)) = client.head_download(&module(), ID).await else { panic!("deleted") };
    assert_eq!((refusal.status, refusal.code.as_str()), (410, "PACKAGE_DELETED"));
}
