//! Settings of what a package may be, and what its inspection may take.

use std::time::Duration;

use linkgate_archive::{Limits, Opaque};
use linkgate_store_core::settings::InspectionRules;

use super::vars::{Reader, Vars};

pub(super) const ALLOW_UNKNOWN_FORMATS: &str = "LINKGATE_PACKAGE_ALLOW_UNKNOWN_FORMATS";
pub(super) const MAX_ENTRIES: &str = "LINKGATE_PACKAGE_MAX_ENTRIES";
pub(super) const MAX_UNPACKED_BYTES: &str = "LINKGATE_PACKAGE_MAX_UNPACKED_BYTES";
pub(super) const MAX_RATIO: &str = "LINKGATE_PACKAGE_MAX_RATIO";

pub(super) const MAX_DECODER_BYTES: &str = "LINKGATE_PACKAGE_MAX_DECODER_BYTES";
pub(super) const MAX_CPU: &str = "LINKGATE_PACKAGE_MAX_CPU_S";
pub(super) const DECODER_MEMORY: &str = "LINKGATE_STORE_DECODER_MEMORY_BYTES";

/// - `LINKGATE_PACKAGE_ALLOW_UNKNOWN_FORMATS`: whether the store also takes files that are no archives; it never
///   takes empty files and broken archives. `true` or `false`. Default `false`.
/// - `LINKGATE_PACKAGE_MAX_ENTRIES`: members of a package, with the headers that only describe members; each takes
///   some 32 bytes of memory during the inspection. Members, 1–1000000. Default `100000`.
/// - `LINKGATE_PACKAGE_MAX_UNPACKED_BYTES`: bytes that come out of a package. Bytes, 1–1099511627776. Default
///   `4294967296` (4 GiB).
/// - `LINKGATE_PACKAGE_MAX_RATIO`: bytes that come out for each that goes in, judged after 32 MiB have come out.
///   Bytes, 1–1000000. Default `100`.
/// - `LINKGATE_PACKAGE_MAX_DECODER_BYTES`: memory that unpacking a package may take, of xz and Zstandard alike; more
///   gets `PACKAGE_LIMIT_EXCEEDED`. `xz -9` takes 65 MiB, `zstd --long=27` 129 MiB. Bytes, 4194304–4294967296.
///   Default `75497472` (72 MiB).
pub(super) fn read_settings(reader: &mut Reader<'_, impl Vars>) -> Limits {
    let usual = Limits::default();
    Limits {
        opaque: read_unknown_formats(reader),
        max_entries: reader.number(MAX_ENTRIES, usual.max_entries, 1..=1_000_000),
        max_unpacked_bytes: reader.number(MAX_UNPACKED_BYTES, usual.max_unpacked_bytes, 1..=1 << 40),
        max_ratio: reader.number(MAX_RATIO, usual.max_ratio, 1..=1_000_000),
        max_decoder_bytes: reader.number(MAX_DECODER_BYTES, usual.max_decoder_bytes, 4 << 20..=4 << 30),
        ..usual
    }
}

/// - `LINKGATE_STORE_DECODER_MEMORY_BYTES`: memory of all decoders together; at least what one package may take.
///   Bytes, 4194304–1099511627776. Default `201326592` (192 MiB).
/// - `LINKGATE_PACKAGE_MAX_CPU_S`: CPU time that the inspection of a package may take; more gets
///   `PACKAGE_LIMIT_EXCEEDED`. Seconds, 1–86400. Default `300`.
///
/// Who waits for memory waits for as long as a download may take.
pub(super) fn read_inspection(
    reader: &mut Reader<'_, impl Vars>,
    packages: &Limits,
    memory_timeout: Duration,
) -> InspectionRules {
    let usual = InspectionRules::default();
    let decoder_memory_bytes = reader.number(DECODER_MEMORY, usual.decoder_memory_bytes, 4 << 20..=1 << 40);
    if decoder_memory_bytes < packages.max_decoder_bytes {
        let least = packages.max_decoder_bytes;
        reader.fault(
            DECODER_MEMORY,
            format!("is {decoder_memory_bytes}, less than one package may take ({MAX_DECODER_BYTES}, {least})"),
        );
    }
    let cpu_limit = Duration::from_secs(reader.number(MAX_CPU, usual.cpu_limit.as_secs(), 1..=86_400));
    InspectionRules { decoder_memory_bytes, memory_timeout, cpu_limit }
}

fn read_unknown_formats(reader: &mut Reader<'_, impl Vars>) -> Opaque {
    if reader.parsed(ALLOW_UNKNOWN_FORMATS, false, "`true` or `false`") { Opaque::Allow } else { Opaque::Refuse }
}
