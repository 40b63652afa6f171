//! The pages, a file each.

pub(crate) mod cleanup;
pub(crate) mod events;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod members;
pub(crate) mod modules;
pub(crate) mod package;
pub(crate) mod packages;
pub(crate) mod problem;
pub(crate) mod upload;
pub(crate) mod usage;

use linkgate_contract::JobState;
use maud::{Markup, html};

use crate::frame::Frame;
use crate::words::Word;

/// What leads to the pages before and behind.
fn pager(frame: &Frame<'_>, previous: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        @if previous.is_some() || next.is_some() {
            nav.pager aria-label=(frame.text(Word::More)) {
                @if let Some(link) = previous { a rel="prev" href=(link) { "← " (frame.text(Word::PreviousPage)) } }
                @if let Some(link) = next { a rel="next" href=(link) { (frame.text(Word::NextPage)) " →" } }
            }
        }
    }
}

fn state_word(state: JobState) -> Word {
    match state {
        JobState::Queued => Word::StateQueued,
        JobState::Fetching => Word::StateFetching,
        JobState::Storing => Word::StateStoring,
        JobState::Done => Word::StateDone,
        JobState::Failed => Word::StateFailed,
        JobState::Cancelled => Word::StateCancelled,
    }
}

fn is_running(state: JobState) -> bool {
    matches!(state, JobState::Queued | JobState::Fetching | JobState::Storing)
}

/// A state, with a colour beside its name.
fn state_badge(frame: &Frame<'_>, state: JobState) -> Markup {
    html! { span.badge data-state=(state.name()) { (frame.text(state_word(state))) } }
}
