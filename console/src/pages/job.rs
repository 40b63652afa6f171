//! An upload by link: how far it is, or how it ended and what to do.

use linkgate_contract::{Action, JobDocument, JobError};
use maud::{Markup, html};

use super::{is_running, state_badge};
use crate::frame::{Frame, Tab, fact};
use crate::units;
use crate::words::Word;

/// The page of an upload. A script shows what changes as it changes.
#[must_use]
pub fn job(frame: &Frame<'_>, job: &JobDocument) -> String {
    let title = frame.text(Word::Upload);
    let main = html! {
        h1 { (title) " " (state_badge(frame, job.state)) }
        section data-watch=[is_running(job.state).then_some("")] data-step=(step(job)) {
            (progress(frame, job))
            (facts(frame, job))
        }
        @if let Some(error) = &job.error { (failure(frame, error)) }
        @if let Some(package) = &job.package {
            p { a.button href={ "../../" (package.id) "/" } { (frame.text(Word::Package)) " " (package.version) } }
        }
        @if is_running(job.state) && frame.may(Action::Upload) {
            form.script data-call="DELETE" action="" data-after="reload" {
                button.danger type="submit" { (frame.text(Word::CancelUpload)) }
            }
        }
    };
    frame.page(title, Some(Tab::Jobs), &main)
}

/// What of the page a script asks for anew when it is another one.
fn step(job: &JobDocument) -> String {
    format!("{} {}", job.state.name(), job.attempts)
}

fn progress(frame: &Frame<'_>, job: &JobDocument) -> Markup {
    let label = frame.text(Word::Progress);
    html! {
        @if is_running(job.state) {
            @match job.total_bytes {
                Some(total) => progress aria-label=(label) max=(total.max(1)) value=(job.received_bytes) {},
                None => progress aria-label=(label) {},
            }
            p.live data-live {
                (units::bytes(job.received_bytes))
                @if let Some(total) = job.total_bytes { " / " (units::bytes(total)) }
            }
        }
    }
}

fn facts(frame: &Frame<'_>, job: &JobDocument) -> Markup {
    let text = |value: &Option<String>| value.as_ref().map(|value| html! { (value) });
    html! {
        dl {
            (fact(frame.text(Word::Created), Some(html! { (job.created) })))
            (fact(frame.text(Word::Started), text(&job.started)))
            (fact(frame.text(Word::Ended), text(&job.ended)))
            @if !is_running(job.state) {
                (fact(frame.text(Word::Received), Some(html! { (units::bytes(job.received_bytes)) })))
            }
            (fact(frame.text(Word::Attempts), Some(html! { (job.attempts) })))
        }
    }
}

fn failure(frame: &Frame<'_>, error: &JobError) -> Markup {
    html! {
        section.failure {
            h2 { (frame.text(Word::Reason)) }
            p { code { (error.code) } " " (error.detail) }
            h2 { (frame.text(Word::WhatToDo)) }
            p { (frame.text(next_step(&error.code))) }
        }
    }
}

/// What helps against a failure of this code.
fn next_step(code: &str) -> Word {
    match code {
        "PACKAGE_ALREADY_EXISTS" => Word::HintOverwrite,
        "PACKAGE_QUOTA_EXCEEDED" => Word::HintQuota,
        "SOURCE_UNREACHABLE" | "SOURCE_TIMEOUT" => Word::HintSource,
        "OBJECT_STORE_EXCEPTION" | "INSUFFICIENT_STORAGE" => Word::HintStorage,
        "UPLOAD_ABANDONED" => Word::HintAbandoned,
        code if code.starts_with("PACKAGE_") || code.ends_with("_MISMATCH") => Word::HintPackage,
        _ => Word::HintAgain,
    }
}

#[cfg(test)]
mod tests {
    use linkgate_contract::ErrorCode;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_package_is_not_mended_by_trying_again() {
        assert_eq!(next_step(ErrorCode::PackageMemberRefused.name()), Word::HintPackage);
        assert_eq!(next_step(ErrorCode::ChecksumMismatch.name()), Word::HintPackage);
        assert_eq!(next_step(ErrorCode::SourceTimeout.name()), Word::HintSource);
        assert_eq!(next_step(ErrorCode::Unavailable.name()), Word::HintAgain);
    }
}
