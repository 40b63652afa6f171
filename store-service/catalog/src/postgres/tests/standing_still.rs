//! What a process that stands still in the middle of something does to the others.

use linkgate_store_core::ingest::ports::CatalogReader as _;

use tokio::net::TcpListener;

use super::*;

const WAITING: &str = "select count(*) from pg_locks where locktype = 'advisory' and not granted";

/// Two wait for what this locks, and whoever only asks need not.
async fn assert_others_can_ask(server: &PostgresServer, catalog: &PostgresCatalog) {
    while ask::<i64>(server, WAITING).await < 2 {
        yield_now().await;
    }
    assert!(!catalog.is_referenced(&package(b"x", "1").sha256).await.unwrap());
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
    assert_others_can_ask(&server, &catalog).await;
    judging.rollback().await.unwrap();
    while let Some(enqueued) = waiting.join_next().await {
        assert!(matches!(enqueued.unwrap(), Ok(Enqueued::Queued)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stands_still_while_it_changes_packages_leaves_them_some_as_well() {
    let Some((server, [catalog])) = processes(LIMITS).await else { return };
    let mut still = PgConnection::connect(&server.address()).await.unwrap();
    let mut changing = still.begin().await.unwrap();
    let lock = sqlx::query("select pg_advisory_xact_lock(7302, hashtext($1))").bind(example_target().app.as_str());
    lock.execute(&mut *changing).await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..20 {
        let catalog = catalog.clone();
        waiting.spawn(async move { catalog.waiting.begin_for(example_target().app.as_str()).await.map(drop) });
    }
    assert_others_can_ask(&server, &catalog).await;
    changing.rollback().await.unwrap();
    while let Some(begun) = waiting.join_next().await {
        begun.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_a_connection_and_says_nothing_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("postgres://user@{}/database?sslmode=disable", silent.local_addr().unwrap());
    let refused = PostgresCatalog::connect(&address, LIMITS).await.err().unwrap();
    assert!(refused.to_string().contains("no answer came in"), "{refused}");
}

/// A process that claims nothing for a while has what waits and what is announced in its name all the same.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_says_that_it_is_alive_keeps_what_is_its_own() {
    let Some((server, [one])) = processes(LIMITS).await else { return };
    enqueue(&one, &job(1, "h", "a")).await;
    let _reserved = one.reserve(announcement(9, 30, 100)).await.unwrap();
    let mut connection = PgConnection::connect(&server.address()).await.unwrap();
    let soon = "clock_timestamp() + interval '1 minute'";
    let shorten = format!("update job set lease_until = {soon}; update reservation set lease_until = {soon}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(shorten)).execute(&mut connection).await.unwrap();
    one.stay_alive().await.unwrap();
    let long = "select (select lease_until from job) > clock_timestamp() + interval '30 minutes'
        and (select lease_until from reservation) > clock_timestamp() + interval '30 minutes'";
    assert!(ask::<bool>(&server, long).await);
}
