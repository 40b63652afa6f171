//! Settings of what a package may be.

use super::vars::{Reader, Vars};
use crate::inspect::{Limits, Opaque};

pub(super) const OPAQUE: &str = "LINKGATE_PACKAGE_OPAQUE";
pub(super) const MAX_ENTRIES: &str = "LINKGATE_PACKAGE_MAX_ENTRIES";
pub(super) const MAX_UNPACKED_BYTES: &str = "LINKGATE_PACKAGE_MAX_UNPACKED_BYTES";
pub(super) const MAX_RATIO: &str = "LINKGATE_PACKAGE_MAX_RATIO";

/// - `LINKGATE_PACKAGE_OPAQUE`: what happens to files that are no archive: `refuse` or `allow`. Default `refuse`.
/// - `LINKGATE_PACKAGE_MAX_ENTRIES`: members of a package. Default 100000, at some 32 bytes of memory each.
/// - `LINKGATE_PACKAGE_MAX_UNPACKED_BYTES`: bytes that come out of a package. Default 4294967296 (4 GiB).
/// - `LINKGATE_PACKAGE_MAX_RATIO`: bytes that come out for each that goes in, judged from 32 MiB on. Default 100.
pub(super) fn read(reader: &mut Reader<'_, impl Vars>) -> Limits {
    let usual = Limits::default();
    Limits {
        opaque: opaque(reader),
        max_entries: reader.number(MAX_ENTRIES, usual.max_entries, 1..=1_000_000),
        max_unpacked_bytes: reader.number(MAX_UNPACKED_BYTES, usual.max_unpacked_bytes, 1..=1 << 40),
        max_ratio: reader.number(MAX_RATIO, usual.max_ratio, 1..=1_000_000),
        ..usual
    }
}

fn opaque(reader: &mut Reader<'_, impl Vars>) -> Opaque {
    match reader.text(OPAQUE).as_deref() {
        None | Some("refuse") => Opaque::Refuse,
        Some("allow") => Opaque::Allow,
        Some(other) => {
            reader.fault(OPAQUE, format!("is `{other}`, not `refuse` or `allow`"));
            Opaque::Refuse
        }
    }
}
