//! Why a package is refused: values, from which whoever answers callers makes sentences.
//!
//! Names in here come from strangers. They are shown escaped and cut, so they harm no log and no terminal.

use std::fmt;

use linkgate_contract::InvalidVersion;

use super::format::{Format, LooksLike};

/// A member's name, safe to show: escaped, bounded, perhaps not unique any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberName(String);

impl MemberName {
    /// Longer ones are cut.
    pub const MAX_CHARS: usize = 200;

    /// Makes a name safe to show.
    #[must_use]
    pub fn new(raw: &[u8]) -> Self {
        let head = raw.get(..Self::MAX_CHARS * 4).unwrap_or(raw);
        let text = String::from_utf8_lossy(head);
        let mut shown: String = text.chars().flat_map(char::escape_debug).take(Self::MAX_CHARS).collect();
        if head.len() < raw.len() || text.chars().flat_map(char::escape_debug).count() > Self::MAX_CHARS {
            shown.push('…');
        }
        Self(shown)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a package is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// No archive that is read here.
    #[error("this is no package: it looks like {looks}{}", describe_packing(*packed))]
    Unsupported {
        /// What it looks like.
        looks: LooksLike,
        /// What it was packed in, if it was: `page.html.gz` is a web page in gzip.
        packed: Option<Format>,
    },
    /// An archive that is damaged, cut, or made to be read in two ways.
    #[error("the {format} archive is broken: {error}")]
    Format {
        /// What it is otherwise.
        format: Format,
        /// What is wrong.
        error: FormatError,
    },
    /// A member that no package should have.
    #[error("{member}: {error}")]
    Member {
        /// Its name.
        member: MemberName,
        /// What is wrong with it.
        error: MemberError,
    },
    /// Too much of something.
    #[error("the package has {0}")]
    LimitExceeded(Limit),
    /// The package's description cannot be used.
    #[error("{file}: {error}")]
    Description {
        /// Its path.
        file: MemberName,
        /// What is wrong with it.
        error: DescriptionError,
    },
    /// It was not judged: nobody waits for the verdict any more, or there was no memory for it in time.
    #[error("the inspection was interrupted")]
    Interrupted,
    /// The file could not be read. The store's own failure, not the package's.
    #[error("the package could not be read: {0}")]
    Io(std::io::ErrorKind),
}

fn describe_packing(packed: Option<Format>) -> String {
    packed.map(|format| format!(" (inside {format})")).unwrap_or_default()
}

impl ArchiveError {
    /// What is wrong with the member of this name.
    pub(super) fn for_member(name: &[u8], error: MemberError) -> Self {
        Self::Member { member: MemberName::new(name), error }
    }
}

/// What is wrong with an archive as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It ends too early.
    #[error("it is cut off")]
    Truncated,
    /// Something stands behind its end.
    #[error("something follows its end")]
    TrailingData,
    /// The compressed data make no sense, or their checksum or length is wrong.
    #[error("its compressed data are damaged")]
    Corrupt,
    /// A header makes no sense.
    #[error("the header at {at} is damaged")]
    Header {
        /// Where it stands, in the uncompressed stream for tar.
        at: u64,
    },
    /// A tar header's checksum is wrong.
    #[error("the header at {at} has a wrong checksum")]
    Checksum {
        /// Where it stands in the uncompressed stream.
        at: u64,
    },
    /// An extended header without a member, twice the same, or with records that readers take differently.
    #[error("the extended header at {at} can be read in two ways")]
    Extended {
        /// Where it stands in the uncompressed stream.
        at: u64,
    },
    /// Not one member.
    #[error("it is empty")]
    Empty,
    /// A tar with the end of a zip among its last bytes: many readers would take it for a zip.
    #[error("it can be read as a zip as well; compress it, or let another member come last")]
    AlsoZip,
    /// A compressed file or a zip whose first block is the header of a tar: many readers would take it for that.
    #[error("it can be read as a tar as well; pack it anew")]
    AlsoTar,
    /// A zip without a directory at its very end, or with another end in its comment.
    #[error("it does not end with a directory")]
    NoDirectory,
    /// A zip in several files.
    #[error("it is a part of several files")]
    Split,
    /// Bytes of a zip that belong to no member.
    #[error("there are bytes at {at} that belong to no member")]
    Gap {
        /// Where.
        at: u64,
    },
}

/// What is wrong with a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// No name at all.
    #[error("the name is empty")]
    Nameless,
    /// An absolute path.
    #[error("the path is absolute")]
    Absolute,
    /// A `..` in the path.
    #[error("the path has `..` in it")]
    Parent,
    /// A backslash in the path, which some unpackers take as a slash.
    #[error("the path has a backslash in it")]
    Backslash,
    /// A NUL or another control character.
    #[error("the path has a control character in it")]
    ControlCharacter,
    /// The path, or the link's target, has too many bytes.
    #[error("the path has more than {limit_bytes} bytes")]
    PathTooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// A part of the path has too many bytes.
    #[error("a part of the path has more than {limit_bytes} bytes")]
    PartTooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// Too many folders around it.
    #[error("it lies in more than {limit} folders")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The same path was there already, perhaps spelt differently.
    #[error("the name is there twice")]
    Duplicate,
    /// It lies in something that is no folder.
    #[error("it lies in something that is no folder")]
    NotInFolder,
    /// A symbolic link that leads out of the package, or may.
    #[error("the link leads out of the package, or may: {target}")]
    LinkOut {
        /// Where it leads.
        target: MemberName,
    },
    /// A hard link to something that is not a file that came before.
    #[error("the link leads to no file of the package: {target}")]
    LinkToNothing {
        /// Where it leads.
        target: MemberName,
    },
    /// A device or a FIFO.
    #[error("it is neither file nor folder nor link")]
    Special,
    /// A part of an incremental backup, whose headers some unpackers read otherwise.
    #[error("it is part of an incremental backup (`tar -g`); pack it without `-g`, or with `--format=posix`")]
    Incremental,
    /// The rest of a member that began in another file.
    #[error("it goes on from another volume (`tar -M`); pack one file")]
    Continued,
    /// A member of a type that only some unpackers know.
    #[error("it has the type {flag:?}, which only some unpackers know")]
    UnknownType {
        /// Tar's letter for it.
        flag: char,
    },
    /// A file whose holes do not fit its data.
    #[error("the map of its holes is damaged")]
    Holes,
    /// A folder or link with content, or a file named as a folder.
    #[error("its kind and its content do not fit")]
    KindMismatch,
    /// A link, a folder or the like that bears the description's name.
    #[error("the description must be a plain file")]
    DescriptionNotAFile,
    /// Encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// Packed in a way that is not read here.
    #[error("it is packed by {}; pack it with Deflate", describe_method(*method))]
    Method {
        /// Zip's number of the method.
        method: u16,
    },
    /// An extra field gives it a name that is not the same in other characters.
    #[error("it has another name in UTF-8 (extra field 0x7075), which some unpackers take; pack it anew")]
    OtherName,
    /// The directory and the member's own header disagree.
    #[error("the directory says something else than the member")]
    Disagrees,
    /// A stored member with what looks like its end within it, to who reads the archive as it comes.
    #[error("it holds what some unpackers take for its end; pack it with Deflate")]
    FalseEnd,
    /// It lies over another member.
    #[error("it lies over another member")]
    Overlaps,
    /// Its data make no sense, or their checksum or length is wrong.
    #[error("its data are damaged")]
    Corrupt,
}

fn describe_method(method: u16) -> String {
    match zip_method(method) {
        Some((name, tools)) => format!("{name} (method {method}), as {tools} may"),
        None => format!("method {method}, which is not known here"),
    }
}

/// The name of one of zip's methods that are not read here, and who uses it.
#[must_use]
pub fn zip_method(method: u16) -> Option<(&'static str, &'static str)> {
    Some(match method {
        1 => ("Shrink", "PKZIP 1"),
        2..=5 => ("Reduce", "PKZIP 0.9"),
        6 => ("Implode", "PKZIP 1"),
        9 => ("Deflate64", "Windows Explorer and 7-Zip"),
        10 => ("PKWARE Implode", "PKZIP"),
        12 => ("bzip2", "`zip -Z bzip2` and 7-Zip"),
        14 => ("LZMA", "7-Zip and WinZip"),
        93 => ("Zstandard", "WinZip and 7-Zip ZS"),
        94 => ("MP3", "WinZip"),
        95 => ("xz", "WinZip and 7-Zip"),
        96 => ("JPEG", "WinZip"),
        97 => ("WavPack", "WinZip"),
        98 => ("PPMd", "7-Zip and WinZip"),
        99 => ("AES", "WinZip and 7-Zip"),
        _ => return None,
    })
}

/// Too much of what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// See [`Limits::max_entries`](super::Limits::max_entries).
    #[error("more than {limit} entries")]
    Entries {
        /// The limit.
        limit: u64,
    },
    /// See [`Limits::max_unpacked_bytes`](super::Limits::max_unpacked_bytes).
    #[error("more than {limit} bytes when unpacked")]
    UnpackedBytes {
        /// The limit.
        limit: u64,
    },
    /// See [`Limits::max_ratio`](super::Limits::max_ratio).
    #[error("more than {limit} unpacked bytes for each packed one")]
    Ratio {
        /// The limit.
        limit: u64,
    },
    /// See [`Limits::max_decoder_bytes`](super::Limits::max_decoder_bytes).
    #[error(
        "a dictionary or window that takes more than {limit} bytes of memory to unpack; pack it with a smaller one"
    )]
    DecoderMemory {
        /// The limit.
        limit: u64,
    },
    /// A block of an xz stream has a larger dictionary than the first.
    #[error("a dictionary that grows within a stream of xz; pack it with one dictionary for all blocks")]
    GrowingDictionary,
    /// It takes too long.
    #[error("members or data that take more than {limit_s} seconds of CPU time to inspect")]
    CpuTime {
        /// The limit.
        limit_s: u64,
    },
    /// See [`Limits::max_streams`](super::Limits::max_streams).
    #[error("more than {limit} compressed streams")]
    Streams {
        /// The limit.
        limit: u64,
    },
}

/// What is wrong with a description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// The file, or the JSON that is made of it, is too large.
    #[error("it has more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    NotText,
    /// Not YAML, or YAML that JSON cannot hold.
    #[error("line {line}, column {column}: {message}")]
    Yaml {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// YAML, but no mapping.
    #[error("it is no mapping")]
    NotAMapping,
    /// Its folder's name is not UTF-8.
    #[error("its folder's name is not UTF-8")]
    Folder,
    /// Its version is no version.
    #[error("its version {0}")]
    Version(InvalidVersion),
    /// Its version is neither text nor a number.
    #[error("its version is neither text nor a number")]
    VersionKind,
}
