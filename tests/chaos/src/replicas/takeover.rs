//! How long it takes until what a store had accepted that died is somebody else's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use linkgate_tests::replicas::Replicas;
use tokio::time::sleep;

/// No takeover comes near.
const WITHIN: Duration = Duration::from_secs(120);

/// Jobs that had been accepted and not ended when a store died, each with the number of its last claim.
pub(super) struct Watch {
    died: Instant,
    jobs: BTreeMap<String, i64>,
}

impl Watch {
    /// Called when it has just died. Whose they are does not matter: those of the living end by themselves.
    pub(super) async fn begin(replicas: &Replicas) -> Self {
        let died = Instant::now();
        // There are none to be seen while the database is away, too.
        let jobs = replicas.accepted_jobs().await.unwrap_or_default();
        Self { died, jobs }
    }

    /// Waits until all of them have ended or were claimed once more; how long each of the latter took.
    pub(super) async fn wait(mut self, replicas: &Replicas) -> Result<Vec<Duration>, String> {
        let mut took = Vec::new();
        while !self.jobs.is_empty() {
            if self.died.elapsed() > WITHIN {
                return Err(format!("nobody takes over {:?}", self.jobs));
            }
            sleep(Duration::from_millis(20)).await;
            let Ok(now) = replicas.accepted_jobs().await else { continue };
            self.jobs.retain(|id, claim| match now.get(id) {
                None => false,
                Some(last) if last == claim => true,
                Some(_) => {
                    took.push(self.died.elapsed());
                    false
                }
            });
        }
        Ok(took)
    }
}
