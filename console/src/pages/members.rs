//! What a package has inside, as a tree.

use std::collections::BTreeMap;

use linkgate_contract::{Member, MemberKind, Members};
use maud::{Markup, html};

use crate::frame::{Frame, Tab};
use crate::units;
use crate::words::Word;

/// The page of a package's members.
#[must_use]
pub fn members(frame: &Frame<'_>, version: &str, members: &Members) -> String {
    let title = frame.text(Word::ArchiveMembers);
    let mut tree = Folder::default();
    for member in &members.results {
        tree.insert(member);
    }
    let main = html! {
        p { a href="../" { "← " (version) } }
        h1 { (title) " " span.count { (members.entries) } }
        @if members.truncated { p.note { (frame.text(Word::Truncated)) } }
        @if members.results.is_empty() {
            p.empty { (frame.text(Word::NoMembers)) }
        } @else {
            div.tree { (tree.render(0)) }
        }
    };
    frame.page(title, Some(Tab::Packages), &main)
}

/// A folder of the tree: what is in it, by name.
#[derive(Default)]
struct Folder<'a> {
    folders: BTreeMap<&'a str, Folder<'a>>,
    files: BTreeMap<&'a str, &'a Member>,
}

/// Below this depth a path is one name: no page is nested without end.
const MAX_DEPTH: usize = 24;

impl<'a> Folder<'a> {
    fn insert(&mut self, member: &'a Member) {
        let path = member.path.trim_matches('/');
        let (mut folder, mut rest) = (self, path);
        for _ in 0..MAX_DEPTH {
            let Some((first, more)) = rest.split_once('/') else { break };
            folder = folder.folders.entry(first).or_default();
            rest = more;
        }
        match member.kind {
            MemberKind::Folder => drop(folder.folders.entry(rest).or_default()),
            MemberKind::File | MemberKind::Symlink | MemberKind::Hardlink => drop(folder.files.insert(rest, member)),
        }
    }

    fn render(&self, depth: usize) -> Markup {
        html! {
            ul {
                @for (name, folder) in &self.folders {
                    li { details open[depth < 1] { summary { (name) "/" } (folder.render(depth.saturating_add(1))) } }
                }
                @for (name, member) in &self.files {
                    li {
                        (name)
                        @if let Some(target) = &member.target { " → " (target) }
                        @if let Some(size) = member.size { " " span.small { (units::bytes(size)) } }
                    }
                }
            }
        }
    }
}
