//! A store that stands still for longer than its lease, and goes on.

use linkgate_tests::{Reached, Replicas, wait_until, wait_until_holds};

use super::{accepted, assert_done, holding, idle};

/// Where it stands still. With its row written it holds locks of the database, which gives them up by itself after a while.
const STEPS: [&str; 7] = [
    "block-written:70:stop",
    "blob-written:1:stop",
    "blob-synced:1:stop",
    "rename-due:1:stop",
    "blob-committed:1:stop",
    "commit-due:1:stop",
    "committed:1:stop",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stood_still_at_any_step_finds_its_upload_done_and_takes_away_what_it_wrote() {
    let Some(replicas) = Replicas::start().await else { return };
    for (number, step) in STEPS.into_iter().enumerate() {
        let source = holding(number).await;
        let slow = replicas.store(&source, &Reached::armed(step));
        let upload = accepted(&slow, slow.request(source.url()).version(&number.to_string())).await;
        let other = replicas.store(&source, &Reached::default());
        source.release();
        wait_until(async || if slow.stands_still() { Ok(()) } else { Err(format!("the store passes {step}")) }).await;
        let id = assert_done(&other, &upload).await;
        slow.go_on();
        assert_eq!(assert_done(&slow, &upload).await, id, "{step}");
        idle(&slow).await;
        // By itself: no collection runs, and no lease of it is over.
        wait_until(async || {
            let look = replicas.look().await.map_err(|e| e.to_string())?;
            let (wrong, packages) = (look.left_over(), look.rows.len());
            if wrong.is_empty() && packages == number + 1 {
                Ok(())
            } else {
                Err(format!("{step}: {packages}, {wrong:?}"))
            }
        })
        .await;
        let wanted = number as i64 + 1;
        assert_eq!(replicas.ask::<i64>("select count(*) from event").await, wanted, "{step}: recorded once");
        assert_eq!(replicas.ask::<i64>("select max(revision) from source_package").await, 1, "{step}");
        // And it is as good as any other one.
        assert_eq!(slow.download(id, &[]).await.status, 200);
        slow.stop();
        other.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_wait_at_a_store_that_stood_still_end_there_too() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    let settings = [("LINKGATE_STORE_MAX_UPLOADS", "1"), ("LINKGATE_STORE_QUEUE_TIMEOUT_S", "3600")];
    let settings = settings.map(|(name, value)| (name, value.to_owned())).to_vec();
    let one_at_a_time = Reached { settings, ..Reached::default() };
    let [slow, other] = [(); 2].map(|()| replicas.store(&source, &one_at_a_time));
    let upload = |version: &str| slow.request(source.url()).version(version);
    let works = accepted(&slow, upload("1")).await;
    source.wait_for_requests(1).await;
    let waits = accepted(&slow, upload("2")).await;
    let asks = tokio::spawn(upload("3").try_send_owned(slow.base()));
    wait_until_holds("two that wait", async || {
        slow.get("/metrics").await.body.contains("linkgate_store_uploads_waiting 2\n")
    })
    .await;
    slow.pause();
    source.wait_for_requests(2).await;
    source.release();
    for upload in [&works, &waits] {
        assert_done(&other, upload).await;
    }
    slow.go_on();
    for upload in [&works, &waits] {
        assert_done(&slow, upload).await;
    }
    let reply = asks.await.unwrap().unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
    idle(&slow).await;
    slow.stop();
    other.stop();
    assert_eq!(replicas.collect(&source).await.rows.len(), 3);
    assert_eq!(replicas.ask::<i64>("select count(*) from event").await, 3);
}

/// Others take what nobody was told of for left over when its store stands still. A caller who asks for the same then, and does
/// not wait, is told that it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_after_its_claim_was_lost_goes_on_under_another_one() {
    let Some(replicas) = Replicas::start().await else { return };
    let source = holding(0).await;
    // No sign of life comes before all that is asked here.
    let reached = Reached::with("LINKGATE_STORE_JOB_LEASE_S", "60".to_owned());
    let [slow, other] = [(); 2].map(|()| replicas.store(&source, &reached));
    let upload = || slow.request(source.url()).in_english();
    let waits = tokio::spawn(upload().try_send_owned(slow.base()));
    source.wait_for_requests(1).await;
    assert_eq!(replicas.ask::<i64>("with gone as (delete from job returning 1) select count(*) from gone").await, 1);
    let accepted = accepted(&slow, upload()).await;
    wait_until(async || match replicas.ask::<i64>("select count(*) from job where state = 'claimed'").await {
        1 => Ok(()),
        _ => Err("it is not claimed anew".to_owned()),
    })
    .await;
    source.release();
    let id = assert_done(&other, &accepted).await;
    let reply = waits.await.unwrap().unwrap();
    assert_eq!((reply.status, reply.json()["id"].as_i64()), (200, Some(id)), "{}", reply.body);
    idle(&slow).await;
    slow.stop();
    other.stop();
    assert_eq!(replicas.collect(&source).await.rows.len(), 1);
    assert_eq!(source.requests().len(), 1, "one download");
}
