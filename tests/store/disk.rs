//! A disk that is full or fails.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use linkgate_tests::wait::wait_until_holds;
use linkgate_tests::{
    Behaviour, FakeSource, Reply, StoreProcess, TestStore, bytes, package_of, package_of_size, sha256_hex, trust,
};
use serde_json::json;

use crate::assert_problem;

/// A file system of its own; gone when dropped.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where we may not mount.
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { dir })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the store may still hold a file for a moment.
        drop(Command::new("umount").arg("--lazy").arg(self.path()).status());
    }
}

/// A store on a disk of 8 MB, of which one is kept free, with what it may read. Nothing where we may not mount: CI runs as
/// root; elsewhere the reader must see that nothing was tested.
async fn on_a_small_disk(behaviour: Behaviour) -> Option<(SmallDisk, FakeSource, TestStore)> {
    let Some(disk) = SmallDisk::mount("8m") else {
        eprintln!("NOT TESTED: mounting a tmpfs needs root");
        return None;
    };
    let source = FakeSource::start(behaviour).await;
    source.on("/small", Behaviour::Bytes(package_of_size(100_000)));
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        c.data_dir = disk.path().join("data");
        c.min_free_bytes = 1 << 20;
    })
    .await;
    Some((disk, source, store))
}

/// The refusal for lack of space, and that what fits is taken afterwards.
async fn assert_no_space(store: &TestStore, source: &FakeSource, reply: &Reply) {
    assert_problem(reply, 507, None, &json!({"code": "INSUFFICIENT_STORAGE", "detail": "Not enough storage"}));
    store.directory().assert_empty().await;
    let reply = store.send(store.request(source.url_of("/small"))).await;
    assert_eq!(reply.status, 200, "what fits is taken afterwards: {reply:?}");
    assert_eq!(store.stored_files(), [sha256_hex(&package_of_size(100_000))]);
}

#[tokio::test]
async fn a_package_for_which_there_is_no_space_is_refused_before_anybody_is_asked_for_it() {
    let Some((_disk, source, store)) = on_a_small_disk(Behaviour::Bytes(package_of_size(9_000_000))).await else {
        return;
    };
    let reply = store.send(store.request(source.url()).field("size", 9_000_000).in_english()).await;
    assert_eq!(source.requests(), Vec::<String>::new());
    assert_no_space(&store, &source, &reply).await;
    store.finish().await;
}

#[tokio::test]
async fn a_package_that_is_announced_too_large_for_the_disk_is_refused_before_its_body_is_read() {
    // Half of the body never comes, so who reads it waits for ever.
    let Some((_disk, source, store)) = on_a_small_disk(Behaviour::Held(package_of_size(9_000_000))).await else {
        return;
    };
    let reply = store.send(store.request(source.url()).in_english()).await;
    assert_no_space(&store, &source, &reply).await;
    store.finish().await;
}

#[tokio::test]
async fn a_package_of_unknown_size_ends_before_the_space_for_the_catalog_is_taken() {
    let endless = Behaviour::Chunked(package_of_size(9_000_000), 100_000);
    let Some((disk, source, store)) = on_a_small_disk(endless).await else { return };
    let (least, watched) = (AtomicU64::new(u64::MAX), AtomicBool::new(true));
    let watch = async {
        while watched.load(Ordering::Relaxed) {
            least.fetch_min(disk.free(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let call = async {
        let reply = store.send(store.request(source.url()).in_english()).await;
        watched.store(false, Ordering::Relaxed);
        reply
    };
    let (reply, ()) = tokio::join!(call, watch);
    assert!(least.load(Ordering::Relaxed) >= 1 << 20, "{} bytes were left", least.load(Ordering::Relaxed));
    assert_no_space(&store, &source, &reply).await;
    store.finish().await;
}

#[tokio::test]
async fn the_same_space_is_not_given_to_two_packages_at_once() {
    let Some((_disk, source, store)) = on_a_small_disk(Behaviour::Held(package_of_size(4_000_000))).await else {
        return;
    };
    let first = tokio::spawn(store.request(source.url()).version("1").try_send_owned(store.base()));
    wait_until_holds("the first package", async || store.directory().temp_files().len() == 1).await;
    let second = store.send(store.request(source.url()).version("2").in_english()).await;
    assert_eq!((second.status, second.json()["code"].as_str()), (507, Some("INSUFFICIENT_STORAGE")));
    source.release();
    assert_eq!(first.await.unwrap().unwrap().status, 200, "who was promised space has it");
    assert_eq!(store.rows().await.len(), 1);
    store.finish().await;
}

#[tokio::test]
async fn a_download_that_begins_anew_is_not_refused_for_the_space_that_its_first_half_holds() {
    let body = package_of_size(4_500_000);
    let half = Behaviour::Announce(4_500_000, body[..4_000_000].to_vec());
    let turns = Behaviour::Turns(vec![half, Behaviour::Bytes(body.clone())]);
    let Some((_disk, source, store)) = on_a_small_disk(turns).await else { return };
    let reply = store.send(store.request(source.url())).await;
    assert_eq!((reply.status, source.requests().len()), (200, 2), "{reply:?}");
    assert_eq!(store.stored_files(), [sha256_hex(&body)]);
    store.finish().await;
}

#[tokio::test]
async fn a_disk_that_others_fill_meanwhile_is_told_and_the_store_goes_on_when_there_is_space_again() {
    let Some((disk, source, store)) = on_a_small_disk(Behaviour::Held(package_of_size(4_000_000))).await else {
        return;
    };
    let call = tokio::spawn(store.request(source.url()).in_english().try_send_owned(store.base()));
    wait_until_holds("half of the package", async || store.directory().temp_files().len() == 1).await;
    let filler = disk.path().join("filler");
    // As much as there is: the last write fails.
    drop(std::fs::write(&filler, bytes(8_000_000)));
    source.release();
    let reply = call.await.unwrap().unwrap();
    assert_problem(&reply, 507, None, &json!({"code": "INSUFFICIENT_STORAGE", "detail": "Not enough storage"}));
    store.directory().assert_empty().await;
    // Of what the refused package gave back nothing is left either.
    drop(std::fs::write(&filler, bytes(8_000_000)));
    assert_eq!(store.send(store.request(source.url_of("/small"))).await.status, 507, "the disk is full still");
    std::fs::remove_file(filler).unwrap();
    assert_eq!(store.send(store.request(source.url_of("/small"))).await.status, 200);
    store.finish().await;
}

#[tokio::test]
async fn a_blob_storage_that_fails_is_told_and_leaves_nothing() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    // A file stands where a folder should be: the rename cannot work.
    let name = sha256_hex(&package_of("x"));
    let in_the_way = store.directory().path().join("blobs").join(&name[..2]);
    std::fs::write(&in_the_way, "").unwrap();
    let reply = store.send(store.request(source.url())).await;
    let body = json!({"code": "OBJECT_STORE_EXCEPTION", "detail": "对象存储异常"});
    assert_problem(&reply, 500, Some("4312011"), &body);
    std::fs::remove_file(in_the_way).unwrap();
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn a_catalog_that_fails_is_reported_and_nothing_is_recorded() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    store
        .directory()
        .execute("create trigger broken before insert on source_package begin select raise(abort, 'SECRET'); end")
        .await;
    let reply = store.send(store.request(source.url()).in_english()).await;
    assert_problem(&reply, 500, None, &json!({"code": "ERROR", "detail": "Internal server error"}));
    assert_eq!((store.rows().await, store.directory().modules().await), (Vec::new(), Vec::new()));
    // The store cannot know whether a failed commit will turn up after a crash, so the bytes stay for it.
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("x"))]);
    store.directory().execute("drop trigger broken").await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
}

/// The database needs files for a moment once its index of the search has some size.
#[tokio::test]
async fn a_store_that_can_write_nothing_but_its_data_directory_stores_hundreds() {
    const UPLOADS: usize = 400;
    let data = tempfile::tempdir().unwrap();
    let Some(store) = StoreProcess::start_confined(data.path(), &[]) else {
        println!("not tried: nobody may mount here");
        return;
    };
    let package = package_of("x");
    let uploads = (0..UPLOADS).map(|number| {
        let request = store.request("").put_file("app.tgz", &format!("version=1.{number}"), package.clone());
        async { store.send(request).await }
    });
    let replies: Vec<_> = stream::iter(uploads).buffer_unordered(4).collect().await;
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(refused.is_empty(), "{} of {UPLOADS}, such as {:?}", refused.len(), refused[0]);
    store.stop();
}
