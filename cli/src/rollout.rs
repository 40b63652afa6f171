//! Waits until every worker of Envoy serves a policy, or Envoy has refused it.
//!
//! Every thread of Envoy that runs the filter counts itself once under its policy: the workers, and the main thread, on
//! which Envoy runs it too. A policy that no thread has served before is therefore in force everywhere when as many count
//! themselves. Where some count themselves already (a policy that comes back while uploads of its first time still run,
//! or a filter that changes under its policy), their number says less: then Envoy must have had it for [`SETTLE`].

use std::path::Path;
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::proxy::{explain_no_policy, fetch_filter, find_misfit};
use crate::resource::{NAME, Resource, policy_version};

/// Workers take a configuration in the next turn of their loops, and count themselves after a second.
const SETTLE: Duration = Duration::from_secs(2);

/// What Envoy says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Status {
    /// The resource that it accepted last.
    accepted: String,
    /// How many it refused, or could not read.
    refused: u64,
    /// Threads that serve the policy.
    serving: u64,
    workers: u64,
}

impl Status {
    fn fetch(admin: &Admin, version: &str) -> Result<Self, String> {
        let discovery = format!("extension_config_discovery.http_filter.{NAME}");
        let gauge = format!("wasmcustom.{NAME}.policy_workers.version.{version}");
        let stats = admin.get_stats(&format!("server.concurrency%7C{discovery}%7C{gauge}"))?;
        let no_workers = || format!("{admin}: the answer has no server.concurrency, so it is not Envoy's");
        let counter = |name: &str| stats.get_number(&format!("{discovery}.{name}")).unwrap_or_default();
        Ok(Self {
            accepted: stats.get_text(&format!("{discovery}.version_text")).to_owned(),
            refused: counter("update_rejected") + counter("update_failure"),
            serving: stats.get_number(&gauge).unwrap_or_default(),
            workers: stats.get_number("server.concurrency").ok_or_else(no_workers)?,
        })
    }

    /// The workers and the main thread.
    fn threads(&self) -> u64 {
        self.workers.saturating_add(1)
    }

    /// Why it may serve another policy, where it does not say that it refused this one just now.
    fn explain_other(&self) -> String {
        let goes_on = format!("Envoy goes on with {}", named(&self.accepted));
        match self.refused {
            0 => format!("{goes_on}, and has refused none: it may watch another folder"),
            refused => format!(
                "{goes_on}, and has refused policies or failed to read them {refused} times since it started, this one among \
                 them if it was deployed before. Its log says why: look for `policy refused` and `config update`"
            ),
        }
    }

    fn is_everywhere(&self, info: &str) -> bool {
        self.accepted == info && self.serving >= self.threads()
    }
}

/// A policy on its way into every worker.
pub struct Rollout<'a> {
    admin: &'a Admin,
    resource: &'a Resource,
    wait: Duration,
    before: Status,
}

impl<'a> Rollout<'a> {
    /// Looks at Envoy before anything is written.
    pub fn begin(admin: &'a Admin, resource: &'a Resource, wait: Duration) -> Result<Self, Error> {
        let before = Status::fetch(admin, resource.version()).map_err(Error::NoAdmin)?;
        Ok(Self { admin, resource, wait, before })
    }

    /// Waits; returns what to print.
    pub fn wait(&self, folder: &Path, path: &Path) -> Result<String, Error> {
        let (resource, version) = (path.to_owned(), self.resource.version().to_owned());
        let deadline = Deadline::start(self.wait);
        if self.before.is_everywhere(&self.resource.info) {
            return Ok(confirmed(&self.before, "already"));
        }
        let mut progress = Progress::default();
        loop {
            let status = Status::fetch(self.admin, &version);
            match progress.judge(status, &self.before, &self.resource.info, Instant::now()) {
                Step::Done(status) => {
                    let misfit = fetch_filter(self.admin).ok().as_ref().and_then(find_misfit);
                    return match misfit {
                        Some(misfit) => Err(Error::NotReady(misfit.to_owned())),
                        None => Ok(confirmed(&status, "now")),
                    };
                }
                Step::Refused(in_force) => {
                    return Err(Error::Refused { version, in_force, resource, folder: folder.to_owned() });
                }
                Step::NotYet(why) if deadline.has_passed() => {
                    let why = if why.contains("no policy") {
                        format!("{why}; {}", explain_no_policy(self.admin))
                    } else {
                        why
                    };
                    return Err(Error::NotConfirmed { version, resource, waited: self.wait, why });
                }
                Step::NotYet(_) => deadline.pause(),
            }
        }
    }
}

fn confirmed(status: &Status, when: &str) -> String {
    format!("Envoy: every worker serves it {when} ({} of {})\n", status.workers, status.workers)
}

/// What has been seen so far.
#[derive(Debug, Default)]
struct Progress {
    accepted_at: Option<Instant>,
    refused: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Done(Status),
    /// With what Envoy goes on.
    Refused(String),
    NotYet(String),
}

impl Progress {
    fn judge(&mut self, status: Result<Status, String>, before: &Status, info: &str, now: Instant) -> Step {
        let status = match status {
            Ok(status) => status,
            Err(why) => return Step::NotYet(why),
        };
        if status.accepted != info {
            // Seen twice: the first refusal could be that of a file just before this one.
            let refused = status.refused > before.refused;
            if refused && std::mem::replace(&mut self.refused, true) {
                return Step::Refused(policy_version(&status.accepted).to_owned());
            }
            return Step::NotYet(status.explain_other());
        }
        let accepted_at = *self.accepted_at.get_or_insert(now);
        let settled = before.serving == 0 || now.saturating_duration_since(accepted_at) >= SETTLE;
        if settled && status.is_everywhere(info) {
            return Step::Done(status);
        }
        let counted = status.serving.min(status.threads());
        Step::NotYet(format!("{counted} of Envoy's {} threads, its main one among them, serve it", status.threads()))
    }
}

fn named(info: &str) -> &str {
    if info.is_empty() { "no policy" } else { policy_version(info) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(accepted: &str, refused: u64, serving: u64) -> Status {
        Status { accepted: accepted.to_owned(), refused, serving, workers: 2 }
    }

    /// What comes of looks so many seconds after the beginning.
    fn steps(before: &Status, looks: &[(u64, Status)]) -> Vec<&'static str> {
        let (begun, mut progress) = (Instant::now(), Progress::default());
        let steps = looks.iter().map(|(after, status)| {
            match progress.judge(Ok(status.clone()), before, "new", begun + Duration::from_secs(*after)) {
                Step::Done(_) => "done",
                Step::Refused(_) => "refused",
                Step::NotYet(_) => "wait",
            }
        });
        steps.collect()
    }

    #[test]
    fn a_new_policy_is_in_force_when_every_thread_counts_itself() {
        let looks =
            [(0, status("old", 1, 0)), (1, status("new", 1, 0)), (1, status("new", 1, 2)), (1, status("new", 1, 3))];
        assert_eq!(steps(&status("old", 1, 0), &looks), ["wait", "wait", "wait", "done"]);
    }

    #[test]
    fn where_threads_served_it_before_it_must_have_settled() {
        let looks =
            [(0, status("old", 0, 3)), (1, status("new", 0, 3)), (2, status("new", 0, 3)), (3, status("new", 0, 3))];
        assert_eq!(steps(&status("old", 0, 3), &looks), ["wait", "wait", "wait", "done"]);
    }

    #[test]
    fn a_refusal_counts_when_it_stays() {
        let looks = [(0, status("old", 1, 0)), (0, status("old", 2, 0)), (0, status("old", 2, 0))];
        assert_eq!(steps(&status("old", 1, 0), &looks), ["wait", "wait", "refused"]);
        let overtaken = [(0, status("old", 2, 0)), (0, status("new", 2, 3))];
        assert_eq!(steps(&status("old", 1, 0), &overtaken), ["wait", "done"]);
        let before = status("old", 2, 0);
        let refused_before = Progress::default().judge(Ok(before.clone()), &before, "new", Instant::now());
        assert!(
            matches!(&refused_before, Step::NotYet(why) if why.contains("has refused policies")),
            "{refused_before:?}"
        );
        let none = Progress::default().judge(Ok(status("old", 0, 0)), &status("old", 0, 0), "new", Instant::now());
        assert!(matches!(&none, Step::NotYet(why) if why.contains("another folder")), "{none:?}");
        let silent = Progress::default().judge(Err("down".into()), &status("old", 1, 0), "new", Instant::now());
        assert_eq!(silent, Step::NotYet("down".into()));
    }
}
