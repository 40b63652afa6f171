//! All that is known of a package, and what its reader may do to it.

use linkgate_contract::{Action, EventDocument, PackageDocument, PinDocument};
use maud::{Markup, html};

use super::events;
use crate::frame::{Frame, Tab, copied, fact, nothing, without_script};
use crate::units;
use crate::words::Word;

/// What the page of a package shows.
pub struct PackagePage<'a> {
    /// The package.
    pub package: &'a PackageDocument,
    /// The tag of its state: what is changed is what was seen.
    pub tag: &'a str,
    /// What happened to it, the latest first.
    pub events: &'a [EventDocument],
    /// What its statement is worth.
    pub provenance: Provenance,
}

/// What the statement of where a package came from is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// The store signed it, for these bytes.
    Verified,
    /// It was signed with a key that the store does not have.
    OtherKey,
    /// Its signature is wrong, or it is for other bytes.
    Invalid,
    /// There is none.
    Absent,
}

/// The page of a package.
#[must_use]
pub fn package(frame: &Frame<'_>, page: &PackagePage<'_>) -> String {
    let package = &page.package.package;
    let title = format!("{} {}", frame.text(Word::Package), package.version);
    let main = html! {
        h1 { (package.version) " " (state(frame, page.package)) }
        div.actions { (downloads(frame, page.package)) (changes(frame, page)) }
        (facts(frame, page))
        (signed_url(frame, page.package))
        (pins(frame, page.package))
        h2 { (frame.text(Word::Events)) }
        (events::table(frame, page.events, "../"))
    };
    frame.page(&title, Some(Tab::Packages), &main)
}

fn state(frame: &Frame<'_>, package: &PackageDocument) -> Markup {
    let (word, state) = match (&package.purged, package.package.is_deleted) {
        (Some(_), _) => (Word::Purged, "cancelled"),
        (None, true) => (Word::Deleted, "failed"),
        (None, false) => (Word::Live, "done"),
    };
    html! {
        span.badge data-state=(state) { (frame.text(word)) }
        @if !package.pins.is_empty() { " " span.badge data-state="queued" { (frame.text(Word::Pinned)) } }
    }
}

fn facts(frame: &Frame<'_>, page: &PackagePage<'_>) -> Markup {
    let (document, package) = (page.package, &page.package.package);
    let text = |value: &Option<String>| value.as_ref().map(|value| html! { (value) });
    let size = |bytes: i64| html! { (units::bytes(bytes.unsigned_abs())) };
    let (digest, bytes) = (package.sha256_signature.to_string(), package.package_size.parse().unwrap_or_default());
    html! {
        dl {
            (fact(frame.text(Word::PackageName), Some(html! { (package.package_name) })))
            (fact(frame.text(Word::Size), Some(html! { (units::bytes(bytes)) " (" (package.package_size) ")" })))
            (fact(frame.text(Word::Digest), Some(copied(frame, &digest, &digest))))
            (fact(frame.text(Word::Format), text(&document.format)))
            (fact(frame.text(Word::Entries), document.entries.map(|entries| html! { (entries) })))
            (fact(frame.text(Word::UnpackedSize), document.unpacked_bytes.map(size)))
            (fact(frame.text(Word::Path), Some(html! { code { (document.relative_path) } })))
            (fact(frame.text(Word::From), document.source.as_ref().map(|source| source_text(frame, source))))
            (fact(frame.text(Word::Statement), Some(provenance(frame, page.provenance))))
            (fact(frame.text(Word::Operator), Some(html! { (package.operator) })))
            (fact(frame.text(Word::Created), Some(html! { (package.created) })))
            (fact(frame.text(Word::Updated), Some(html! { (package.updated) })))
            (fact(frame.text(Word::DeletedAt), text(&document.deleted)))
            (fact(frame.text(Word::PurgeAfter), text(&document.purge_after)))
            (fact(frame.text(Word::Purged), text(&document.purged)))
        }
    }
}

/// A link is not one to click: it may need credentials, or be gone.
fn source_text(frame: &Frame<'_>, source: &str) -> Markup {
    if source == "file" {
        html! { (frame.text(Word::File)) }
    } else {
        html! { code { (source) } }
    }
}

fn provenance(frame: &Frame<'_>, provenance: Provenance) -> Markup {
    let (word, state) = match provenance {
        Provenance::Verified => (Word::StatementGood, "done"),
        Provenance::OtherKey => (Word::StatementOther, "queued"),
        Provenance::Invalid => (Word::StatementBad, "failed"),
        Provenance::Absent => return html! { (frame.text(Word::StatementAbsent)) },
    };
    html! {
        span.badge data-state=(state) { (frame.text(word)) } " "
        a href="attestation/" { (frame.text(Word::Details)) }
    }
}

fn downloads(frame: &Frame<'_>, package: &PackageDocument) -> Markup {
    if package.package.is_deleted || !frame.may(Action::Download) {
        return nothing();
    }
    html! {
        a.button href="download/" download { (frame.text(Word::Download)) }
        a.button href="members/" { (frame.text(Word::ArchiveMembers)) }
    }
}

fn changes(frame: &Frame<'_>, page: &PackagePage<'_>) -> Markup {
    let is_deleted = page.package.package.is_deleted;
    html! {
        @if is_deleted && page.package.purged.is_none() && frame.may(Action::Restore) {
            form.script data-call="POST" action="restore/" data-after="reload" data-if-match=(page.tag) {
                button.primary type="submit" { (frame.text(Word::Restore)) }
            }
        }
        @if !is_deleted && frame.may(Action::Delete) {
            form.script data-call="DELETE" action="" data-after="reload" data-if-match=(page.tag)
                data-confirm=(frame.text(Word::DeleteSure)) {
                button.danger type="submit" { (frame.text(Word::Delete)) }
            }
        }
        @if frame.may(Action::Restore) || frame.may(Action::Delete) { (without_script(frame)) }
    }
}

fn signed_url(frame: &Frame<'_>, package: &PackageDocument) -> Markup {
    if package.package.is_deleted || !frame.may(Action::Sign) {
        return nothing();
    }
    html! {
        section.script {
            h2 { (frame.text(Word::SignedUrl)) }
            p { (frame.text(Word::SignedUrlWhy)) }
            form.row data-call="POST" action="download_url/" data-after="show" data-show="download_url" {
                label { (frame.text(Word::ExpiresIn)) " "
                    select name="expires_in" data-number {
                        option value="3600" { (frame.text(Word::Hour)) }
                        option value="86400" { (frame.text(Word::Day)) }
                    }
                }
                button type="submit" { (frame.text(Word::SignedUrlMake)) }
                output {}
            }
        }
    }
}

fn pins(frame: &Frame<'_>, package: &PackageDocument) -> Markup {
    let may_pin = frame.may(Action::Pin) && !package.package.is_deleted;
    if package.pins.is_empty() && !may_pin {
        return nothing();
    }
    html! {
        section {
            h2 { (frame.text(Word::Pins)) }
            p { (frame.text(Word::PinWhy)) }
            ul.pins { @for pin in &package.pins { (pin_item(frame, pin, may_pin)) } }
            @if may_pin {
                form.row.script data-call="PUT" action="pins/" data-path="name" data-after="reload" {
                    label { (frame.text(Word::PinName)) " "
                        input name="name" required maxlength="64" pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" autocomplete="off";
                    }
                    button type="submit" { (frame.text(Word::Pin)) }
                }
            }
        }
    }
}

fn pin_item(frame: &Frame<'_>, pin: &PinDocument, may_pin: bool) -> Markup {
    html! {
        li {
            code { (pin.name) } " · " (pin.by) " · "
            @match &pin.until {
                Some(until) => { (frame.text(Word::Until)) " " (until) },
                None => (frame.text(Word::Permanent)),
            }
            @if may_pin {
                form.script data-call="DELETE" action={ "pins/" (pin.name) "/" } data-after="reload" {
                    button.plain type="submit" { (frame.text(Word::Unpin)) " " span.unseen { (pin.name) } }
                }
            }
        }
    }
}
