//! Damage is found, named and, where that loses nothing, put right.

use std::path::Path;

use linkgate_tests::process::{command, command_with};
use linkgate_tests::wait::wait_until_holds;
use linkgate_tests::{Behaviour, DataDirectory, FakeSource, StoreProcess, bytes, package_of, sha256_hex};
use serde_json::Value;

use crate::gc::left_by_a_store;

/// The lines of a report, the last of which is the summary.
fn report(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn flip_a_bit(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// A store's directory with one package of each of these contents, versions `0`, `1`, ….
async fn with_packages(dir: &Path, contents: &[&[u8]]) -> DataDirectory {
    let source = FakeSource::serving(package_of("unused")).await;
    let store = StoreProcess::trusting(&source, dir, &[]);
    for (i, content) in contents.iter().enumerate() {
        let path = format!("/{i}");
        source.on(&path, Behaviour::Bytes(package_of(content)));
        let request = store.request(source.url_of(&path)).version(&i.to_string());
        assert_eq!(request.send(store.base()).await.status, 200);
    }
    store.stop();
    DataDirectory::new(dir)
}

#[tokio::test]
async fn a_sound_store_is_found_sound_also_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let big = bytes(2_500_000);
    with_packages(dir.path(), &[b"a", b"b", b"b", &big]).await;
    let found = command(dir.path(), &["verify"]);
    assert_eq!(found.code(), 0);
    let bytes: usize = [&b"a"[..], b"b", &big].map(|content| package_of(content).len()).iter().sum();
    assert_eq!(found.out, format!("4 rows, 3 packages, {bytes} bytes: 0 findings\n"));
    let store = StoreProcess::start(dir.path(), &[]);
    let found = command(dir.path(), &["verify", "--json"]);
    assert_eq!(found.code(), 0);
    let summary = format!("{{\"summary\":{{\"blobs\":3,\"bytes\":{bytes},\"findings\":0,\"rows\":4}}}}\n");
    assert_eq!(found.out, summary);
    assert_eq!(store.rows().await.len(), 4);
}

#[tokio::test]
async fn every_kind_of_damage_is_found_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let contents: [&[u8]; 5] = [b"cut short", b"flipped", b"lost", b"misbooked", b"a folder now"];
    let directory = with_packages(dir.path(), &contents).await;
    let names = contents.map(|content| sha256_hex(&package_of(content)));
    std::fs::File::options().write(true).open(directory.blob(&names[0])).unwrap().set_len(3).unwrap();
    flip_a_bit(&directory.blob(&names[1]));
    std::fs::remove_file(directory.blob(&names[2])).unwrap();
    directory.execute("update source_package set size_bytes = 1 where version = '3'").await;
    std::fs::remove_file(directory.blob(&names[4])).unwrap();
    std::fs::create_dir(directory.blob(&names[4])).unwrap();
    let orphan = directory.plant(b"never recorded");
    std::fs::write(dir.path().join("blobs/notes.txt"), "mine").unwrap();
    let (files, rows) = (directory.files(), directory.rows().await);

    // The orphan is older than this grace.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let found = command_with(dir.path(), &["verify", "--json"], &[("LINKGATE_STORE_GC_GRACE_S", "1")]);
    assert_eq!(found.code(), 1);
    let mut found = report(&found.out);
    let summary = found.pop().unwrap();
    assert_eq!(summary["summary"]["findings"], 8);
    assert_eq!((&summary["summary"]["rows"], &summary["summary"]["blobs"]), (&5.into(), &4.into()));
    let of = |kind: &str| found.iter().filter(|f| f["finding"] == kind).collect::<Vec<_>>();
    let versions = |f: &Value| f["rows"].as_array().unwrap().iter().map(|r| r["version"].clone()).collect::<Vec<_>>();
    let mut wrong: Vec<_> = of("blob_corrupt").iter().map(|f| (f["sha256"].clone(), versions(f))).collect();
    wrong.sort_by_key(|(_, versions)| versions[0].to_string());
    assert_eq!(wrong, [(names[0].clone().into(), vec!["0".into()]), (names[1].clone().into(), vec!["1".into()])]);
    let mut missing = of("blob_missing");
    missing.sort_by_key(|f| versions(f)[0].to_string());
    assert_eq!(versions(missing.pop().unwrap()), ["4"]);
    assert_eq!(
        (missing.len(), &missing[0]["sha256"], versions(missing[0])),
        (1, &names[2].clone().into(), vec!["2".into()])
    );
    assert_eq!(
        (of("size_mismatch").len(), &of("size_mismatch")[0]["size_bytes"]),
        (1, &package_of("misbooked").len().into())
    );
    assert_eq!((of("blob_orphaned").len(), &of("blob_orphaned")[0]["sha256"]), (1, &orphan.into()));
    let mut strays: Vec<_> = of("stray").iter().map(|f| f["path"].clone()).collect();
    strays.sort_by_key(|path| path.as_str().unwrap().len());
    let folder = directory.blob(&names[4]);
    assert_eq!(strays, [dir.path().join("blobs/notes.txt"), folder].map(|path| path.display().to_string()));
    assert_eq!((directory.files(), directory.rows().await), (files, rows), "a check changes nothing");
    // The same in words.
    let words = command(dir.path(), &["verify"]);
    assert_eq!(words.code(), 1);
    assert!(words.out.contains("is missing, referenced by row 3 (`2` of `app_code`/`default`)"), "{}", words.out);
    assert!(words.out.ends_with("7 findings\n"), "what may be about to be recorded is none: {}", words.out);
}

#[tokio::test]
async fn a_repair_quarantines_wrong_bytes_removes_orphans_and_leaves_every_row() {
    let dir = tempfile::tempdir().unwrap();
    let directory = with_packages(dir.path(), &[b"good", b"wrong", b"lost"]).await;
    let (good, wrong, lost) =
        (sha256_hex(&package_of("good")), sha256_hex(&package_of("wrong")), sha256_hex(&package_of("lost")));
    flip_a_bit(&directory.blob(&wrong));
    let damaged = std::fs::read(directory.blob(&wrong)).unwrap();
    std::fs::remove_file(directory.blob(&lost)).unwrap();
    let orphan = directory.plant(b"never recorded");
    let rotten = directory.plant(b"never recorded either");
    flip_a_bit(&directory.blob(&rotten));
    let rows = directory.rows().await;

    let done = command(dir.path(), &["verify", "--repair", "--json"]);
    assert_eq!(done.code(), 1);
    let found = report(&done.out);
    let of = |sha256: &str| found.iter().find(|f| f["sha256"] == sha256).unwrap();
    assert_eq!(of(&orphan)["removed"], true);
    let quarantine = dir.path().join("quarantine");
    for (name, kept) in [(&wrong, &damaged), (&rotten, &std::fs::read(quarantine.join(format!("{rotten}.0"))).unwrap())]
    {
        let moved = quarantine.join(format!("{name}.0"));
        assert_eq!(of(name)["moved_to"], moved.to_str().unwrap());
        assert_eq!(&std::fs::read(moved).unwrap(), kept, "moved as it is");
    }
    assert_eq!(directory.stored_files(), [good]);
    assert_eq!(directory.rows().await, rows, "rows are listed, never touched");

    let after = command(dir.path(), &["verify"]);
    assert_eq!(after.code(), 1, "two rows are without their blob now");
    assert!(after.out.contains(&format!("{wrong} is missing")) && after.out.contains(&format!("{lost} is missing")));
    // A second damage to the same package does not take the first one's place.
    std::fs::write(directory.blob(&wrong), "worse").unwrap();
    assert_eq!(command(dir.path(), &["verify", "--repair"]).code(), 1);
    assert_eq!(std::fs::read(quarantine.join(format!("{wrong}.1"))).unwrap(), b"worse");
    assert_eq!(std::fs::read(quarantine.join(format!("{wrong}.0"))).unwrap(), damaged);
    // The same bytes again put it right.
    let source = FakeSource::serving(package_of("wrong")).await;
    source.on("/lost", Behaviour::Bytes(package_of("lost")));
    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    for (path, version) in [("/generic/example.tar.gz", "1"), ("/lost", "2")] {
        let request = store.request(source.url_of(path)).version(version).overwriting();
        assert_eq!(request.send(store.base()).await.status, 200);
    }
    store.stop();
    assert_eq!(command(dir.path(), &["verify"]).code(), 0);
}

#[tokio::test]
async fn a_repair_is_refused_while_a_store_runs() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let directory = left_by_a_store(&source, dir.path(), &["1"]).await;
    let store = StoreProcess::start(dir.path(), &[]);
    let orphan = directory.plant(b"never recorded");
    flip_a_bit(&directory.blob(&sha256_hex(&package_of("x"))));
    let refused = command(dir.path(), &["verify", "--repair"]);
    assert_eq!((refused.code(), refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("is used by another store"), "{}", refused.err);
    assert!(directory.blob(&orphan).exists() && !dir.path().join("quarantine").exists());
    drop(store);
}

#[tokio::test]
async fn what_cannot_be_checked_ends_with_2() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(command(&dir.path().join("nowhere"), &["verify"]).code(), 2);
    assert_eq!(command(dir.path(), &["verify"]).code(), 2, "a directory without packages");
    std::fs::create_dir(dir.path().join("blobs")).unwrap();
    assert_eq!(command(dir.path(), &["verify"]).code(), 2, "and without a catalog");
    assert!(!dir.path().join("catalog.sqlite3").exists(), "none are made");
    std::fs::write(dir.path().join("catalog.sqlite3"), "this is no database, whatever its name says".repeat(99))
        .unwrap();
    let orphan = DataDirectory::new(dir.path()).plant(b"must stay");
    for arguments in [&["verify"][..], &["verify", "--repair"], &["gc"]] {
        assert_eq!(command(dir.path(), arguments).code(), 2, "{arguments:?}");
    }
    assert!(DataDirectory::new(dir.path()).blob(&orphan).exists(), "nothing is removed on the word of such a catalog");
}

#[tokio::test]
async fn a_running_store_finds_damage_by_itself_and_logs_it() {
    let dir = tempfile::tempdir().unwrap();
    let directory = with_packages(dir.path(), &[b"good", b"flipped", b"lost"]).await;
    flip_a_bit(&directory.blob(&sha256_hex(&package_of("flipped"))));
    std::fs::remove_file(directory.blob(&sha256_hex(&package_of("lost")))).unwrap();
    let _orphan = directory.plant(b"never recorded");
    let store = StoreProcess::start(dir.path(), &[("LINKGATE_STORE_SCRUB_BYTES_PER_S", "1000000")]);
    let mut log = Vec::new();
    wait_until_holds("the reading", async || {
        log.extend(store.log());
        log.iter().any(|line| line.contains("Scrubbed all"))
    })
    .await;
    let damage: Vec<_> = log.iter().filter(|line| line.contains("ERROR") && line.contains("Found damage")).collect();
    assert_eq!(damage.len(), 2, "{log:?}");
    assert!(damage.iter().any(|line| line.contains(&sha256_hex(&package_of("flipped"))) && line.contains("row 2")));
    assert!(damage.iter().any(|line| line.contains(&sha256_hex(&package_of("lost"))) && line.contains("row 3")));
    assert_eq!(directory.rows().await.len(), 3);
    store.stop();
}

#[tokio::test]
async fn the_reading_keeps_to_its_rate_and_can_be_switched_off() {
    let dir = tempfile::tempdir().unwrap();
    let big = bytes(3_000_000);
    with_packages(dir.path(), &[&big]).await;
    for rate in ["0", "1000"] {
        let store = StoreProcess::start(dir.path(), &[("LINKGATE_STORE_SCRUB_BYTES_PER_S", rate)]);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        let log = store.log().join("\n");
        assert!(!log.contains("Scrubbed all"), "{rate}: {log}");
        // A reading in the middle of a rest does not hold up a stop.
        store.stop();
    }
}
