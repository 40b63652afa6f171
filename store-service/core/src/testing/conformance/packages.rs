//! Packages, as they are recorded.

use linkgate_contract::{AppCode, ModuleName, ModuleRef, PackageVersion, Sha256};

use super::{Adapters, LIMITS, digest, fetched, id, job, package};
use crate::conditions::{Conditions, NotMet, Tag, Tags};
use crate::ingest::ports::{
    BytesFrom, Catalog as _, CatalogError, CatalogReader as _, JobKey, JobQueue as _, JobRecord, Maintenance as _,
    NewPackage, Origin, QuotaClaim,
};
use crate::settings::{Quota, QuotaLimits};
use crate::testing::example_target;

/// What a request wants to be true of a version is judged by the row that it would replace, and refused before anything else is.
pub async fn conditions_are_judged_where_a_package_is_recorded<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    let record = |package: NewPackage| catalog.record(package, job(1, "h", "a").record, None);
    let version = PackageVersion::new("1").unwrap();
    assert_eq!(catalog.find_live(&example_target(), &version).await.unwrap(), None);
    let tags = |text: &str| Some(Tags::Of(vec![Tag { is_weak: false, text: text.to_owned() }]));
    let with = |bytes: &[u8], if_match: Option<Tags>, if_none_match: Option<Tags>| NewPackage {
        allow_overwrite: true,
        conditions: Conditions { if_match, if_none_match },
        ..package(bytes, "1")
    };
    let refused = async |package: NewPackage| {
        assert!(matches!(record(package).await, Err(CatalogError::Condition(NotMet))));
    };
    refused(with(b"first", Some(Tags::Any), None)).await;
    let first = record(with(b"first", None, Some(Tags::Any))).await.unwrap().row;
    let live = catalog.find_live(&example_target(), &version).await.unwrap().unwrap();
    assert_eq!((&live.row, live.revision), (&first, 1));
    refused(with(b"second", None, Some(Tags::Any))).await;
    refused(with(b"second", tags(&digest(b"other").to_string()), None)).await;
    refused(NewPackage { allow_overwrite: false, ..with(b"second", None, Some(Tags::Any)) }).await;
    assert_eq!(catalog.find_live(&example_target(), &version).await.unwrap(), Some(live.clone()));
    record(with(b"second", tags(&live.existing().tag()), None)).await.unwrap();
    refused(with(b"third", tags(&live.existing().tag()), None)).await;
    record(with(b"third", tags(&digest(b"second").to_string()), None)).await.unwrap();
    let live = catalog.find_live(&example_target(), &version).await.unwrap().unwrap();
    assert_eq!((live.row.id, live.revision, live.row.sha256), (first.id, 3, digest(b"third")));
}

/// What an upload has announced is counted no longer once it is recorded, although its upload has not ended yet.
pub async fn what_is_recorded_counts_once<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    let quota = Quota { module: QuotaLimits { max_packages: Some(2), max_bytes: None }, ..Quota::default() };
    let jobs = [1, 2, 3].map(|number| (job(number, "h", "a").record, number.to_string()));
    let announce = async |(job, version): &(JobRecord, String)| {
        let (target, version) = (example_target(), PackageVersion::new(version).unwrap());
        catalog.reserve(QuotaClaim { job: job.view.id, target, version, bytes: 1, quota }).await
    };
    let record = async |(job, version): &(JobRecord, String)| {
        catalog.record(NewPackage { quota, ..package(version.as_bytes(), version) }, job.clone(), None).await
    };
    let [first, second, third] = &jobs;
    let _held = [announce(first).await.unwrap(), announce(second).await.unwrap()];
    assert!(matches!(announce(third).await, Err(CatalogError::QuotaExceeded(_))));
    record(first).await.unwrap();
    assert!(matches!(announce(third).await, Err(CatalogError::QuotaExceeded(_))));
    record(second).await.unwrap();
    assert!(matches!(record(third).await, Err(CatalogError::QuotaExceeded(_))));
}

/// Of a version there is one live row; overwriting tells what it replaced; a snapshot is one moment's.
pub async fn packages_are_recorded<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    catalog.check().await.unwrap();
    let record = |package: NewPackage| catalog.record(package, job(1, "h", "a").record, None);
    let first = record(package(b"first", "1")).await.unwrap();
    assert_eq!((first.row.version.as_str(), &first.replaced), ("1", &None));
    assert!(matches!(record(package(b"second", "1")).await, Err(CatalogError::AlreadyExists)));
    let overwriting = NewPackage { allow_overwrite: true, ..package(b"second", "1") };
    let second = record(overwriting).await.unwrap();
    assert_eq!((second.row.id, second.replaced), (first.row.id, Some(digest(b"first"))));
    assert!(!catalog.is_referenced(&digest(b"first")).await.unwrap());
    assert_eq!(catalog.reference(&digest(b"second")).await.unwrap().unwrap().rows, 1);
    assert_eq!(
        catalog.module_origin(&example_target()).await.unwrap().map(|origin| origin.takes_packages()),
        Some(true)
    );
    assert_eq!(catalog.find_damage().await.unwrap(), None);
    catalog.settle().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let snapshot = catalog.snapshot(&dir.path().join("snapshot")).await.unwrap();
    record(package(b"third", "2")).await.unwrap();
    let named: Vec<_> = snapshot.references_after("").await.unwrap().into_iter().map(|r| r.digest_text).collect();
    assert_eq!(named, [digest(b"second").to_string()]);
    assert_eq!(catalog.references_after("").await.unwrap().len(), 2);
}

/// Where no queue keeps uploads apart, a key goes to the first that is recorded, whichever applications they are for.
pub async fn a_key_goes_to_the_first_that_is_recorded<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    let key = |number| JobKey { key: Sha256::from_bytes([number; 32]), fingerprint: Sha256::from_bytes([1; 32]) };
    let record = async |app: &str, keys: &[u8]| {
        let target = ModuleRef { app: AppCode::new(app).unwrap(), module: example_target().module };
        let mut job = job(1, "h", "a").record;
        job.view.target = target.clone();
        job.keys = keys.iter().map(|number| key(*number)).collect();
        job.is_queued = false;
        let recorded = catalog.record(NewPackage { target, ..package(b"bytes", "1") }, job.clone(), None).await;
        recorded.map(|_| job.view.id)
    };
    let (first, second) = tokio::join!(record("one", &[7]), record("other", &[7]));
    let done = match (first, second) {
        (Ok(done), Err(CatalogError::KeyTaken)) | (Err(CatalogError::KeyTaken), Ok(done)) => done,
        both => panic!("one of them has the key: {both:?}"),
    };
    assert_eq!(catalog.find_job_by_key(key(7).key, 0).await.unwrap(), Some((done, key(7).fingerprint)));
    let late = record("late", &[8, 7]).await;
    assert!(matches!(late, Err(CatalogError::KeyTaken)), "{late:?}");
    assert_eq!(catalog.find_job_by_key(key(8).key, 0).await.unwrap(), None, "nothing of it is recorded");
    assert_eq!(catalog.reference(&digest(b"bytes")).await.unwrap().unwrap().rows, 1);
    record("late", &[8]).await.unwrap();
}

/// Bytes are found again in the module that has them, with the upload that downloaded them, however often they are reused.
pub async fn stored_bytes_have_their_origin<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (catalog, downloaded, reused) = (adapters.catalog(), job(1, "h", "a"), job(2, "i", "b"));
    let (target, sha256) = (example_target(), digest(b"bytes"));
    assert_eq!(catalog.find_stored(&target, &sha256).await.unwrap(), None);
    catalog.record(package(b"bytes", "1"), downloaded.record.clone(), None).await.unwrap();
    let origin = Origin {
        job_id: id(&downloaded),
        url: "https://h/1".to_owned(),
        final_url: fetched().final_url,
        etag: fetched().etag,
        last_modified: None,
    };
    let stored = catalog.find_stored(&target, &sha256).await.unwrap().unwrap();
    assert_eq!((stored.size_bytes, &stored.origin), (5, &origin));
    let mut again = NewPackage { allow_overwrite: true, ..package(b"bytes", "1") };
    again.provenance.bytes = BytesFrom::Stored(stored.origin);
    catalog.record(again, reused.record.clone(), None).await.unwrap();
    assert_eq!(
        catalog.find_stored(&target, &sha256).await.unwrap().unwrap().origin,
        origin,
        "not the one that reused them"
    );
    let other = ModuleRef { module: ModuleName::new("other").unwrap(), ..target };
    assert_eq!(catalog.find_stored(&other, &sha256).await.unwrap(), None, "another module's");
}
