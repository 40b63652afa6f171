//! What every database of object keys must do: one suite of tests, generic over them. An adapter is named to it with
//! [`blob_keys_tests!`](crate::blob_keys_tests).
//!
//! No test here waits for a time to pass: an adapter makes all that it has recorded older.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use linkgate_contract::Sha256;

use crate::ingest::ports::{
    BlobKeys, BlobObject, KeyError, KeyHolder, ObjectKey, OpenUpload, Published, RetiredObject, Retirement,
};

/// A database of object keys, empty at first.
#[allow(async_fn_in_trait, reason = "tests await them where they call them")]
pub trait KeyDatabase: Sized {
    /// The keys.
    type Keys: BlobKeys;

    /// What it takes that is not here, if so: then nothing is tried.
    #[must_use]
    fn missing() -> Option<&'static str> {
        None
    }

    /// Makes one.
    async fn create() -> Self;
    /// The keys.
    fn keys(&self) -> Self::Keys;
    /// Makes a row of the catalog reference a blob.
    async fn reference(&self, object: &BlobObject);
    /// Takes that row away.
    async fn unreference(&self, sha256: Sha256);
    /// Makes all times that are recorded so much older, as if so much had passed.
    async fn let_pass(&self, time: Duration);
}

/// No blob is too young to be retired.
const AT_ONCE: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3_600);

fn object(first_byte: u8) -> BlobObject {
    let mut digest = [7; 32];
    digest[0] = first_byte;
    BlobObject {
        sha256: Sha256::from_bytes(digest),
        size_bytes: u64::from(first_byte) + 1,
        key: ObjectKey::unused("store/"),
    }
}

/// Another object with the same bytes.
fn again(object: &BlobObject) -> BlobObject {
    BlobObject { key: ObjectKey::unused("store/"), ..object.clone() }
}

async fn living(keys: &impl BlobKeys) -> KeyHolder {
    let holder = KeyHolder::random();
    keys.beat(holder).await.unwrap();
    holder
}

/// Begins an object and publishes it as the first of its blob.
async fn publish(keys: &impl BlobKeys, holder: KeyHolder, object: &BlobObject) {
    keys.begin(holder, &object.key).await.unwrap();
    assert_eq!(keys.publish(holder, object, None).await.unwrap(), Published::New);
}

async fn is_lost(keys: &impl BlobKeys, holder: KeyHolder, object: &BlobObject) -> bool {
    matches!(keys.publish(holder, object, None).await, Err(KeyError::Lost))
}

async fn found(keys: &impl BlobKeys, object: &BlobObject) -> Option<BlobObject> {
    keys.find(object.sha256).await.unwrap().map(|found| found.object)
}

/// All that may be deleted, and it is the same however often one asks.
async fn expired(keys: &impl BlobKeys, retired_for: Duration) -> HashSet<ObjectKey> {
    let (mut all, mut after) = (HashSet::new(), None);
    loop {
        let page: Vec<RetiredObject> = keys.expired(retired_for, after.as_ref()).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = Some(last.key.clone());
        all.extend(page.into_iter().map(|retired| retired.key));
    }
}

fn soon() -> SystemTime {
    SystemTime::now() + HOUR
}

async fn abandoned(keys: &impl BlobKeys, holder: KeyHolder) -> Vec<OpenUpload> {
    let count = keys.count_abandoned(soon()).await.unwrap();
    let taken = keys.take_abandoned(holder, soon()).await.unwrap();
    assert_eq!(count, taken.len() as u64);
    taken
}

/// A blob has an object once that is published, and only whoever began one can publish it.
pub async fn an_object_is_published_by_its_writer_alone<D: KeyDatabase>() {
    let database = D::create().await;
    let keys = database.keys();
    let (ours, theirs, object) = (living(&keys).await, living(&keys).await, object(1));
    assert!(is_lost(&keys, ours, &object).await, "nobody has begun it");
    keys.begin(ours, &object.key).await.unwrap();
    assert_eq!(found(&keys, &object).await, None);
    assert!(is_lost(&keys, theirs, &object).await, "another one has begun it");
    assert_eq!(keys.publish(ours, &object, None).await.unwrap(), Published::New);
    assert_eq!(found(&keys, &object).await.as_ref(), Some(&object));
    assert!(is_lost(&keys, ours, &object).await, "it is not being written any more");
    let age = SystemTime::now().duration_since(keys.find(object.sha256).await.unwrap().unwrap().published);
    assert!(age.unwrap_or_default() < HOUR);
}

/// The first object of a blob stays its object, until it is lost; then it is replaced, whichever the writer meant.
pub async fn a_blob_has_one_object<D: KeyDatabase>() {
    let database = D::create().await;
    let keys = database.keys();
    let (holder, first) = (living(&keys).await, object(1));
    publish(&keys, holder, &first).await;
    let (second, third) = (again(&first), again(&first));
    for later in [&second, &third] {
        keys.begin(holder, &later.key).await.unwrap();
        assert_eq!(keys.publish(holder, later, None).await.unwrap(), Published::Existing(first.clone()));
    }
    let replaced = keys.publish(holder, &second, Some(&first.key)).await.unwrap();
    assert_eq!((replaced, found(&keys, &first).await), (Published::Replaced, Some(second.clone())));
    let refused = keys.publish(holder, &third, Some(&first.key)).await.unwrap();
    assert_eq!(refused, Published::Existing(second.clone()), "the lost one is replaced already");
    assert_eq!(expired(&keys, AT_ONCE).await, HashSet::from([first.key]));
    assert!(keys.disown(holder, &third.key).await.unwrap(), "it is still being written");
    assert!(!keys.disown(holder, &second.key).await.unwrap(), "it is a blob's");
}

/// A blob that somebody needs, or may be about to need, stays its object's; one that nobody needs loses it, and the object
/// waits for its grace.
pub async fn objects_are_retired_when_nobody_needs_them<D: KeyDatabase>() {
    let database = D::create().await;
    let keys = database.keys();
    let (holder, object) = (living(&keys).await, object(1));
    assert_eq!(keys.retire(object.sha256, AT_ONCE).await.unwrap(), Retirement::NotThere);
    publish(&keys, holder, &object).await;
    database.reference(&object).await;
    assert_eq!(keys.retire(object.sha256, AT_ONCE).await.unwrap(), Retirement::Referenced);
    database.unreference(object.sha256).await;
    assert_eq!(keys.retire(object.sha256, HOUR).await.unwrap(), Retirement::JustPublished);
    database.let_pass(HOUR + HOUR).await;
    let second = again(&object);
    keys.beat(holder).await.unwrap();
    keys.begin(holder, &second.key).await.unwrap();
    assert_eq!(keys.publish(holder, &second, None).await.unwrap(), Published::Existing(object.clone()));
    assert_eq!(
        keys.retire(object.sha256, HOUR).await.unwrap(),
        Retirement::JustPublished,
        "it counts as published again"
    );
    assert_eq!((expired(&keys, AT_ONCE).await.len(), found(&keys, &object).await), (0, Some(object.clone())));
    database.let_pass(HOUR + HOUR).await;
    assert_eq!(keys.retire(object.sha256, HOUR).await.unwrap(), Retirement::Retired);
    assert_eq!(
        (keys.retire(object.sha256, HOUR).await.unwrap(), found(&keys, &object).await),
        (Retirement::NotThere, None)
    );
    assert_eq!(expired(&keys, HOUR).await.len(), 0, "its grace has begun");
    database.let_pass(HOUR + HOUR).await;
    let retired = keys.expired(HOUR, None).await.unwrap();
    assert_eq!(retired, [RetiredObject { key: object.key.clone(), size_bytes: object.size_bytes }]);
    assert_eq!(keys.expired(HOUR, Some(&object.key)).await.unwrap(), []);
    keys.forget_retired(&object.key).await.unwrap();
    keys.forget_retired(&object.key).await.unwrap();
    assert_eq!(expired(&keys, AT_ONCE).await.len(), 0);
}

/// Nothing is retired or deleted while somebody holds all blobs and lives.
pub async fn holds_keep_everything<D: KeyDatabase>() {
    let database = D::create().await;
    let keys = database.keys();
    let (ours, theirs) = (living(&keys).await, living(&keys).await);
    let (retired, object) = (object(1), object(2));
    publish(&keys, ours, &retired).await;
    publish(&keys, ours, &object).await;
    assert_eq!(keys.retire(retired.sha256, AT_ONCE).await.unwrap(), Retirement::Retired);
    let (first, second) = (keys.hold(ours).await.unwrap(), keys.hold(theirs).await.unwrap());
    assert_ne!(first, second);
    keys.release(first).await.unwrap();
    keys.release(first).await.unwrap();
    assert_eq!(keys.retire(object.sha256, AT_ONCE).await.unwrap(), Retirement::Held, "the other one holds on");
    assert_eq!(expired(&keys, AT_ONCE).await.len(), 0);
    database.let_pass(KeyHolder::LEASE + HOUR).await;
    assert_eq!(
        keys.retire(object.sha256, AT_ONCE).await.unwrap(),
        Retirement::Retired,
        "its holder shows no sign of life"
    );
    assert_eq!(expired(&keys, AT_ONCE).await, HashSet::from([retired.key, object.key]));
}

/// What is in quarantine is no blob's and never deleted; its blob can have another object.
pub async fn quarantine_is_for_good<D: KeyDatabase>() {
    let database = D::create().await;
    let keys = database.keys();
    let (holder, bad) = (living(&keys).await, object(1));
    assert_eq!(keys.quarantine(bad.sha256).await.unwrap(), None);
    publish(&keys, holder, &bad).await;
    database.reference(&bad).await;
    assert_eq!(
        keys.quarantine(bad.sha256).await.unwrap(),
        Some(bad.key.clone()),
        "a row that references it keeps nothing"
    );
    assert_eq!((keys.quarantine(bad.sha256).await.unwrap(), found(&keys, &bad).await), (None, None));
    let good = again(&bad);
    publish(&keys, holder, &good).await;
    assert_eq!(found(&keys, &bad).await, Some(good));
    database.let_pass(HOUR).await;
    let sweeper = living(&keys).await;
    assert_eq!((expired(&keys, AT_ONCE).await.len(), abandoned(&keys, sweeper).await.len()), (0, 0));
}

/// A key that was given up is published by nobody and swept by anybody; the key of another one cannot be given up.
pub async fn keys_are_given_up_by_their_writers<D: KeyDatabase>() {
    let database = D::create().await;
    let keys = database.keys();
    let (ours, theirs, object) = (living(&keys).await, living(&keys).await, object(1));
    assert!(!keys.disown(ours, &object.key).await.unwrap(), "nobody has begun it");
    keys.begin(ours, &object.key).await.unwrap();
    assert!(!keys.disown(theirs, &object.key).await.unwrap());
    assert!(keys.disown(ours, &object.key).await.unwrap() && keys.disown(ours, &object.key).await.unwrap());
    assert!(is_lost(&keys, ours, &object).await);
    assert_eq!(abandoned(&keys, theirs).await, [OpenUpload { key: object.key.clone(), upload_id: None }]);
    assert!(!keys.disown(ours, &object.key).await.unwrap(), "another one sweeps it");
    assert_eq!(abandoned(&keys, ours).await, []);
    assert!(keys.disown(theirs, &object.key).await.unwrap(), "whoever sweeps can give it back");
    assert_eq!(abandoned(&keys, ours).await.len(), 1);
    keys.forget(&object.key).await.unwrap();
    keys.forget(&object.key).await.unwrap();
    assert!(!keys.disown(ours, &object.key).await.unwrap() && abandoned(&keys, theirs).await.is_empty());
    let other = again(&object);
    keys.begin(ours, &other.key).await.unwrap();
    keys.forget(&other.key).await.unwrap();
    assert!(is_lost(&keys, ours, &other).await, "it is forgotten without being given up, too");
}

/// Keys of writers that show no sign of life are taken over by one other, with the name of the upload; those of living ones,
/// and young ones, are not.
pub async fn abandoned_keys_are_taken_over_once<D: KeyDatabase>() {
    let database = D::create().await;
    let keys = database.keys();
    let (dead, object) = (living(&keys).await, object(1));
    keys.begin(dead, &object.key).await.unwrap();
    keys.note_upload(&object.key, "an upload").await.unwrap();
    let (living_one, other) = (living(&keys).await, living(&keys).await);
    assert_eq!(abandoned(&keys, living_one).await, [], "its lease has not ended");
    database.let_pass(KeyHolder::LEASE + HOUR).await;
    keys.beat(living_one).await.unwrap();
    keys.beat(other).await.unwrap();
    let written = again(&object);
    keys.begin(living_one, &written.key).await.unwrap();
    let long_ago = SystemTime::now() - 9 * HOUR;
    assert_eq!(keys.count_abandoned(long_ago).await.unwrap(), 0);
    assert_eq!(keys.take_abandoned(living_one, long_ago).await.unwrap(), []);
    let expected = [OpenUpload { key: object.key.clone(), upload_id: Some("an upload".to_owned()) }];
    assert_eq!(abandoned(&keys, living_one).await, expected, "and not what it writes itself");
    assert_eq!(abandoned(&keys, other).await, []);
    assert!(is_lost(&keys, dead, &object).await && !keys.disown(dead, &object.key).await.unwrap());
    assert_eq!(keys.publish(living_one, &written, None).await.unwrap(), Published::New);
    database.let_pass(KeyHolder::LEASE + HOUR).await;
    keys.beat(other).await.unwrap();
    assert_eq!(abandoned(&keys, other).await, expected, "who took it over is gone, too");
}

/// Blobs are listed by the first byte of their digests, in their order and from any place.
pub async fn blobs_are_listed_in_order<D: KeyDatabase>() {
    let database = D::create().await;
    let keys = database.keys();
    let holder = living(&keys).await;
    let mut in_part = Vec::new();
    for n in [9_u8, 3, 200] {
        let mut digest = [n; 32];
        digest[0] = 5;
        let object = BlobObject { sha256: Sha256::from_bytes(digest), ..object(n) };
        publish(&keys, holder, &object).await;
        in_part.push(object);
    }
    publish(&keys, holder, &object(6)).await;
    keys.begin(holder, &object(5).key).await.unwrap();
    in_part.sort_by_key(|object| object.sha256.to_string());
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = keys.list(5, after).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.object.sha256);
        listed.extend(page.into_iter().map(|found| found.object));
    }
    assert_eq!(listed, in_part);
    let rest: Vec<_> = keys.list(5, Some(in_part[0].sha256)).await.unwrap();
    assert_eq!(rest.first().map(|found| &found.object), Some(&in_part[1]));
    assert_eq!((keys.list(6, None).await.unwrap().len(), keys.list(7, None).await.unwrap().len()), (1, 0));
}

/// Of many who publish the same bytes at once, one is first and all others hear of its object; of many who sweep at once,
/// each key is given to one.
pub async fn races_have_one_winner<D: KeyDatabase>() {
    let database = D::create().await;
    let keys = database.keys();
    let (first, holder) = (object(1), living(&keys).await);
    let objects: Vec<_> = (0..8).map(|_| again(&first)).collect();
    let publishing: Vec<_> = objects
        .iter()
        .map(|object| {
            let (keys, object) = (keys.clone(), object.clone());
            tokio::spawn(async move {
                keys.begin(holder, &object.key).await.unwrap();
                let published = keys.publish(holder, &object, None).await.unwrap();
                let is_given_up = keys.disown(holder, &object.key).await.unwrap();
                assert_eq!(is_given_up, published != Published::New);
                published
            })
        })
        .collect();
    let mut won = 0;
    for published in publishing {
        let published = published.await.unwrap();
        won += usize::from(published == Published::New);
    }
    assert_eq!(won, 1);
    let sweeping: Vec<_> = (0..4)
        .map(|_| {
            let keys = keys.clone();
            tokio::spawn(async move {
                let sweeper = living(&keys).await;
                keys.take_abandoned(sweeper, soon()).await.unwrap()
            })
        })
        .collect();
    let mut taken = Vec::new();
    for sweep in sweeping {
        taken.extend(sweep.await.unwrap().into_iter().map(|open| open.key));
    }
    assert_eq!((taken.len(), taken.iter().collect::<HashSet<_>>().len()), (7, 7));
    assert!(!taken.contains(&found(&keys, &first).await.unwrap().key));
}

/// A key is known from its beginning until it is forgotten, whatever becomes of it.
pub async fn keys_are_known_until_they_are_forgotten<D: KeyDatabase>() {
    let database = D::create().await;
    let keys = database.keys();
    let holder = living(&keys).await;
    let [never, written, given_up, blob, retired, quarantined] = [1, 2, 3, 4, 5, 6].map(object);
    for begun in [&written, &given_up] {
        keys.begin(holder, &begun.key).await.unwrap();
    }
    assert!(keys.disown(holder, &given_up.key).await.unwrap());
    for published in [&blob, &retired, &quarantined] {
        publish(&keys, holder, published).await;
    }
    assert_eq!(keys.retire(retired.sha256, AT_ONCE).await.unwrap(), Retirement::Retired);
    keys.quarantine(quarantined.sha256).await.unwrap();
    let all = [&never, &written, &given_up, &blob, &retired, &quarantined].map(|object| object.key.clone()).to_vec();
    assert_eq!(keys.unknown(all.clone()).await.unwrap(), std::slice::from_ref(&never.key));
    keys.forget(&given_up.key).await.unwrap();
    keys.forget_retired(&retired.key).await.unwrap();
    let unknown: HashSet<_> = keys.unknown(all).await.unwrap().into_iter().collect();
    assert_eq!(unknown, HashSet::from([never.key, given_up.key, retired.key]));
}

/// Runs the suite of a [`KeyDatabase`].
#[macro_export]
macro_rules! blob_keys_tests {
    ($database:ty) => {
        $crate::blob_keys_tests! { $database:
            an_object_is_published_by_its_writer_alone, a_blob_has_one_object, objects_are_retired_when_nobody_needs_them,
            holds_keep_everything, quarantine_is_for_good, keys_are_given_up_by_their_writers,
            abandoned_keys_are_taken_over_once, blobs_are_listed_in_order, keys_are_known_until_they_are_forgotten,
            races_have_one_winner
        }
    };
    ($database:ty: $($test:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                match <$database as $crate::testing::blob_keys::KeyDatabase>::missing() {
                    Some(missing) => println!("{missing}: nothing was tried"),
                    None => $crate::testing::blob_keys::$test::<$database>().await,
                }
            }
        )*
    };
}
