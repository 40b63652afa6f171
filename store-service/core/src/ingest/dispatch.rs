//! Claims jobs for this process and keeps their claims alive.
//!
//! Promises: a claim reaches the job's own task, or is given back; whose job is gone here is taken over. Ends with its
//! [`Ingest`].

use std::sync::{Arc, Weak};
use std::time::Duration;

use linkgate_contract::JobId;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::outage::{Outage, wait_out};
use super::ports::{BeatReply, Claim, Fence, Heartbeat, HolderId, JobQueue, Services};
use super::{Ingest, Live, chain};

/// Heartbeats within a lease: some may fail before it runs out.
const BEATS_PER_LEASE: u32 = 6;
/// How long to wait before a queue that failed is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Begins all of it, until `ended`.
pub(super) fn start<V: Services>(ingest: &Arc<Ingest<V>>, holder: HolderId, ended: CancellationToken) {
    let (queue, beats) = (ingest.catalog.clone(), ingest.rules.queue.lease / BEATS_PER_LEASE);
    let (outage, stop) = (ingest.outage.clone(), ingest.stop.clone());
    // What is claimed once it stops would only be given back.
    let claiming = claim_jobs(Arc::downgrade(ingest), queue, outage.clone(), holder, beats);
    tokio::spawn(ended.clone().run_until_cancelled_owned(stop.clone().run_until_cancelled_owned(claiming)));
    let waiting = wait_out(Arc::downgrade(ingest), outage);
    tokio::spawn(ended.clone().run_until_cancelled_owned(stop.run_until_cancelled_owned(waiting)));
    tokio::spawn(ended.run_until_cancelled_owned(send_heartbeats(Arc::downgrade(ingest), beats)));
}

async fn claim_jobs<V: Services>(
    ingest: Weak<Ingest<V>>,
    queue: V::Catalog,
    outage: Outage,
    holder: HolderId,
    beats: Duration,
) {
    loop {
        while timeout(beats, outage.over()).await.is_err() {
            if let Err(e) = queue.stay_alive().await {
                warn!(error = chain(&e), "Cannot say that this store is alive; trying again");
            }
        }
        let claimed = tokio::select! {
            biased;
            _ = outage.begun() => continue,
            claimed = queue.claim(holder) => claimed,
        };
        let Some(ingest) = ingest.upgrade() else { return };
        match claimed {
            Ok(claim) => hand_over(&ingest, claim).await,
            Err(e) => {
                error!(error = chain(&e), "Cannot claim jobs; trying again in a second");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn hand_over<V: Services>(ingest: &Arc<Ingest<V>>, claim: Claim) {
    let (id, fence) = (claim.record.view.id, claim.fence);
    let Some(live) = ingest.jobs.by_id(id) else { return ingest.take_over(claim).await };
    if claim.is_cancelled {
        live.job.cancel.cancel();
    }
    ingest.hand_claim(&live, fence);
}

async fn send_heartbeats<V: Services>(ingest: Weak<Ingest<V>>, every: Duration) {
    let mut beats = interval(every.max(Duration::from_millis(1)));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut doubted = Vec::new();
    loop {
        beats.tick().await;
        let Some(ingest) = ingest.upgrade() else { return };
        ingest.send_heartbeat(&mut doubted).await;
    }
}

impl<V: Services> Ingest<V> {
    /// A claim of a job whose work has ended meanwhile is given back.
    pub(super) fn hand_claim(&self, live: &Live, fence: Fence) {
        if !live.job.hand_claim(fence) {
            self.catalog.release(live.job.id(), Some(fence));
        }
    }

    /// A claim that is said to be lost once is in doubt: this process, which had stood still, may be about to hand over a newer one
    /// of its own. Said twice it is lost.
    async fn send_heartbeat(&self, doubted: &mut Vec<(JobId, Fence)>) {
        let jobs = self.jobs.all().into_iter().filter_map(|job| Some((job.fence()?, job)));
        let jobs: Vec<_> = jobs.collect();
        if jobs.is_empty() {
            return doubted.clear();
        }
        let beats = jobs.iter().map(|(fence, job)| Heartbeat { fence: *fence, view: job.view() }).collect();
        match self.catalog.heartbeat(beats).await {
            Ok(replies) => {
                let doubted_before = std::mem::take(doubted);
                for ((fence, job), reply) in jobs.iter().zip(replies) {
                    let claim = (job.id(), *fence);
                    match reply {
                        BeatReply::Extended => {}
                        BeatReply::CancelRequested => job.cancel.cancel(),
                        // It may have ended a moment ago; else what it does from now on is refused by its fence.
                        BeatReply::Lost if doubted_before.contains(&claim) => job.lose_claim_of(*fence),
                        BeatReply::Lost => doubted.push(claim),
                    }
                }
            }
            Err(e) => warn!(error = chain(&e), "Cannot extend the leases of {} jobs; trying again", jobs.len()),
        }
    }
}
