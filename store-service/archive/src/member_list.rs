//! What tar and zip have in common: members come in, a verdict on each and the description come out.
//!
//! Of several descriptions the shallowest counts, of several as shallow the first by name. Which one that is, is known
//! only at the end, so the best one so far is held, in at most [`Limits::max_description_bytes`].

use linkgate_contract::PackageVersion;

use super::description::Description;
use super::error::{ArchiveError, DescriptionError, MemberError, MemberName};
use super::limits::Limits;
use super::listed::{Listed, ListedMember};
use super::names::{MemberPath, Node, Tree, check_symlink};

const DESCRIPTIONS: [&[u8]; 2] = [b"app_desc.yaml", b"app_desc.yml"];

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberKind<'a> {
    Folder,
    File,
    /// With its target.
    Symlink(&'a [u8]),
    /// With the file that it is another name of.
    HardLink(&'a [u8]),
}

/// All members of a package.
pub(super) struct MemberList {
    limits: Limits,
    tree: Tree,
    description: Option<Candidate>,
    /// Whether the content that comes is the description's.
    reads_description: bool,
    listed: Listed,
    #[cfg(test)]
    pub(super) listing: crate::listing::Listing,
}

struct Candidate {
    path: MemberPath,
    /// One byte more than is taken tells that it is too large.
    text: Vec<u8>,
}

/// What the members tell.
pub(super) struct MemberSummary {
    pub(super) entries: u64,
    pub(super) members: Vec<ListedMember>,
    pub(super) description: Option<NamedDescription>,
}

/// A description that was read. Its version may be none: that matters only where nobody gives another one.
pub(super) struct NamedDescription {
    pub(super) folder: String,
    pub(super) meta_info: String,
    pub(super) version: Result<Option<PackageVersion>, ArchiveError>,
}

impl MemberList {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            tree: Tree::new(limits),
            description: None,
            reads_description: false,
            listed: Listed::new(limits.listed_members),
            #[cfg(test)]
            listing: crate::listing::Listing::new(),
        }
    }

    /// Counts a header that is no member.
    pub(super) fn count_header(&mut self) -> Result<(), ArchiveError> {
        self.tree.count_entry()
    }

    /// Takes a member in. Its content comes by [`MemberList::push_content`].
    pub(super) fn add_member(&mut self, name: &[u8], kind: MemberKind<'_>) -> Result<(), ArchiveError> {
        self.tree.count_entry()?;
        let refused = |error| ArchiveError::for_member(name, error);
        let path = MemberPath::new(name, &self.limits).map_err(refused)?;
        let node = self.check_member(&path, name, kind).map_err(refused)?;
        self.tree.insert(&path, node)?;
        self.listed.add(path.as_bytes(), kind);
        #[cfg(test)]
        self.listing.add(path.as_bytes(), kind);
        self.reads_description =
            is_description_name(&path) && self.description.as_ref().is_none_or(|best| best.loses_to(&path));
        if self.reads_description {
            self.description = Some(Candidate { path, text: Vec::new() });
        }
        Ok(())
    }

    /// Another name of the member that was taken in, which some unpackers give it: nothing else may have that one, either.
    pub(super) fn add_other_name(&mut self, name: &[u8], kind: MemberKind<'_>) -> Result<(), ArchiveError> {
        let path = MemberPath::new(name, &self.limits).map_err(|error| ArchiveError::for_member(name, error))?;
        let node = match kind {
            MemberKind::Folder => Node::Folder,
            MemberKind::Symlink(_) => Node::Symlink,
            MemberKind::File | MemberKind::HardLink(_) => Node::File,
        };
        self.tree.insert(&path, node)
    }

    fn check_member(&self, path: &MemberPath, name: &[u8], kind: MemberKind<'_>) -> Result<Node, MemberError> {
        if is_description_name(path) && kind != MemberKind::File {
            return Err(MemberError::DescriptionNotAFile);
        }
        match kind {
            MemberKind::Folder => Ok(Node::Folder),
            // Some make a folder of it.
            MemberKind::File if name.ends_with(b"/") => Err(MemberError::KindMismatch),
            MemberKind::File => Ok(Node::File),
            MemberKind::Symlink(target) => check_symlink(path, target, &self.limits).map(|()| Node::Symlink),
            MemberKind::HardLink(target) => {
                let file = MemberPath::new(target, &self.limits).ok().filter(|target| self.tree.is_file(target));
                file.map(|_| Node::File).ok_or_else(|| MemberError::LinkToNothing { target: MemberName::new(target) })
            }
        }
    }

    /// More of the content of the member that was taken in last. Only a description's is looked at, of others the length.
    pub(super) fn push_content(&mut self, bytes: &[u8]) {
        self.listed.push_content(bytes);
        #[cfg(test)]
        self.listing.push_content(bytes);
        if let (true, Some(Candidate { text, .. })) = (self.reads_description, &mut self.description) {
            let left = self.limits.max_description_bytes.saturating_add(1).saturating_sub(text.len());
            text.extend_from_slice(bytes.get(..left).unwrap_or(bytes));
        }
    }

    /// All members have come.
    pub(super) fn finish(self) -> Result<MemberSummary, ArchiveError> {
        #[cfg(test)]
        self.listing.publish();
        let limit_bytes = self.limits.max_description_bytes;
        let description = self.description.map(|Candidate { path, text }| {
            let file = MemberName::new(path.as_bytes());
            let parsed = if text.len() > limit_bytes {
                Err(DescriptionError::TooLarge { limit_bytes })
            } else {
                Description::parse(path.split().0, &text)
            };
            let described = |error| ArchiveError::Description { file: file.clone(), error };
            parsed.map_err(described).map(|Description { folder, version, meta_info }| NamedDescription {
                folder,
                meta_info,
                version: version.map_err(described),
            })
        });
        Ok(MemberSummary {
            entries: self.tree.entries(),
            members: self.listed.finish(),
            description: description.transpose()?,
        })
    }
}

impl Candidate {
    fn loses_to(&self, other: &MemberPath) -> bool {
        (other.depth(), other.as_bytes()) < (self.path.depth(), self.path.as_bytes())
    }
}

/// Whether a path ends like that of a description.
pub(super) fn is_description_name(path: &MemberPath) -> bool {
    is_description(path.split().1)
}

/// Whether a part of a path is a description's name.
pub(super) fn is_description(part: &[u8]) -> bool {
    DESCRIPTIONS.contains(&part)
}
