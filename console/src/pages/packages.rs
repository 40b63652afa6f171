//! The packages of a module, with the columns of BlueKing's own page, their states and pins.

use linkgate_contract::{Action, Page, SourcePackage};
use maud::{Markup, html};

use super::{pager, upload};
use crate::frame::{Frame, Tab, nothing, scrolled};
use crate::query::Query;
use crate::units;
use crate::words::Word;

/// A package in the list.
pub struct PackageRow {
    /// What the API says of it.
    pub package: SourcePackage,
    /// Whether a pin is on it.
    pub is_pinned: bool,
}

/// What the list can be ordered by: the word above the column, the order's name, and whether its cells are numbers.
const COLUMNS: [(Word, &str, bool); 6] = [
    (Word::Version, "version_natural", false),
    (Word::PackageName, "package_name", false),
    (Word::InMegabytes, "package_size", true),
    (Word::Digest, "", false),
    (Word::Operator, "", false),
    (Word::Updated, "updated", false),
];
/// Which packages are shown: the word and the value of `is_deleted`.
const CHOICES: [(Word, &str); 3] = [(Word::Live, ""), (Word::Deleted, "true"), (Word::All, "all")];

/// The page of a module.
#[must_use]
pub fn packages(frame: &Frame<'_>, page: &Page<PackageRow>, query: &Query) -> String {
    let title = frame.text(Word::Packages);
    let main = html! {
        h1 { (title) " " span.count { (page.count) } }
        @if frame.may(Action::Upload) { (upload::forms(frame)) }
        form.search method="get" role="search" {
            label for="search" { (frame.text(Word::Search)) }
            input #search type="search" name="search_term" value=(query.value("search_term")) maxlength="200"
                placeholder=(frame.text(Word::SearchHint));
            (kept(query, "order_by"))
            (kept(query, "is_deleted"))
            button type="submit" { (frame.text(Word::Search)) }
            span.choices { (choices(frame, query)) }
        }
        @if page.results.is_empty() {
            p.empty { (frame.text(Word::NoPackages)) }
        } @else {
            (scrolled(title, &table(frame, &page.results, query)))
        }
        (pager(frame, page.previous.as_deref(), page.next.as_deref()))
    };
    frame.page(title, Some(Tab::Packages), &main)
}

/// A parameter that a search keeps.
fn kept(query: &Query, name: &str) -> Markup {
    let value = query.value(name);
    if value.is_empty() {
        nothing()
    } else {
        html! { input type="hidden" name=(name) value=(value); }
    }
}

fn choices(frame: &Frame<'_>, query: &Query) -> Markup {
    let chosen = query.value("is_deleted");
    html! {
        @for (word, value) in CHOICES {
            a href=(query.with(&[("is_deleted", value), ("offset", "")]))
                aria-current=[(chosen == value).then_some("true")] { (frame.text(word)) }
        }
    }
}

fn table(frame: &Frame<'_>, rows: &[PackageRow], query: &Query) -> Markup {
    html! {
        table {
            thead { tr {
                @for (word, order, is_number) in COLUMNS { (column(frame, query, (word, order, is_number))) }
                th scope="col" { (frame.text(Word::State)) }
            } }
            tbody { @for row in rows { (table_row(frame, row)) } }
        }
    }
}

/// The head of a column; where it can be ordered by, a link that orders by it, and the other way round the next time.
fn column(frame: &Frame<'_>, query: &Query, (word, order, is_number): (Word, &str, bool)) -> Markup {
    let current = query.value("order_by");
    let (is_up, is_down) = (current == order, current.strip_prefix('-') == Some(order));
    let next = if is_down { order.to_owned() } else { format!("-{order}") };
    let sorted = if is_up { "ascending" } else { "descending" };
    let is_sorted = !order.is_empty() && (is_up || is_down);
    html! {
        th scope="col" .number[is_number] aria-sort=[is_sorted.then_some(sorted)] {
            @if order.is_empty() {
                (frame.text(word))
            } @else {
                a href=(query.with(&[("order_by", &next), ("offset", "")])) {
                    (frame.text(word))
                    @if is_sorted { span aria-hidden="true" { @if is_up { " ↑" } @else { " ↓" } } }
                }
            }
        }
    }
}

fn table_row(frame: &Frame<'_>, PackageRow { package, is_pinned }: &PackageRow) -> Markup {
    let digest = package.sha256_signature.to_string();
    html! {
        tr {
            th scope="row" { a href={ (package.id) "/" } { (package.version) } }
            td.long { (package.package_name) }
            td.number { (units::megabytes(package.package_size.parse().unwrap_or_default())) }
            td { code title=(digest) { (digest.get(..8).unwrap_or_default()) } }
            td { (package.operator) }
            td { (package.updated) }
            td {
                @if package.is_deleted { span.badge data-state="failed" { (frame.text(Word::Deleted)) } }
                @else { span.badge data-state="done" { (frame.text(Word::Live)) } }
                @if *is_pinned { " " span.badge data-state="queued" { (frame.text(Word::Pinned)) } }
            }
        }
    }
}
