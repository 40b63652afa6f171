//! What no row points at is removed, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use linkgate_tests::process::command;
use linkgate_tests::wait::wait_until_holds;
use linkgate_tests::{Behaviour, DataDirectory, FakeSource, StoreProcess, package_of, package_of_size, sha256_hex};

use crate::writers::Writers;

/// A data directory that a store has made and left, with these versions of what the source serves.
pub(super) async fn left_by_a_store(source: &FakeSource, dir: &Path, versions: &[&str]) -> DataDirectory {
    let store = StoreProcess::trusting(source, dir, &[]);
    for version in versions {
        assert_eq!(store.request(source.url()).version(version).send(store.base()).await.status, 200);
    }
    store.stop();
    DataDirectory::new(dir)
}

#[tokio::test]
async fn what_a_kill_between_rename_and_commit_leaves_is_removed_and_counted() {
    let (source, dir) = (FakeSource::serving(package_of("recorded")).await, tempfile::tempdir().unwrap());
    let directory = left_by_a_store(&source, dir.path(), &["1"]).await;
    let orphan = directory.plant(b"never recorded");
    std::fs::write(dir.path().join("tmp/7"), "half").unwrap();
    let before = directory.files();

    let tried = command(dir.path(), &["gc", "--dry-run"]);
    assert_eq!(tried.code(), 0);
    assert_eq!(tried.out, "Would delete 1 orphaned packages (14 bytes) and 1 temporary files (4 bytes)\n");
    assert_eq!(directory.files(), before, "a dry run removes nothing");

    let done = command(dir.path(), &["gc"]);
    assert_eq!(done.code(), 0);
    assert_eq!(done.out, "Deleted 1 orphaned packages (14 bytes) and 1 temporary files (4 bytes)\n");
    assert!(!directory.blob(&orphan).exists() && directory.temp_files().is_empty());
    assert_eq!(directory.stored_files(), [sha256_hex(&package_of("recorded"))]);

    let again = command(dir.path(), &["gc"]);
    assert_eq!(again.out, "Deleted 0 orphaned packages (0 bytes) and 0 temporary files (0 bytes)\n");
    assert_eq!((directory.rows().await.len(), directory.stored_files().len()), (1, 1));
}

#[tokio::test]
async fn a_shared_blob_goes_with_its_last_row_and_not_before() {
    let (source, dir) = (FakeSource::serving(package_of("shared")).await, tempfile::tempdir().unwrap());
    let directory = left_by_a_store(&source, dir.path(), &["1", "2"]).await;
    directory.execute("update source_package set is_deleted = 1 where version = '1'").await;
    assert_eq!(command(dir.path(), &["purge"]).code(), 0);
    assert_eq!(directory.stored_files(), [sha256_hex(&package_of("shared"))], "the other row needs it");
    assert_eq!(command(dir.path(), &["verify"]).code(), 0);

    directory.execute("update source_package set is_deleted = 1").await;
    let size = package_of("shared").len();
    assert_eq!(
        command(dir.path(), &["gc"]).out,
        "Deleted 0 orphaned packages (0 bytes) and 0 temporary files (0 bytes)\n"
    );
    assert_eq!(
        command(dir.path(), &["purge", "--dry-run"]).out,
        format!("Would purge 1 deleted packages ({size} bytes)\n")
    );
    assert_eq!(directory.stored_files().len(), 1, "a dry run removes nothing");
    let done = command(dir.path(), &["purge"]);
    let said = format!("Purged 1 deleted packages ({size} bytes)\n1 files are gone; others need the rest\n");
    assert_eq!((done.code(), done.out), (0, said));
    assert_eq!(
        command(dir.path(), &["purge"]).out,
        "Purged 0 deleted packages (0 bytes)\n0 files are gone; others need the rest\n"
    );
    assert_eq!(directory.stored_files(), Vec::<String>::new());
    assert_eq!(directory.rows().await.len(), 2, "rows are not its business");
    assert_eq!(command(dir.path(), &["verify"]).code(), 0, "a purged row needs no blob");
}

#[tokio::test]
async fn a_version_that_was_deleted_can_be_linked_again_after_its_blob_went() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let directory = left_by_a_store(&source, dir.path(), &["1"]).await;
    directory.execute("update source_package set is_deleted = 1").await;
    assert_eq!(command(dir.path(), &["purge"]).code(), 0);
    left_by_a_store(&source, dir.path(), &["1"]).await;
    assert_eq!(directory.stored_files(), [sha256_hex(&package_of("x"))]);
}

#[tokio::test]
async fn it_is_refused_while_a_store_runs_and_where_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = StoreProcess::start(dir.path(), &[("LINKGATE_STORE_GC_INTERVAL_S", "0")]);
    let orphan = store.directory().plant(b"never recorded");
    for arguments in [&["gc"][..], &["gc", "--dry-run"], &["purge"], &["purge", "--dry-run"]] {
        let refused = command(dir.path(), arguments);
        assert_eq!((refused.code(), refused.out.as_str()), (2, ""));
        assert!(refused.err.contains("is used by another store"), "{}", refused.err);
        assert!(refused.err.contains("LINKGATE_STORE_GC_INTERVAL_S"), "{}", refused.err);
    }
    assert!(store.directory().blob(&orphan).exists());

    let nowhere = dir.path().join("nowhere");
    assert_eq!(command(&nowhere, &["gc"]).code(), 2);
    assert!(!nowhere.exists(), "nothing is made");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(command(empty.path(), &["gc"]).code(), 2);
    assert!(!empty.path().join("catalog.sqlite3").exists(), "no catalog is made");
}

#[tokio::test]
async fn nothing_is_removed_on_the_word_of_a_damaged_catalog() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let directory = left_by_a_store(&source, dir.path(), &["1"]).await;
    let orphan = directory.plant(b"may be recorded for all that this catalog can tell");
    // An index that does not hold what its table holds.
    directory
        .execute(
            "pragma writable_schema = on;
             update sqlite_schema set sql = 'create index source_package_sha256 on source_package (operator)'
                 where name = 'source_package_sha256';
             pragma writable_schema = reset",
        )
        .await;
    for arguments in [&["gc", "--dry-run"][..], &["gc"]] {
        let refused = command(dir.path(), arguments);
        assert_eq!((refused.code(), refused.out.as_str()), (2, ""));
        assert!(refused.err.contains("the catalog is damaged"), "{}", refused.err);
    }
    let found = command(dir.path(), &["verify", "--repair"]);
    assert_eq!(found.code(), 1);
    assert!(found.out.contains("the catalog is damaged"), "{}", found.out);
    assert!(directory.blob(&orphan).exists());
}

#[tokio::test]
async fn bad_settings_end_a_command_with_64() {
    let output = std::process::Command::new(linkgate_tests::process::binary("linkgate-store"))
        .arg("gc")
        .env_clear()
        .env("LINKGATE_STORE_GC_GRACE_S", "soon")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(text.contains("LINKGATE_STORE_GC_GRACE_S") && text.contains("LINKGATE_DATA_DIR"), "{text}");
    assert!(!text.contains("PUBLIC_KEYS"), "{text}");
}

#[tokio::test]
async fn a_running_store_clears_up_by_the_clock_and_leaves_what_is_under_way() {
    let (body, dir) = (package_of_size(3_000_000), tempfile::tempdir().unwrap());
    let source = FakeSource::start(Behaviour::Held(body.clone())).await;
    source.on("/small", Behaviour::Bytes(package_of("small")));
    let settings = [("LINKGATE_STORE_GC_INTERVAL_S", "1"), ("LINKGATE_STORE_GC_GRACE_S", "1")];
    let store = StoreProcess::trusting(&source, dir.path(), &settings);
    assert_eq!(store.request(source.url_of("/small")).version("1").send(store.base()).await.status, 200);
    let running = tokio::spawn(store.request(source.url()).try_send_owned(store.base()));
    source.wait_for_requests(2).await;
    wait_until_holds("the temporary file", async || store.directory().temp_files().len() == 1).await;
    let orphan = store.directory().plant(b"never recorded");
    std::fs::write(dir.path().join("tmp/left-over"), "half").unwrap();

    wait_until_holds("the orphan's end", async || !store.directory().blob(&orphan).exists()).await;
    wait_until_holds("the left-over's end", async || !dir.path().join("tmp/left-over").exists()).await;
    // The download was older than the grace for a while before that.
    assert_eq!(store.directory().temp_files().len(), 1, "it has an owner");
    source.release();
    assert_eq!(running.await.unwrap().unwrap().status, 200);
    let mut kept = [sha256_hex(&package_of("small")), sha256_hex(&body)];
    kept.sort();
    assert_eq!(store.stored_files(), kept);
    store.log_with("orphaned blobs and").await;
    store.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_again_and_again_loses_nothing_and_is_clean_after_clearing_up() {
    let dir = tempfile::tempdir().unwrap();
    let source = Arc::new(FakeSource::serving(package_of("unused")).await);
    let settings = [("LINKGATE_STORE_GC_INTERVAL_S", "1"), ("LINKGATE_STORE_GC_GRACE_S", "1")];
    let mut promised = BTreeMap::new();
    for (round, ms) in [150, 310, 90, 1_230, 270].into_iter().enumerate() {
        let mut store = StoreProcess::trusting(&source, dir.path(), &settings);
        let writers = Writers::start(&round.to_string(), &source, &store);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        if round == 3 {
            wait_until_holds("an upload", async || !writers.promised().is_empty()).await;
        }
        store.kill_9();
        promised.extend(writers.end().await);
    }
    let found = command(dir.path(), &["verify"]);
    assert!(found.code() <= 1 && !found.out.contains("missing") && !found.out.contains("not its own"));
    assert_eq!(command(dir.path(), &["gc"]).code(), 0);
    assert_eq!(command(dir.path(), &["verify"]).code(), 0, "no orphan survives");
    let rows = DataDirectory::new(dir.path()).rows().await;
    let recorded: BTreeMap<_, _> = rows.into_iter().map(|row| (row.version, row.sha256)).collect();
    assert!(!promised.is_empty());
    for (version, sha256) in promised {
        assert_eq!(recorded.get(&version), Some(&sha256), "{version} was acknowledged");
    }
    assert_eq!(DataDirectory::new(dir.path()).temp_files(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn without_an_interval_a_running_store_removes_nothing_and_neither_does_it_before_the_grace() {
    for settings in [
        [("LINKGATE_STORE_GC_INTERVAL_S", "0"), ("LINKGATE_STORE_GC_GRACE_S", "1")],
        [("LINKGATE_STORE_GC_INTERVAL_S", "1"), ("LINKGATE_STORE_GC_GRACE_S", "3600")],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = StoreProcess::start(dir.path(), &settings);
        let orphan = store.directory().plant(b"never recorded");
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert!(store.directory().blob(&orphan).exists(), "{settings:?}");
        store.stop();
    }
}

#[tokio::test]
async fn what_a_backup_needs_stays_until_it_is_done() {
    let (source, dir) = (FakeSource::serving(package_of("old")).await, tempfile::tempdir().unwrap());
    source.on("/new", Behaviour::Bytes(package_of("new")));
    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    assert_eq!(store.request(source.url()).send(store.base()).await.status, 200);
    // As the backup of another process holds it.
    let backup = std::fs::File::create(dir.path().join("removal.lock")).unwrap();
    backup.lock_shared().unwrap();
    assert_eq!(store.request(source.url_of("/new")).overwriting().send(store.base()).await.status, 200);
    let old = store.directory().blob(&sha256_hex(&package_of("old")));
    store.stop();
    assert!(old.exists(), "the overwritten package stays");
    let held = command(dir.path(), &["gc"]);
    assert_eq!(held.code(), 0);
    assert!(
        held.out.contains("Deleted 0 orphaned packages") && held.out.contains("1 orphaned packages stay"),
        "{}",
        held.out
    );
    assert!(old.exists());
    drop(backup);
    assert!(command(dir.path(), &["gc"]).out.starts_with("Deleted 1 orphaned packages"));
    assert!(!old.exists());
}
