//! Looks inside a package: what it is, what it says of itself, and whether it may be stored.
//!
//! Promises: nothing is unpacked to disk; memory is bounded whatever comes ([`Limits::max_decoder_bytes`], of which its
//! [`Resources`] are asked, and 16 MiB, mostly far less); a tar, compressed or
//! not, is judged while it streams by, a zip from the finished file. What passes is whole: all checksums that its format
//! has were checked, and nothing is hidden before, between or behind its members. Refuses files that are no archives,
//! archives that can be read in two ways, members that lead out of the folder they are unpacked into, and more of anything
//! than [`Limits`] allow, counted on what really came out.
//!
//! How it is used: [`Inspector::push`] every byte in order, on a thread that may be busy, for it decodes; stop at the first
//! refusal, or when [`Inspector::wants_more`] says no. Then [`Inspector::finish`]. If that says [`Inspection::Zip`], show the finished file to [`inspect_zip`].

mod description;
mod error;
mod format;
mod limits;
mod listed;
mod member_list;
mod names;
mod resources;
mod tail;
mod tar;
mod unpack;
mod yaml;
mod zip;

use linkgate_contract::PackageVersion;

pub use error::{ArchiveError, DescriptionError, FormatError, Limit, MemberError, MemberName, zip_method};
pub use format::{Format, LooksLike};
pub use limits::{Limits, Opaque};
pub use listed::{ListedKind, ListedMember};
pub use resources::{Resources, Unmetered};
pub use zip::inspect_zip;

use format::{SNIFF_BYTES, is_also_tar, sniff_format};
use member_list::MemberSummary;
use tar::TarSummary;
use unpack::Unpacker;

/// What a package is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its format.
    pub format: Format,
    /// The folder of its description: `./` for the top, or if there is no description, else `name/`.
    pub relative_path: String,
    /// Its description as JSON, at most [`Limits::MAX_META_INFO_BYTES`].
    pub meta_info: Option<String>,
    /// The version that its description names.
    pub version: Option<PackageVersion>,
    /// Members, as [`Limits::max_entries`] counts them.
    pub entries: u64,
    /// The first of them, as many as [`Limits::listed_members`] says.
    pub members: Vec<ListedMember>,
    /// Bytes that came out, as [`Limits::max_unpacked_bytes`] counts them.
    pub unpacked_bytes: u64,
    /// Whether its format shows that nothing is missing at its end.
    pub proves_whole: bool,
    /// Why the version that its description names cannot be used, if it names one that cannot.
    pub version_fault: Option<Box<ArchiveError>>,
}

impl Package {
    fn new(format: Format, summary: MemberSummary, unpacked_bytes: u64) -> Self {
        let MemberSummary { entries, members, description } = summary;
        let (relative_path, meta_info, named) = match description {
            Some(description) => (description.folder, Some(description.meta_info), description.version),
            None => ("./".to_owned(), None, Ok(None)),
        };
        let (version, version_fault) = match named {
            Ok(version) => (version, None),
            Err(fault) => (None, Some(Box::new(fault))),
        };
        let proves_whole = format != Format::Opaque;
        Self {
            format,
            relative_path,
            meta_info,
            version,
            entries,
            members,
            unpacked_bytes,
            proves_whole,
            version_fault,
        }
    }

    fn opaque() -> Self {
        Self::new(Format::Opaque, MemberSummary { entries: 0, members: Vec::new(), description: None }, 0)
    }
}

/// What is known when all bytes have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// All of it.
    Package(Package),
    /// That it is a zip, whose directory stands at its end: [`inspect_zip`] reads it.
    Zip,
}

/// Looks at a package while it streams by.
pub struct Inspector {
    limits: Limits,
    resources: Box<dyn Resources>,
    state: State,
}

enum State {
    /// Too little has come to tell what it is.
    Head(Vec<u8>),
    Tar(Box<Unpacker>),
    Zip,
    Opaque,
}

impl Inspector {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(limits: Limits, resources: impl Resources + 'static) -> Self {
        Self { limits, resources: Box::new(resources), state: State::Head(Vec::new()) }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// [`ArchiveError`] as soon as it is clear; what is pushed after that is not looked at in earnest.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        match &mut self.state {
            State::Head(head) => {
                let missing = SNIFF_BYTES - head.len();
                let (first, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
                head.extend_from_slice(first);
                if head.len() < SNIFF_BYTES {
                    return Ok(());
                }
                self.decide_format()?;
                self.push(rest)
            }
            State::Tar(unpacker) => {
                let pushed = unpacker.push(bytes, &mut *self.resources);
                self.allow_if_opaque(pushed)
            }
            State::Zip | State::Opaque => Ok(()),
        }
    }

    /// Whether further bytes can change anything.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        matches!(self.state, State::Head(_) | State::Tar(_))
    }

    /// All bytes have been pushed, or those that it wanted.
    ///
    /// # Errors
    /// [`ArchiveError`] says why the package may not be stored.
    pub fn finish(mut self) -> Result<Inspection, ArchiveError> {
        self.decide_format()?;
        match self.state {
            State::Tar(unpacker) => {
                let format = unpacker.format();
                match unpacker.finish(&mut *self.resources) {
                    Ok(TarSummary { members, unpacked_bytes, has_end }) => {
                        let package = Package::new(format, members, unpacked_bytes);
                        Ok(Inspection::Package(Package { proves_whole: has_end, ..package }))
                    }
                    Err(refused) if allows_opaque(&self.limits, &refused) => Ok(Inspection::Package(Package::opaque())),
                    Err(refused) => Err(refused),
                }
            }
            State::Zip => Ok(Inspection::Zip),
            State::Opaque | State::Head(_) => Ok(Inspection::Package(Package::opaque())),
        }
    }

    /// Leaves [`State::Head`] for what the head tells.
    fn decide_format(&mut self) -> Result<(), ArchiveError> {
        let State::Head(head) = &mut self.state else { return Ok(()) };
        let head = std::mem::take(head);
        match sniff_format(&head) {
            Ok(format) if is_also_tar(format, &head) => {
                return Err(ArchiveError::Format { format, error: FormatError::AlsoTar });
            }
            Ok(Format::Zip) => self.state = State::Zip,
            Ok(format) => {
                let mut unpacker = Unpacker::new(format, &self.limits);
                let pushed = unpacker.push(&head, &mut *self.resources);
                self.state = State::Tar(Box::new(unpacker));
                self.allow_if_opaque(pushed)?;
            }
            Err(looks) => {
                self.state = State::Opaque;
                self.allow_if_opaque(Err(ArchiveError::Unsupported { looks, packed: None }))?;
            }
        }
        Ok(())
    }

    /// What is no archive, the operator may allow. An archive that is broken stays refused, and so does nothing at all.
    fn allow_if_opaque(&mut self, judged: Result<(), ArchiveError>) -> Result<(), ArchiveError> {
        match judged {
            Err(refused) if allows_opaque(&self.limits, &refused) => {
                self.state = State::Opaque;
                Ok(())
            }
            judged => judged,
        }
    }
}

fn allows_opaque(limits: &Limits, refused: &ArchiveError) -> bool {
    let is_something = matches!(refused, ArchiveError::Unsupported { looks, .. } if *looks != LooksLike::Empty);
    limits.opaque == Opaque::Allow && is_something
}

#[cfg(test)]
mod document;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod real_tools;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
