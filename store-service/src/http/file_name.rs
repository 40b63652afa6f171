//! The name under which a browser or tool stores a package.
//!
//! Promises: no name leads out of the folder, breaks the header or hides what kind of file it is; a name that is not ASCII
//! arrives whole where it is understood, and as something readable elsewhere.

use linkgate_archive::Format;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use warp::http::HeaderValue;

/// What RFC 8187 lets stand.
const ATTR_CHARS: AsciiSet = NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Suffixes by which a name says already what it is.
const SUFFIXES: [&str; 12] =
    [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".zip", ".jar"];

/// The value of `Content-Disposition`.
pub(super) fn content_disposition(package_name: &str, format: Option<Format>) -> HeaderValue {
    let name = file_name(package_name, format);
    let ascii: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let extended = utf8_percent_encode(&name, &ATTR_CHARS);
    let value = format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{extended}");
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

/// Stands in a quoted text for itself, everywhere.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.+~ ()@=,!".contains(c)
}

fn file_name(package_name: &str, format: Option<Format>) -> String {
    let safe = |c: char| if c.is_control() || "/\\:*?\"<>|".contains(c) { '-' } else { c };
    let name: String = package_name.trim().chars().map(safe).collect();
    // A leading dot hides a file, or names a folder.
    let name = name.trim_start_matches('.');
    let name = if name.is_empty() { "package" } else { name };
    let lower = name.to_lowercase();
    match format {
        None | Some(Format::Opaque) => name.to_owned(),
        Some(_) if SUFFIXES.iter().any(|suffix| lower.ends_with(suffix)) => name.to_owned(),
        Some(format) => format!("{name}.{format}"),
    }
}

/// The media type of a format.
pub(super) fn media_type(format: Option<Format>) -> &'static str {
    match format {
        Some(Format::Tar) => "application/x-tar",
        Some(Format::TarGz) => "application/gzip",
        Some(Format::TarBz2) => "application/x-bzip2",
        Some(Format::TarXz) => "application/x-xz",
        Some(Format::TarZst) => "application/zstd",
        Some(Format::Zip) => "application/zip",
        Some(Format::Opaque) | None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disposition(name: &str, format: Format) -> String {
        content_disposition(name, Some(format)).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_name_gets_the_suffix_of_its_format_if_it_has_none() {
        for (name, format, expected) in [
            ("example:0.0.5", Format::TarGz, "example-0.0.5.tar.gz"),
            ("example-0.0.5", Format::Zip, "example-0.0.5.zip"),
            ("example.TGZ", Format::TarGz, "example.TGZ"),
            ("example.zip", Format::Tar, "example.zip"),
            ("model.bin", Format::Opaque, "model.bin"),
            ("a b", Format::TarZst, "a b.tar.zst"),
        ] {
            let extended = expected.replace(' ', "%20");
            let want = format!("attachment; filename=\"{expected}\"; filename*=UTF-8''{extended}");
            assert_eq!(disposition(name, format), want);
        }
        assert!(content_disposition("old", None).to_str().unwrap().starts_with("attachment; filename=\"old\";"));
    }

    #[test]
    fn a_name_that_is_not_ascii_stands_there_twice() {
        let want = "attachment; filename=\"__-1.tar\"; filename*=UTF-8''%E5%95%86%E5%BA%97-1.tar";
        assert_eq!(disposition("商店:1", Format::Tar), want);
        let want = "attachment; filename=\"100_-1.tar\"; filename*=UTF-8''100%25-1.tar";
        assert_eq!(disposition("100%:1", Format::Tar), want);
    }

    #[test]
    fn no_name_leaves_the_folder_or_the_header() {
        for bad in
            ["../../etc/passwd", "..", ".", "", " ", "a\"; filename=\"b", "a\r\nX: y", "a\\b", "C:\\x", ".bashrc"]
        {
            let value = disposition(bad, Format::Tar);
            let name = value.split('"').nth(1).unwrap();
            assert!(!name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\r', '\n']), "{value}");
            assert_eq!(value.matches('"').count(), 2, "{value}");
        }
    }

    #[test]
    fn every_format_has_a_media_type() {
        for format in Format::ALL {
            assert!(media_type(Some(format)).starts_with("application/"), "{format}");
        }
    }
}
