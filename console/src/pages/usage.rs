//! What a module and its application take, against what they may.

use linkgate_contract::{SumsDocument, UsageDocument};
use maud::{Markup, html};

use crate::frame::{Frame, Tab, fact};
use crate::units;
use crate::words::Word;

/// The page of a module's usage.
#[must_use]
pub fn usage(frame: &Frame<'_>, usage: &UsageDocument) -> String {
    let title = frame.text(Word::Usage);
    let main = html! {
        h1 { (title) }
        div.columns {
            (sums(frame, frame.text(Word::Module), &usage.module))
            (sums(frame, frame.text(Word::Application), &usage.application))
        }
    };
    frame.page(title, Some(Tab::Usage), &main)
}

fn sums(frame: &Frame<'_>, title: &str, sums: &SumsDocument) -> Markup {
    let held = sums.bytes.saturating_add(sums.deleted_bytes);
    html! {
        section {
            h2 { (title) }
            (bar(frame.text(Word::Packages), sums.packages, sums.max_packages, &u64::to_string))
            (bar(frame.text(Word::Size), held, sums.max_bytes, &|bytes| units::bytes(*bytes)))
            dl {
                (fact(frame.text(Word::UsageDeleted), Some(html! {
                    (sums.deleted_packages) " (" (units::bytes(sums.deleted_bytes)) ")"
                })))
            }
        }
    }
}

/// A quantity, as a bar where there is a quota.
fn bar(name: &str, used: u64, limit: Option<u64>, show: &dyn Fn(&u64) -> String) -> Markup {
    html! {
        p.bar {
            span { (name) ": " (show(&used)) @if let Some(limit) = limit { " / " (show(&limit)) } }
            @if let Some(limit) = limit {
                meter aria-label=(name) min="0" max=(limit.max(1)) high=(limit / 10 * 9) value=(used) {}
            }
        }
    }
}
