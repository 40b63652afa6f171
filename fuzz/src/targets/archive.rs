//! Packages of every format, as `src/packing.rs` says, in pieces of every size and under two sets of limits.
//!
//! Holds: the verdict is the same whatever the pieces; what passes tight limits passes wide ones, with the same words; what
//! is said of a package is bounded, stays inside its folder and is what other readers find; a refusal is short and safe to
//! show; memory is bounded.

use std::io::Cursor;

use crate::{listed, memory, packing};
use linkgate_archive::{ArchiveError, Inspection, Inspector, Limits, Opaque, Package, Unmetered, inspect_zip};

/// What is promised for any package.
const MOST_BYTES: usize = 64 << 20;
/// The longest refusal: two names, escaped and cut, and the words around them.
const LONGEST: usize = 8_000;

/// Takes one input, and panics if something does not hold.
pub fn check_input(data: &[u8]) {
    let file = packing::package(data);
    let wide = Limits::default();
    let judged = judge(&file, usize::MAX, &wide);
    let mut sizes = Sizes::of(data);
    let pieces = sizes.next_below(700);
    assert_eq!(judge(&file, pieces, &wide), judged, "in pieces of about {pieces}");
    let tight = Limits {
        max_entries: 9,
        max_unpacked_bytes: 12_000,
        max_depth: 4,
        max_path_bytes: 120,
        max_description_bytes: 400,
        max_streams: 3,
        ..Limits::default()
    };
    let tightly = judge(&file, usize::MAX, &tight);
    assert_eq!(judge(&file, pieces, &tight), tightly, "in pieces of about {pieces}");
    if tightly.is_ok() {
        assert_eq!(tightly, judged);
    }
    if let Ok(package) = &tightly {
        listed::check(package, &file, &tight);
    }
    let lenient = judge(&file, usize::MAX, &Limits { opaque: Opaque::Allow, ..Limits::default() });
    match &judged {
        Ok(package) => listed::check(package, &file, &wide),
        Err(refused) => check_refusal(refused),
    }
    assert!(lenient == judged || matches!(judged, Err(ArchiveError::Unsupported { .. })), "{lenient:?} {judged:?}");
}

/// The verdict when the file comes in pieces of up to twice that size.
fn judge(file: &[u8], about: usize, limits: &Limits) -> Result<Package, ArchiveError> {
    let (verdict, most) = memory::most_in(|| {
        let (mut inspector, mut sizes, mut rest) = (Inspector::new(limits.clone(), Unmetered), Sizes::of(file), file);
        while !rest.is_empty() {
            let size = if about == usize::MAX { rest.len() } else { sizes.next_below(about * 2).min(rest.len()) };
            let (piece, behind) = rest.split_at(size);
            inspector.push(piece)?;
            rest = behind;
        }
        match inspector.finish()? {
            Inspection::Package(package) => Ok(package),
            Inspection::Zip => inspect_zip(&mut Cursor::new(file), limits, &mut Unmetered),
        }
    });
    assert!(most < MOST_BYTES, "{most} bytes of memory");
    verdict
}

fn check_refusal(refused: &ArchiveError) {
    let shown = refused.to_string();
    assert!(shown.len() < LONGEST && !shown.contains(char::is_control), "{shown:?}");
    assert!(!matches!(refused, ArchiveError::Io(_)), "memory can be read");
}

/// Numbers that an input decides.
struct Sizes(u64);

impl Sizes {
    fn of(bytes: &[u8]) -> Self {
        let step = |hash: u64, b: &u8| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step) | 1)
    }

    /// From 1 on.
    fn next_below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        1 + usize::try_from(self.0 % bound as u64).unwrap()
    }
}
