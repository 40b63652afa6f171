//! Who else reads a package that was taken, and what they must find.
//!
//! Promises: a tar is read by another reader of tars, a zip by its directory alone; both must find members that stay inside
//! the folder they are unpacked into, and the description where it was said to be. A reader may refuse a tar that was taken
//! (one without a word on a size, for one); it must only not read another one.

use std::io::Read;

use linkgate_archive::{Format, Limits, Package};

use crate::packing::{find, number};

/// Holds what was said of a package against the package.
pub fn check(package: &Package, file: &[u8], limits: &Limits) {
    check_said(package, limits);
    let (names, is_all) = match package.format {
        Format::Tar => tar_names(file),
        Format::TarGz => tar_names(flate2::read::MultiGzDecoder::new(file)),
        Format::TarBz2 => tar_names(bzip2::read::MultiBzDecoder::new(file)),
        Format::TarXz => tar_names(liblzma::read::XzDecoder::new_multi_decoder(file)),
        Format::TarZst => tar_names(zstd::Decoder::with_buffer(file).unwrap()),
        Format::Zip => (zip_names(file), true),
        Format::Opaque => return,
    };
    assert!(names.len() as u64 <= package.entries, "{} of {}", names.len(), package.entries);
    let mut best: Option<(usize, Vec<u8>)> = None;
    for name in &names {
        let parts: Vec<&[u8]> = name.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
        assert!(name.first() != Some(&b'/') && !parts.contains(&&b".."[..]), "{}", name.escape_ascii());
        assert!(!name.iter().any(|b| b.is_ascii_control() || *b == b'\\'), "{}", name.escape_ascii());
        if parts.last().is_some_and(|last| [&b"app_desc.yaml"[..], b"app_desc.yml"].contains(last)) {
            let found = (parts.len(), parts.join(&b'/'));
            best = Some(best.map_or(found.clone(), |best| best.min(found)));
        }
    }
    if !is_all {
        return;
    }
    let folder = best.map(|(_, path)| {
        let end = path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
        if end == 0 { b"./".to_vec() } else { path[..end].to_vec() }
    });
    assert_eq!(folder.is_some(), package.meta_info.is_some());
    assert_eq!(folder.unwrap_or(b"./".to_vec()), package.relative_path.as_bytes());
}

/// What must hold of the words themselves.
fn check_said(package: &Package, limits: &Limits) {
    let Package { relative_path, meta_info, version, .. } = package;
    assert!(package.entries <= limits.max_entries && package.unpacked_bytes <= limits.max_unpacked_bytes);
    assert!(relative_path.ends_with('/') && relative_path.len() <= limits.max_path_bytes + 2, "{relative_path:?}");
    assert!(!relative_path.starts_with('/') && !relative_path.split('/').any(|part| part == ".."), "{relative_path:?}");
    assert!(!relative_path.contains(['\\', '\0']), "{relative_path:?}");
    let json: Option<serde_json::Value> = meta_info.as_ref().map(|text| serde_json::from_str(text).unwrap());
    assert!(json.as_ref().is_none_or(|json| json.is_object()));
    assert!(meta_info.as_ref().is_none_or(|text| text.len() <= Limits::MAX_META_INFO_BYTES));
    if let Some(version) = version {
        let json = json.expect("a version comes from a description");
        let said = ["app_version", "appVersion"].map(|name| &json[name]);
        let text = |value: &serde_json::Value| {
            value.is_number() || value.as_str().is_some_and(|t| t.trim() == version.as_str())
        };
        assert!(said.into_iter().any(text), "{version:?} of {json}");
    }
}

/// The names of the members, and whether the reader came to the end.
fn tar_names(stream: impl Read) -> (Vec<Vec<u8>>, bool) {
    let mut archive = tar::Archive::new(stream);
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        match entry {
            // A header for all members that follow, which this reader shows as one.
            Ok(entry) if entry.header().entry_type().is_pax_global_extensions() => {}
            Ok(entry) => names.push(entry.path_bytes().into_owned()),
            Err(_) => return (names, false),
        }
    }
    (names, true)
}

fn zip_names(file: &[u8]) -> Vec<Vec<u8>> {
    let end = file.windows(4).rposition(|window| window == b"PK\x05\x06").unwrap();
    assert_eq!(find(&file[end + 1..], b"PK\x05\x06"), None);
    // Zip64 has its own end before the usual one.
    let wide =
        end.checked_sub(20).filter(|at| file[*at..].starts_with(b"PK\x06\x07")).map(|at| number(file, at + 8, 8));
    let (count, mut at, end) = match wide {
        Some(wide) => (number(file, wide + 32, 8), number(file, wide + 48, 8), wide),
        None => (number(file, end + 10, 2), number(file, end + 16, 4), end),
    };
    let mut names = Vec::new();
    for _ in 0..count {
        assert_eq!(&file[at..at + 4], b"PK\x01\x02");
        let name = &file[at + 46..][..number(file, at + 28, 2)];
        names.push(name.to_vec());
        at += 46 + name.len() + number(file, at + 30, 2) + number(file, at + 32, 2);
    }
    assert_eq!(at, end);
    names
}
