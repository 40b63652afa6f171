//! Which object of an object storage holds which blob, in the catalog's own database.
//!
//! Promises: what the port [`BlobKeys`] promises, for any number of processes. No row of the catalog is without its bytes,
//! however late it is recorded:
//!
//! - Whoever records a row locks its blob with a key share, in the trigger of `0002_blob_keys.sql`, and holds that lock until the
//!   row is committed. Whoever retires the blob locks it for update first, and only then asks in a new statement whether a row
//!   references it. So either the row is committed before that question, and is seen; or the blob is gone when the row is
//!   recorded, and the row is refused. This does not rest on the time for which a blob counts as just published, which only
//!   spares uploads that refusal, nor on what a process read before: bytes that are reused are held against the blob, too.
//! - It rests on statements that see what was committed before each of them began, so transactions here are read committed,
//!   whatever the server's default is. Those who record on a stricter level are refused by the server instead.
//! - Whoever changes which object a blob has holds the lock of its digest, so what they judge is what they change, also where
//!   there is no row to lock yet.

use std::time::{Duration, SystemTime};

use linkgate_contract::Sha256;
use linkgate_store_core::ingest::ports::{
    BlobKeys, BlobObject, HoldId, KeyError, KeyHolder, ObjectKey, OpenUpload, Published, PublishedObject,
    RetiredObject, Retirement,
};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Postgres, Row as _, Transaction};
use tokio::time::sleep;

use super::PostgresCatalog;
use super::database::{ASKED_AFTER, ASKED_AGAIN, UnknownOutcome, is_refusal};
use crate::again::{Again, Failure, is_away, retried};
use crate::shared::{signed, unsigned};

/// See the module.
const BEGIN: &str = "begin isolation level read committed";
/// The first half of the lock of a digest.
const DIGEST_LOCK: i32 = 7304;
/// Taken by those who begin to hold all blobs, and shared by those who retire one.
const HOLD_LOCK: i64 = 7305;
/// Objects on a page.
const PAGE: i64 = 500;
/// As the port says.
const KEYS_AT_ONCE: i64 = 100;
/// No longer than this is asked for in earnest, and the server can count with it.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Whether somebody holds all blobs.
const IS_HELD: &str =
    "exists(select from blob_hold join blob_holder using (holder) where alive_until > clock_timestamp())";
/// Keys that were begun before then and whose writers are gone or gave them up.
const ABANDONED: &str = "state in ('written', 'given_up', 'swept') and since < to_timestamp($1)
    and (state = 'given_up' or not exists (
        select from blob_holder where blob_holder.holder = blob_key.holder and alive_until > clock_timestamp()))";

/// The keys of a catalog's database, over the connections of that catalog.
#[derive(Clone)]
pub struct PostgresBlobKeys {
    pool: PgPool,
}

impl PostgresCatalog {
    /// Which object holds which blob. From the first sign of life of one of its holders on, no row is recorded in this database
    /// whose blob has no object.
    #[must_use]
    pub fn blob_keys(&self) -> PostgresBlobKeys {
        PostgresBlobKeys { pool: self.pool.clone() }
    }
}

impl Failure for KeyError {
    fn again(&self) -> Again {
        match self {
            Self::Unavailable(cause) | Self::Database(cause) => cause.again(),
            Self::Lost => Again::Never,
        }
    }
}

fn failed(error: sqlx::Error) -> KeyError {
    if is_away(&error) { KeyError::Unavailable(error.into()) } else { KeyError::Database(error.into()) }
}

/// Not to be done again if it may have been done.
async fn commit(tx: Transaction<'_, Postgres>) -> Result<(), KeyError> {
    let Err(error) = tx.commit().await else { return Ok(()) };
    Err(if is_refusal(&error) { failed(error) } else { KeyError::Unavailable(UnknownOutcome(error).into()) })
}

fn seconds(time: Duration) -> f64 {
    time.min(LONGEST).as_secs_f64()
}

fn since_epoch(time: SystemTime) -> f64 {
    seconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

impl BlobKeys for PostgresBlobKeys {
    async fn beat(&self, holder: KeyHolder) -> Result<(), KeyError> {
        retried!(self.try_beat(holder)).map_err(failed)
    }

    async fn begin(&self, holder: KeyHolder, key: &ObjectKey) -> Result<(), KeyError> {
        retried!(while it is away, self.try_begin(holder, key)).map_err(failed)
    }

    async fn note_upload(&self, key: &ObjectKey, upload_id: &str) -> Result<(), KeyError> {
        retried!(while it is away, self.try_note_upload(key, upload_id)).map_err(failed)
    }

    async fn publish(
        &self,
        holder: KeyHolder,
        object: &BlobObject,
        lost: Option<&ObjectKey>,
    ) -> Result<Published, KeyError> {
        retried!(while it is away, self.try_publish(holder, object, lost))
    }

    async fn find(&self, sha256: Sha256) -> Result<Option<PublishedObject>, KeyError> {
        retried!(self.try_find(sha256)).map_err(failed)
    }

    async fn list(&self, part: u8, after: Option<Sha256>) -> Result<Vec<PublishedObject>, KeyError> {
        retried!(self.try_list(part, after)).map_err(failed)
    }

    async fn retire(&self, sha256: Sha256, untouched_for: Duration) -> Result<Retirement, KeyError> {
        retried!(self.try_retire(sha256, untouched_for))
    }

    async fn quarantine(&self, sha256: Sha256) -> Result<Option<ObjectKey>, KeyError> {
        retried!(self.try_quarantine(sha256))
    }

    async fn disown(&self, holder: KeyHolder, key: &ObjectKey) -> Result<bool, KeyError> {
        retried!(self.try_disown(holder, key)).map_err(failed)
    }

    async fn forget(&self, key: &ObjectKey) -> Result<(), KeyError> {
        retried!(self.try_forget(key)).map_err(failed)
    }

    async fn take_abandoned(&self, holder: KeyHolder, begun_before: SystemTime) -> Result<Vec<OpenUpload>, KeyError> {
        retried!(self.try_take_abandoned(holder, begun_before)).map_err(failed)
    }

    async fn count_abandoned(&self, begun_before: SystemTime) -> Result<u64, KeyError> {
        retried!(self.try_count_abandoned(begun_before)).map_err(failed)
    }

    async fn unknown(&self, keys: Vec<ObjectKey>) -> Result<Vec<ObjectKey>, KeyError> {
        let names: Vec<&str> = keys.iter().map(ObjectKey::as_str).collect();
        let query = sqlx::query_scalar(
            "select name from unnest($1::text[]) as asked (name)
             where not exists (select from blob where key = name) and not exists (select from blob_key where key = name)",
        );
        let unknown: Vec<String> = query.bind(names).fetch_all(&self.pool).await.map_err(failed)?;
        Ok(unknown.into_iter().map(ObjectKey::from_text).collect())
    }

    async fn expired(&self, retired_for: Duration, after: Option<&ObjectKey>) -> Result<Vec<RetiredObject>, KeyError> {
        retried!(self.try_expired(retired_for, after)).map_err(failed)
    }

    async fn forget_retired(&self, key: &ObjectKey) -> Result<(), KeyError> {
        retried!(self.try_forget_retired(key)).map_err(failed)
    }

    async fn hold(&self, holder: KeyHolder) -> Result<HoldId, KeyError> {
        let id = HoldId::random();
        retried!(self.try_hold(holder, id)).map_err(failed)?;
        Ok(id)
    }

    async fn release(&self, hold: HoldId) -> Result<(), KeyError> {
        retried!(self.try_release(hold)).map_err(failed)
    }
}

/// Signs of life, and holds.
impl PostgresBlobKeys {
    /// Whoever has been dead for a day is forgotten, with its holds: a sign of life does not bring them back.
    async fn try_beat(&self, holder: KeyHolder) -> Result<(), sqlx::Error> {
        let beat = sqlx::query(
            "with forgotten as (
                delete from blob_holder where alive_until < clock_timestamp() - interval '1 day' and holder <> $1)
             insert into blob_holder (holder, alive_until) values ($1, clock_timestamp() + make_interval(secs => $2))
             on conflict (holder) do update set alive_until = excluded.alive_until",
        );
        beat.bind(holder.uuid()).bind(seconds(KeyHolder::LEASE)).execute(&self.pool).await.map(|_| ())
    }

    async fn try_hold(&self, holder: KeyHolder, id: HoldId) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        // Once nobody retires.
        sqlx::query("select pg_advisory_xact_lock($1)").bind(HOLD_LOCK).execute(&mut *tx).await?;
        let hold = sqlx::query("insert into blob_hold (id, holder) values ($1, $2) on conflict (id) do nothing");
        hold.bind(id.uuid()).bind(holder.uuid()).execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn try_release(&self, hold: HoldId) -> Result<(), sqlx::Error> {
        let release = sqlx::query("delete from blob_hold where id = $1").bind(hold.uuid());
        release.execute(&self.pool).await.map(|_| ())
    }
}

/// Keys that are being written.
impl PostgresBlobKeys {
    async fn try_begin(&self, holder: KeyHolder, key: &ObjectKey) -> Result<(), sqlx::Error> {
        // It is there if this is done once more.
        let begin = sqlx::query(
            "insert into blob_key (key, state, holder, since) values ($1, 'written', $2, clock_timestamp())
             on conflict (key) do nothing",
        );
        begin.bind(key.as_str()).bind(holder.uuid()).execute(&self.pool).await.map(|_| ())
    }

    async fn try_note_upload(&self, key: &ObjectKey, upload_id: &str) -> Result<(), sqlx::Error> {
        let note = sqlx::query("update blob_key set upload_id = $2 where key = $1 and holder is not null");
        note.bind(key.as_str()).bind(upload_id).execute(&self.pool).await.map(|_| ())
    }

    async fn try_disown(&self, holder: KeyHolder, key: &ObjectKey) -> Result<bool, sqlx::Error> {
        let disown = sqlx::query("update blob_key set state = 'given_up' where key = $1 and holder = $2");
        let disowned = disown.bind(key.as_str()).bind(holder.uuid()).execute(&self.pool).await?;
        Ok(disowned.rows_affected() > 0)
    }

    async fn try_forget(&self, key: &ObjectKey) -> Result<(), sqlx::Error> {
        let forget = sqlx::query("delete from blob_key where key = $1 and holder is not null").bind(key.as_str());
        forget.execute(&self.pool).await.map(|_| ())
    }

    /// What somebody else takes at this moment is left to them.
    async fn try_take_abandoned(
        &self,
        holder: KeyHolder,
        begun_before: SystemTime,
    ) -> Result<Vec<OpenUpload>, sqlx::Error> {
        let text = format!(
            "update blob_key set holder = $2, state = 'swept' where key in (
                 select key from blob_key where {ABANDONED} order by since limit $3 for update skip locked)
             returning key, upload_id"
        );
        let take = sqlx::query(sqlx::AssertSqlSafe(text)).bind(since_epoch(begun_before));
        let taken = take.bind(holder.uuid()).bind(KEYS_AT_ONCE).fetch_all(&self.pool).await?;
        let read = |row: &PgRow| Ok(OpenUpload { key: read_key(row)?, upload_id: row.try_get("upload_id")? });
        taken.iter().map(read).collect()
    }

    async fn try_count_abandoned(&self, begun_before: SystemTime) -> Result<u64, sqlx::Error> {
        let text = format!("select count(*) from blob_key where {ABANDONED}");
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(text)).bind(since_epoch(begun_before));
        unsigned(count.fetch_one(&self.pool).await?)
    }
}

/// Objects of blobs, and those that were.
impl PostgresBlobKeys {
    /// Begins to change which object a blob has, once nobody else does.
    async fn begin_for(&self, sha256: Sha256) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        let lock = sqlx::query("select pg_advisory_xact_lock($1, hashtext($2))");
        lock.bind(DIGEST_LOCK).bind(sha256.to_string()).execute(&mut *tx).await?;
        Ok(tx)
    }

    async fn try_publish(
        &self,
        holder: KeyHolder,
        object: &BlobObject,
        lost: Option<&ObjectKey>,
    ) -> Result<Published, KeyError> {
        let mut tx = self.begin_for(object.sha256).await.map_err(failed)?;
        if !is_written_by(&mut tx, holder, &object.key).await.map_err(failed)? {
            return Err(KeyError::Lost);
        }
        let published = match find_to_change(&mut tx, object.sha256, Duration::ZERO).await.map_err(failed)? {
            None => {
                give(&mut tx, object).await.map_err(failed)?;
                Published::New
            }
            Some((other, _)) if lost == Some(&other.key) => {
                give(&mut tx, object).await.map_err(failed)?;
                put_away(&mut tx, &other, "retired").await.map_err(failed)?;
                Published::Replaced
            }
            Some((other, _)) => {
                count_as_published(&mut tx, object.sha256).await.map_err(failed)?;
                Published::Existing(other)
            }
        };
        match tx.commit().await {
            Ok(()) => Ok(published),
            Err(error) if is_refusal(&error) => Err(failed(error)),
            Err(error) => self.settle_publication(object, published, error).await,
        }
    }

    /// What came of a publication whose reply was lost. If it was surely not done, that is an error after which it may be done
    /// again.
    async fn settle_publication(
        &self,
        object: &BlobObject,
        published: Published,
        error: sqlx::Error,
    ) -> Result<Published, KeyError> {
        // Whether a blob counts as published a moment ago can be said twice.
        if let Published::Existing(_) = published {
            return Err(failed(error));
        }
        for _ in 0..ASKED_AFTER {
            match self.is_object_of_blob(object).await {
                Ok(true) => return Ok(published),
                Ok(false) => return Err(failed(error)),
                Err(_) => sleep(ASKED_AGAIN).await,
            }
        }
        Err(KeyError::Unavailable(UnknownOutcome(error).into()))
    }

    /// The lock is the digest's, so whoever committed has ended: no reply that was lost can come true later.
    async fn is_object_of_blob(&self, object: &BlobObject) -> Result<bool, sqlx::Error> {
        let mut tx = self.begin_for(object.sha256).await?;
        let query = sqlx::query_scalar("select exists(select from blob where sha256 = $1 and key = $2)");
        let query = query.bind(object.sha256.to_string()).bind(object.key.as_str());
        let is_it = query.fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(is_it)
    }

    async fn try_find(&self, sha256: Sha256) -> Result<Option<PublishedObject>, sqlx::Error> {
        let found = sqlx::query(
            "select sha256, key, size_bytes, extract(epoch from published_at)::float8 as published from blob
             where sha256 = $1",
        );
        let found = found.bind(sha256.to_string()).fetch_optional(&self.pool).await?;
        found.as_ref().map(read_published).transpose()
    }

    async fn try_list(&self, part: u8, after: Option<Sha256>) -> Result<Vec<PublishedObject>, sqlx::Error> {
        let page = sqlx::query(
            "select sha256, key, size_bytes, extract(epoch from published_at)::float8 as published from blob
             where sha256 >= $1 and sha256 < $2 and sha256 > $3 order by sha256 limit $4",
        );
        // No digest has a letter after the sixth.
        let (from, until) = (format!("{part:02x}"), format!("{part:02x}g"));
        let after = after.map(|after| after.to_string()).unwrap_or_default();
        let page = page.bind(from).bind(until).bind(after).bind(PAGE).fetch_all(&self.pool).await?;
        page.iter().map(read_published).collect()
    }

    async fn try_retire(&self, sha256: Sha256, untouched_for: Duration) -> Result<Retirement, KeyError> {
        let mut tx = self.begin_for(sha256).await.map_err(failed)?;
        let share = sqlx::query("select pg_advisory_xact_lock_shared($1)").bind(HOLD_LOCK);
        share.execute(&mut *tx).await.map_err(failed)?;
        let found = find_to_change(&mut tx, sha256, untouched_for).await.map_err(failed)?;
        let Some((object, is_young)) = found else { return Ok(Retirement::NotThere) };
        // Only now: whoever was recording a row has ended.
        if let Some(kept) = what_keeps(&mut tx, sha256).await.map_err(failed)? {
            return Ok(kept);
        }
        if is_young {
            return Ok(Retirement::JustPublished);
        }
        take_from_blob(&mut tx, &object, "retired").await.map_err(failed)?;
        commit(tx).await?;
        Ok(Retirement::Retired)
    }

    async fn try_quarantine(&self, sha256: Sha256) -> Result<Option<ObjectKey>, KeyError> {
        let mut tx = self.begin_for(sha256).await.map_err(failed)?;
        let found = find_to_change(&mut tx, sha256, Duration::ZERO).await.map_err(failed)?;
        let Some((object, _)) = found else { return Ok(None) };
        take_from_blob(&mut tx, &object, "quarantined").await.map_err(failed)?;
        commit(tx).await?;
        Ok(Some(object.key))
    }

    async fn try_expired(
        &self,
        retired_for: Duration,
        after: Option<&ObjectKey>,
    ) -> Result<Vec<RetiredObject>, sqlx::Error> {
        let text = format!(
            "select key, size_bytes from blob_key
             where state = 'retired' and key > $1 and since <= clock_timestamp() - make_interval(secs => $2)
                 and not {IS_HELD}
             order by key limit $3"
        );
        let page = sqlx::query(sqlx::AssertSqlSafe(text)).bind(after.map_or("", ObjectKey::as_str));
        let page = page.bind(seconds(retired_for)).bind(KEYS_AT_ONCE).fetch_all(&self.pool).await?;
        let read = |row: &PgRow| Ok(RetiredObject { key: read_key(row)?, size_bytes: read_size(row)? });
        page.iter().map(read).collect()
    }

    async fn try_forget_retired(&self, key: &ObjectKey) -> Result<(), sqlx::Error> {
        let forget = sqlx::query("delete from blob_key where key = $1 and state = 'retired'").bind(key.as_str());
        forget.execute(&self.pool).await.map(|_| ())
    }
}

/// Whether a key is this holder's to publish, and it stays so until the transaction ends.
async fn is_written_by(tx: &mut PgConnection, holder: KeyHolder, key: &ObjectKey) -> Result<bool, sqlx::Error> {
    let query = sqlx::query("select key from blob_key where key = $1 and holder = $2 and state = 'written' for update");
    Ok(query.bind(key.as_str()).bind(holder.uuid()).fetch_optional(tx).await?.is_some())
}

/// A blob's object, and whether it was published within that time. Once nobody is recording a row that references the blob,
/// and until this transaction ends nobody will.
async fn find_to_change(
    tx: &mut PgConnection,
    sha256: Sha256,
    untouched_for: Duration,
) -> Result<Option<(BlobObject, bool)>, sqlx::Error> {
    let query = sqlx::query(
        "select sha256, key, size_bytes, published_at > clock_timestamp() - make_interval(secs => $2) as is_young
         from blob where sha256 = $1 for update",
    );
    let row = query.bind(sha256.to_string()).bind(seconds(untouched_for)).fetch_optional(tx).await?;
    row.map(|row| Ok((read_object(&row)?, row.try_get("is_young")?))).transpose()
}

/// Why a blob must keep its object, if so.
async fn what_keeps(tx: &mut PgConnection, sha256: Sha256) -> Result<Option<Retirement>, sqlx::Error> {
    let text = format!(
        "select {IS_HELD} as is_held,
             exists(select from source_package where sha256 = $1 and purged_ms is null) as is_referenced"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(text)).bind(sha256.to_string()).fetch_one(tx).await?;
    let kept = match (row.try_get("is_held")?, row.try_get("is_referenced")?) {
        (true, _) => Some(Retirement::Held),
        (false, true) => Some(Retirement::Referenced),
        (false, false) => None,
    };
    Ok(kept)
}

/// Makes an object that was being written the one of its blob.
async fn give(tx: &mut PgConnection, object: &BlobObject) -> Result<(), sqlx::Error> {
    let give = sqlx::query(
        "insert into blob (sha256, key, size_bytes, published_at) values ($1, $2, $3, clock_timestamp())
         on conflict (sha256) do update set key = excluded.key, size_bytes = excluded.size_bytes,
             published_at = excluded.published_at",
    );
    let give = give.bind(object.sha256.to_string()).bind(object.key.as_str()).bind(signed(object.size_bytes)?);
    give.execute(&mut *tx).await?;
    let is_written = sqlx::query("delete from blob_key where key = $1").bind(object.key.as_str());
    is_written.execute(tx).await.map(|_| ())
}

async fn count_as_published(tx: &mut PgConnection, sha256: Sha256) -> Result<(), sqlx::Error> {
    let touch = sqlx::query("update blob set published_at = clock_timestamp() where sha256 = $1");
    touch.bind(sha256.to_string()).execute(tx).await.map(|_| ())
}

async fn take_from_blob(tx: &mut PgConnection, object: &BlobObject, state: &'static str) -> Result<(), sqlx::Error> {
    let take = sqlx::query("delete from blob where sha256 = $1").bind(object.sha256.to_string());
    take.execute(&mut *tx).await?;
    put_away(tx, object, state).await
}

/// Notes the key of an object that is no blob's any more.
async fn put_away(tx: &mut PgConnection, object: &BlobObject, state: &'static str) -> Result<(), sqlx::Error> {
    let note = sqlx::query(
        "insert into blob_key (key, state, sha256, size_bytes, since) values ($1, $2, $3, $4, clock_timestamp())",
    );
    let note = note.bind(object.key.as_str()).bind(state).bind(object.sha256.to_string());
    note.bind(signed(object.size_bytes)?).execute(tx).await.map(|_| ())
}

fn read_key(row: &PgRow) -> Result<ObjectKey, sqlx::Error> {
    row.try_get("key").map(ObjectKey::from_text)
}

fn read_size(row: &PgRow) -> Result<u64, sqlx::Error> {
    unsigned(row.try_get("size_bytes")?)
}

fn read_object(row: &PgRow) -> Result<BlobObject, sqlx::Error> {
    let sha256 = row.try_get::<&str, _>("sha256")?.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
    Ok(BlobObject { sha256, size_bytes: read_size(row)?, key: read_key(row)? })
}

fn read_published(row: &PgRow) -> Result<PublishedObject, sqlx::Error> {
    let age = Duration::try_from_secs_f64(row.try_get("published")?).map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
    Ok(PublishedObject { object: read_object(row)?, published: SystemTime::UNIX_EPOCH + age })
}
