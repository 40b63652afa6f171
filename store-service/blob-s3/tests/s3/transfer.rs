//! Blobs go into a directory and come out of one.

use std::fs;
use std::path::Path;

use linkgate_blob::DirectoryBlobStore;
use linkgate_blob_s3::Imported;
use linkgate_contract::Sha256;
use linkgate_store_core::ingest::ports::{BlobExport as _, BlobStore, BlobWriter as _, Exported, FinishedBlob as _};

use crate::support::{PART, Stage, bytes, put, read};

/// Every file below a folder with its bytes and its mode, and every folder.
fn tree(root: &Path) -> Vec<(String, Option<Vec<u8>>, u32)> {
    use std::os::unix::fs::PermissionsExt as _;
    let (mut folders, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = path.is_file().then(|| fs::read(&path).unwrap());
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.push((name, bytes, path.metadata().unwrap().permissions().mode()));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

async fn put_in(store: &impl BlobStore, bytes: &[u8]) -> Sha256 {
    let mut writer = store.open_writer(None).await.unwrap();
    writer.write(bytes::Bytes::copy_from_slice(bytes)).await.unwrap();
    let finished = writer.finish().await.unwrap();
    let sha256 = finished.sha256();
    store.commit(finished).await.unwrap();
    sha256
}

async fn export(store: &impl BlobStore, blobs: &[Sha256], into: &Path) -> Vec<Exported> {
    let mut export = store.begin_export(into).await.unwrap();
    let exported = export.copy(blobs.to_vec()).await.unwrap();
    export.finish().await.unwrap();
    exported
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_the_same_out_of_a_bucket_and_out_of_a_directory() {
    let Some(stage) = Stage::set().await else { return };
    let [data, from_directory, from_bucket] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let directory = DirectoryBlobStore::open(data.path(), 0).unwrap();
    let mut blobs = Vec::new();
    for (n, sent) in [b"".to_vec(), b"small".to_vec(), bytes(2 * PART + 9)].into_iter().enumerate() {
        let sha256 = put_in(&directory, &sent).await;
        assert_eq!(put(&stage.store, &sent).await, sha256);
        if n > 0 {
            for _ in 0..2 {
                let statements = format!("{{\"n\":{n}}}\n");
                directory.attach_statements(sha256, statements.clone()).await.unwrap();
                stage.store.attach_statements(sha256, statements).await.unwrap();
            }
        }
        blobs.push(sha256);
    }
    let missing = Sha256::from_bytes([9; 32]);
    blobs.push(missing);
    export(&directory, &blobs, from_directory.path()).await;
    let exported = export(&stage.store, &blobs, from_bucket.path()).await;
    let copied = |bytes| Exported::Copied { bytes, is_linked: false };
    assert_eq!(exported, [copied(0), copied(5), copied(2 * PART as u64 + 9), Exported::Missing(missing)]);
    assert!(tree(from_directory.path()) == tree(from_bucket.path()));
    // An object that was lost is missing, and one of another length is no blob.
    stage.weed.damage(&stage.key(blobs[0]), None).await;
    stage.weed.damage(&stage.key(blobs[1]), Some("smal")).await;
    let into = tempfile::tempdir().unwrap();
    let mut again = stage.store.begin_export(into.path()).await.unwrap();
    assert_eq!(again.copy(vec![blobs[0]]).await.unwrap(), [Exported::Missing(blobs[0])]);
    again.copy(vec![blobs[1]]).await.unwrap_err();
    assert!(tree(into.path()).iter().all(|(_, bytes, _)| bytes.is_none()), "nothing half is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_directory_holds_is_imported_once_and_damage_is_refused() {
    let Some(stage) = Stage::set().await else { return };
    let data = tempfile::tempdir().unwrap();
    let directory = DirectoryBlobStore::open(data.path(), 0).unwrap();
    let sent = bytes(PART + 5);
    let (good, bad) = (put_in(&directory, &sent).await, put_in(&directory, b"good").await);
    assert!(stage.store.is_unused().await.unwrap());
    let size = sent.len() as u64;
    for expected in [Imported::New(size), Imported::Existing(size)] {
        assert_eq!(stage.store.import(&directory, good).await.unwrap(), expected);
        assert!(!stage.store.is_unused().await.unwrap());
        assert!(read(&stage.store, good, None).await == sent);
    }
    let missing = Sha256::from_bytes([9; 32]);
    assert_eq!(stage.store.import(&directory, missing).await.unwrap(), Imported::Missing);
    let name = bad.to_string();
    fs::write(data.path().join("blobs").join(&name[..2]).join(&name), "evil").unwrap();
    assert_eq!(stage.store.import(&directory, bad).await.unwrap(), Imported::Corrupt);
    assert_eq!(stage.store.stat(bad).await.unwrap(), None);
    stage.wait_until_left(&[&stage.key(good)]).await;
}
