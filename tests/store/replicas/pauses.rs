//! A store that stands still for longer than its lease, and goes on.

use linkgate_tests::{Reached, Replicas, wait_until};

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
