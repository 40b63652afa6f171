//! What a reader is told who gets no page.

use linkgate_contract::Problem;
use maud::html;

use crate::frame::Frame;
use crate::words::Word;

/// The page of a refusal.
#[must_use]
pub fn problem(frame: &Frame<'_>, problem: &Problem, request_id: &str) -> String {
    let title = problem.code().name();
    let is_missing = problem.code().status() == 404;
    let main = html! {
        h1 { (problem.code().status()) }
        @if is_missing { p { (frame.text(Word::NotFound)) } } @else { p { (problem.detail(frame.language)) } }
        p.small { (frame.text(Word::RequestId)) ": " code { (request_id) } }
        p { a href=(frame.module_root()) { (frame.text(Word::Back)) } }
    };
    frame.page(title, None, &main)
}
