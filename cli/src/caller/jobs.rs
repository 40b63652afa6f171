//! Uploads by link: watched to their end, shown, cancelled.

use linkgate_client::Error;
use linkgate_contract::{JobDocument, JobId, JobState, SourcePackage};
use tokio::time::timeout;

use super::args::{Job, Wait, WatchJob};
use super::failure::{Failure, Kind};
use super::output::{bytes, or_dash};
use super::packages::describe_package;
use super::progress::Transfer;
use super::session::{Ongoing, Session};

/// `linkgate job …`
pub async fn job(session: &Session, command: &Job) -> Result<(), Failure> {
    match command {
        Job::Show(which) => print_job(session, &session.client.get_job(&session.module, which.job).await?),
        Job::Cancel(which) => {
            let job = session.client.cancel_job(&session.module, which.job).await?;
            print_job(session, &job)?;
            if job.state == JobState::Cancelled {
                return Ok(());
            }
            let message = format!("the job had ended as {} before it could be cancelled", job.state.name());
            Err(Failure::new(Kind::Conflict, message)
                .next("`linkgate show` and `linkgate rm` are for a package that is stored"))
        }
        Job::Watch(WatchJob { job: which, wait }) => {
            let transfer = session.progress.begin(&format!("job {}", which.job), None);
            let package = watch(session, which.job, wait, &transfer).await?;
            session.output.print(&package, &describe_package(&package))
        }
    }
}

/// Follows a job to its end, or for as long as the caller waits, and shows how far it is.
pub async fn watch(session: &Session, id: JobId, wait: &Wait, transfer: &Transfer) -> Result<SourcePackage, Failure> {
    session.note(Ongoing::Job(id));
    let ending = session.client.watch_job(&session.module, id).finish(|job| show_progress(transfer, job));
    let outcome = match wait.wait_timeout {
        None => ending.await.map_err(|error| explain(error, id)),
        Some(limit) => match timeout(limit, ending).await {
            Ok(outcome) => outcome.map_err(|error| explain(error, id)),
            Err(_) => Err(unconfirmed(&format!("not ended after {}", humantime::format_duration(limit)), id)),
        },
    };
    session.note(Ongoing::Nothing);
    match outcome {
        Ok(JobDocument { package: Some(package), .. }) => {
            transfer.finish("stored");
            Ok(package)
        }
        Ok(_) => Err(Failure::new(Kind::Failed, format!("job {id} is done, and names no package"))),
        Err(failure) => {
            transfer.abandon();
            Err(failure)
        }
    }
}

/// What a failure of the watch means for the job.
fn explain(error: Error, id: JobId) -> Failure {
    match &error {
        Error::Unreachable { .. } | Error::BrokenOff { .. } | Error::TimedOut { .. } => {
            unconfirmed(&error.to_string(), id)
        }
        _ => error.into(),
    }
}

fn unconfirmed(why: &str, id: JobId) -> Failure {
    let message = format!("{why}; the upload goes on as job {id}, and how it ends is not known");
    Failure::new(Kind::Unconfirmed, message).next(how_to_go_on(id))
}

/// Where an upload that goes on can be found.
pub fn how_to_go_on(id: JobId) -> String {
    format!("watch it with `linkgate job watch {id}`, cancel it with `linkgate job cancel {id}`")
}

fn show_progress(transfer: &Transfer, job: &JobDocument) {
    transfer.set_total(job.total_bytes);
    let tries = if job.attempts > 1 { format!(" (attempt {})", job.attempts) } else { String::new() };
    transfer.set_stage(&format!("{}{tries}", job.state.name()));
    transfer.set_position(job.received_bytes);
}

/// Prints a job as it is.
pub fn print_job(session: &Session, job: &JobDocument) -> Result<(), Failure> {
    let size = |number: u64| bytes(&number.to_string());
    let mut rows = vec![
        ("job", job.job_id.to_string()),
        ("state", job.state.name().to_owned()),
        ("received", size(job.received_bytes)),
        ("of", or_dash(job.total_bytes.map(size).as_ref())),
        ("attempts", job.attempts.to_string()),
        ("created", job.created.clone()),
        ("started", or_dash(job.started.as_ref())),
        ("ended", or_dash(job.ended.as_ref())),
    ];
    rows.extend(job.error.as_ref().map(|error| ("error", format!("{}: {}", error.code, error.detail))));
    rows.extend(job.package.as_ref().map(|package| ("package", package.id.to_string())));
    session.output.print(job, &rows)
}
