//! What tar and zip have in common: members come in, a verdict on each and the description come out.
//!
//! Of several descriptions the shallowest counts, of several as shallow the first by name. Which one that is, is known
//! only at the end, so the best one so far is held, in at most [`Limits::max_description_bytes`].

use super::description::Description;
use super::limits::Limits;
use super::names::{MemberPath, Node, Tree, check_symlink};
use super::refused::{DescriptionFault, MemberFault, MemberName, Refused};

const DESCRIPTIONS: [&[u8]; 2] = [b"app_desc.yaml", b"app_desc.yml"];

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Folder,
    File,
    /// With its target.
    Symlink(&'a [u8]),
    /// With the file that it is another name of.
    HardLink(&'a [u8]),
}

/// All members of a package.
pub(super) struct Listing {
    limits: Limits,
    tree: Tree,
    description: Option<Candidate>,
}

struct Candidate {
    path: MemberPath,
    /// One byte more than is taken tells that it is too large.
    text: Vec<u8>,
}

/// What the members tell.
pub(super) struct Listed {
    pub(super) entries: u64,
    pub(super) description: Option<Description>,
}

impl Listing {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), tree: Tree::new(limits), description: None }
    }

    /// Counts a header that is no member.
    pub(super) fn count(&mut self) -> Result<(), Refused> {
        self.tree.count()
    }

    /// Takes a member in. `true` if its content is wanted by [`Listing::text`].
    pub(super) fn member(&mut self, name: &[u8], kind: Kind<'_>) -> Result<bool, Refused> {
        self.tree.count()?;
        let refused = |fault| Refused::member(name, fault);
        let path = MemberPath::new(name, &self.limits).map_err(refused)?;
        let node = self.judge(&path, name, kind).map_err(refused)?;
        self.tree.insert(&path, node)?;
        let is_better = is_description(&path) && self.description.as_ref().is_none_or(|best| best.loses_to(&path));
        if is_better {
            self.description = Some(Candidate { path, text: Vec::new() });
        }
        Ok(is_better)
    }

    fn judge(&self, path: &MemberPath, name: &[u8], kind: Kind<'_>) -> Result<Node, MemberFault> {
        if is_description(path) && kind != Kind::File {
            return Err(MemberFault::DescriptionNotAFile);
        }
        match kind {
            Kind::Folder => Ok(Node::Folder),
            // Some make a folder of it.
            Kind::File if name.ends_with(b"/") => Err(MemberFault::KindMismatch),
            Kind::File => Ok(Node::File),
            Kind::Symlink(target) => check_symlink(path, target, &self.limits).map(|()| Node::Symlink),
            Kind::HardLink(target) => {
                let file = MemberPath::new(target, &self.limits).ok().filter(|target| self.tree.is_file(target));
                file.map(|_| Node::File).ok_or_else(|| MemberFault::LinkToNothing { target: MemberName::new(target) })
            }
        }
    }

    /// More of the description that [`Listing::member`] asked for.
    pub(super) fn text(&mut self, bytes: &[u8]) {
        if let Some(Candidate { text, .. }) = &mut self.description {
            let room = self.limits.max_description_bytes.saturating_add(1).saturating_sub(text.len());
            text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }

    /// All members have come.
    pub(super) fn finish(self) -> Result<Listed, Refused> {
        let limit_bytes = self.limits.max_description_bytes;
        let description = self.description.map(|Candidate { path, text }| {
            let read = if text.len() > limit_bytes {
                Err(DescriptionFault::TooLarge { limit_bytes })
            } else {
                Description::read(path.split().0, &text)
            };
            read.map_err(|fault| Refused::Description { file: MemberName::new(path.as_bytes()), fault })
        });
        Ok(Listed { entries: self.tree.entries(), description: description.transpose()? })
    }
}

impl Candidate {
    fn loses_to(&self, other: &MemberPath) -> bool {
        (other.depth(), other.as_bytes()) < (self.path.depth(), self.path.as_bytes())
    }
}

fn is_description(path: &MemberPath) -> bool {
    DESCRIPTIONS.contains(&path.split().1)
}
