//! Callers that hang up, stops, kills and restarts.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use linkgate_contract::release;
use linkgate_tests::process::{command, command_with};
use linkgate_tests::wait::WITHIN;
use linkgate_tests::{
    Behaviour, DataDirectory, FakeSource, StoreProcess, TestStore, package_of, package_of_size, sha256_hex, trust,
    wait_until, wait_until_holds,
};
use tokio::time::timeout;

/// Waits until the metrics have this line.
async fn until_counted(store: &TestStore, line: &str) {
    wait_until_holds(line, async || store.get("/metrics").await.body.contains(&format!("{line}\n"))).await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_kill_its_upload() {
    let body = package_of_size(200_000);
    let source = FakeSource::start(Behaviour::Held(body.clone())).await;
    let store = TestStore::trusting(&source).await;
    let caller = tokio::spawn(store.request(source.url()).try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    source.release();
    wait_until_holds("the package", async || store.rows().await.len() == 1).await;
    assert_eq!(store.stored_files(), [sha256_hex(&body)]);
    store.finish().await;
}

#[tokio::test]
async fn the_command_for_health_says_what_the_store_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = StoreProcess::start(&dir.path().join("data"), &[]);
    let listen = store.base().strip_prefix("http://").unwrap().to_owned();
    let health = |listen: &str| command_with(dir.path(), &["health"], &[("LINKGATE_STORE_LISTEN", listen)]);
    let ready = health(&listen);
    assert_eq!((ready.code(), ready.out.trim()), (0, r#"{"status":"ready"}"#));
    assert_eq!(health("nowhere").code(), 64);
    store.kill_9();
    assert_eq!(health(&listen).code(), 2);
}

#[tokio::test]
async fn a_data_directory_of_the_first_schema_is_opened_and_found_right() {
    let dir = unpacked_fixture("0001");
    let refused = command(dir.path(), &["verify", "--repair"]);
    assert!(refused.err.contains("`ledger.sqlite3`, which is now called `catalog.sqlite3`"), "{}", refused.err);
    // As the operator is told to.
    std::fs::rename(dir.path().join("ledger.sqlite3"), dir.path().join("catalog.sqlite3")).unwrap();
    let source = FakeSource::serving(package_of("x")).await;
    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    assert_eq!(store.rows().await.len(), 2);
    for (version, status) in [("0.0.6", 400), ("0.0.7", 200)] {
        assert_eq!(store.request(source.url()).version(version).send(store.base()).await.status, status, "{version}");
    }
    store.stop();
    let verified = command(dir.path(), &["verify"]);
    assert_eq!(verified.code(), 0);
    assert!(verified.out.starts_with("3 rows, 2 packages"), "{}", verified.out);
}

#[tokio::test]
async fn jobs_of_the_store_before_are_told_of_and_taken_up() {
    let dir = fixture_of_today("0005").await;
    let source = FakeSource::serving(package_of("x")).await;
    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    assert_eq!(store.rows().await.len(), 2);
    assert_eq!(store.request(source.url()).version("0.0.9").send(store.base()).await.status, 200);
    // Its host is not allowed here.
    wait_until_holds("the end of what was accepted", async || {
        let states: Vec<_> = store.directory().jobs().await.into_iter().map(|(state, _)| state).collect();
        states == ["done", "done", "failed", "failed", "done"]
    })
    .await;
    store.stop();
    let verified = command(dir.path(), &["verify"]);
    assert_eq!(verified.code(), 0);
    assert!(verified.out.starts_with("3 rows, 2 packages"), "{}", verified.out);
}

/// What a store left that had applied the migrations up to this one.
pub(crate) fn unpacked_fixture(migration: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("fixtures/data-directory-{migration}.tar.gz");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let unpacked =
        Command::new("tar").arg("-xzf").arg(&fixture).arg("-C").arg(dir.path()).arg("--no-same-owner").status();
    assert!(unpacked.unwrap().success());
    dir
}

/// The same, with jobs that ended a moment ago: a store forgets them after some days.
pub(crate) async fn fixture_of_today(migration: &str) -> tempfile::TempDir {
    let dir = unpacked_fixture(migration);
    let statement = "update job set ended_ms = unixepoch() * 1000 where ended_ms is not null";
    DataDirectory::new(dir.path()).execute(statement).await;
    dir
}

#[tokio::test]
async fn a_store_works_on_a_catalog_that_the_release_after_it_has_widened() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    assert_eq!(store.request(source.url()).send(store.base()).await.status, 200);
    let directory = store.directory().clone();
    store.stop();
    directory.execute("alter table source_package add column of_a_later_release text").await;
    directory
        .execute(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (9999, 'of a later release', 1, x'00', 0)",
        )
        .await;
    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    assert_eq!(store.request(source.url()).version("2").send(store.base()).await.status, 200);
    store.stop();
    assert_eq!(command(dir.path(), &["verify"]).code(), 0);
}

#[tokio::test]
async fn more_uploads_than_may_run_at_once_are_sent_away_for_a_moment() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(100_000))).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source]);
        config.server.queue.running = 1;
        config.server.queue.queued = 0;
    })
    .await;
    let running = tokio::spawn(store.request(source.url()).try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    let busy = store.send(store.request(source.url()).version("2").in_english()).await;
    assert_eq!((busy.status, busy.header("retry-after")), (429, Some("5")));
    assert_eq!(
        busy.body,
        r#"{"code":"TOO_MANY_UPLOADS","detail":"Too many uploads are running, try again in a moment"}"#
    );
    source.release();
    assert_eq!(running.await.unwrap().unwrap().status, 200);
    assert_eq!(store.send(store.request(source.url()).version("2")).await.status, 200);
    assert_eq!(store.rows().await.len(), 2);
}

#[tokio::test]
async fn an_upload_waits_for_its_turn() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(100_000))).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source]);
        config.server.queue.running = 1;
        config.server.queue.queued = 1;
    })
    .await;
    let first = tokio::spawn(store.request(source.url()).version("1").try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    let second = tokio::spawn(store.request(source.url()).version("2").try_send_owned(store.base()));
    until_counted(&store, "linkgate_store_uploads_waiting 1").await;
    assert_eq!(store.send(store.request(source.url()).version("3")).await.status, 429, "nobody else may wait");
    assert_eq!(source.requests().len(), 1, "who waits asks nothing");
    source.release();
    for task in [first, second] {
        assert_eq!(task.await.unwrap().unwrap().status, 200);
    }
    assert_eq!(store.rows().await.len(), 2);
    store.finish().await;
}

#[tokio::test]
async fn a_second_call_for_the_same_joins_the_first() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(100_000))).await;
    let store = TestStore::trusting(&source).await;
    let send = || tokio::spawn(store.request(source.url()).try_send_owned(store.base()));
    let first = send();
    source.wait_for_requests(1).await;
    let second = send();
    until_counted(&store, "linkgate_store_uploads_joined_total 1").await;
    // Somebody else's hanging up ends nothing.
    first.abort();
    source.release();
    let reply = second.await.unwrap().unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!((source.requests().len(), store.rows().await.len()), (1, 1));
    assert_eq!(store.send(store.request(source.url())).await.status, 400, "what has ended is joined by nobody");
    store.finish().await;
}

#[tokio::test]
async fn what_differs_in_anything_is_not_joined() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(100_000))).await;
    let store = TestStore::trusting(&source).await;
    let request = || store.request(source.url());
    let digest = sha256_hex(&package_of_size(100_000));
    let others = [
        request(),
        request().overwriting(),
        request().version("2"),
        request().module("other", "default"),
        request().field("sha256", digest),
        store.request(format!("{}?again", source.url())),
    ];
    let sent: Vec<_> = others.into_iter().map(|other| tokio::spawn(other.try_send_owned(store.base()))).collect();
    source.wait_for_requests(6).await;
    source.release();
    let mut statuses = Vec::new();
    for task in sent {
        statuses.push(task.await.unwrap().unwrap().status);
    }
    statuses.sort_unstable();
    assert!(statuses.contains(&200) && statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
    assert!(store.get("/metrics").await.body.contains("linkgate_store_uploads_joined_total 0\n"));
    store.finish().await;
}

#[tokio::test]
async fn who_joined_a_refused_upload_is_refused_alike() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(100_000))).await;
    let store = TestStore::trusting(&source).await;
    let request = || store.request(source.url()).field("sha256", "0".repeat(64)).in_english();
    let first = tokio::spawn(request().try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    let second = tokio::spawn(request().try_send_owned(store.base()));
    until_counted(&store, "linkgate_store_uploads_joined_total 1").await;
    source.release();
    let [first, second] = [first.await.unwrap().unwrap(), second.await.unwrap().unwrap()];
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    assert!(first.body.contains("CHECKSUM_MISMATCH"), "{}", first.body);
    store.directory().assert_empty().await;
    store.finish().await;
}

#[tokio::test]
async fn one_application_cannot_take_every_place() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(100_000))).await;
    let quick = FakeSource::start(Behaviour::Bytes(package_of_size(200))).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source, &quick]);
        config.server.queue.per_app = 1;
        config.server.queue.queued = 0;
    })
    .await;
    let running = tokio::spawn(store.request(source.url()).try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    let elsewhere = store.request(quick.url()).module("other", "default");
    assert_eq!(store.send(elsewhere.clone()).await.status, 429, "whatever application the package is for");
    assert_eq!(store.send(elsewhere.token(Some(store.mint().token_of("other_app")))).await.status, 200);
    source.release();
    assert_eq!(running.await.unwrap().unwrap().status, 200);
    assert_eq!(store.rows().await.len(), 2);
    store.finish().await;
}

#[tokio::test]
async fn a_stop_lets_running_uploads_finish_and_takes_no_new_ones() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(200_000))).await;
    let mut store = TestStore::trusting(&source).await;
    let running = tokio::spawn(store.request(source.url()).try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    store.begin_stop();
    let late = store.request(source.url());
    wait_until_holds("the listener's end", async || late.clone().try_send(store.base()).await.is_err()).await;
    assert!(!running.is_finished());
    source.release();
    assert_eq!(running.await.unwrap().unwrap().status, 200);
    assert_eq!(store.rows().await.len(), 1);
    timeout(WITHIN, store.finish()).await.expect("it ends at once when nothing runs any more");
}

#[tokio::test]
async fn uploads_that_outlast_the_grace_are_cancelled_and_leave_nothing() {
    let stalls = FakeSource::start(Behaviour::StallInBody(package_of_size(3_000_000))).await;
    let silent = FakeSource::start(Behaviour::StallBeforeHead).await;
    let mut store = TestStore::with(|c| {
        trust(c, &[&stalls, &silent]);
        c.server.shutdown_grace = Duration::from_millis(300);
    })
    .await;
    let requests = [store.request(stalls.url()).in_english(), store.request(silent.url()).version("2").in_english()];
    let running = requests.map(|request| tokio::spawn(request.try_send_owned(store.base())));
    stalls.wait_for_requests(1).await;
    silent.wait_for_requests(1).await;
    wait_until_holds("the temporary file", async || store.directory().temp_files().len() == 1).await;
    store.begin_stop();
    for caller in running {
        let reply = caller.await.unwrap().unwrap();
        assert_eq!((reply.status, reply.json()["code"].as_str()), (503, Some("SERVICE_UNAVAILABLE")));
        assert_eq!(reply.json()["detail"], "The service is stopping, try again");
    }
    let directory = store.directory().clone();
    timeout(WITHIN, store.finish()).await.expect("it ends soon after the grace");
    assert!(directory.temp_files().is_empty() && directory.stored_files().is_empty());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_a_stop() {
    let store = TestStore::with(|_| {}).await;
    let _idle = tokio::net::TcpStream::connect(store.base().trim_start_matches("http://")).await.unwrap();
    // Asked over another connection, so the idle one was taken before.
    assert_eq!(store.get("/healthz").await.status, 200);
    timeout(WITHIN, store.finish()).await.expect("an idle connection is closed at once");
}

#[tokio::test]
async fn readiness_names_what_cannot_be_written() {
    let store = TestStore::with(|_| {}).await;
    assert_eq!(store.get("/readyz").await.status, 200);
    // What was found counts for a moment.
    let told = |detail: &'static str| {
        let store = &store;
        wait_until(async move || {
            let reply = store.get("/readyz").await;
            if reply.json()["detail"] == detail { Ok(reply) } else { Err(reply.body) }
        })
    };
    std::fs::remove_dir_all(store.directory().path().join("tmp")).unwrap();
    assert_eq!(told("无法写入：源码包存储").await.status, 503);
    std::fs::remove_dir_all(store.directory().path()).unwrap();
    let reply = told("无法写入：源码包存储、数据库").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("bkapi-error-code"), Some("SERVICE_UNAVAILABLE"));
    assert_eq!(store.get("/healthz").await.status, 200, "the process itself is well");
}

#[tokio::test]
async fn two_stores_cannot_share_a_data_directory() {
    let store = TestStore::with(|_| {}).await;
    let mut other = std::collections::BTreeMap::new();
    other.insert("LINKGATE_DATA_DIR".to_owned(), store.directory().path().display().to_string());
    other.insert("LINKGATE_JWT_PUBLIC_KEYS".to_owned(), store.mint().setting());
    let config = linkgate_store::config::Config::from_vars(&other).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = linkgate_store::run(listener, config, std::future::pending()).await.unwrap_err();
    assert!(refused.to_string().contains("is used by another store"), "{refused}");
}

#[tokio::test]
async fn a_killed_store_leaves_nothing_after_its_restart_and_the_same_request_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let body = package_of_size(5_000_000);
    let source = FakeSource::start(Behaviour::Held(body.clone())).await;
    let hosts = source.host();
    let settings = [("LINKGATE_FETCH_ALLOWED_HOSTS", hosts.as_str()), ("LINKGATE_FETCH_PRIVATE_HOSTS", &hosts)];
    let mut store = StoreProcess::start(dir.path(), &settings);
    let running = tokio::spawn(store.request(source.url()).try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    wait_until_holds("the temporary file", async || store.directory().temp_files().len() == 1).await;
    store.kill_9();
    assert!(running.await.unwrap().is_err(), "the connection breaks");
    assert_eq!(store.directory().temp_files().len(), 1, "the kill left something to clean up");

    source.release();
    let store = StoreProcess::start(dir.path(), &settings);
    store.directory().assert_empty().await;
    let reply = store.request(source.url()).send(store.base()).await;
    assert_eq!((reply.status, reply.json()["sha256_signature"].as_str()), (200, Some(sha256_hex(&body).as_str())));
    assert_eq!(store.stored_files(), [sha256_hex(&body)]);
    assert_eq!(store.rows().await.len(), 1);
}

#[tokio::test]
async fn sigterm_stops_the_process_cleanly_and_its_catalog_survives() {
    let dir = tempfile::tempdir().unwrap();
    let source = FakeSource::serving(package_of("x")).await;
    let hosts = source.host();
    let settings = [
        ("LINKGATE_FETCH_ALLOWED_HOSTS", hosts.as_str()),
        ("LINKGATE_FETCH_PRIVATE_HOSTS", &hosts),
        ("LINKGATE_LOG_FORMAT", "json"),
    ];
    let store = StoreProcess::start(dir.path(), &settings);
    let link = format!("{}?sign=s3cret", source.url());
    let request = store.request(link).header("x-bkapi-request-id", "request-1");
    assert_eq!(request.clone().send(store.base()).await.status, 200);
    let log = store.stop_and_read().join("\n");
    assert!(log.contains("request-1") && log.contains("Answered POST") && log.contains("Stored `0.0.5`"), "{log}");
    for secret in ["s3cret", "eyJ", "PUBLIC KEY"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    let store = StoreProcess::start(dir.path(), &settings);
    let again = store.request(source.url()).send(store.base()).await;
    assert_eq!(again.json()["code"], "PACKAGE_ALREADY_EXISTS");
}

#[test]
fn the_process_says_what_it_is_and_refuses_arguments_that_it_has_not() {
    let run = |argument: &str| {
        let mut command = std::process::Command::new(linkgate_tests::process::binary("linkgate-store"));
        command.arg(argument).env_clear().output().unwrap()
    };
    let version = run("--version");
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&version.stdout), format!("linkgate-store {}\n", release::describe()));
    assert!(String::from_utf8_lossy(&run("--help").stdout).contains("docs/reference/SETTINGS.md"));
    assert_eq!(run("--port").status.code(), Some(2));
}

#[test]
fn bad_settings_end_the_process_with_64_and_all_faults() {
    let output = std::process::Command::new(linkgate_tests::process::binary("linkgate-store"))
        .env_clear()
        .env("LINKGATE_STORE_LISTEN", "nowhere")
        .env("LINKGATE_STORE_TYPO", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    for name in ["LINKGATE_STORE_LISTEN", "LINKGATE_STORE_TYPO", "LINKGATE_DATA_DIR", "LINKGATE_JWT_PUBLIC_KEYS"] {
        assert!(text.contains(name), "{name} in {text}");
    }
}
