//! The uploads by link of a module, the latest first.

use linkgate_contract::{JobDocument, JobPage};
use maud::{Markup, html};

use super::{is_running, state_badge};
use crate::frame::{Frame, Tab, scrolled};
use crate::units;
use crate::words::Word;

/// The page of a module's uploads.
#[must_use]
pub fn jobs(frame: &Frame<'_>, page: &JobPage) -> String {
    let title = frame.text(Word::Jobs);
    let main = html! {
        h1 { (title) }
        @if page.results.is_empty() {
            p.empty { (frame.text(Word::NoJobs)) }
        } @else {
            (scrolled(title, &table(frame, &page.results)))
        }
    };
    frame.page(title, Some(Tab::Jobs), &main)
}

fn table(frame: &Frame<'_>, jobs: &[JobDocument]) -> Markup {
    html! {
        table data-refresh=[jobs.iter().any(|job| is_running(job.state)).then_some("2")] {
            thead { tr {
                th scope="col" { (frame.text(Word::Created)) }
                th scope="col" { (frame.text(Word::State)) }
                th.number scope="col" { (frame.text(Word::Received)) }
                th scope="col" { (frame.text(Word::HowItEnded)) }
            } }
            tbody { @for job in jobs { (row(frame, job)) } }
        }
    }
}

fn row(frame: &Frame<'_>, job: &JobDocument) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ (job.job_id) "/" } { (job.created) } }
            td { (state_badge(frame, job.state)) }
            td.number {
                (units::bytes(job.received_bytes))
                @if let Some(total) = job.total_bytes { " / " (units::bytes(total)) }
            }
            td.long {
                @if let Some(package) = &job.package { a href={ "../" (package.id) "/" } { (package.version) } }
                @if let Some(error) = &job.error { (error.detail) }
            }
        }
    }
}
