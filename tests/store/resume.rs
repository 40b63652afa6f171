//! Downloads that go on where they broke, and those that must not.

use std::collections::BTreeSet;
use std::sync::Arc;

use linkgate_tests::{
    Behaviour, FakeSource, RangedFile, TestStore, allow_unknown_formats, another_package_of_size, bytes,
    package_of_size, sha256_hex, trust,
};
use serde_json::json;

use crate::assert_refused;

const LEN: usize = 100_000;
const CUT: usize = 60_000;
/// A minute before the fake source's clock.
const LONG_AGO: &str = "Wed, 01 Jan 2020 00:00:00 GMT";

/// A file that breaks off.
fn broken() -> RangedFile {
    RangedFile::new(package_of_size(LEN)).cut_at(CUT)
}

/// The same file.
fn sound() -> RangedFile {
    RangedFile::new(package_of_size(LEN))
}

/// Another file of the same length and name.
fn another() -> RangedFile {
    RangedFile::new(another_package_of_size(LEN)).with(|file| file.etag = Some("\"v2\"".into()))
}

async fn serving(turns: impl IntoIterator<Item = RangedFile>) -> FakeSource {
    FakeSource::start(Behaviour::Turns(turns.into_iter().map(Behaviour::Ranged).collect())).await
}

/// The parts that were asked for, in order; empty where the whole was.
fn parts(source: &FakeSource) -> Vec<String> {
    let part = |head: &String| head.lines().find_map(|line| line.strip_prefix("range: ").map(str::to_owned));
    source.requests().iter().map(|head| part(head).unwrap_or_default()).collect()
}

/// Links the package and expects that exactly these bytes are stored, and nothing else is left.
async fn assert_stores(source: &FakeSource, body: &[u8], name: &str) {
    let store = TestStore::trusting(source).await;
    let reply = store.send(store.request(source.url())).await;
    assert_eq!((reply.status, &reply.json()["sha256_signature"]), (200, &json!(sha256_hex(body))), "{name}: {reply:?}");
    assert_eq!(reply.json()["package_size"], body.len().to_string(), "{name}");
    assert_eq!(store.stored_files(), [sha256_hex(body)], "{name}");
    store.finish().await;
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_stood() {
    let dated = |file: RangedFile| file.with(|f| (f.etag, f.modified) = (None, Some(LONG_AGO.into())));
    for (name, first, second) in [
        ("by its tag", broken(), sound()),
        ("announced", broken().with(|f| f.more = "accept-ranges: bytes\r\n".into()), sound()),
        ("by its date", dated(broken()), dated(sound())),
        ("after a reset", broken().with(|f| f.resets = true), sound()),
    ] {
        let source = serving([first, second]).await;
        assert_stores(&source, &package_of_size(LEN), name).await;
        assert_eq!(parts(&source), ["", "bytes=60000-"], "{name}");
        let head = source.requests().remove(1);
        let validator = if name == "by its date" { LONG_AGO } else { "\"v1\"" };
        assert!(head.contains(&format!("if-range: {validator}\r\n")), "{name}: {head}");
    }
}

#[tokio::test]
async fn a_download_may_break_three_times() {
    let source = serving([sound().cut_at(10_000), sound().cut_at(20_000), sound().cut_at(30_000), sound()]).await;
    assert_stores(&source, &package_of_size(LEN), "three times").await;
    assert_eq!(parts(&source), ["", "bytes=10000-", "bytes=30000-", "bytes=60000-"]);
}

#[tokio::test]
async fn the_fourth_break_ends_it_and_leaves_nothing() {
    let source = serving([sound().cut_at(10_000)]).await;
    let store = TestStore::trusting(&source).await;
    let detail = "The package_url could not be read: the answer of the source broke off";
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", detail).await;
    assert_eq!(parts(&source), ["", "bytes=10000-", "bytes=20000-", "bytes=30000-"]);
}

#[tokio::test]
async fn a_source_that_breaks_and_fails_in_between_is_resumed_all_the_same() {
    let turns = vec![
        Behaviour::Ranged(broken()),
        Behaviour::Status(503),
        Behaviour::Raw(Vec::new()),
        Behaviour::Ranged(sound()),
    ];
    let source = FakeSource::start(Behaviour::Turns(turns)).await;
    assert_stores(&source, &package_of_size(LEN), "failures in between").await;
    assert_eq!(parts(&source), ["", "bytes=60000-", "bytes=60000-", "bytes=60000-"]);
}

#[tokio::test]
async fn a_file_that_changed_begins_anew_and_is_never_mixed() {
    for (name, second) in [
        ("the source says so", another()),
        ("the source knows no ranges", sound().with(|f| f.ignores_ranges = true)),
        ("it is shorter now", RangedFile::new(package_of_size(200)).with(|f| f.etag = Some("\"v3\"".into()))),
    ] {
        let body = second.body.clone();
        let source = serving([broken(), second]).await;
        assert_stores(&source, &body, name).await;
        assert_eq!(parts(&source), ["", "bytes=60000-"], "{name}");
    }
}

#[tokio::test]
async fn a_rest_that_may_be_of_another_file_is_not_believed() {
    let lying = |change: fn(&mut RangedFile)| another().with(|f| f.ignores_if_range = true).with(change);
    for (name, second) in [
        ("another tag", lying(|_| ())),
        ("a weak tag", lying(|f| f.etag = Some("W/\"v1\"".into()))),
        ("no tag", lying(|f| f.etag = None)),
        ("two tags", lying(|f| (f.etag, f.more) = (Some("\"v1\"".into()), "etag: \"v2\"\r\n".into()))),
        ("from the beginning", lying(|f| same_tag(f, "bytes 0-39999/100000"))),
        ("one byte too far", lying(|f| same_tag(f, "bytes 60001-99999/100000"))),
        ("one byte too early", lying(|f| same_tag(f, "bytes 59999-99998/100000"))),
        ("of another length", lying(|f| same_tag(f, "bytes 60000-99999/100001"))),
        ("of unknown length", lying(|f| same_tag(f, "bytes 60000-99999/*"))),
        ("shorter than it sends", lying(|f| same_tag(f, "bytes 60000-60000/100000"))),
        (
            "longer than it sends",
            lying(|f| Arc::make_mut(&mut f.body).truncate(LEN - 1)).with(|f| same_tag(f, "bytes 60000-99999/100000")),
        ),
        ("of nothing", lying(|f| same_tag(f, ""))),
        ("in lines", lying(|f| same_tag(f, "lines 60000-99999/100000"))),
        ("without an end", lying(|f| f.until_close = true).with(|f| same_tag(f, "bytes 60000-99999/100000"))),
        (
            "not there any more",
            lying(|f| Arc::make_mut(&mut f.body).truncate(CUT)).with(|f| f.etag = Some("\"v1\"".into())),
        ),
    ] {
        let source = serving([broken(), second, another()]).await;
        assert_stores(&source, &another().body, name).await;
        assert_eq!(parts(&source), ["", "bytes=60000-", ""], "{name}");
    }
}

/// Claims to be the first version, and to send these bytes of it.
fn same_tag(file: &mut RangedFile, content_range: &str) {
    (file.etag, file.content_range) = (Some("\"v1\"".into()), Some(content_range.into()));
}

#[tokio::test]
async fn a_file_that_changes_for_ever_is_given_up_by_name() {
    let lying = another().with(|f| f.ignores_if_range = true);
    let source = serving([broken(), lying.clone(), broken(), lying]).await;
    let store = TestStore::trusting(&source).await;
    let detail = "The package_url could not be read: the file changed while it was being read";
    assert_refused(&store, store.request(source.url()), 502, "SOURCE_UNREACHABLE", detail).await;
    assert_eq!(source.requests().len(), 4);
}

#[tokio::test]
async fn without_a_strong_validator_the_whole_is_asked_for_again() {
    let young = "Wed, 01 Jan 2020 00:00:01 GMT";
    let weak = Some("W/\"v1\"".to_owned());
    for (name, etag, modified, more) in [
        ("no validator", None, None, ""),
        ("a weak tag", weak, None, ""),
        ("a date that is too young", None, Some(young.to_owned()), ""),
        ("no ranges", Some("\"v1\"".to_owned()), None, "accept-ranges: none\r\n"),
    ] {
        let changed = |file: RangedFile| {
            file.with(|f| (f.etag, f.modified, f.more) = (etag.clone(), modified.clone(), more.to_owned()))
        };
        let source = serving([changed(broken()), changed(sound())]).await;
        assert_stores(&source, &package_of_size(LEN), name).await;
        assert_eq!(parts(&source), ["", ""], "{name}");
    }
}

#[tokio::test]
async fn the_rest_is_asked_of_the_mirror_that_began() {
    let mirror = serving([broken(), sound()]).await;
    let source = FakeSource::start(Behaviour::Redirect(302, mirror.url())).await;
    let store = TestStore::with(|c| trust(c, &[&source, &mirror])).await;
    assert_eq!(
        store.send(store.request(source.url())).await.json()["sha256_signature"],
        sha256_hex(&package_of_size(LEN))
    );
    assert_eq!((source.requests().len(), parts(&mirror)), (1, vec![String::new(), "bytes=60000-".into()]));
}

#[tokio::test]
async fn a_mirror_that_gives_up_in_between_is_left_for_where_the_link_leads_now() {
    for gone in
        [Behaviour::Status(403), Behaviour::Status(410), Behaviour::Redirect(302, "http://evil.example/".into())]
    {
        let turns = vec![Behaviour::Ranged(broken()), gone];
        let first = FakeSource::start(Behaviour::Turns(turns)).await;
        // Also if the other one calls its own file by the same tag.
        let second = serving([another().with(|f| f.etag = Some("\"v1\"".into()))]).await;
        let redirects = [first.url(), second.url()].map(|to| Behaviour::Redirect(302, to));
        let source = FakeSource::start(Behaviour::Turns(redirects.into())).await;
        let store = TestStore::with(|c| trust(c, &[&source, &first, &second])).await;
        let reply = store.send(store.request(source.url())).await;
        assert_eq!(reply.json()["sha256_signature"], sha256_hex(&another().body), "{reply:?}");
        assert_eq!(parts(&second), [""], "nothing is resumed at another place");
    }
}

#[tokio::test]
async fn what_was_named_is_compared_with_the_file_that_came_in_the_end() {
    let source = serving([broken(), sound()]).await;
    let store = TestStore::trusting(&source).await;
    let named = store.request(source.url()).field("sha256", sha256_hex(&package_of_size(LEN))).field("size", LEN);
    assert_eq!(store.send(named).await.status, 200);
    let source = serving([broken(), another()]).await;
    let store = TestStore::trusting(&source).await;
    let named = store.request(source.url()).field("sha256", sha256_hex(&package_of_size(LEN))).field("size", LEN);
    assert_eq!(store.send(named).await.json()["code"], "CHECKSUM_MISMATCH");
    store.directory().assert_empty().await;
    let source = serving([broken(), RangedFile::new(package_of_size(200)).with(|f| f.etag = None)]).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(store.request(source.url()).field("size", LEN)).await;
    assert_eq!(reply.json()["code"], "SIZE_MISMATCH");
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn a_page_that_comes_at_the_second_attempt_is_a_page() {
    let page = Behaviour::Bytes(b"<!DOCTYPE html><title>Login</title>".to_vec());
    let source = FakeSource::start(Behaviour::Turns(vec![Behaviour::Ranged(broken()), page])).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(store.request(source.url()).in_english()).await;
    assert!(reply.body.contains("an HTML page"), "{reply:?}");
    store.directory().assert_empty().await;
}

/// What a source may do at one attempt. It may lie about everything but one thing: that bytes belong to the version whose
/// tag, place and length it shows.
fn anything(rng: &mut fastrand::Rng, versions: &[RangedFile]) -> Behaviour {
    let mut file = versions[rng.usize(..versions.len())].clone();
    file.cut = [rng.usize(..LEN), LEN][rng.usize(..2)];
    file.ignores_ranges = rng.usize(..5) == 0;
    file.ignores_if_range = rng.usize(..2) == 0;
    match rng.usize(..8) {
        0 => return Behaviour::Status([500, 503, 408, 429][rng.usize(..4)]),
        1 => return Behaviour::Raw(Vec::new()),
        2 => {
            let at = rng.usize(..LEN);
            file.content_range = Some(format!("bytes {at}-{}/{LEN}", LEN - 1));
        }
        _ => {}
    }
    Behaviour::Ranged(file)
}

#[tokio::test]
async fn whatever_a_source_does_one_whole_version_is_stored_or_nothing() {
    let opaque = bytes(LEN);
    let inverted = opaque.iter().map(|byte| !byte).collect::<Vec<_>>();
    let versions = [
        RangedFile::new(opaque.clone()),
        RangedFile::new(inverted).with(|f| f.etag = Some("\"v2\"".into())),
        RangedFile::new(opaque[..LEN / 2].to_vec()).with(|f| f.etag = Some("\"v3\"".into())),
        RangedFile::new(opaque[1..].to_vec()).with(|f| f.etag = None),
    ];
    let whole: Vec<String> = versions.iter().map(|file| sha256_hex(&file.body)).collect();
    let source = FakeSource::serving("").await;
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        allow_unknown_formats(c, "an archive has checksums, which would hide that the store had mixed two versions");
    })
    .await;
    let mut rng = fastrand::Rng::with_seed(0x9e37_79b9_7f4a_7c15);
    let mut kept = BTreeSet::new();
    let mut stored = 0;
    for round in 0..200 {
        let path = format!("/{round}");
        source.on(&path, Behaviour::Turns((0..4).map(|_| anything(&mut rng, &versions)).collect()));
        let reply = store.send(store.request(source.url_of(&path)).version(&round.to_string())).await;
        if reply.status == 200 {
            let sha256 = reply.json()["sha256_signature"].as_str().unwrap().to_owned();
            assert!(whole.contains(&sha256), "round {round}: a mixed file, asked for by {:?}", source.requests());
            kept.insert(sha256);
            stored += 1;
        }
        assert_eq!(store.stored_files(), kept.iter().cloned().collect::<Vec<_>>(), "round {round}");
        assert_eq!(store.rows().await.len(), stored, "round {round}");
        assert!(store.directory().temp_files().is_empty(), "round {round}");
    }
    let ranges = parts(&source).iter().filter(|part| !part.is_empty()).count();
    assert!(
        (50..190).contains(&stored) && ranges > 70,
        "the choices fall on one side: {stored} stored, {ranges} ranges"
    );
}
