//! Reads a finished zip file: its directory, then every member once, in the order of the file.
//!
//! Promises: two passes, both forward; some 60 bytes are held for each member. Members are unpacked into nothing, so sizes
//! and checksums are what came out. The members and the directory tile the file: nothing stands before, between or behind
//! them, so nothing overlaps and no reader finds other members than this one. Takes stored and deflated members, data
//! descriptors, and zip64. Refuses encryption, several files, other methods, and a directory that says something else
//! than the members.

mod content;
mod directory;
mod false_end;
mod fields;
mod members;

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::Package;
use super::error::{ArchiveError, FormatError};
use super::format::Format;
use super::limits::Limits;
use super::resources::Resources;
use directory::Directory;
#[cfg(test)]
pub(super) use directory::Method;
use members::Members;

const BUFFER_BYTES: usize = 64 << 10;

/// Looks inside a zip file that is complete. Reads and unpacks all of it, so call it where that may take its time.
///
/// # Errors
/// [`ArchiveError`] says why it may not be kept; [`ArchiveError::Io`] that it could not be read.
pub fn inspect_zip(
    file: &mut (impl Read + Seek),
    limits: &Limits,
    resources: &mut dyn Resources,
) -> Result<Package, ArchiveError> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
    let directory = Directory::read_from(&mut file, limits)?;
    file.seek(SeekFrom::Start(0)).map_err(read_error)?;
    let mut members = Members::new(file, &directory, limits, resources);
    let ends = directory.entries.iter().skip(1).map(|entry| entry.offset).chain([directory.at]);
    for (entry, end) in directory.entries.iter().zip(ends) {
        members.read_member(entry, end)?;
    }
    let (list, unpacked_bytes) = members.finish()?;
    Ok(Package::new(Format::Zip, list.finish()?, unpacked_bytes))
}

fn format_error(error: FormatError) -> ArchiveError {
    ArchiveError::Format { format: Format::Zip, error }
}

fn read_error(error: io::Error) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => format_error(FormatError::Truncated),
        kind => ArchiveError::Io(kind),
    }
}

#[cfg(test)]
pub(super) mod tests;
