//! What processes tell each other of the queue: that there may be something to claim, and that a job has moved.
//!
//! Promises: a word is a hint and no more. Who misses one looks by themselves a little later.

use std::sync::Arc;
use std::time::Duration;

use linkgate_contract::JobId;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::time::{sleep, timeout};
use tracing::debug;
use uuid::Uuid;

use super::jobs;
use super::queue_state::QueueState;

/// Where processes tell each other that something may have become claimable.
const CHANNEL: &str = "linkgate_queue";
/// How often it is asked what has become of the jobs that somebody watches.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Before a connection that listens is made anew.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Lets others look, if there is anything for them to find. In a transaction of its own: one that tells something commits under
/// a lock of the whole server.
pub(super) async fn tell_others(pool: &PgPool, state: &QueueState) -> Result<(), sqlx::Error> {
    sqlx::query(
        "select pg_notify($1, '') where exists(
            select from job where state in ('waiting', 'ready') and process is distinct from $2)",
    )
    .bind(CHANNEL)
    .bind(state.process)
    .execute(pool)
    .await?;
    Ok(())
}

/// Lets all look, whoever has something to find.
pub(super) async fn tell_all(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_notify($1, '')").bind(CHANNEL).execute(pool).await.map(drop)
}

/// Hears what other processes say, until it is stopped. Whatever comes, also that the connection broke, is a reason to look.
pub(super) async fn listen(pool: PgPool, state: Arc<QueueState>) {
    loop {
        if let Err(error) = hear(&pool, &state).await {
            debug!(error = %error, "Does not hear other processes; listening again in a second");
        }
        sleep(LISTEN_AGAIN).await;
    }
}

async fn hear(pool: &PgPool, state: &QueueState) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.ignore_pool_close_event(false);
    listener.listen(CHANNEL).await?;
    loop {
        state.wake();
        listener.recv().await?;
    }
}

/// Looks what has become of jobs that somebody watches, until it is stopped.
pub(super) async fn look_after_watched(pool: PgPool, state: Arc<QueueState>) {
    loop {
        let _moved_or_time_to_look = timeout(WATCH_EVERY, state.moved.notified()).await;
        hear_of_cancels(&pool, &state).await;
        let watched = state.watched();
        if watched.is_empty() {
            continue;
        }
        let ids: Vec<Uuid> = watched.iter().map(|id| id.as_uuid()).collect();
        let Ok(views) = jobs::find_all(&pool, &ids).await else { continue };
        for gone in watched.into_iter().filter(|id| views.iter().all(|view| view.id != *id)) {
            state.close(gone);
        }
        // How far a job of this process is, its own heartbeats have told.
        let told = views.into_iter().filter(|view| view.end.is_some() || state.own(view.id).is_none());
        told.for_each(|view| state.show(view));
    }
}

/// Tells those who listen that the end of their jobs is asked for. Where the database does not answer, next time.
async fn hear_of_cancels(pool: &PgPool, state: &QueueState) {
    let listening = state.listening_for_cancel();
    if listening.is_empty() {
        return;
    }
    let query = sqlx::query_scalar("select id from job where id = any($1) and is_cancelled").bind(listening);
    let asked: Vec<Uuid> = query.fetch_all(pool).await.unwrap_or_default();
    asked.into_iter().for_each(|id| state.ask_for_cancel(JobId::from_uuid(id)));
}
