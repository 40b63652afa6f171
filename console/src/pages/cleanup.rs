//! What the retention rules would delete, before they do.

use linkgate_contract::{CleanupEntry, CleanupPlan};
use maud::{Markup, html};

use crate::frame::{Frame, Tab, fact, nothing, scrolled, without_script};
use crate::units;
use crate::words::Word;

/// The page of a module's plan.
#[must_use]
pub fn cleanup(frame: &Frame<'_>, plan: &CleanupPlan) -> String {
    let title = frame.text(Word::Cleanup);
    let main = html! {
        h1 { (title) }
        @match &plan.rule {
            None => p.empty { (frame.text(Word::CleanupNoRule)) },
            Some(rule) => (planned(frame, rule, plan)),
        }
    };
    frame.page(title, Some(Tab::Cleanup), &main)
}

fn planned(frame: &Frame<'_>, rule: &str, plan: &CleanupPlan) -> Markup {
    let mode = if plan.mode == "enforce" { Word::ModeEnforce } else { Word::ModeReport };
    html! {
        dl {
            (fact(frame.text(Word::Rule), Some(html! { (rule) })))
            (fact(frame.text(Word::Mode), Some(html! { (frame.text(mode)) })))
            (fact(frame.text(Word::WouldDelete), Some(html! { (plan.would_delete_count) " (" (units::bytes(plan.bytes)) ")" })))
            (fact(frame.text(Word::Kept), Some(html! { (plan.kept_count) })))
        }
        @if plan.would_delete.is_empty() {
            p.empty { (frame.text(Word::CleanupNothing)) }
        } @else {
            (entries(frame, frame.text(Word::WouldDelete), &plan.would_delete))
            (run(frame, plan))
        }
        (entries(frame, frame.text(Word::Kept), &plan.kept))
    }
}

fn run(frame: &Frame<'_>, plan: &CleanupPlan) -> Markup {
    html! {
        (without_script(frame))
        form.script data-call="POST" action="" data-after="reload" data-confirm=(frame.text(Word::CleanupSure)) {
            input type="hidden" name="plan" value=(plan.plan);
            button.danger type="submit" { (frame.text(Word::CleanupRun)) }
        }
    }
}

fn entries(frame: &Frame<'_>, title: &str, entries: &[CleanupEntry]) -> Markup {
    if entries.is_empty() {
        return nothing();
    }
    let table = html! {
        table {
            thead { tr {
                th scope="col" { (frame.text(Word::Version)) }
                th.number scope="col" { (frame.text(Word::Size)) }
                th scope="col" { (frame.text(Word::Reason)) }
            } }
            tbody {
                @for entry in entries {
                    tr {
                        th scope="row" { a href={ "../" (entry.id) "/" } { (entry.version) } }
                        td.number { (entry.bytes.map(units::bytes).unwrap_or_default()) }
                        td { (reason(frame, &entry.reason)) }
                    }
                }
            }
        }
    };
    html! { h2 { (title) } (scrolled(title, &table)) }
}

/// Why one stays, in words; why one goes is said in numbers.
fn reason<'a>(frame: &Frame<'_>, reason: &'a str) -> &'a str {
    match reason {
        "pinned" => frame.text(Word::Pinned),
        "uploading" => frame.text(Word::StateFetching),
        "keep_last" => frame.text(Word::KeepLast),
        "remove_after_days" => frame.text(Word::RemoveAfterDays),
        "keep_versions" => frame.text(Word::KeepVersions),
        "remove_versions" => frame.text(Word::RemoveVersions),
        other => other,
    }
}
