//! A backup is one moment's, whole, and a store runs on it again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use linkgate_tests::process::{binary, command};
use linkgate_tests::{Behaviour, DataDirectory, FakeSource, StoreProcess, package_of, sha256_hex, wait_until_holds};

use crate::gc::left_by_a_store;
use crate::writers::Writers;

fn in_dir<'a>(what: &'a str, dir: &'a Path) -> [&'a str; 2] {
    [what, dir.to_str().unwrap()]
}

/// Names in a directory, with the hidden ones.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_uploads_holds_every_acknowledged_package() {
    let dir = tempfile::tempdir().unwrap();
    let (data, saved, restored) = (dir.path().join("data"), dir.path().join("saved"), dir.path().join("restored"));
    let source = Arc::new(FakeSource::serving(package_of("unused")).await);
    let settings = [("LINKGATE_STORE_GC_INTERVAL_S", "1"), ("LINKGATE_STORE_GC_GRACE_S", "1")];
    let store = StoreProcess::trusting(&source, &data, &settings);
    let writers = Writers::start("w", &source, &store);
    let mut before = 0;
    for round in 0..3 {
        wait_until_holds("more uploads", async || writers.promised().len() > before + 20).await;
        let promised = writers.promised();
        before = promised.len();
        let done = {
            let (data, saved) = (data.clone(), saved.join(round.to_string()));
            std::fs::create_dir_all(saved.parent().unwrap()).unwrap();
            tokio::task::spawn_blocking(move || command(&data, &in_dir("backup", &saved))).await.unwrap()
        };
        assert_eq!(done.code(), 0);
        assert!(done.out.contains(" 0 missing"), "{}", done.out);
        let (saved, restored) = (saved.join(round.to_string()), restored.join(round.to_string()));
        assert_eq!(command(&restored, &in_dir("restore", &saved)).code(), 0);
        assert_eq!(command(&restored, &["verify"]).code(), 0);
        let directory = DataDirectory::new(&restored);
        let rows = directory.rows().await;
        let recorded: BTreeMap<_, _> = rows.iter().map(|row| (row.version.clone(), row.sha256.clone())).collect();
        for (version, sha256) in &promised {
            assert_eq!(recorded.get(version), Some(sha256), "{version} was acknowledged before");
            assert_eq!(sha256_hex(&std::fs::read(directory.blob(sha256)).unwrap()), *sha256);
        }
        let mut wanted: Vec<_> = rows.into_iter().map(|row| row.sha256).collect();
        wanted.sort();
        wanted.dedup();
        assert_eq!(directory.stored_files(), wanted, "what the catalog names, and nothing else");
    }
    writers.end().await;
    store.stop();
    assert_eq!(command(&data, &["gc"]).code(), 0);
    assert_eq!(command(&data, &["verify"]).code(), 0);
}

#[tokio::test]
async fn a_store_runs_on_what_was_restored_and_the_backup_stays_as_it_is() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    source.on("/new", Behaviour::Bytes(package_of("new")));
    let (data, saved, restored) = (dir.path().join("data"), dir.path().join("saved"), dir.path().join("restored"));
    let directory = left_by_a_store(&source, &data, &["1", "2"]).await;
    // An empty directory may be there already.
    std::fs::create_dir(&saved).unwrap();
    std::fs::create_dir(&restored).unwrap();
    let done = command(&data, &in_dir("backup", &saved));
    assert_eq!(done.code(), 0);
    let size = package_of("x").len();
    assert!(done.out.contains(&format!("1 packages ({size} bytes), 1 of them as links, 0 missing")), "{}", done.out);
    let all = [
        "attestation.key",
        "attestation.pub.pem",
        "attestations",
        "blobs",
        "catalog.sqlite3",
        "signed-urls.key",
        "signed-urls.pub.pem",
    ];
    assert_eq!(names(&saved), all);
    let statements = |root: &Path| std::fs::read(statements_of(root, &sha256_hex(&package_of("x")))).unwrap();
    assert_eq!(statements(&saved), statements(&data), "with the key that they are checked by");
    assert_eq!(command(&saved, &["verify"]).code(), 0, "a backup can be checked where it is");
    assert_eq!(command(&restored, &in_dir("restore", &saved)).code(), 0);
    assert_eq!(DataDirectory::new(&restored).rows().await, directory.rows().await);
    assert_eq!(command(&restored, &["gc"]).code(), 0, "before any store ran on it");

    let store = StoreProcess::trusting(&source, &restored, &[]);
    let again = store.request(source.url()).version("1").send(store.base()).await;
    assert_eq!(again.json()["code"], "PACKAGE_ALREADY_EXISTS");
    for version in ["1", "2"] {
        let request = store.request(source.url_of("/new")).version(version).overwriting();
        assert_eq!(request.send(store.base()).await.status, 200);
    }
    let third = store.request(source.url()).version("3").send(store.base()).await.json();
    assert_eq!(third["id"], 3, "numbers go on where they were");
    store.stop();
    assert_eq!(
        DataDirectory::new(&saved).stored_files(),
        [sha256_hex(&package_of("x"))],
        "links do not tie them together"
    );
    assert_eq!(command(&data, &["verify"]).code(), 0);
}

#[tokio::test]
async fn a_backup_crosses_file_systems() {
    use std::os::unix::fs::MetadataExt as _;
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("NOT TESTED: there is no /dev/shm");
        return;
    };
    let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
    if device(elsewhere.path()) == device(dir.path()) {
        eprintln!("NOT TESTED: there is only one file system");
        return;
    }
    let directory = left_by_a_store(&source, dir.path(), &["1"]).await;
    let saved = elsewhere.path().join("saved");
    let done = command(dir.path(), &in_dir("backup", &saved));
    assert_eq!(done.code(), 0);
    let size = package_of("x").len();
    assert!(done.out.contains(&format!("1 packages ({size} bytes), 0 of them as links, 0 missing")), "{}", done.out);
    let restored = dir.path().join("restored");
    assert_eq!(command(&restored, &in_dir("restore", &saved)).code(), 0);
    assert_eq!(command(&restored, &["verify"]).code(), 0);
    assert_eq!(DataDirectory::new(&restored).stored_files(), directory.stored_files());
}

/// Every new ext4 volume holds a folder `lost+found`, and cannot be replaced.
#[tokio::test]
async fn a_backup_and_a_restore_fill_the_root_of_a_file_system() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let (data, saved, restored) = (dir.path().join("data"), dir.path().join("saved"), dir.path().join("restored"));
    let directory = left_by_a_store(&source, &data, &["1"]).await;
    for root in [&saved, &restored] {
        std::fs::create_dir_all(root.join("lost+found")).unwrap();
    }
    let done = command(&data, &in_dir("backup", &saved));
    assert_eq!(done.code(), 0, "{}", done.err);
    let all = [
        "attestation.key",
        "attestation.pub.pem",
        "attestations",
        "blobs",
        "catalog.sqlite3",
        "lost+found",
        "signed-urls.key",
        "signed-urls.pub.pem",
    ];
    assert_eq!(names(&saved), all);
    assert_eq!(command(&saved, &["verify"]).code(), 0);
    assert_eq!(command(&restored, &in_dir("restore", &saved)).code(), 0);
    assert_eq!(DataDirectory::new(&restored).rows().await, directory.rows().await);
    assert_eq!(command(&restored, &["gc"]).code(), 0);
    let store = StoreProcess::trusting(&source, &restored, &[]);
    let again = store.request(source.url()).version("1").send(store.base()).await;
    assert_eq!(again.json()["code"], "PACKAGE_ALREADY_EXISTS");
    store.stop();
    assert!(restored.join("lost+found").is_dir());

    // A second backup does not go over the first, nor over a file of that name.
    let before = names(&saved);
    for (root, why) in [(&saved, "is not empty"), (&dir.path().join("file"), "is not empty")] {
        std::fs::create_dir_all(root).unwrap();
        if root.file_name().is_some_and(|name| name == "file") {
            std::fs::write(root.join("lost+found"), "").unwrap();
        }
        let refused = command(&data, &in_dir("backup", root));
        assert!(refused.code() == 2 && refused.err.contains(why), "{}", refused.err);
    }
    assert_eq!(names(&saved), before);
}

#[tokio::test]
async fn a_backup_is_refused_where_something_is_and_leaves_nothing() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let (data, full) = (dir.path().join("data"), dir.path().join("full"));
    let directory = left_by_a_store(&source, &data, &["1"]).await;
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("mine"), "mine").unwrap();
    std::fs::create_dir(dir.path().join(".other.partial")).unwrap();
    std::fs::write(dir.path().join("file"), "mine").unwrap();
    std::os::unix::fs::symlink("elsewhere", dir.path().join("link")).unwrap();
    let (before, files) = (names(dir.path()), directory.files());
    let inside = data.join("saved");
    for (into, why) in [
        (full.as_path(), "is not empty"),
        (&dir.path().join("other"), "another backup is being written"),
        (&dir.path().join("file"), "cannot be used"),
        (&dir.path().join("no/where"), "cannot be used"),
        (&inside, "it lies in the data directory"),
        (&dir.path().join("link"), "it is a link"),
        (Path::new("/"), "it has no name"),
    ] {
        let refused = command(&data, &in_dir("backup", into));
        assert_eq!((refused.code(), refused.out.as_str()), (2, ""), "{}", into.display());
        assert!(refused.err.contains(why), "{why} in {}", refused.err);
    }
    let nothing = command(&dir.path().join("nowhere"), &in_dir("backup", &dir.path().join("saved")));
    assert_eq!(nothing.code(), 2);
    assert_eq!((names(dir.path()), names(&full)), (before, vec!["mine".to_owned()]));
    assert_eq!(directory.files(), files);
}

#[tokio::test]
async fn a_backup_of_a_damaged_store_saves_the_rest_and_says_so() {
    let (source, dir) = (FakeSource::serving(package_of("lost")).await, tempfile::tempdir().unwrap());
    source.on("/good", Behaviour::Bytes(package_of("good")));
    let (data, saved, restored) = (dir.path().join("data"), dir.path().join("saved"), dir.path().join("restored"));
    let store = StoreProcess::trusting(&source, &data, &[]);
    assert_eq!(store.request(source.url()).version("1").send(store.base()).await.status, 200);
    assert_eq!(store.request(source.url_of("/good")).version("2").send(store.base()).await.status, 200);
    store.stop();
    let lost = sha256_hex(&package_of("lost"));
    std::fs::remove_file(DataDirectory::new(&data).blob(&lost)).unwrap();
    for done in [command(&data, &in_dir("backup", &saved)), command(&restored, &in_dir("restore", &saved))] {
        assert_eq!(done.code(), 1);
        assert!(done.out.contains(&format!("{lost} is in the catalog and missing")), "{}", done.out);
        assert!(done.out.contains("1 missing"), "{}", done.out);
    }
    assert_eq!(DataDirectory::new(&restored).stored_files(), [sha256_hex(&package_of("good"))]);
    assert_eq!(DataDirectory::new(&restored).rows().await.len(), 2);
}

#[tokio::test]
async fn a_restore_is_refused_over_anything_and_from_anything_else() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let (data, saved, other) = (dir.path().join("data"), dir.path().join("saved"), dir.path().join("other"));
    let directory = left_by_a_store(&source, &data, &["1"]).await;
    assert_eq!(command(&data, &in_dir("backup", &saved)).code(), 0);
    let (files, rows) = (directory.files(), directory.rows().await);
    let over = command(&data, &in_dir("restore", &saved));
    assert_eq!(over.code(), 2);
    assert!(over.err.contains("is not empty"), "{}", over.err);
    let store = StoreProcess::start(&data, &[]);
    assert_eq!(command(&data, &in_dir("restore", &saved)).code(), 2, "and neither under a running store");
    store.stop();
    assert_eq!((directory.files(), directory.rows().await), (files, rows));

    let no_backup = command(&other, &in_dir("restore", dir.path()));
    assert_eq!(no_backup.code(), 2);
    assert!(no_backup.err.contains("holds no backup") && !other.exists(), "{}", no_backup.err);
    let of_a_store = command(&other, &in_dir("restore", &data));
    assert_eq!(of_a_store.code(), 2);
    assert!(of_a_store.err.contains("is a data directory, not a backup") && !other.exists(), "{}", of_a_store.err);
}

#[tokio::test]
async fn nothing_runs_on_half_of_a_restore() {
    let (source, dir) = (FakeSource::serving(package_of("x")).await, tempfile::tempdir().unwrap());
    let directory = left_by_a_store(&source, dir.path(), &["1"]).await;
    // As a restore that is killed leaves it: some packages, and a catalog that does not name them.
    std::fs::write(dir.path().join("restoring"), "").unwrap();
    let orphan = directory.plant(b"this one is still to be recorded");
    for arguments in [&["gc"][..], &["verify"], &["verify", "--repair"], &in_dir("backup", &dir.path().join("saved"))] {
        let refused = command(dir.path(), arguments);
        assert_eq!(refused.code(), 2, "{arguments:?}");
        assert!(refused.err.contains("half of a restore"), "{}", refused.err);
    }
    let mint = linkgate_tests::TokenMint::new();
    let output = std::process::Command::new(binary("linkgate-store"))
        .env_clear()
        .env("LINKGATE_DATA_DIR", dir.path())
        .env("LINKGATE_STORE_LISTEN", "127.0.0.1:0")
        .env("LINKGATE_JWT_PUBLIC_KEYS", mint.setting())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("half of a restore"));
    assert!(directory.blob(&orphan).exists());
}

fn statements_of(root: &Path, sha256: &str) -> std::path::PathBuf {
    root.join("attestations").join(&sha256[..2]).join(format!("{sha256}.intoto.jsonl"))
}
