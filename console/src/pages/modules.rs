//! The modules that the reader may see.

use linkgate_contract::{ModuleSummary, Page};
use maud::html;

use super::pager;
use crate::frame::{Frame, scrolled};
use crate::query::Query;
use crate::units;
use crate::words::Word;

/// The first page of the console.
#[must_use]
pub fn modules(frame: &Frame<'_>, page: &Page<ModuleSummary>, query: &Query, contact: Option<&str>) -> String {
    let title = frame.text(Word::Home);
    let table = html! {
        table {
            thead { tr {
                th scope="col" { (frame.text(Word::Application)) }
                th scope="col" { (frame.text(Word::Module)) }
                th.number scope="col" { (frame.text(Word::Packages)) }
                th.number scope="col" { (frame.text(Word::Size)) }
            } }
            tbody {
                @for module in &page.results {
                    @let link = format!("{}/modules/{}/source_package/", module.app_code, module.module);
                    tr {
                        td { (module.app_code) }
                        th scope="row" { a href=(link) { (module.module) } }
                        td.number { (module.packages) }
                        td.number { (units::bytes(module.bytes)) }
                    }
                }
            }
        }
    };
    let main = html! {
        h1 { (title) }
        form.search method="get" role="search" {
            label for="search" { (frame.text(Word::Search)) }
            input #search type="search" name="search_term" value=(query.value("search_term")) maxlength="200";
            button type="submit" { (frame.text(Word::Search)) }
        }
        @if page.results.is_empty() {
            p.empty { (frame.text(Word::NoModules)) }
            p { (frame.text(Word::NoModulesHelp)) }
            @if let Some(contact) = contact { p { (frame.text(Word::AskThem)) " " (contact) } }
        } @else {
            (scrolled(title, &table))
        }
        (pager(frame, page.previous.as_deref(), page.next.as_deref()))
    };
    frame.page(title, None, &main)
}
