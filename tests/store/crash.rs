//! The short form of `cargo xtask chaos crash`, and proof that a campaign can fail: whatever is spoilt by hand is named.

use std::collections::BTreeSet;

use linkgate_chaos::crash::caller::{Caller, Doubt, Key, Live};
use linkgate_chaos::crash::judge::{after_clearing, after_restart};
use linkgate_chaos::crash::packages::Packages;
use linkgate_chaos::crash::{Plan, run};
use linkgate_tests::process::command_with;
use linkgate_tests::{DataDirectory, StoreProcess};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_store_is_killed_again_and_again() {
    let report = run(Plan::kills(25, None)).await;
    assert!(report.violations().is_empty(), "{report}");
    eprintln!("{report}");
}

#[test]
fn the_store_that_is_shipped_knows_no_failpoints() {
    let dir = tempfile::tempdir().unwrap();
    let refused = command_with(dir.path(), &["gc"], &[("LINKGATE_STORE_FAILPOINT", "gc-found:1")]);
    assert_eq!(refused.code(), 64);
    assert!(refused.err.contains("LINKGATE_STORE_FAILPOINT is not a setting of the store"), "{}", refused.err);
}

/// A data directory with three packages of one caller, and the caller, who knows what was acknowledged.
struct Scene {
    packages: Packages,
    callers: Vec<Caller>,
    directory: DataDirectory,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn with_three_packages() -> Self {
        let (packages, dir) = (Packages::serve().await, tempfile::tempdir().unwrap());
        let mut caller = Caller::new(0, 0);
        let store = StoreProcess::trusting(packages.source(), dir.path(), &[]);
        for number in 0..3 {
            let key = key(number);
            let request = store.request(packages.url(number)).module(&caller.app, &key.module).version(&key.version);
            let reply = request.send(store.base()).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let (id, sha256) = (reply.json()["id"].as_i64().unwrap(), packages.get(number).sha256.clone());
            caller.live.insert(key, Live { id, sha256 });
        }
        store.stop();
        Self { packages, callers: vec![caller], directory: DataDirectory::new(dir.path()), _dir: dir }
    }

    fn blob(&self, number: usize) -> std::path::PathBuf {
        self.directory.blob(&self.packages.get(number).sha256)
    }

    /// Looks, and expects that exactly this is named.
    async fn expect(&mut self, parts: &[&str]) {
        let look = after_restart(&self.directory, &mut self.callers, &self.packages).await;
        for part in parts {
            assert!(look.wrong.iter().any(|fault| fault.contains(part)), "{part} in {:#?}", look.wrong);
        }
        assert_eq!(look.wrong.is_empty(), parts.is_empty(), "{:#?}", look.wrong);
        assert!(look.rows > 0 && look.packages > 0);
    }
}

fn key(number: usize) -> Key {
    Key { module: "default".to_owned(), version: format!("v{number}") }
}

#[tokio::test]
async fn a_sound_directory_passes() {
    let mut scene = Scene::with_three_packages().await;
    scene.expect(&[]).await;
    assert_eq!(after_clearing(&scene.directory).await.wrong, Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_package_is_named() {
    let mut scene = Scene::with_three_packages().await;
    let mut bytes = std::fs::read(scene.blob(1)).unwrap();
    bytes[600] ^= 1;
    std::fs::write(scene.blob(1), bytes).unwrap();
    let name = scene.packages.get(1).sha256.clone();
    scene.expect(&[&format!("{name}: holds"), "a row has no package"]).await;
}

#[tokio::test]
async fn a_package_that_was_cut_off_is_named() {
    let mut scene = Scene::with_three_packages().await;
    let bytes = std::fs::read(scene.blob(1)).unwrap();
    std::fs::write(scene.blob(1), &bytes[..bytes.len() / 2]).unwrap();
    scene.expect(&["holds", "a row has no package"]).await;
}

#[tokio::test]
async fn a_missing_package_is_named() {
    let mut scene = Scene::with_three_packages().await;
    std::fs::remove_file(scene.blob(2)).unwrap();
    scene.expect(&["a row has no package"]).await;
    assert!(after_clearing(&scene.directory).await.wrong[0].ends_with("is in the catalog and missing"));
}

#[tokio::test]
async fn a_missing_row_is_named_and_so_is_the_package_that_it_leaves() {
    let mut scene = Scene::with_three_packages().await;
    scene.directory.execute("delete from source_package where version = 'v1'").await;
    scene.expect(&["acknowledged was Some", "found is None"]).await;
    assert!(after_clearing(&scene.directory).await.wrong[0].ends_with("is in no row and outlives clearing up"));
}

#[tokio::test]
async fn an_overwrite_that_was_lost_and_one_that_nobody_asked_for_are_named() {
    let mut scene = Scene::with_three_packages().await;
    let other = scene.packages.get(0).sha256.clone();
    scene.callers[0].live.get_mut(&key(1)).unwrap().sha256 = other;
    scene.expect(&["acknowledged was Some"]).await;
}

#[tokio::test]
async fn a_mixture_of_old_and_new_is_named() {
    for change in [
        "update source_package set size_bytes = size_bytes + 1 where version = 'v1'",
        "update source_package set package_name = 'package-7:v1' where version = 'v1'",
    ] {
        let mut scene = Scene::with_three_packages().await;
        scene.directory.execute(change).await;
        scene.expect(&["a row is a mixture"]).await;
    }
}

#[tokio::test]
async fn a_row_that_was_deleted_and_is_back_is_named() {
    let mut scene = Scene::with_three_packages().await;
    let caller = &mut scene.callers[0];
    let gone = caller.live.remove(&key(1)).unwrap();
    caller.deleted = BTreeSet::from([gone.id]);
    scene.expect(&["was deleted and is back"]).await;
}

#[tokio::test]
async fn what_is_half_there_is_named() {
    let mut scene = Scene::with_three_packages().await;
    std::fs::write(scene.directory.path().join("tmp/7"), "half").unwrap();
    scene.directory.execute("insert into module values ('caller-0', 'empty', 2, 0)").await;
    scene.directory.execute("update source_package set app_code = 'stranger' where version = 'v2'").await;
    let parts = [
        "temporary files outlive",
        "caller-0/empty is registered and has no",
        "nobody asked for",
        "stranger/default has",
    ];
    scene.expect(&parts).await;
}

#[tokio::test]
async fn what_was_in_doubt_may_be_old_or_new_and_nothing_else() {
    let wanted = |scene: &Scene, number: usize| Doubt::Upload(scene.packages.get(number).sha256.clone());
    // Asked to become the third package, and found as it was; or found as the second, which nobody asked for.
    for (acknowledged, wrong) in [(1, vec![]), (0, vec!["acknowledged was Some"])] {
        let mut scene = Scene::with_three_packages().await;
        let before = scene.packages.get(acknowledged).sha256.clone();
        let doubt = wanted(&scene, 2);
        let caller = &mut scene.callers[0];
        caller.live.get_mut(&key(1)).unwrap().sha256 = before;
        caller.doubt = Some((key(1), doubt));
        scene.expect(&wrong).await;
    }
    // Asked for and found, though nobody answered.
    let mut scene = Scene::with_three_packages().await;
    let doubt = wanted(&scene, 1);
    let caller = &mut scene.callers[0];
    caller.live.remove(&key(1));
    caller.doubt = Some((key(1), doubt));
    let look = after_restart(&scene.directory, &mut scene.callers, &scene.packages).await;
    assert_eq!((look.wrong, look.found_done, look.found_undone), (Vec::new(), 1, 0));
}
