//! What an inspection saw of each member, for tests that compare it with what unpackers make of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::member_list::MemberKind;

thread_local! {
    /// Nothing as long as this thread's test wants no list.
    static LAST: RefCell<Option<Members>> = const { RefCell::new(None) };
}

/// Members by their paths. The same folder may be there twice.
pub(super) type Members = BTreeMap<Vec<u8>, Seen>;

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Folder,
    /// Its size with its holes, and its bytes but for the zeros: where holes end, each packer decides for itself.
    File {
        size: u64,
        data: Vec<u8>,
    },
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
}

/// Members so far, if they are wanted: they take as much memory as the package unpacked.
pub(super) struct Listing {
    members: Option<Members>,
    last: Vec<u8>,
}

impl Listing {
    pub(super) fn new() -> Self {
        Self { members: LAST.with_borrow(|last| last.as_ref().map(|_| Members::new())), last: Vec::new() }
    }

    pub(super) fn add(&mut self, path: &[u8], kind: MemberKind<'_>) {
        let seen = match kind {
            MemberKind::Folder => Seen::Folder,
            MemberKind::File => Seen::File { size: 0, data: Vec::new() },
            MemberKind::Symlink(target) => Seen::Symlink(target.to_vec()),
            MemberKind::HardLink(target) => Seen::HardLink(target.to_vec()),
        };
        self.last = path.to_vec();
        if let Some(members) = &mut self.members {
            members.insert(self.last.clone(), seen);
        }
    }

    fn last_member(&mut self) -> Option<&mut Seen> {
        self.members.as_mut()?.get_mut(&self.last)
    }

    pub(super) fn push_content(&mut self, bytes: &[u8]) {
        if let Some(Seen::File { size, data }) = self.last_member() {
            *size += bytes.len() as u64;
            data.extend(bytes.iter().filter(|byte| **byte != 0));
        }
    }

    pub(super) fn add_holes(&mut self, bytes: u64) {
        if let Some(Seen::File { size, .. }) = self.last_member() {
            *size += bytes;
        }
    }

    /// All have come.
    pub(super) fn publish(&self) {
        LAST.with_borrow_mut(|last| last.clone_from(&self.members));
    }
}

/// Packages that this thread inspects are listed from now on.
pub(super) fn start() {
    LAST.set(Some(Members::new()));
}

/// The members of the package that this thread inspected last.
pub(super) fn take_last() -> Members {
    LAST.take().unwrap()
}
