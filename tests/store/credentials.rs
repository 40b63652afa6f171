//! The operator's credentials for sources: which requests get one, and which must not.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use linkgate_contract::{AllowList, HostRule};
use linkgate_store::config::{Config, credentials_from_vars};
use linkgate_tests::process::command_with;
use linkgate_tests::token::good_claims;
use linkgate_tests::wait::wait_until_holds;
use linkgate_tests::{
    Authority, Behaviour, FakeSource, LinkRequestBuilder, Manner, Nginx, RangedFile, Shown, StoreProcess, TestStack,
    TestStore, TlsFront, package_of, package_of_size, random, trust,
};
use serde_json::json;

use crate::{assert_field_refused, assert_refused};

pub(crate) const UNREACHABLE: &str = "The package_url could not be read";

/// A file of credentials that only its owner may read.
pub(crate) fn file(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("credentials.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// An entry of it.
fn entry(name: &str, host: &str, path: &str, rest: &str) -> String {
    format!("[[credentials]]\nname = \"{name}\"\nhost = \"{host}\"\npath = \"{path}\"\n{rest}\n")
}

fn bearer(name: &str, host: &str, path: &str, token: &str) -> String {
    entry(name, host, path, &format!("kind = \"bearer\"\nsecret = \"{token}\""))
}

/// Gives a store these credentials, from a file.
fn give(config: &mut Config, text: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), text).display().to_string();
    let vars = BTreeMap::from([("LINKGATE_FETCH_CREDENTIALS_FILE".to_owned(), path)]);
    config.fetch.credentials = credentials_from_vars(&vars).unwrap();
}

/// Lets a store send credentials to these hosts, which have no TLS.
pub(crate) fn send_in_clear(config: &mut Config, hosts: &[String]) {
    let rules = hosts.iter().map(|host| HostRule::new(host).unwrap()).collect();
    config.fetch.credentials_over_http = AllowList::new(rules);
}

async fn store_with(sources: &[&FakeSource], text: &str) -> TestStore {
    TestStore::with(|config| {
        trust(config, sources);
        send_in_clear(config, &sources.iter().map(|source| source.host()).collect::<Vec<_>>());
        give(config, text);
    })
    .await
}

/// A request whose token names these credentials.
fn naming<S>(store: &TestStack<S>, url: impl Into<String>, names: &[&str]) -> LinkRequestBuilder {
    let mut claims = good_claims();
    claims["linkgate"] = json!({"credentials": names});
    let token = store.mint().sign(&claims);
    store.request(url).token(Some(token)).in_english()
}

/// What each request showed.
pub(crate) fn shown(source: &FakeSource, header: &str) -> Vec<Option<String>> {
    let line = format!("{header}: ");
    let value = |head: &String| head.lines().find_map(|l| l.strip_prefix(&line).map(str::to_owned));
    source.requests().iter().map(value).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn a_real_server_gives_its_packages_to_each_kind_of_credential() {
    let (password, token, key) = (random(), random(), random());
    let nginx = Nginx::start(&format!(
        "location /basic/ {{ auth_basic \"packages\"; auth_basic_user_file DIR/users; }}\n\
         location /bearer/ {{ auth_request /judge; }}\n\
         location = /judge {{ internal; if ($http_authorization = \"Bearer {token}\") {{ return 204; }} return 401; }}\n\
         location /header/ {{ if ($http_private_token != \"{key}\") {{ return 403; }} }}"
    ))
    .await;
    nginx.put_beside("users", &format!("linkgate:{{PLAIN}}{password}\n"));
    let basic = |secret: &str| {
        entry(
            "basic",
            &nginx.host(),
            "/basic",
            &format!("kind = \"basic\"\nuser = \"linkgate\"\nsecret = \"{secret}\""),
        )
    };
    let header = format!("kind = \"header\"\nheader = \"PRIVATE-TOKEN\"\nsecret = \"{key}\"");
    let all = basic(&password)
        + &bearer("bearer", &nginx.host(), "/bearer/", &token)
        + &entry("header", &nginx.host(), "/header/", &header);
    let store = async |text: String| {
        TestStore::with(|config| {
            let hosts = || AllowList::new(vec![HostRule::new(&nginx.host()).unwrap()]);
            (config.fetch.allowed_hosts, config.fetch.private_hosts) = (hosts(), hosts());
            send_in_clear(config, &[nginx.host()]);
            give(config, &text);
        })
        .await
    };
    let good = store(all).await;
    for (kind, status) in [("basic", 401), ("bearer", 401), ("header", 403)] {
        let path = format!("/{kind}/example.tar.gz");
        nginx.put(&path, &package_of(kind));
        let detail = format!("{UNREACHABLE}: the source answered {status}");
        let others = naming(&good, nginx.url_of(&path), &[]);
        assert_refused(&good, others, 502, "SOURCE_UNREACHABLE", &detail).await;
    }
    for (version, kind) in ["basic", "bearer", "header"].into_iter().enumerate() {
        let link = nginx.url_of(&format!("/{kind}/example.tar.gz"));
        let reply = good.send(naming(&good, link, &["basic", "bearer", "header"]).version(&version.to_string())).await;
        assert_eq!(reply.status, 200, "{kind}: {reply:?}");
    }
    let wrong = store(basic("wrong")).await;
    let link = nginx.url_of("/basic/example.tar.gz");
    let detail = format!("{UNREACHABLE}: the source refused the credential `basic` (401); ask the operator");
    assert_refused(&wrong, naming(&wrong, link, &["basic"]), 502, "SOURCE_UNREACHABLE", &detail).await;
    // nginx writes its log after its replies. The first time it was asked with the credential of another.
    let refused = || nginx.requests().iter().filter(|line| *line == "/basic/example.tar.gz 401").count();
    wait_until_holds("its line in the log", async || refused() >= 2).await;
    assert_eq!(refused(), 2, "it is asked once");
}

#[tokio::test]
async fn a_credential_goes_only_with_the_token_that_names_it_and_only_below_its_path() {
    let source = FakeSource::serving(package_of("x")).await;
    let text = bearer("team-a", &source.host(), "/a", "s3cret-a") + &bearer("team-b", &source.host(), "/b", "s3cret-b");
    let store = store_with(&[&source], &text).await;
    for (version, (path, names)) in [
        ("/a/x.tgz", &["team-a"][..]),
        ("/a/x.tgz", &["team-b"]),
        ("/a/x.tgz", &[]),
        ("/b/x.tgz", &["team-a", "team-b"]),
        ("/ab/x.tgz", &["team-a"]),
        ("/b/../a/x.tgz", &["team-a"]),
        ("/a/%2e%2e/b/x.tgz", &["team-a"]),
        ("/a/..%2fb/x.tgz", &["team-a"]),
        ("/a/..;/b/x.tgz", &["team-a"]),
        ("//a/x.tgz", &["team-a"]),
        ("/A/x.tgz", &["team-a"]),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = store.send(naming(&store, source.url_of(path), names).version(&version.to_string())).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    }
    let (a, b) = (some("Bearer s3cret-a"), some("Bearer s3cret-b"));
    assert_eq!(
        shown(&source, "authorization"),
        [a, None, None, b, None, None, None, None, None, None, None],
        "{:?}",
        source.requests()
    );
}

#[tokio::test]
async fn a_redirect_to_another_origin_takes_it_away_for_good() {
    let (home, abroad) = (FakeSource::serving(package_of("x")).await, FakeSource::serving(package_of("x")).await);
    let to = |location: String| Behaviour::Redirect(302, location);
    home.on("/private/1", to("/private/2".into()));
    home.on("/private/2", to(abroad.url_of("/3")));
    abroad.on("/3", to(home.url_of("/private/4")));
    let text = bearer("home", &home.host(), "/private", "s3cret") + &bearer("abroad", &abroad.host(), "/", "s3cret-2");
    let store = store_with(&[&home, &abroad], &text).await;
    let reply = store.send(naming(&store, home.url_of("/private/1"), &["home", "abroad"])).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let mine = some("Bearer s3cret");
    assert_eq!(shown(&home, "authorization"), [mine.clone(), mine, None]);
    assert_eq!(shown(&abroad, "authorization"), [None], "nor is another one taken up");
    let heads = [home.requests(), abroad.requests()].concat().join("").to_ascii_lowercase();
    assert!(!heads.contains("cookie") && !heads.contains("referer"), "{heads}");
}

#[tokio::test]
async fn so_does_a_redirect_out_of_its_path_or_to_another_name_of_the_same_host() {
    let source = FakeSource::serving(package_of("x")).await;
    let named = format!("localhost:{}", source.port());
    for (version, detour) in [source.url_of("/public"), format!("http://{named}/private/2")].into_iter().enumerate() {
        source.on("/private/1", Behaviour::Redirect(307, detour));
        source.on("/public", Behaviour::Redirect(307, "/private/3".into()));
        let text = bearer("home", &source.host(), "/private", "s3cret");
        let store = TestStore::with(|config| {
            trust(config, &[&source]);
            let rules = || [source.host(), named.clone()].iter().map(|host| HostRule::new(host).unwrap()).collect();
            (config.fetch.allowed_hosts, config.fetch.private_hosts) =
                (AllowList::new(rules()), AllowList::new(rules()));
            send_in_clear(config, &[source.host(), named.clone()]);
            give(config, &text);
        })
        .await;
        let before = source.requests().len();
        let reply = store.send(naming(&store, source.url_of("/private/1"), &["home"])).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let all = shown(&source, "authorization");
        assert_eq!(all[before], some("Bearer s3cret"), "{version}");
        assert!(all[before + 1..].iter().all(Option::is_none), "{version}: {all:?}");
    }
}

#[tokio::test]
async fn the_rest_of_a_broken_download_is_asked_for_with_it_where_the_first_part_was() {
    let file = || RangedFile::new(package_of_size(100_000));
    let broken = || Behaviour::Turns(vec![Behaviour::Ranged(file().cut_at(60_000)), Behaviour::Ranged(file())]);
    let (home, abroad) = (FakeSource::start(broken()).await, FakeSource::start(broken()).await);
    home.on("/moved", Behaviour::Redirect(302, abroad.url()));
    let text = bearer("home", &home.host(), "/", "s3cret") + &bearer("abroad", &abroad.host(), "/", "s3cret-2");
    let store = store_with(&[&home, &abroad], &text).await;
    for (version, link) in [home.url(), home.url_of("/moved")].into_iter().enumerate() {
        let reply = store.send(naming(&store, link, &["home", "abroad"]).version(&version.to_string())).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let mine = some("Bearer s3cret");
    assert_eq!(shown(&home, "authorization"), [mine.clone(), mine.clone(), mine]);
    assert_eq!(shown(&abroad, "authorization"), [None, None]);
    assert!(home.requests()[1].contains("range: bytes=60000-") && abroad.requests()[1].contains("range: bytes=60000-"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_is_each_part_of_a_large_file() {
    let source = FakeSource::start(Behaviour::Ranged(crate::parallel::slow())).await;
    let store = store_with(&[&source], &bearer("nexus", &source.host(), "/", "s3cret")).await;
    assert_eq!(store.send(naming(&store, source.url(), &["nexus"])).await.status, 200);
    let all = shown(&source, "authorization");
    assert!(all.len() > 4 && all.iter().all(|one| *one == some("Bearer s3cret")), "{all:?}");
}

#[tokio::test]
async fn a_credential_that_is_refused_in_the_middle_is_not_shown_again() {
    let file = RangedFile::new(package_of_size(100_000)).cut_at(60_000);
    for status in [401, 403] {
        let turns = vec![Behaviour::Ranged(file.clone()), Behaviour::Status(status)];
        let source = FakeSource::start(Behaviour::Turns(turns)).await;
        let store = store_with(&[&source], &bearer("nexus", &source.host(), "/", "s3cret")).await;
        let detail = format!("{UNREACHABLE}: the source refused the credential `nexus` ({status}); ask the operator");
        assert_refused(&store, naming(&store, source.url(), &["nexus"]), 502, "SOURCE_UNREACHABLE", &detail).await;
        assert_eq!(source.requests().len(), 2);
        let counted = "linkgate_store_uploads_total{result=\"source_credential\"} 1\n";
        assert!(store.get("/metrics").await.body.contains(counted));
    }
}

#[tokio::test]
async fn none_goes_over_plain_http_unless_the_operator_says_so() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source]);
        send_in_clear(config, &["127.0.0.1:1".to_owned()]);
        give(config, &bearer("nexus", &source.host(), "/a", "s3cret"));
    })
    .await;
    let message = "A credential goes with this link, and it is sent over https only; give an https link.";
    assert_field_refused(&store, naming(&store, source.url_of("/a/x.tgz"), &["nexus"]), "package_url", message).await;
    assert!(source.requests().is_empty());
    // What needs none is fetched as ever.
    assert_eq!(store.send(naming(&store, source.url_of("/b/x.tgz"), &["nexus"])).await.status, 200);
    assert_eq!(shown(&source, "authorization"), [None]);
}

#[tokio::test]
async fn over_tls_it_goes_and_not_on_to_plain_http() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let source = FakeSource::serving(package_of("x")).await;
    let front = TlsFront::before(&source, &authority, Manner::Serves(Shown::Good, &["http/1.1"])).await;
    let path = file(dir.path(), &bearer("nexus", &front.host(), "/", "s3cret"));
    let hosts = format!("{},{}", front.host(), source.host());
    let settings = [
        ("SSL_CERT_FILE", authority.file().to_str().unwrap()),
        ("LINKGATE_FETCH_ALLOWED_HOSTS", &hosts),
        ("LINKGATE_FETCH_PRIVATE_HOSTS", &hosts),
        ("LINKGATE_FETCH_CREDENTIALS_FILE", path.to_str().unwrap()),
    ];
    let store = StoreProcess::start(&dir.path().join("data"), &settings);
    assert_eq!(store.send(naming(&store, front.url(), &["nexus"])).await.status, 200);
    source.on("/generic/example.tar.gz", Behaviour::Redirect(302, source.url_of("/clear")));
    let reply = store.send(naming(&store, front.url(), &["nexus"]).version("2")).await;
    assert_eq!(reply.json()["detail"], format!("{UNREACHABLE}: it redirects from https to http"));
    let mine = some("Bearer s3cret");
    assert_eq!(shown(&source, "authorization"), [mine.clone(), mine]);
    store.stop();
}

/// A store whose credentials are in this file.
fn process_with(source: &FakeSource, dir: &Path, path: &Path) -> StoreProcess {
    let host = source.host();
    let settings =
        [("LINKGATE_FETCH_CREDENTIALS_FILE", path.to_str().unwrap()), ("LINKGATE_FETCH_CREDENTIALS_OVER_HTTP", &host)];
    StoreProcess::trusting(source, &dir.join("data"), &settings)
}

#[tokio::test]
async fn one_that_the_store_does_not_have_is_said_to_the_caller_and_the_operator() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let path = file(dir.path(), &bearer("nexus", &source.host(), "/", "s3cret"));
    let store = process_with(&source, dir.path(), &path);
    let reply = store.send(naming(&store, source.url(), &["nexus", "gone"])).await;
    let why = "the policy names the credential `gone`, which the store does not have; ask the operator";
    assert_eq!((reply.status, &reply.json()["detail"]), (502, &json!(format!("{UNREACHABLE}: {why}"))), "{reply:?}");
    assert!(source.requests().is_empty());
    store.directory().assert_empty().await;
    let log = store.stop_and_read().join("\n");
    let line = log.lines().find(|line| line.contains("ERROR")).expect("a line for the operator");
    assert!(line.contains("`gone`") && line.contains("LINKGATE_FETCH_CREDENTIALS_FILE"), "{line}");
    assert!(!log.contains("s3cret"), "{log}");
}

#[tokio::test]
async fn the_file_is_read_again_at_sighup_and_a_bad_one_changes_nothing() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let with = |token: &str| file(dir.path(), &bearer("nexus", &source.host(), "/", token));
    let path = with("s3cret-old");
    let store = process_with(&source, dir.path(), &path);
    let shows = async |version: &str| {
        let reply = store.send(naming(&store, source.url(), &["nexus"]).version(version)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        shown(&source, "authorization").pop().unwrap()
    };
    let logs = async |what: &str| {
        wait_until_holds(what, async || store.log().iter().any(|line| line.contains(what))).await;
    };
    assert_eq!(shows("1").await, some("Bearer s3cret-old"));
    with("s3cret-new");
    store.hang_up();
    logs("Read the credentials for sources again: there are 1").await;
    assert_eq!(shows("2").await, some("Bearer s3cret-new"));
    file(dir.path(), "[[credentials]]\nsecret = \"s3cret-bad");
    store.hang_up();
    logs("The credentials for sources stay as they were").await;
    with("s3cret-wide");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    store.hang_up();
    logs("run `chmod 600` on it").await;
    assert_eq!(shows("3").await, some("Bearer s3cret-new"));
    assert!(!store.stop_and_read().join("\n").contains("s3cret"));
}

#[test]
fn a_store_does_not_start_with_a_file_that_others_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &bearer("nexus", "nexus.internal", "/", "s3cret"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let settings =
        [("LINKGATE_FETCH_CREDENTIALS_FILE", path.to_str().unwrap()), ("LINKGATE_STORE_SEALING_KEY", "too short")];
    let ended = command_with(&dir.path().join("data"), &[], &settings);
    assert_eq!(ended.code(), 64);
    assert!(ended.err.contains("has the mode 640") && ended.err.contains("run `chmod 600` on it"), "{}", ended.err);
    assert!(ended.err.contains("LINKGATE_STORE_SEALING_KEY must be 64 hexadecimal digits"), "{}", ended.err);
    assert!(!ended.err.contains("s3cret") && !ended.err.contains("too short"), "{}", ended.err);
}
