//! A disk that is full or fails.

use std::path::Path;
use std::process::Command;

use linkgate_tests::{Behaviour, FakeSource, TestStore, bytes, sha256_hex, trust};
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
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the store may still hold a file for a moment.
        drop(Command::new("umount").arg("--lazy").arg(self.path()).status());
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing() {
    let Some(disk) = SmallDisk::mount("3m") else {
        // CI runs as root; elsewhere the reader must see that nothing was tested.
        eprintln!("NOT TESTED: mounting a tmpfs needs root");
        return;
    };
    let source = FakeSource::start(Behaviour::Bytes(bytes(5_000_000))).await;
    source.on("/small", Behaviour::Bytes(bytes(100_000)));
    let store = TestStore::with(|c| {
        trust(c, &[&source]);
        c.data_dir = disk.path().join("data");
    })
    .await;
    let reply = store.link(store.request(source.url()).in_english()).await;
    assert_problem(&reply, 507, None, &json!({"code": "INSUFFICIENT_STORAGE", "detail": "Not enough storage"}));
    store.shelf().assert_empty().await;
    let reply = store.link(store.request(source.url_of("/small"))).await;
    assert_eq!(reply.status, 200, "what fits is taken afterwards: {reply:?}");
    assert_eq!(store.stored_files(), [sha256_hex(&bytes(100_000))]);
    store.finish().await;
}

#[tokio::test]
async fn a_blob_storage_that_fails_is_told_and_leaves_nothing() {
    let source = FakeSource::serving("x").await;
    let store = TestStore::trusting(&source).await;
    // A file stands where a folder should be: the rename cannot work.
    let name = sha256_hex(b"x");
    let in_the_way = store.shelf().path().join("blobs").join(&name[..2]);
    std::fs::write(&in_the_way, "").unwrap();
    let reply = store.link(store.request(source.url())).await;
    let body = json!({"code": "OBJECT_STORE_EXCEPTION", "detail": "对象存储异常"});
    assert_problem(&reply, 500, Some("4312011"), &body);
    std::fs::remove_file(in_the_way).unwrap();
    store.shelf().assert_empty().await;
}

#[tokio::test]
async fn books_that_fail_are_told_and_book_nothing() {
    let source = FakeSource::serving("x").await;
    let store = TestStore::trusting(&source).await;
    store
        .shelf()
        .execute("create trigger broken before insert on source_package begin select raise(abort, 'SECRET'); end")
        .await;
    let reply = store.link(store.request(source.url()).in_english()).await;
    assert_problem(&reply, 500, None, &json!({"code": "ERROR", "detail": "Internal server error"}));
    assert_eq!((store.rows().await, store.shelf().modules().await), (Vec::new(), Vec::new()));
    // The store cannot know whether a failed commit will turn up after a crash, so the bytes stay for it.
    assert_eq!(store.stored_files(), [sha256_hex(b"x")]);
    store.shelf().execute("drop trigger broken").await;
    assert_eq!(store.link(store.request(source.url())).await.status, 200);
}
