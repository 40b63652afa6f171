//! Files that callers send themselves: in a form, as they are, or put under a name.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use linkgate_store_core::budget::Bounds;
use linkgate_tests::file::{Form, PACKAGES};
use linkgate_tests::http1::Message;
use linkgate_tests::wait::WITHIN;
use linkgate_tests::{
    Behaviour, FakeSource, LinkRequestBuilder, TestStore, another_package_of_size, package_of, package_of_size,
    redacted, sha256_hex, tar, trust, wait_until_holds,
};
use serde_json::json;
use sha2::{Digest as _, Sha256, Sha512};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::{assert_field_refused, assert_problem, assert_refused};

async fn store() -> TestStore {
    TestStore::with(|_| {}).await
}

fn bare(store: &TestStore, query: &str, bytes: &[u8]) -> LinkRequestBuilder {
    store.request("").bare_file(query, bytes)
}

const NAMED: &str = "version=1.0&filename=app.tgz";

#[tokio::test]
async fn a_file_is_stored_in_whichever_way_it_is_sent() {
    let (store, package) = (store().await, package_of_size(300_000));
    let digest = sha256_hex(&package);
    let form = Form::default().field("version", "3").file("app-3.tgz", &package).field("size", "300000");
    for (request, version, name) in [
        (bare(&store, "version=1&filename=app.tgz", &package), "1", "app.tgz"),
        (store.request("").put_file("app-2.tgz", "version=2", package.clone()), "2", "app-2.tgz"),
        (store.request("").form(form), "3", "app-3.tgz"),
        (bare(&store, "version=4&filename=app.tgz", &package).chunked(), "4", "app.tgz"),
    ] {
        let reply = store.send(request).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let row = redacted(reply.json(), &["/created", "/updated", "/id"]);
        let want = json!({
            "id": "…", "version": version, "package_name": name, "package_size": "300000", "sha256_signature": digest,
            "is_deleted": false, "updated": "…", "created": "…", "operator": "admin",
        });
        assert_eq!(row, want);
    }
    assert_eq!(store.stored_files(), [digest]);
    let provenance = store.directory().provenance().await;
    assert_eq!(provenance.len(), 4);
    assert!(provenance.iter().all(|(source, from, _)| source == "file" && from.is_none()), "{provenance:?}");
    let jobs = store.directory().jobs().await;
    assert!(jobs.len() == 4 && jobs.iter().all(|job| *job == ("done".to_owned(), "file".to_owned())), "{jobs:?}");
}

#[tokio::test]
async fn the_statement_says_which_file_was_sent_and_by_whom() {
    if linkgate_tests::engine::is_about_directories("it reads the file of a statement") {
        return;
    }
    let (store, package) = (store().await, package_of_size(10_000));
    let request = bare(&store, NAMED, &package).header("x-bkapi-request-id", "request-7");
    assert_eq!(store.send(request).await.status, 200);
    let statements = crate::provenance::statements(store.directory(), &sha256_hex(&package));
    let build = &statements[0]["predicate"]["buildDefinition"];
    assert_eq!(build["buildType"], "urn:linkgate:upload-by-file:v1");
    let parameters = json!({"file_name": "app.tgz", "app_code": "app_code", "module": "default", "version": "1.0"});
    assert_eq!(build["externalParameters"], parameters);
    let digest = json!({"sha256": sha256_hex(&package)});
    assert_eq!(build["resolvedDependencies"], json!([{"name": "app.tgz", "digest": digest}]));
    assert_eq!(build["internalParameters"]["caller"]["request_id"], "request-7");
}

#[tokio::test]
async fn a_version_may_come_from_the_package_or_from_behind_the_file() {
    let store = store().await;
    let described =
        tar(&[("app/app_desc.yaml", b"spec_version: 2\napp_version: 7.1\n")], linkgate_tests::Compression::Gzip);
    let reply = store.send(bare(&store, "filename=a.tgz", &described)).await;
    assert_eq!((reply.status, &reply.json()["version"]), (200, &json!("7.1")), "{reply:?}");
    let again = Form::default().file("b.tgz", &described).field("allow_overwrite", "true");
    let reply = store.send(store.request("").form(again)).await;
    assert_eq!((reply.status, &reply.json()["package_name"]), (200, &json!("b.tgz")), "{reply:?}");
    let behind = Form::default().file("c.tgz", &described).field("version", "8").field("unknown", "x");
    let reply = store.send(store.request("").form(behind)).await;
    assert_eq!((reply.status, &reply.json()["version"]), (200, &json!("8")), "{reply:?}");
    assert_eq!(store.rows().await.len(), 2);
}

#[tokio::test]
async fn what_is_wrong_around_a_file_is_said_and_leaves_nothing() {
    let (store, package) = (store().await, package_of("package"));
    let form = || Form::default().file("a.tgz", &package);
    let request = |form: Form| store.request("").form(form);
    let twice = "Give this field once.";
    let one = "A form may have one file, in the field package.";
    let name = "The name of the file must have 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-'.";
    for (request, field, message) in [
        (bare(&store, "version=1", &package), "filename", "This field is required."),
        (bare(&store, "version=1&filename=a%20b", &package), "filename", name),
        (bare(&store, &format!("{NAMED}&version=2"), &package), "version", twice),
        (
            bare(&store, &format!("{NAMED}&size=x"), &package),
            "size",
            "Must be a whole number, the bytes of the package.",
        ),
        (request(form().field("version", "1").field("version", "1")), "version", twice),
        (request(form().field("version", "1")).path(format!("{PACKAGES}?version=1")), "version", twice),
        (request(form().field("version", " ")), "version", "This field may not be blank."),
        (request(form().file("b.tgz", b"x").field("version", "1")), "package", one),
        (request(Form::default().part("name=other; filename=a", b"x")), "package", one),
        (request(Form::default().field("version", "1")), "package", "The form has no file in the field package."),
        (request(Form::default().file("../a.tgz", &package)), "filename", name),
        (request(Form::default().part("name=package; filename*=UTF-8''a.tgz", &package)), "filename", name),
        (
            bare(&store, NAMED, &package).header("if-match", "7.3"),
            "if-match",
            "Must be * or a list of entity tags, such as \"7.3\".",
        ),
        (
            bare(&store, "filename=a.tgz", &package),
            "version",
            "Give a version: the package has no app_desc.yaml, or none with a version in it.",
        ),
    ] {
        assert_field_refused(&store, request, field, message).await;
    }
    let form_error = |what: &str| format!("Form parse error - {what}");
    let cut = form().field("version", "1").end();
    let cut = store.request("").form(form()).raw_body(&cut[..cut.len() - 5]);
    let detail = form_error("the body ends before its last boundary; send all of it, with lines that end in CRLF");
    assert_refused(&store, cut, 400, "ERROR", &detail).await;
    let detail = form_error("it may have 16 parts, and 65536 bytes beside the file");
    let many = (0..17).fold(Form::default(), |form, n| form.field(&n.to_string(), ""));
    assert_refused(&store, request(many), 400, "ERROR", &detail).await;
    assert_refused(&store, request(form().field("x", &"x".repeat(70_000))), 400, "ERROR", &detail).await;
    let encoded = bare(&store, NAMED, &package).header("content-encoding", "gzip");
    let detail = "A body with a Content-Encoding is not taken, send the file as it is";
    assert_refused(&store, encoded, 415, "ERROR", detail).await;
    let detail = "This is no package, it looks like text; supported are: tar, tar.gz, tar.bz2, tar.xz, tar.zst, zip";
    let reply = store.send(bare(&store, NAMED, b"plain text").in_english()).await;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("PACKAGE_FORMAT_UNSUPPORTED")), "{detail}");
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn every_digest_that_is_given_must_match_or_nothing_is_stored() {
    if linkgate_tests::engine::is_about_directories("it deletes a file") {
        return;
    }
    let (store, package) = (store().await, package_of_size(200_000));
    let form = || Form::default().field("version", "1").file("a.tgz", &package);
    let sha256 = |bytes: &[u8]| format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)));
    let sha512 = |bytes: &[u8]| format!("sha-512=:{}:", STANDARD.encode(Sha512::digest(bytes)));
    let hex = sha256_hex;
    let other = another_package_of_size(200_000);
    // A digest of the content covers all of a form, one of the file the file alone.
    for (is_form, header, right, wrong) in [
        (false, "content-digest", sha256(&package), sha256(&other)),
        (false, "repr-digest", format!("x=:AA==:, {}", sha512(&package)), sha512(&other)),
        (false, "x-checksum-sha256", hex(&package).to_uppercase(), hex(&other)),
        (false, "content-md5", String::new(), STANDARD.encode([7; 16])),
        (true, "content-digest", sha256(&form().end()), sha256(&package)),
        (true, "repr-digest", sha512(&form().end()), sha512(&package)),
        (true, "x-checksum-sha256", hex(&package), hex(&form().end())),
    ] {
        let plain = || if is_form { store.request("").form(form()) } else { bare(&store, NAMED, &package) };
        let reply = store.send(plain().header(header, &wrong)).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("CHECKSUM_MISMATCH")), "{header}");
        store.directory().assert_empty().await;
        let unreadable = store.send(plain().header(header, "sha-256=").in_english()).await;
        assert_eq!(unreadable.json()["code"], "VALIDATION_ERROR", "{header}: {unreadable:?}");
        if !right.is_empty() {
            let reply = store.send(plain().header(header, &right)).await;
            assert_eq!(reply.status, 200, "{header}: {reply:?}");
            store.directory().execute("delete from source_package").await;
            store.directory().execute("delete from module").await;
            let blob = store.directory().blob(&hex(&package));
            std::fs::remove_file(blob).unwrap();
        }
    }
    for query in [format!("{NAMED}&sha256={}", hex(&other)), format!("{NAMED}&sha256={}", hex(b""))] {
        let reply = store.send(bare(&store, &query, &package)).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("CHECKSUM_MISMATCH")));
    }
    let behind = form().field("sha256", &hex(&other));
    assert_eq!(store.send(store.request("").form(behind)).await.json()["code"], "CHECKSUM_MISMATCH");
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_by_what_it_announces_or_when_it_is_over() {
    let store = TestStore::with(|config| config.fetch.max_bytes = 50_000).await;
    let package = package_of_size(50_001);
    let form = |size: &str| Form::default().field("size", size).field("version", "1").file("a.tgz", &package);
    let detail = "The package is too large, the limit is 50000 bytes";
    for request in [
        bare(&store, NAMED, &package),
        bare(&store, NAMED, &package).chunked(),
        bare(&store, &format!("{NAMED}&size=50001"), &package).chunked(),
        store.request("").form(form("50001")),
        store.request("").form(form("")),
        store.request("").form(form("")).chunked(),
    ] {
        assert_refused(&store, request, 413, "PACKAGE_TOO_LARGE", detail).await;
    }
    let whole = package_of_size(50_000);
    for (request, expected, found) in [
        (bare(&store, &format!("{NAMED}&size=49999"), &whole), 49_999, "50000"),
        (bare(&store, &format!("{NAMED}&size=49999"), &whole).chunked(), 49_999, "more"),
        (bare(&store, &format!("{NAMED}&size=50001"), &whole[..40_000]).chunked(), 0, ""),
        (store.request("").form(Form::default().file("a.tgz", &whole).field("size", "7")), 7, "50000"),
    ] {
        let detail = format!("The package has another size: expected {expected} bytes, got {found}");
        if expected == 0 {
            assert_refused(
                &store,
                request,
                413,
                "PACKAGE_TOO_LARGE",
                "The package is too large, the limit is 50000 bytes",
            )
            .await;
        } else {
            assert_refused(&store, request, 400, "SIZE_MISMATCH", &detail).await;
        }
    }
    assert_eq!(store.send(bare(&store, NAMED, &whole)).await.status, 200);
}

/// A request whose body is sent by hand.
pub(crate) struct ByHand(BufReader<TcpStream>);

impl ByHand {
    pub(crate) async fn begin(base: &str, token: &str, query: &str, more: &str) -> Self {
        let address = base.trim_start_matches("http://");
        let mut connection = Self(BufReader::new(TcpStream::connect(address).await.unwrap()));
        let head = format!("POST {PACKAGES}?{query} HTTP/1.1\r\nhost: store\r\nx-bkapi-jwt: {token}\r\n{more}\r\n");
        connection.send(head.as_bytes()).await;
        connection
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn read(&mut self) -> Message {
        let read = tokio::time::timeout(Duration::from_secs(30), Message::read(&mut self.0)).await;
        read.expect("an answer").unwrap().expect("an answer")
    }

    /// The answer to whoever sends a byte now and then.
    async fn read_dripping(&mut self) -> Message {
        let dripping = async {
            while tokio::time::timeout(Duration::from_millis(20), self.0.fill_buf()).await.is_err() {
                self.0.write_all(b"x").await.unwrap();
            }
        };
        tokio::time::timeout(WITHIN, dripping).await.expect("an answer");
        self.read().await
    }
}

/// A part of a file is on the disk.
async fn wait_until_it_comes(store: &TestStore) {
    wait_until_holds("a file", async || !store.directory().temp_files().is_empty()).await;
}

#[tokio::test]
async fn a_file_that_is_cut_off_leaves_nothing() {
    if linkgate_tests::engine::is_about_directories("it waits for a temporary file") {
        return;
    }
    let store = store().await;
    let package = package_of_size(600_000);
    for more in ["content-length: 600000\r\n", "transfer-encoding: chunked\r\n"] {
        let mut caller = ByHand::begin(store.base(), &store.mint().token(), NAMED, more).await;
        if more.starts_with("transfer") {
            caller.send(b"927c0\r\n").await;
        }
        caller.send(&package[..400_000]).await;
        wait_until_it_comes(&store).await;
        drop(caller);
        wait_until_holds("a file", async || store.directory().temp_files().is_empty()).await;
        store.directory().assert_empty().await;
    }
    let counted = async || store.get("/metrics").await.body.contains("result=\"file_broke_off\"} 2");
    wait_until_holds("the count of both", counted).await;
    assert_eq!(store.send(bare(&store, NAMED, &package)).await.status, 200);
}

#[tokio::test]
async fn a_caller_who_is_silent_or_slow_is_given_up() {
    let idle = TestStore::with(|config| config.fetch.idle_timeout = Duration::from_millis(300)).await;
    let mut caller = ByHand::begin(idle.base(), &idle.mint().token(), NAMED, "content-length: 9\r\n").await;
    assert_eq!(caller.read().await.status(), 408);
    idle.directory().assert_empty().await;

    let slow = TestStore::with(|config| {
        (config.fetch.min_rate, config.fetch.min_rate_window) = (1 << 30, Duration::from_millis(1));
    })
    .await;
    let mut caller = ByHand::begin(slow.base(), &slow.mint().token(), NAMED, "content-length: 1000000\r\n").await;
    assert_eq!(caller.read_dripping().await.status(), 408);

    let late = TestStore::with(|config| config.fetch.total_timeout = Duration::from_millis(300)).await;
    let request = bare(&late, NAMED, b"").in_english().chunked();
    assert_ne!(late.send(request).await.status, 200, "an empty file is none");
    let mut caller = ByHand::begin(late.base(), &late.mint().token(), NAMED, "content-length: 9\r\n").await;
    caller.send(b"x").await;
    assert_eq!(caller.read().await.status(), 408);
    late.directory().assert_empty().await;
}

#[tokio::test]
async fn files_that_come_have_bounds_of_their_own_and_hold_up_no_downloads() {
    if linkgate_tests::engine::is_about_directories("it waits for a temporary file") {
        return;
    }
    let source = FakeSource::serving(package_of("linked")).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source]);
        config.server.files = Bounds { per_owner: 1, in_sum: 2 };
        config.server.queue.running = 1;
    })
    .await;
    let mut callers = Vec::new();
    for app in ["one", "two"] {
        let token = store.mint().token_of(app);
        let mut caller = ByHand::begin(store.base(), &token, NAMED, "content-length: 600000\r\n").await;
        caller.send(&package_of_size(600_000)[..300_000]).await;
        callers.push(caller);
    }
    wait_until_holds("a file", async || store.directory().temp_files().len() == 2).await;
    for (app, detail) in [
        ("one", "As many of your files come at once as one caller may send (1), try again when some have ended"),
        ("three", "Too many uploads are running, try again in a moment"),
    ] {
        let request = bare(&store, NAMED, b"x").token(Some(store.mint().token_of(app))).in_english();
        let reply = store.send(request).await;
        assert_problem(&reply, 429, None, &json!({"code": "TOO_MANY_UPLOADS", "detail": detail}));
        assert_eq!(reply.header("retry-after"), Some("5"));
    }
    assert_eq!(store.send(store.request(source.url()).version("by link")).await.status, 200);
    callers[0].send(&package_of_size(600_000)[300_000..]).await;
    assert_eq!(callers[0].read().await.status(), 200);
    let request = bare(&store, "version=2&filename=a", &package_of("x")).token(Some(store.mint().token_of("three")));
    assert_eq!(store.send(request).await.status, 200);
    drop(callers);
    wait_until_holds("a file", async || store.directory().temp_files().is_empty()).await;
}

#[tokio::test]
async fn a_version_that_is_there_is_refused_unless_it_may_be_returned_or_replaced() {
    let store = store().await;
    let (package, other) = (package_of_size(100_000), another_package_of_size(100_000));
    let first = store.send(bare(&store, NAMED, &package)).await;
    assert_eq!(first.status, 200);
    let refused = json!({"code": "PACKAGE_ALREADY_EXISTS", "detail": "The source package already exists"});
    let returning = |bytes: &[u8]| bare(&store, NAMED, bytes).header("prefer", "return=existing").in_english();
    let digest = sha256_hex(&package);
    for request in [
        bare(&store, NAMED, &package).in_english(),
        returning(&other),
        returning(&package).header("x-checksum-sha256", &sha256_hex(&other)),
        store.request("").form(Form::default().file("app.tgz", &package).field("version", "1.0")).in_english(),
    ] {
        let reply = store.send(request).await;
        assert_problem(&reply, 400, Some("4312009"), &refused);
    }
    let form = Form::default().file("app.tgz", &package).field("version", "1.0");
    for request in [
        returning(&package),
        returning(&package).header("x-checksum-sha256", &digest),
        store.request("").form(form).header("prefer", "return=existing"),
    ] {
        let reply = store.send(request).await;
        assert_eq!((reply.status, &reply.body), (200, &first.body));
    }
    assert_eq!((store.rows().await.len(), store.stored_files()), (1, vec![digest]));
    let reply = store.send(bare(&store, &format!("{NAMED}&allow_overwrite=true"), &other)).await;
    assert_eq!((reply.status, &reply.json()["id"]), (200, &first.json()["id"]));
    assert_eq!(store.stored_files(), [sha256_hex(&other)]);
}

#[tokio::test]
async fn a_change_is_made_only_to_what_its_caller_has_seen() {
    let store = store().await;
    let (package, other) = (package_of("package"), package_of("other"));
    let overwriting = format!("{NAMED}&allow_overwrite=true");
    let send = async |name: &str, value: &str, bytes: &[u8]| {
        let reply = store.send(bare(&store, &overwriting, bytes).header(name, value)).await;
        (reply.status, reply.json()["code"].as_str().map(str::to_owned))
    };
    let failed = (412, Some("PRECONDITION_FAILED".to_owned()));
    assert_eq!(send("if-match", "*", &package).await, failed);
    store.directory().assert_empty().await;
    assert_eq!(send("if-none-match", "*", &package).await, (200, None));
    assert_eq!(send("if-none-match", "*", &other).await, failed);
    let id = store.rows().await[0].id;
    for wrong in [format!("\"{id}.2\""), format!("\"{}\"", sha256_hex(&other)), format!("W/\"{id}.1\"")] {
        assert_eq!(send("if-match", &wrong, &other).await, failed, "{wrong}");
    }
    assert_eq!(store.stored_files(), [sha256_hex(&package)]);
    assert_eq!(send("if-match", &format!("\"{id}.1\""), &other).await, (200, None));
    assert_eq!(send("if-match", &format!("\"{id}.1\""), &package).await, failed, "it was changed since");
    assert_eq!(send("if-match", &format!("\"x\", \"{}\"", sha256_hex(&other)), &package).await, (200, None));
    // The version is not known before the package is.
    let described =
        tar(&[("app_desc.yaml", b"spec_version: 2\napp_version: '1.0'\n")], linkgate_tests::Compression::Gzip);
    let late = bare(&store, "filename=a.tgz&allow_overwrite=true", &described).header("if-none-match", "*");
    assert_eq!(store.send(late).await.status, 412);
    assert_eq!((store.rows().await.len(), store.stored_files()), (1, vec![sha256_hex(&package)]));
}

#[tokio::test]
async fn a_key_gives_the_same_answer_for_the_same_file_and_for_no_other() {
    let store = store().await;
    let (package, other) = (package_of("package"), package_of("other"));
    let keyed = |query: &str, bytes: &[u8]| bare(&store, query, bytes).header("idempotency-key", "key-1").in_english();
    let first = store.send(keyed(NAMED, &package)).await;
    assert_eq!(first.status, 200);
    for request in [
        keyed(NAMED, &package),
        store.request("").put_file("app.tgz", "version=1.0", package.clone()).header("idempotency-key", "key-1"),
    ] {
        let again = store.send(request).await;
        assert_eq!((again.status, &again.body), (200, &first.body));
    }
    for request in
        [keyed(NAMED, &other), keyed("version=2&filename=app.tgz", &package), keyed("version=1.0&filename=b", &package)]
    {
        let reply = store.send(request).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (422, Some("IDEMPOTENCY_KEY_REUSED")));
    }
    let elsewhere = keyed(NAMED, &package).token(Some(store.mint().token_of("another")));
    assert_eq!(store.send(elsewhere).await.json()["code"], "PACKAGE_ALREADY_EXISTS", "a key is its caller's own");
    assert_eq!((store.rows().await.len(), store.stored_files()), (1, vec![sha256_hex(&package)]));
    assert_eq!(store.directory().jobs().await.len(), 1);
    // What fails frees its key.
    let broken = keyed("version=3&filename=a", b"no package").header("idempotency-key", "key-2");
    assert_ne!(store.send(broken).await.status, 200);
}

#[tokio::test]
async fn a_refusal_comes_before_the_first_byte_where_the_caller_waits_for_a_word() {
    let store = store().await;
    let package = package_of_size(200_000);
    let more = format!("content-length: {}\r\nexpect: 100-continue\r\n", package.len());
    let token = store.mint().token();
    let mut caller = ByHand::begin(store.base(), &token, NAMED, &more).await;
    assert_eq!(caller.read().await.status(), 100);
    caller.send(&package).await;
    assert_eq!(caller.read().await.status(), 200);
    let mut refused = ByHand::begin(store.base(), &token, NAMED, &more).await;
    assert_eq!(refused.read().await.status(), 400, "the version is there");
    let mut nobody = ByHand::begin(store.base(), "x", NAMED, &more).await;
    assert_eq!(nobody.read().await.status(), 401);
}

#[tokio::test]
async fn a_caller_who_sends_on_reads_why_it_was_refused() {
    let store = store().await;
    let package = package_of_size(3_000_000);
    assert_eq!(store.send(bare(&store, NAMED, &package)).await.status, 200);
    let mut caller =
        ByHand::begin(store.base(), &store.mint().token(), NAMED, &format!("content-length: {}\r\n", package.len()))
            .await;
    caller.send(&package).await;
    assert_eq!(caller.read().await.status(), 400);
}

#[tokio::test]
async fn a_file_that_comes_while_the_store_stops_is_cancelled_and_leaves_nothing() {
    if linkgate_tests::engine::is_about_directories("it waits for a temporary file") {
        return;
    }
    let mut store = TestStore::with(|config| config.server.shutdown_grace = Duration::ZERO).await;
    let mut caller = ByHand::begin(store.base(), &store.mint().token(), NAMED, "content-length: 600000\r\n").await;
    caller.send(&package_of_size(600_000)[..300_000]).await;
    wait_until_it_comes(&store).await;
    store.begin_stop();
    assert_eq!(caller.read().await.status(), 503);
    store.directory().assert_empty().await;
    store.finish().await;
}

#[tokio::test]
async fn bytes_that_a_caller_sent_are_not_taken_for_those_of_a_link() {
    let package = package_of("package");
    let source = FakeSource::start(Behaviour::Bytes(package.clone())).await;
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(bare(&store, NAMED, &package)).await.status, 200);
    let request = store.request(source.url()).version("2").field("sha256", sha256_hex(&package));
    assert_eq!(store.send(request).await.status, 200);
    assert_eq!(source.requests().len(), 1, "whoever names a link has it read");
}
