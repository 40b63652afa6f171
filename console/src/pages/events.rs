//! What happened to the packages of a module, the latest first.

use linkgate_contract::{EventDocument, Page};
use maud::{Markup, html};

use super::pager;
use crate::frame::{Frame, Tab, scrolled};
use crate::words::Word;

/// The page of a module's events.
#[must_use]
pub fn events(frame: &Frame<'_>, page: &Page<EventDocument>) -> String {
    let title = frame.text(Word::Events);
    let main = html! {
        h1 { (title) }
        (table(frame, &page.results, "../"))
        (pager(frame, None, page.next.as_deref()))
    };
    frame.page(title, Some(Tab::Events), &main)
}

/// Events, with links to their packages below this folder.
pub(super) fn table(frame: &Frame<'_>, events: &[EventDocument], packages: &str) -> Markup {
    let table = html! {
        table {
            thead { tr {
                th scope="col" { (frame.text(Word::Time)) }
                th scope="col" { (frame.text(Word::Action)) }
                th scope="col" { (frame.text(Word::Version)) }
                th scope="col" { (frame.text(Word::User)) }
                th scope="col" { (frame.text(Word::Reason)) }
                th scope="col" { (frame.text(Word::RequestId)) }
            } }
            tbody { @for event in events { (row(event, packages)) } }
        }
    };
    if events.is_empty() {
        html! { p.empty { (frame.text(Word::NoEvents)) } }
    } else {
        scrolled(frame.text(Word::Events), &table)
    }
}

fn row(event: &EventDocument, packages: &str) -> Markup {
    let version = event.version.as_deref().unwrap_or_default();
    html! {
        tr {
            td { (event.time) }
            td { code { (event.action) } }
            td {
                @match event.package_id {
                    Some(id) => a href={ (packages) (id) "/" } { (version) },
                    None => (version),
                }
            }
            td { (event.user.as_deref().unwrap_or_default()) @if let Some(app) = &event.app { " (" (app) ")" } }
            td.long { (event.reason) }
            td { code.small { (event.request_id.as_deref().unwrap_or_default()) } }
        }
    }
}
