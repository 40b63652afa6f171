//! Settings of what a package may be.

use linkgate_archive::{Limits, Opaque};

use super::vars::{Reader, Vars};

pub(super) const ALLOW_UNKNOWN_FORMATS: &str = "LINKGATE_PACKAGE_ALLOW_UNKNOWN_FORMATS";
pub(super) const MAX_ENTRIES: &str = "LINKGATE_PACKAGE_MAX_ENTRIES";
pub(super) const MAX_UNPACKED_BYTES: &str = "LINKGATE_PACKAGE_MAX_UNPACKED_BYTES";
pub(super) const MAX_RATIO: &str = "LINKGATE_PACKAGE_MAX_RATIO";

/// - `LINKGATE_PACKAGE_ALLOW_UNKNOWN_FORMATS`: whether files that are no archive are stored, too: `true` or `false`. Default `false`.
/// - `LINKGATE_PACKAGE_MAX_ENTRIES`: members of a package. Default 100000, at some 32 bytes of memory each.
/// - `LINKGATE_PACKAGE_MAX_UNPACKED_BYTES`: bytes that come out of a package. Default 4294967296 (4 GiB).
/// - `LINKGATE_PACKAGE_MAX_RATIO`: bytes that come out for each that goes in, judged from 32 MiB on. Default 100.
pub(super) fn read_settings(reader: &mut Reader<'_, impl Vars>) -> Limits {
    let usual = Limits::default();
    Limits {
        opaque: read_unknown_formats(reader),
        max_entries: reader.number(MAX_ENTRIES, usual.max_entries, 1..=1_000_000),
        max_unpacked_bytes: reader.number(MAX_UNPACKED_BYTES, usual.max_unpacked_bytes, 1..=1 << 40),
        max_ratio: reader.number(MAX_RATIO, usual.max_ratio, 1..=1_000_000),
        ..usual
    }
}

fn read_unknown_formats(reader: &mut Reader<'_, impl Vars>) -> Opaque {
    if reader.parsed(ALLOW_UNKNOWN_FORMATS, false, "`true` or `false`") { Opaque::Allow } else { Opaque::Refuse }
}
