//! Headers that say more of the member that follows: pax records, GNU's long names.
//!
//! Refuses what readers take in different ways: two of a kind for one member, a path both in pax and in GNU's way, the
//! same record twice, paths and sizes for all members that follow, sparse files under another name.

/// A kind of extended header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// Records for the next member.
    Pax,
    /// Records for all that follow.
    PaxGlobal,
    /// The next member's path.
    GnuPath,
    /// The next member's target.
    GnuLink,
}

/// What the next member's own header does not say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    has_pax: bool,
}

impl Extended {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a header of this kind may come now.
    pub(super) fn expects(&self, what: Extension) -> bool {
        match what {
            Extension::Pax => !self.has_pax,
            // Between an extended header and its member, some forget the former.
            Extension::PaxGlobal => self.is_empty(),
            Extension::GnuPath => self.path.is_none(),
            Extension::GnuLink => self.link.is_none(),
        }
    }

    /// Takes the content of an extended header in; `false` if it cannot be taken in one way only.
    #[must_use]
    pub(super) fn apply_extension(&mut self, what: Extension, content: Vec<u8>) -> bool {
        let slot = match what {
            Extension::Pax => {
                self.has_pax = true;
                return self.parse_records(&content).is_some();
            }
            Extension::PaxGlobal => return Self::default().allows_global_records(&content),
            Extension::GnuPath => &mut self.path,
            Extension::GnuLink => &mut self.link,
        };
        set_once(slot, strip_gnu_nul(content)).is_some()
    }

    /// Records for all that follow may say nothing that matters here.
    fn allows_global_records(mut self, content: &[u8]) -> bool {
        self.parse_records(content).is_some() && self.is_empty()
    }

    /// Each record is `length key=value\n`, its length counting itself.
    fn parse_records(&mut self, mut content: &[u8]) -> Option<()> {
        while !content.is_empty() {
            let space = content.iter().take(8).position(|b| *b == b' ')?;
            let length: usize = std::str::from_utf8(content.get(..space)?).ok()?.parse().ok()?;
            let (record, rest) = content.split_at_checked(length)?;
            let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|b| *b == b'=')?;
            self.apply_record(record.get(..equals)?, record.get(equals + 1..)?)?;
            content = rest;
        }
        Some(())
    }

    fn apply_record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" => set_once(&mut self.path, value.to_vec()),
            b"linkpath" => set_once(&mut self.link, value.to_vec()),
            b"size" => {
                let is_number = value.iter().all(u8::is_ascii_digit);
                let size = std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()?;
                set_once(&mut self.size, size)
            }
            // Sparse files: their true name and size stand in such records.
            _ if key.starts_with(b"GNU.sparse.") || key == b"SCHILY.realsize" => None,
            _ => Some(()),
        }
    }
}

/// Takes a value that is not there yet.
fn set_once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    if slot.is_some() {
        return None;
    }
    *slot = Some(value);
    Some(())
}

/// GNU's names end with a NUL. One in the middle stays, and is refused as part of the name.
fn strip_gnu_nul(mut content: Vec<u8>) -> Vec<u8> {
    if content.last() == Some(&0) {
        content.pop();
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str) -> Vec<u8> {
        let rest = format!(" {key}={value}\n");
        let length = (1..9).map(|digits| digits + rest.len()).find(|n| n.to_string().len() + rest.len() == *n);
        format!("{}{rest}", length.unwrap()).into_bytes()
    }

    fn parse_pax(content: &[u8]) -> Option<Extended> {
        let mut extended = Extended::default();
        extended.apply_extension(Extension::Pax, content.to_vec()).then_some(extended)
    }

    #[test]
    fn records_are_taken_for_what_they_are() {
        let content = [record("mtime", "1.5"), record("path", "a=b\nc"), record("size", "12"), record("linkpath", "l")];
        let extended = parse_pax(&content.concat()).unwrap();
        assert_eq!(extended.path.unwrap(), b"a=b\nc");
        assert_eq!(extended.link.unwrap(), b"l");
        assert_eq!(extended.size.unwrap(), 12);
        assert!(parse_pax(b"").is_some());
    }

    #[test]
    fn records_that_can_be_read_in_two_ways_are_refused() {
        let twice = [record("path", "a"), record("path", "b")].concat();
        let bad: [&[u8]; 11] = [
            &twice,
            &record("GNU.sparse.name", "x"),
            &record("size", "-1"),
            &record("size", ""),
            &record("size", "99999999999999999999"),
            b"11 path=abc",
            b"99 path=abc\n",
            b"4 path=abc\n",
            b"0 \n",
            b"x path=a\n",
            b"18446744073709551615 a=b\n",
        ];
        for content in bad {
            assert_eq!(parse_pax(content), None, "{content:?}");
        }
    }

    #[test]
    fn global_records_may_not_touch_members() {
        let mut extended = Extended::default();
        assert!(extended.apply_extension(Extension::PaxGlobal, record("comment", "0123")));
        assert!(extended.is_empty());
        for key in ["path", "linkpath"] {
            assert!(!extended.apply_extension(Extension::PaxGlobal, record(key, "x")));
        }
        assert!(!extended.apply_extension(Extension::PaxGlobal, record("size", "1")));
    }

    #[test]
    fn a_name_comes_once() {
        let mut extended = Extended::default();
        assert!(extended.apply_extension(Extension::GnuPath, b"long\0".to_vec()));
        assert!(!extended.expects(Extension::GnuPath) && !extended.expects(Extension::PaxGlobal));
        assert!(extended.expects(Extension::GnuLink) && extended.expects(Extension::Pax));
        assert!(!extended.apply_extension(Extension::Pax, record("path", "other")));
    }
}
