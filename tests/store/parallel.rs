//! Large files of slow sources, read by several connections.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use linkgate_tests::{Behaviour, FakeSource, RangedFile, TestStore, package_of_size, sha256_hex, trust};
use serde_json::json;

/// Two MiB and a byte over the size from which files are read in parts.
const LEN: usize = (66 << 20) + 1;
static BODY: LazyLock<Arc<Vec<u8>>> = LazyLock::new(|| Arc::new(package_of_size(LEN)));
static SHA256: LazyLock<String> = LazyLock::new(|| sha256_hex(&BODY));

/// A file of a source that gives each connection 25 MiB per second, and parts.
pub(crate) fn slow() -> RangedFile {
    RangedFile::new(Arc::clone(&BODY)).with(|f| {
        f.more = "accept-ranges: bytes\r\n".into();
        f.pause = Duration::from_millis(10);
    })
}

/// The parts that were asked for, in order; the first request asks for none.
fn parts(source: &FakeSource) -> Vec<String> {
    let part = |head: &String| head.lines().find_map(|line| line.strip_prefix("range: bytes=").map(str::to_owned));
    source.requests().iter().map(|head| part(head).unwrap_or_default()).collect()
}

/// Links it with so many connections, and expects the whole file.
async fn link(source: &FakeSource, connections: usize) {
    let store = TestStore::with(|c| {
        trust(c, &[source]);
        c.fetch.parallel = connections;
    })
    .await;
    let reply = store.send(store.request(source.url())).await;
    assert_eq!((reply.status, &reply.json()["sha256_signature"]), (200, &json!(*SHA256)), "{reply:?}");
    store.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_source_is_read_by_four_connections_in_parts_that_join() {
    let source = FakeSource::start(Behaviour::Ranged(slow())).await;
    link(&source, 1).await;
    assert_eq!((parts(&source), source.most_at_once()), (vec![String::new()], 1));
    link(&source, 4).await;
    // More, where the source has not noticed yet that nobody reads the first reply any more.
    assert!(source.most_at_once() >= 4, "{}", source.most_at_once());
    let mut ends: Vec<(usize, usize)> = parts(&source)[2..]
        .iter()
        .map(|part| part.split_once('-').map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap())).unwrap())
        .collect();
    ends.sort_unstable();
    assert!(ends.len() > 4 && ends.windows(2).all(|two| two[0].1 + 1 == two[1].0), "{ends:?}");
    assert!(ends[0].0 >= 8 << 20 && ends.last().unwrap().1 == LEN - 1, "{ends:?}");
}

#[tokio::test]
async fn a_source_that_does_not_say_that_it_gives_parts_gets_one_connection() {
    for change in [|f: &mut RangedFile| f.more.clear(), |f: &mut RangedFile| f.etag = None] {
        let source = FakeSource::start(Behaviour::Ranged(slow().with(change))).await;
        link(&source, 4).await;
        assert_eq!(parts(&source), [""]);
    }
}

#[tokio::test]
async fn a_part_that_fails_ends_the_parts_and_the_download_goes_on_by_one_connection() {
    let another = || slow().with(|f| (f.etag, f.ignores_if_range) = (Some("\"v2\"".into()), true));
    for (name, bad) in [
        ("cut off", Behaviour::Ranged(slow().cut_at(1 << 20))),
        ("of another version", Behaviour::Ranged(another().with(|f| f.body = vec![0; LEN].into()))),
        ("the whole file instead", Behaviour::Ranged(slow().with(|f| f.ignores_ranges = true))),
        ("not for two at once", Behaviour::Status(403)),
    ] {
        let good = || Behaviour::Ranged(slow());
        let quick = Behaviour::Ranged(slow().with(|f| f.pause = Duration::ZERO));
        let turns = vec![good(), good(), good(), bad, good(), good(), good(), quick];
        let source = FakeSource::start(Behaviour::Turns(turns)).await;
        link(&source, 4).await;
        let asked = parts(&source);
        let last = asked.last().unwrap();
        assert!(
            last.ends_with('-') && asked.iter().filter(|part| part.ends_with('-')).count() == 1,
            "{name}: {asked:?}"
        );
        let failed: usize = asked[3].split('-').next().unwrap().parse().unwrap();
        assert_eq!(last, &format!("{failed}-"), "{name}: it goes on where the parts joined");
    }
}
