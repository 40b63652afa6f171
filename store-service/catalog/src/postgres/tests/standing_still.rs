//! What a process that stands still in the middle of something does to the others.

use linkgate_store_core::ingest::ports::CatalogReader as _;

use super::*;

const WAITING: &str = "select count(*) from pg_locks where locktype = 'advisory' and classid = 7301 and not granted";

/// So many at least wait to be judged.
async fn wait_for_waiting(server: &PostgresServer, count: i64) {
    while ask::<i64>(server, WAITING).await < count {
        yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stands_still_while_it_judges_leaves_the_others_connections_for_all_else() {
    let limits = QueueLimits { queued: 100, ..LIMITS };
    let Some((server, [catalog])) = processes(limits).await else { return };
    let mut still = PgConnection::connect(&server.address()).await.unwrap();
    let mut judging = still.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(7301, 0)").execute(&mut *judging).await.unwrap();
    let mut waiting = JoinSet::new();
    for number in 0..20_u8 {
        let (catalog, job) = (catalog.clone(), job(number, &number.to_string(), &number.to_string()));
        waiting.spawn(async move { catalog.enqueue(job).await });
    }
    wait_for_waiting(&server, 2).await;
    assert!(!catalog.is_referenced(&package(b"x", "1").sha256).await.unwrap(), "whoever only asks need not wait");
    judging.rollback().await.unwrap();
    while let Some(enqueued) = waiting.join_next().await {
        assert!(matches!(enqueued.unwrap(), Ok(Enqueued::Queued)));
    }
}
