//! How much a package may have of everything. Each limit is the most that is still taken.

/// What happens to a file that is no archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opaque {
    /// It is refused, with what it looks like.
    #[default]
    Refuse,
    /// It is taken as it is; nothing is known of its inside.
    Allow,
}

/// The limits of an inspection. They are counted on what really came out, never on what an archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members, with the headers that only describe members and the folders that no member names. Each is remembered by
    /// some 32 bytes.
    pub max_entries: u64,
    /// Bytes of the whole archive, uncompressed: for tar those of the stream, for zip those of all members.
    pub max_unpacked_bytes: u64,
    /// Uncompressed bytes for each compressed one, in what has come so far. Judged from [`Limits::RATIO_FREE_BYTES`] on.
    pub max_ratio: u64,
    /// Folders around a member.
    pub max_depth: usize,
    /// Bytes of a member's path, and of a link's target.
    pub max_path_bytes: usize,
    /// Bytes of `app_desc.yaml`.
    pub max_description_bytes: usize,
    /// Compressed streams one after the other in one file.
    pub max_streams: u64,
    /// Memory of a decoder, with its window or dictionary.
    pub max_decoder_bytes: u64,
    /// Files that are no archive.
    pub opaque: Opaque,
    /// Members that [`Package::members`](crate::Package::members) names. The others are counted and judged all the same.
    pub listed_members: usize,
}

impl Limits {
    /// A small archive is mostly padding, which packs very well: up to here the ratio says nothing, and nobody is hurt.
    pub const RATIO_FREE_BYTES: u64 = 32 << 20;
    /// What a file system takes as one name.
    pub const MAX_PART_BYTES: usize = 255;
    /// The largest meta information that is recorded, as JSON.
    pub const MAX_META_INFO_BYTES: usize = 256 << 10;
    /// So many streams of bzip2 or xz may be in any file: to begin one takes time.
    pub const FREE_DEAR_STREAMS: u64 = 1_000;
    /// Further ones may be where so many bytes have come out for each: parallel packers write one for 900 KB.
    pub const BYTES_PER_DEAR_STREAM: u64 = 256 << 10;
    /// The largest extended header of a tar member. A path, a link, the attributes that macOS adds and the map of a file
    /// with many holes fit.
    pub const MAX_EXTENDED_BYTES: usize = 1 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_entries: 100_000,
            max_unpacked_bytes: 4 << 30,
            max_ratio: 100,
            max_depth: 64,
            max_path_bytes: 1024,
            max_description_bytes: 256 << 10,
            max_streams: 100_000,
            // `xz -9` has a dictionary of 64 MiB.
            max_decoder_bytes: 72 << 20,
            opaque: Opaque::Refuse,
            listed_members: 0,
        }
    }
}
