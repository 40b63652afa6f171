//! What several processes do to one catalog: each handle here is one that was connected by itself, as a process does it.

mod blob_keys;
mod copies;
mod cutting_proxy;
mod followers;
mod idle;
mod keys;
mod later_columns;
mod nonces;
mod sealing_keys;
mod standing_still;

use std::time::Duration;

use linkgate_contract::{JobId, PackageId, PackageVersion, Sha256};
use linkgate_store_core::ingest::ports::{
    BeatReply, Catalog as _, CatalogError, CatalogReader as _, Change, ChangeError, Changes as _, Chore, Claim, Count,
    Deletion, Enqueued, EventQuery, Heartbeat, HolderId, JobEnd, JobKey, JobQueue as _, Maintenance as _, NewJob,
    NewPackage, PackageFilter, PackageQuery, PackageReader as _, QueueError, QuotaClaim, QuotaReservation as _, Turn,
};
use linkgate_store_core::settings::{QueueLimits, Quota, QuotaLimits};
use linkgate_store_core::testing::conformance::{LIMITS, failed, job, package};
use linkgate_store_core::testing::example_target;
use sqlx::{Connection as _, PgConnection};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use self::cutting_proxy::{Cut, CuttingProxy};
use super::{PostgresCatalog, PostgresStartError, SigningKeyError, SigningPurpose};
use crate::SqliteCatalog;
use crate::testing::PostgresServer;

/// Leases that run out while a test waits for that.
const SHORT: QueueLimits = QueueLimits { lease: Duration::from_millis(400), ..LIMITS };

/// A server and so many processes; none where there is no server to be had.
async fn processes<const N: usize>(limits: QueueLimits) -> Option<(PostgresServer, [PostgresCatalog; N])> {
    if let Some(missing) = PostgresServer::missing() {
        println!("{missing}: nothing was tried");
        return None;
    }
    let server = PostgresServer::start();
    let mut all = Vec::new();
    for _ in 0..N {
        all.push(PostgresCatalog::connect(&server.address(), limits).await.unwrap());
    }
    Some((server, all.try_into().ok().unwrap()))
}

async fn enqueue(catalog: &PostgresCatalog, job: &NewJob) {
    assert_eq!(catalog.enqueue(job.clone()).await.unwrap(), Enqueued::Queued);
}

async fn claim(catalog: &PostgresCatalog) -> Claim {
    catalog.claim(HolderId::random()).await.unwrap()
}

fn id(job: &NewJob) -> JobId {
    job.record.view.id
}

async fn ask<T>(server: &PostgresServer, query: &'static str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let mut connection = PgConnection::connect(&server.address()).await.unwrap();
    let said = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waited_for_a_lock_sees_what_others_did_meanwhile_whatever_the_server_is_set_to() {
    let Some((server, [before])) = processes(LIMITS).await else { return };
    sqlx::query(
        "do $$ begin
            execute format('alter database %I set default_transaction_isolation = ''repeatable read''', current_database());
         end $$",
    )
    .execute(&before.pool)
    .await
    .unwrap();
    assert_eq!(ask::<String>(&server, "show transaction_isolation").await, "repeatable read");
    let catalog = PostgresCatalog::connect(&server.address(), LIMITS).await.unwrap();
    let isolation: String = sqlx::query_scalar("show transaction_isolation").fetch_one(&catalog.pool).await.unwrap();
    assert_eq!(isolation, "read committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_process_shows_no_sign_of_life_is_taken_over_and_the_old_claim_is_worth_nothing() {
    let Some((_server, [dead, other])) = processes(SHORT).await else { return };
    let accepted = job(1, "h", "a");
    enqueue(&dead, &accepted).await;
    dead.accept(accepted.record.clone()).await.unwrap();
    let old = claim(&dead).await;
    let new = claim(&other).await;
    assert_eq!((new.record.view.id, &new.record.request), (id(&accepted), &accepted.record.request));
    assert_ne!(old.fence, new.fence);
    let beat = Heartbeat { fence: old.fence, view: old.record.view.clone() };
    assert_eq!(dead.heartbeat(vec![beat]).await.unwrap(), [BeatReply::Lost]);
    let late = dead.record(package(b"late", "1"), old.record.clone(), Some(old.fence)).await;
    assert!(matches!(late, Err(CatalogError::Fenced)), "{late:?}");
    assert!(matches!(dead.finish(old.record, failed(), Some(old.fence)).await, Err(QueueError::Fenced)));
    assert!(!other.is_referenced(&package(b"late", "1").sha256).await.unwrap(), "nothing was recorded");
    end_by_last_claim(&other, new).await;
    assert!(other.is_referenced(&package(b"in time", "1").sha256).await.unwrap());
}

/// With leases as short as these, somebody may have to claim again what has run out until the end is recorded.
async fn end_by_last_claim(catalog: &PostgresCatalog, mut last: Claim) {
    loop {
        match catalog.record(package(b"in time", "1"), last.record.clone(), Some(last.fence)).await {
            Ok(_) => return,
            Err(CatalogError::Fenced) => last = claim(catalog).await,
            Err(e) => panic!("{e}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_nobody_was_told_of_ends_with_its_process() {
    let Some((server, [dead, other])) = processes(SHORT).await else { return };
    let (first, same) = (job(1, "h", "a"), job(1, "h", "a"));
    enqueue(&dead, &first).await;
    let mut watched = other.watch(id(&first)).await.unwrap().expect("it is on the queue");
    assert_eq!(other.enqueue(same.clone()).await.unwrap(), Enqueued::Joined(id(&first)), "of another process");
    // Only now, for whoever looks finds that its lease has run out.
    let looking = tokio::spawn({
        let other = other.clone();
        async move { claim(&other).await }
    });
    while watched.changed().await.is_ok() {}
    assert_eq!(other.find_job(id(&first)).await.unwrap(), None, "nothing is left of it");
    enqueue(&other, &same).await;
    assert_eq!(looking.await.unwrap().record.view.id, id(&same));
    assert_eq!(ask::<i64>(&server, "select count(*) from job").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_process_went_away_goes_behind_new_ones_for_a_minute_and_no_longer() {
    let limits = QueueLimits { running: 1, ..LIMITS };
    let Some((server, [gone, other])) = processes(limits).await else { return };
    let [first, second, third] = [1, 2, 3].map(|number| job(number, &number.to_string(), "a"));
    enqueue(&gone, &first).await;
    gone.accept(first.record.clone()).await.unwrap();
    let claimed = claim(&gone).await;
    gone.begin_life(id(&first)).await.unwrap();
    enqueue(&other, &second).await;
    enqueue(&other, &third).await;
    gone.release(id(&first), Some(claimed.fence));
    gone.chores.are_done().await;
    let claimed = claim(&other).await;
    assert_eq!(claimed.record.view.id, id(&second));
    sqlx::query("update job set resumed_at = resumed_at - interval '1 minute'").execute(&other.pool).await.unwrap();
    other.finish(claimed.record, failed(), Some(claimed.fence)).await.unwrap();
    assert_eq!(claim(&other).await.record.view.id, id(&first), "it was there before the third");
    assert_eq!(ask::<i64>(&server, "select count(*) from job where state = 'waiting'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_all_processes_together() {
    let limits = QueueLimits { running: 2, queued: 4, queued_per_app: 4, ..LIMITS };
    let Some((server, [one, other])) = processes(limits).await else { return };
    let jobs = [1, 2, 3, 4].map(|number| job(number, &number.to_string(), "a"));
    enqueue(&one, &jobs[0]).await;
    enqueue(&other, &jobs[1]).await;
    enqueue(&one, &jobs[2]).await;
    enqueue(&other, &jobs[3]).await;
    let (first, second) = (claim(&one).await, claim(&other).await);
    assert_eq!([first.record.view.id, second.record.view.id], [id(&jobs[0]), id(&jobs[1])]);
    assert!(one.claim_now(HolderId::random()).await.unwrap().is_none());
    assert!(other.claim_now(HolderId::random()).await.unwrap().is_none());
    let at_work = "select count(*) from job where state in ('ready', 'claimed')";
    assert_eq!(ask::<i64>(&server, at_work).await, 2);
    other.finish(second.record, failed(), Some(second.fence)).await.unwrap();
    assert_eq!(claim(&one).await.record.view.id, id(&jobs[2]), "whose turn it is, whoever made the place free");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_is_for_other_processes_and_what_ends_in_good_order_at_once() {
    let Some((_server, [one, other])) = processes(LIMITS).await else { return };
    let (released, left) = (job(1, "h", "a"), job(2, "i", "b"));
    for accepted in [&released, &left] {
        enqueue(&one, accepted).await;
        one.accept(accepted.record.clone()).await.unwrap();
    }
    let claimed = claim(&one).await;
    one.release(id(&released), Some(claimed.fence));
    let taken = claim(&other).await;
    assert_eq!(taken.record.view.id, id(&released));
    assert!(one.unfinished().await.unwrap().is_empty() && other.unfinished().await.unwrap().is_empty());
    one.close().await;
    assert_eq!(claim(&other).await.record.view.id, id(&left), "its lease was long");
}

/// Its process lives, so no lease of it runs out.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_has_without_a_claim_is_for_others_once_it_gives_it_up() {
    let Some((server, [one, other])) = processes(LIMITS).await else { return };
    let [lost, follows] = [job(1, "h", "a"), job(2, "i", "a")];
    enqueue(&one, &lost).await;
    let claimed = claim(&one).await;
    // As others do with what nobody was told of, when its process seems to be gone.
    let mut connection = PgConnection::connect(&server.address()).await.unwrap();
    sqlx::query("delete from job").execute(&mut connection).await.unwrap();
    for (accepted, fence) in [(&lost, Some(claimed.fence)), (&follows, None)] {
        one.accept(accepted.record.clone()).await.unwrap();
        assert!(other.claim_now(HolderId::random()).await.unwrap().is_none(), "it is the other one's");
        one.release(id(accepted), fence);
        let taken = claim(&other).await;
        assert_eq!(taken.record.view.id, id(accepted));
        one.release(id(accepted), fence);
        one.chores.are_done().await;
        other.finish(taken.record, failed(), Some(taken.fence)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_found_by_what_does_the_same() {
    let Some((_server, [one, other])) = processes(LIMITS).await else { return };
    let [queued, mut follows] = [job(1, "h", "a"), job(2, "i", "a")];
    let find = async |job: &NewJob, since| other.find_equal_done(job.key, &example_target(), since).await.unwrap();
    enqueue(&one, &queued).await;
    let claimed = claim(&one).await;
    assert_eq!(find(&queued, 0).await, None, "it is at work");
    let recorded = one.record(package(b"bytes", "1"), claimed.record, Some(claimed.fence)).await.unwrap();
    assert_eq!(find(&queued, 0).await, Some(recorded.row.clone()));
    assert_eq!((find(&queued, i64::MAX).await, find(&follows, 0).await), (None, None), "too early, and another one");
    // One that never had a place on the queue.
    follows.record.upload_key = Some(follows.key);
    one.accept(follows.record.clone()).await.unwrap();
    one.finish(follows.record.clone(), JobEnd::Done(recorded.row.clone()), None).await.unwrap();
    assert_eq!(find(&follows, 0).await, Some(recorded.row));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_for_which_nobody_waits_any_more_is_put_back() {
    let Some((_server, [catalog])) = processes(LIMITS).await else { return };
    for number in 0..20 {
        let waits = job(number, "h", "a");
        let claiming = tokio::spawn({
            let catalog = catalog.clone();
            async move { claim(&catalog).await }
        });
        enqueue(&catalog, &waits).await;
        for _ in 0..number {
            yield_now().await;
        }
        claiming.abort();
        let claimed = match claiming.await {
            Ok(claimed) => claimed,
            Err(_) => claim(&catalog).await,
        };
        assert_eq!(claimed.record.view.id, id(&waits));
        catalog.finish(claimed.record, failed(), Some(claimed.fence)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_request_in_all_processes() {
    let Some((_server, [one, other])) = processes(LIMITS).await else { return };
    let key = JobKey { key: Sha256::from_bytes([7; 32]), fingerprint: Sha256::from_bytes([1; 32]) };
    let mut first = job(1, "h", "a");
    first.record.keys.push(key);
    enqueue(&one, &first).await;
    assert_eq!(other.find_job_by_key(key.key, 0).await.unwrap(), None, "nobody was told of it");
    let mut again = job(2, "h", "a");
    again.record.keys.push(key);
    assert_eq!(other.enqueue(again.clone()).await.unwrap(), Enqueued::Joined(id(&first)));
    again.record.keys[0].fingerprint = Sha256::from_bytes([2; 32]);
    assert!(matches!(other.enqueue(again).await, Err(QueueError::KeyReused)));
    one.accept(first.record.clone()).await.unwrap();
    assert_eq!(other.find_job_by_key(key.key, 0).await.unwrap(), Some((id(&first), key.fingerprint)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_uploads_that_have_a_key_of_each_other_one_follows() {
    let Some((_server, [one, other])) = processes(LIMITS).await else { return };
    let keys =
        [7, 8].map(|key| JobKey { key: Sha256::from_bytes([key; 32]), fingerprint: Sha256::from_bytes([1; 32]) });
    let (mut first, mut second) = (job(1, "h", "a"), job(1, "h", "a"));
    // Each follows one that is gone since, and was accepted under a key of its own.
    for (catalog, upload, key) in [(&one, &mut first, keys[0]), (&other, &mut second, keys[1])] {
        upload.record.keys.push(key);
        catalog.accept(upload.record.clone()).await.unwrap();
    }
    first.record.keys.push(keys[1]);
    second.record.keys.push(keys[0]);
    enqueue(&one, &first).await;
    assert_eq!(other.enqueue(second.clone()).await.unwrap(), Enqueued::Joined(id(&first)));
    let claimed = claim(&one).await;
    assert_eq!(claimed.record.view.id, id(&first));
    let new = job(1, "h", "a");
    assert_eq!(other.enqueue(new).await.unwrap(), Enqueued::Joined(id(&first)));
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrites_at_the_same_time_are_done_one_after_the_other() {
    const EACH: usize = 8;
    let Some((_server, catalogs)) = processes::<2>(LIMITS).await else { return };
    let mut writing = JoinSet::new();
    for number in 0..2 * EACH {
        let catalog = catalogs[number % 2].clone();
        let bytes = vec![b'x'; number + 1];
        let overwriting = NewPackage { allow_overwrite: true, ..package(&bytes, "1") };
        writing.spawn(async move { catalog.record(overwriting, job(1, "h", "a").record, None).await.unwrap() });
    }
    let recorded = writing.join_all().await;
    let replaced = recorded.iter().filter(|recorded| recorded.replaced.is_some()).count();
    assert_eq!(replaced, 2 * EACH - 1, "one was first");
    let [catalog, _] = catalogs;
    let detail = catalog.find_package(&example_target(), recorded[0].row.id).await.unwrap().unwrap();
    assert_eq!(detail.revision, 2 * EACH as i64);
    assert_eq!(catalog.find_damage().await.unwrap(), None, "the sums are right");
    let events = catalog.list_events(&example_target(), &EventQuery { limit: 100, ..EventQuery::default() }).await;
    assert_eq!(events.unwrap().rows.len(), 2 * EACH);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_uploads_of_one_version_that_may_not_overwrite_one_is_recorded() {
    let Some((server, catalogs)) = processes::<2>(LIMITS).await else { return };
    let mut writing = JoinSet::new();
    for number in 0..10 {
        let catalog = catalogs[number % 2].clone();
        let upload = package(&vec![b'x'; number + 1], "1");
        writing.spawn(async move { catalog.record(upload, job(1, "h", "a").record, None).await });
    }
    let (stored, refused): (Vec<_>, Vec<_>) = writing.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(stored.len(), 1);
    assert!(refused.iter().all(|refused| matches!(refused, Err(CatalogError::AlreadyExists))), "{refused:?}");
    assert_eq!(ask::<i64>(&server, "select count(*) from job").await, 1, "the others left nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_job_that_follows_another_one_is_asked_for_at_any_process() {
    let Some((_server, [one, other])) = processes(LIMITS).await else { return };
    let (first, same) = (job(1, "h", "a"), job(1, "h", "a"));
    enqueue(&one, &first).await;
    assert_eq!(other.enqueue(same.clone()).await.unwrap(), Enqueued::Joined(id(&first)));
    assert!(!one.cancel(id(&same)).await.unwrap(), "nobody was told of it");
    other.accept(same.record.clone()).await.unwrap();
    let (asked, first_asked) = tokio::join!(
        async {
            // Heard after it was asked for, and before.
            other.cancel_requested(id(&same)).await;
            other.cancel_requested(id(&same)).await;
        },
        async { one.cancel(id(&same)).await.unwrap() }
    );
    assert!(first_asked, "{asked:?}");
    let hears = tokio::time::timeout(Duration::from_millis(50), other.cancel_requested(id(&first)));
    assert!(hears.await.is_err(), "the one that it follows goes on");
    other.finish(same.record.clone(), failed(), None).await.unwrap();
    assert!(!one.cancel(id(&same)).await.unwrap(), "it has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_one_version_have_announced_one_package() {
    let Some((_server, [one, other])) = processes(LIMITS).await else { return };
    let mut first = one.reserve(announcement(1, 60, 100)).await.unwrap();
    let same_version = QuotaClaim { job: id(&job(2, "h", "a")), ..announcement(1, 80, 100) };
    let followed = other.reserve(same_version).await.unwrap();
    let refused = one.reserve(announcement(3, 21, 100)).await;
    assert!(matches!(refused, Err(CatalogError::QuotaExceeded(_))), "the larger of both counts");
    let beside = one.reserve(announcement(3, 20, 100)).await.unwrap();
    drop(beside);
    one.chores.are_done().await;
    first.grow(100).await.unwrap();
    let quota = announcement(1, 0, 100).quota;
    let stored = NewPackage { quota, ..package(&[b'x'; 100], "1.1") };
    one.record(stored, job(1, "h", "a").record, None).await.unwrap();
    drop((first, followed));
}

fn announcement(number: u8, bytes: u64, max_bytes: u64) -> QuotaClaim {
    let version = PackageVersion::new(&format!("1.{number}")).unwrap();
    let application = QuotaLimits { max_bytes: Some(max_bytes), ..QuotaLimits::default() };
    let quota = Quota { application, ..Quota::default() };
    QuotaClaim { job: id(&job(number, "h", "a")), target: example_target(), version, bytes, quota }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_uploads_announce_at_the_same_time_never_exceeds_a_quota() {
    let Some((server, catalogs)) = processes::<2>(LIMITS).await else { return };
    let mut announcing = JoinSet::new();
    for number in 0..10_u8 {
        let catalog = catalogs[usize::from(number % 2)].clone();
        announcing.spawn(async move { catalog.reserve(announcement(number, 30, 100)).await });
    }
    let (mut held, refused): (Vec<_>, Vec<_>) = announcing.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(held.len(), 3);
    assert!(refused.iter().all(|refused| matches!(refused, Err(CatalogError::QuotaExceeded(_)))));
    let mut last = held.pop().unwrap().unwrap();
    assert!(matches!(last.grow(41).await, Err(CatalogError::QuotaExceeded(_))));
    last.grow(40).await.unwrap();
    let quota = announcement(0, 0, 100).quota;
    let too_much = NewPackage { quota, ..package(b"x", "2") };
    let refused = catalogs[0].record(too_much, job(1, "h", "a").record, None).await;
    assert!(matches!(refused, Err(CatalogError::QuotaExceeded(_))), "{refused:?}");
    drop((last, held));
    for catalog in &catalogs {
        catalog.chores.are_done().await;
    }
    assert_eq!(ask::<i64>(&server, "select count(*) from reservation").await, 0);
    catalogs[0].reserve(announcement(11, 100, 100)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_reply_is_lost_is_told_as_it_is() {
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        let Some((server, [direct])) = processes(LIMITS).await else { return };
        let proxy = CuttingProxy::start(server.socket()).await;
        let cut_off = PostgresCatalog::connect(&proxy.address(), LIMITS).await.unwrap();
        proxy.cut(cut);
        let recorded = cut_off.record(package(b"bytes", "1"), job(1, "h", "a").record, None).await.unwrap();
        assert_eq!(proxy.cuts(), 1, "{cut:?}");
        let detail = direct.find_package(&example_target(), recorded.row.id).await.unwrap().unwrap();
        assert_eq!((detail.revision, &detail.row), (1, &recorded.row), "{cut:?}");
        assert_eq!(ask::<i64>(&server, "select count(*) from event").await, 1, "{cut:?}");

        let ends = job(2, "h", "a");
        enqueue(&cut_off, &ends).await;
        let claimed = claim(&cut_off).await;
        proxy.cut(cut);
        cut_off.finish(claimed.record, failed(), Some(claimed.fence)).await.unwrap();
        assert_eq!(proxy.cuts(), 2, "{cut:?}");
        assert!(direct.find_job(id(&ends)).await.unwrap().unwrap().end.is_some());

        proxy.cut(cut);
        cut_off.delete(&change_of(recorded.row.id), Deletion { force: false, restore_ms: 1 }).await.unwrap();
        assert_eq!(proxy.cuts(), 3, "{cut:?}");
        assert_eq!(ask::<i64>(&server, "select count(*) from event where action = 'delete'").await, 1, "{cut:?}");
    }
}

fn change_of(id: PackageId) -> Change {
    Change { target: example_target(), id, conditions: Default::default(), actor: Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_is_restored_while_another_process_purges_keeps_its_bytes_or_stays_deleted() {
    let Some((server, [one, other])) = processes(LIMITS).await else { return };
    for number in 0..20 {
        let version = format!("1.{number}");
        let row = one.record(package(b"bytes", &version), job(1, "h", "a").record, None).await.unwrap().row;
        let change = change_of(row.id);
        let deleted = one.delete(&change, Deletion { force: false, restore_ms: 1 }).await.unwrap();
        let due = deleted.purge_after_ms.unwrap();
        let quota = Quota::default();
        let (purged, restored) = tokio::join!(other.purge_due(due), one.restore(&change, None, &quota));
        match restored {
            Ok(detail) => assert!(purged.unwrap().is_empty() && !detail.row.is_deleted && detail.purged_ms.is_none()),
            Err(ChangeError::Purged) => assert_eq!(purged.unwrap().len(), 1),
            Err(e) => panic!("{e}"),
        }
    }
    let wrong = "select count(*) from source_package where is_deleted <> (purged_ms is not null)";
    assert_eq!(ask::<i64>(&server, wrong).await, 0);
    assert_eq!(one.find_damage().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_go_on_when_the_server_comes_back() {
    let Some((mut server, [catalog])) = processes(LIMITS).await else { return };
    catalog.record(package(b"before", "1"), job(1, "h", "a").record, None).await.unwrap();
    server.stop();
    let recording = tokio::spawn({
        let catalog = catalog.clone();
        async move { catalog.record(package(b"after", "2"), job(2, "h", "a").record, None).await }
    });
    assert!(catalog.check().await.is_err(), "it is away");
    server.start_again();
    recording.await.unwrap().unwrap();
    assert_eq!(catalog.references_after("").await.unwrap().len(), 2);
    catalog.check().await.unwrap();
    catalog.settle().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_begins_while_the_server_is_away_goes_on_when_it_comes_back() {
    let Some((mut server, [catalog])) = processes(LIMITS).await else { return };
    let accepted = job(1, "h", "a");
    enqueue(&catalog, &accepted).await;
    catalog.accept(accepted.record.clone()).await.unwrap();
    server.stop();
    let asking = tokio::spawn({
        let (catalog, new, claim) = (catalog.clone(), job(2, "h", "a"), announcement(3, 1, 10));
        async move {
            let (target, package) = (example_target(), package(b"bytes", "1"));
            let (origin, is_there, pins, stored, reserved, lives, enqueued) = tokio::join!(
                catalog.module_origin(&target),
                catalog.has_live(&target, &package.version),
                catalog.protecting_pins(&target, &package.version),
                catalog.find_stored(&target, &package.sha256),
                catalog.reserve(claim),
                catalog.begin_life(id(&accepted)),
                catalog.enqueue(new),
            );
            assert_eq!((origin.unwrap(), is_there.unwrap(), pins.unwrap().len()), (None, false, 0));
            assert!(stored.unwrap().is_none());
            reserved.unwrap().grow(2).await.unwrap();
            lives.unwrap();
            assert_eq!(enqueued.unwrap(), Enqueued::Queued);
        }
    });
    // Longer than what is tried a few times only.
    sleep(Duration::from_secs(2)).await;
    assert!(!asking.is_finished(), "it is away");
    server.start_again();
    asking.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_has_what_the_catalog_has() {
    let Some((_server, [catalog])) = processes(LIMITS).await else { return };
    let (target, waits) = (example_target(), job(9, "h", "a"));
    let kept = catalog.record(package(b"kept", "1.10"), job(1, "h", "a").record, None).await.unwrap().row;
    let gone = catalog.record(package(b"gone", "1.9"), job(2, "h", "a").record, None).await.unwrap().row;
    catalog.delete(&change_of(gone.id), Deletion { force: false, restore_ms: 1_000 }).await.unwrap();
    enqueue(&catalog, &waits).await;
    enqueue(&catalog, &job(10, "h", "a")).await;
    catalog.accept(waits.record.clone()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.sqlite3");
    catalog.snapshot(&path).await.unwrap().close().await;

    let copy = SqliteCatalog::open(&path, LIMITS).await.unwrap();
    for row in [&kept, &gone] {
        let (before, after) = (catalog.find_package(&target, row.id).await, copy.find_package(&target, row.id).await);
        assert_eq!(before.unwrap(), after.unwrap());
    }
    let query = EventQuery { limit: 10, ..EventQuery::default() };
    assert_eq!(catalog.list_events(&target, &query).await.unwrap(), copy.list_events(&target, &query).await.unwrap());
    assert_eq!(catalog.package_sums(&target).await.unwrap(), copy.package_sums(&target).await.unwrap());
    let left: Vec<_> = copy.unfinished().await.unwrap().into_iter().map(|left| (left.view.id, left.request)).collect();
    assert_eq!(left, [(id(&waits), waits.record.request.clone())]);
    assert_eq!(copy.find_damage().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_job_of_another_process_hears_of_its_end() {
    let Some((_server, [one, other])) = processes(LIMITS).await else { return };
    let (runs, same) = (job(1, "h", "a"), job(1, "h", "a"));
    enqueue(&one, &runs).await;
    let claimed = claim(&one).await;
    assert_eq!(other.enqueue(same).await.unwrap(), Enqueued::Joined(id(&runs)));
    let mut watched = other.watch(id(&runs)).await.unwrap().unwrap();
    let row = one.record(package(b"bytes", "1"), claimed.record, Some(claimed.fence)).await.unwrap().row;
    let ended = watched.wait_for(|view| view.end.is_some()).await.unwrap().end.clone();
    assert_eq!(ended, Some(JobEnd::Done(row)));
    assert!(other.watch(id(&runs)).await.unwrap().is_none(), "it is off the queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_that_ran_out_while_nobody_could_say_anything_prove_nothing() {
    let Some((server, [one, other])) = processes(SHORT).await else { return };
    let accepted = job(1, "h", "a");
    enqueue(&one, &accepted).await;
    one.accept(accepted.record.clone()).await.unwrap();
    claim(&one).await;
    while !ask::<bool>(&server, "select lease_until < clock_timestamp() from job").await {}
    let mut connection = PgConnection::connect(&server.address()).await.unwrap();
    let gap = sqlx::query("update queue_look set last = last - interval '1 hour'");
    gap.execute(&mut connection).await.unwrap();
    assert!(other.claim_now(HolderId::random()).await.unwrap().is_none(), "everybody has a whole lease again");
    assert_eq!(claim(&other).await.record.view.id, id(&accepted), "which runs out, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_do_not_fit_are_refused_and_no_password_is_told() {
    let Some((server, [])) = processes(LIMITS).await else { return };
    let mut connection = PgConnection::connect(&server.address()).await.unwrap();
    let plain = "create database plain encoding 'SQL_ASCII' template template0 locale 'C'";
    sqlx::query(plain).execute(&mut connection).await.unwrap();
    let refused = PostgresCatalog::connect(&server.address().replace("/postgres?", "/plain?"), LIMITS).await;
    assert!(matches!(refused, Err(PostgresStartError::Encoding { .. })));
    for address in ["postgres://user:hunter2@host:port/x", "mysql://user:hunter2@host/x", "hunter2"] {
        let refused = PostgresCatalog::connect(address, LIMITS).await.err().unwrap();
        assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused:?}");
    }
    sqlx::query("alter database postgres set default_transaction_read_only = on")
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(PostgresCatalog::connect(&server.address(), LIMITS).await.is_err(), "it cannot be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_written_any_more_is_told() {
    let Some((server, [catalog])) = processes(LIMITS).await else { return };
    catalog.check().await.unwrap();
    let mut connection = PgConnection::connect(&server.address()).await.unwrap();
    for statement in [
        "alter database postgres set default_transaction_read_only = on",
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'",
    ] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    assert!(catalog.check().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_an_extension_searches_go_without_an_index() {
    let Some((server, [])) = processes(LIMITS).await else { return };
    let mut connection = PgConnection::connect(&server.address()).await.unwrap();
    for statement in ["create role plain login", "grant usage, create on schema public to plain"] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    let address = server.address().replace("postgres://postgres@", "postgres://plain@");
    let catalog = PostgresCatalog::connect(&address, LIMITS).await.unwrap();
    assert_eq!(ask::<i64>(&server, "select count(*) from pg_extension where extname = 'pg_trgm'").await, 0);
    for version in ["1.0-RELEASE", "2.0"] {
        catalog.record(package(version.as_bytes(), version), job(1, "h", "a").record, None).await.unwrap();
    }
    let filter = PackageFilter { terms: vec!["release".to_owned()], ..PackageFilter::default() };
    let query = PackageQuery { filter, limit: 10, ..PackageQuery::default() };
    let found = catalog.list_packages(&example_target(), &query).await.unwrap();
    assert_eq!((found.rows.len(), found.count), (1, Count::Exactly(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time_does_a_piece_of_maintenance_and_not_too_often() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let Some((server, [one, other])) = processes(LIMITS).await else { return };
    let begin = async |process: &PostgresCatalog, every| match process.begin_chore(Chore::Purge, every).await.unwrap() {
        Turn::Now(lease) => Ok(lease),
        Turn::Later(wait) => Err(wait),
    };
    let held = begin(&one, Duration::ZERO).await.unwrap();
    for process in [&one, &other] {
        let wait = begin(process, Duration::ZERO).await.err().unwrap();
        assert!(wait <= Duration::from_secs(30), "no longer than it takes to die: {wait:?}");
    }
    let Turn::Now(_another) = other.begin_chore(Chore::Scrub, HOUR).await.unwrap() else { panic!("nobody does that") };

    drop(held);
    one.chores.are_done().await;
    assert!(begin(&other, HOUR).await.is_err(), "it was done a moment ago");
    let held = begin(&other, Duration::ZERO).await.unwrap();
    let mut connection = PgConnection::connect(&server.address()).await.unwrap();
    let dies =
        "update maintenance_lease set lease_until = clock_timestamp() - interval '1 second' where task = 'purge'";
    sqlx::query(dies).execute(&mut connection).await.unwrap();
    let _taken_over = begin(&one, HOUR).await.unwrap();
    drop(held);
    other.chores.are_done().await;
    assert!(begin(&other, Duration::ZERO).await.is_err(), "whoever was taken for dead ends nothing of another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sign_with_the_key_of_the_first_until_somebody_who_names_it_replaces_it() {
    let Some((server, [one, other])) = processes(LIMITS).await else { return };
    let (old, new, wrong) = ("0a".repeat(32), "0b".repeat(32), "0c".repeat(32));
    let say = async |catalog: &PostgresCatalog, key: &str, replaced: &[&String]| {
        let replaced: Vec<_> = replaced.iter().map(|id| (*id).clone()).collect();
        catalog.agree_on_key(SigningPurpose::Statements, key, &replaced).await
    };
    let is_refused = |said: Result<(), SigningKeyError>, ours: &str| match said {
        Err(SigningKeyError::Other { purpose: SigningPurpose::Statements, recorded, .. }) => recorded == ours,
        _ => false,
    };
    say(&one, &old, &[]).await.unwrap();
    say(&other, &old, &[]).await.unwrap();
    assert!(is_refused(say(&other, &new, &[]).await, &old));
    assert!(is_refused(say(&other, &new, &[&wrong]).await, &old), "it replaces another one");
    one.agree_on_key(SigningPurpose::Urls, &wrong, &[]).await.unwrap();

    say(&other, &new, &[&wrong, &old]).await.unwrap();
    say(&other, &new, &[&wrong, &old]).await.unwrap();
    assert!(is_refused(say(&one, &old, &[]).await, &new), "it was left behind");
    say(&one, &new, &[]).await.unwrap();
    say(&one, &old, &[&new]).await.unwrap();
    assert_eq!(ask::<i64>(&server, "select count(*) from signing_key").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_that_begin_at_once_one_says_the_key() {
    let Some((_server, catalogs)) = processes::<4>(LIMITS).await else { return };
    let mut starting = JoinSet::new();
    for (number, catalog) in catalogs.into_iter().enumerate() {
        starting.spawn(async move {
            let key = format!("{number:064x}");
            catalog.agree_on_key(SigningPurpose::Urls, &key, &[]).await.is_ok()
        });
    }
    let begun = starting.join_all().await;
    assert_eq!(begun.iter().filter(|is_good| **is_good).count(), 1, "{begun:?}");
}
