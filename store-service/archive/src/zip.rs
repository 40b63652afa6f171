//! Reads a finished zip file: its directory, then every member once, in the order of the file.
//!
//! Promises: two passes, both forward; some 40 bytes are held for each member. Members are unpacked into nothing, so sizes
//! and checksums are what came out. The members and the directory tile the file: nothing stands before, between or behind
//! them, so nothing overlaps and no reader finds other members than this one. Takes stored and deflated members, and data
//! descriptors. Refuses encryption, zip64 (nothing within the limits needs it), several files, other methods, and a
//! directory that says something else than the members.

mod content;
mod directory;
mod fields;
mod members;

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::Package;
use super::format::Format;
use super::limits::Limits;
use super::refused::{Broken, Refused};
use directory::Directory;
use members::Members;

const BUFFER_BYTES: usize = 64 << 10;

/// Looks inside a zip file that is complete. Reads and unpacks all of it, so call it where that may take its time.
///
/// # Errors
/// [`Refused`] says why it may not be kept; [`Refused::Io`] that it could not be read.
pub fn inspect_zip(file: &mut (impl Read + Seek), limits: &Limits) -> Result<Package, Refused> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
    let directory = Directory::read(&mut file)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut members = Members::new(file, &directory, limits);
    for entry in &directory.entries {
        members.next(entry)?;
    }
    let (listing, unpacked_bytes) = members.finish()?;
    Ok(Package::new(Format::Zip, listing.finish()?, unpacked_bytes))
}

fn broken(fault: Broken) -> Refused {
    Refused::Broken { format: Format::Zip, fault }
}

fn unreadable(error: io::Error) -> Refused {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => broken(Broken::Truncated),
        kind => Refused::Io(kind),
    }
}

#[cfg(test)]
pub(super) mod tests;
