//! The members of a package by name, for whoever wants to see them.
//!
//! Promises: no more of them than are asked for, and of each no more than a path and a target within the limits.

use crate::member_list::MemberKind;

/// A member, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMember {
    /// Its path below the folder that the package is unpacked into; what is no UTF-8 in it is replaced.
    pub path: String,
    /// What it is.
    pub kind: ListedKind,
    /// Its bytes, of a file.
    pub size_bytes: u64,
    /// What a link leads to.
    pub target: Option<String>,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedKind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A link to another path.
    Symlink,
    /// Another name of a file.
    HardLink,
}

/// The first members.
pub(super) struct Listed {
    at_most: usize,
    members: Vec<ListedMember>,
    /// Whether the content that comes is that of the last one.
    is_last_listed: bool,
}

impl Listed {
    pub(super) fn new(at_most: usize) -> Self {
        Self { at_most, members: Vec::new(), is_last_listed: false }
    }

    pub(super) fn add(&mut self, path: &[u8], kind: MemberKind<'_>) {
        self.is_last_listed = self.members.len() < self.at_most;
        if !self.is_last_listed {
            return;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (kind, target) = match kind {
            MemberKind::Folder => (ListedKind::Folder, None),
            MemberKind::File => (ListedKind::File, None),
            MemberKind::Symlink(target) => (ListedKind::Symlink, Some(text(target))),
            MemberKind::HardLink(target) => (ListedKind::HardLink, Some(text(target))),
        };
        self.members.push(ListedMember { path: text(path), kind, size_bytes: 0, target });
    }

    /// More of the content of the member that was added last.
    pub(super) fn push_content(&mut self, bytes: &[u8]) {
        if let (true, Some(last)) = (self.is_last_listed, self.members.last_mut()) {
            last.size_bytes = last.size_bytes.saturating_add(bytes.len() as u64);
        }
    }

    pub(super) fn finish(self) -> Vec<ListedMember> {
        self.members
    }
}
