//! Headers that say more of the member that follows: pax records, GNU's long names.
//!
//! Refuses what readers take in different ways: two of a kind for one member, a path both in pax and in GNU's way, the
//! same record twice, paths and sizes for all members that follow, and records of files with holes that do not make up one
//! of the three ways in which pax has them.

use super::sparse::SparseMap;

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
    sparse: SparseRecords,
    has_pax: bool,
}

/// What records say of a file with holes.
#[derive(Debug, Default, PartialEq, Eq)]
struct SparseRecords {
    major: Option<u64>,
    minor: Option<u64>,
    name: Option<Vec<u8>>,
    /// The size with the holes, by the names that the old and the new way have for it.
    size: Option<u64>,
    real_size: Option<u64>,
    entries: Option<u64>,
    /// Offsets and lengths in turn.
    numbers: Vec<u64>,
    /// The map came in one record.
    has_map: bool,
}

/// A file with holes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sparse {
    /// Its name, where the member has another one for those who do not know of holes.
    pub(super) name: Option<Vec<u8>>,
    pub(super) map: PaxMap,
}

/// Where its map is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PaxMap {
    /// In the records; nothing if it does not fit the size.
    Records(Option<SparseMap>),
    /// Before its data, which make a file of this size.
    Content(u64),
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

    /// The file with holes that the next member is. `Err` if its records are no such file.
    pub(super) fn take_sparse(&mut self) -> Result<Option<Sparse>, ()> {
        let records = std::mem::take(&mut self.sparse);
        if records == SparseRecords::default() { Ok(None) } else { records.into_file().map(Some).ok_or(()) }
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
            b"size" => set_once(&mut self.size, parse_decimal(value)?),
            // Some readers take it for the size.
            b"SCHILY.realsize" => None,
            _ => match key.strip_prefix(b"GNU.sparse.") {
                Some(key) => self.sparse.apply_record(key, value),
                None => Some(()),
            },
        }
    }
}

impl SparseRecords {
    fn apply_record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let slot = match key {
            b"name" => return set_once(&mut self.name, value.to_vec()),
            b"map" if !self.has_map && self.numbers.is_empty() => return self.apply_map(value),
            b"offset" | b"numbytes" if !self.has_map => return self.apply_number(key == b"offset", value),
            b"major" => &mut self.major,
            b"minor" => &mut self.minor,
            b"size" => &mut self.size,
            b"realsize" => &mut self.real_size,
            b"numblocks" => &mut self.entries,
            _ => return None,
        };
        set_once(slot, parse_decimal(value)?)
    }

    fn apply_map(&mut self, value: &[u8]) -> Option<()> {
        self.has_map = true;
        if !value.is_empty() {
            self.numbers = value.split(|b| *b == b',').map(parse_decimal).collect::<Option<_>>()?;
        }
        Some(())
    }

    /// These records come as often as the map has entries, each offset before its length.
    fn apply_number(&mut self, is_offset: bool, value: &[u8]) -> Option<()> {
        self.numbers.push(parse_decimal(value)?);
        (self.numbers.len() % 2 == usize::from(is_offset)).then_some(())
    }

    fn into_file(self) -> Option<Sparse> {
        let Self { major, minor, name, size, real_size, entries, numbers, has_map } = self;
        match (major.unwrap_or(0), minor.unwrap_or(0)) {
            (1, 0) if size.is_none() && entries.is_none() && numbers.is_empty() && !has_map => {
                name.is_some().then_some(Sparse { name, map: PaxMap::Content(real_size?) })
            }
            // 0.1 has the map in one record and a name of its own, 0.0 neither.
            (0, 0 | 1) if real_size.is_none() && name.is_some() == has_map => {
                let mut map = SparseMap::new(size?);
                let is_whole = entries? == numbers.len() as u64 / 2 && numbers.len().is_multiple_of(2);
                let fits = numbers.chunks_exact(2).try_for_each(|pair| map.push(*pair.first()?, *pair.last()?));
                Some(Sparse { name, map: PaxMap::Records(fits.filter(|()| is_whole).map(|()| map)) })
            }
            _ => None,
        }
    }
}

fn parse_decimal(value: &[u8]) -> Option<u64> {
    let is_number = value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
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
        let bad: [&[u8]; 12] = [
            &twice,
            &record("SCHILY.realsize", "1"),
            &record("GNU.sparse.unknown", "x"),
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

    fn sparse_file(records: &[(&str, &str)]) -> Result<Option<Sparse>, ()> {
        let content: Vec<u8> =
            records.iter().flat_map(|(key, value)| record(&format!("GNU.sparse.{key}"), value)).collect();
        parse_pax(&content).ok_or(())?.take_sparse()
    }

    #[test]
    fn each_way_to_write_holes_down_is_read_and_a_mixture_is_none() {
        let map = |size, entries: &[(u64, u64)]| {
            let mut map = SparseMap::new(size);
            entries.iter().try_for_each(|(offset, bytes)| map.push(*offset, *bytes))?;
            Some(map)
        };
        let read = |records: &[(&str, &str)]| sparse_file(records).unwrap().unwrap();
        let old = read(&[
            ("size", "9"),
            ("numblocks", "2"),
            ("offset", "1"),
            ("numbytes", "2"),
            ("offset", "9"),
            ("numbytes", "0"),
        ]);
        assert_eq!(old, Sparse { name: None, map: PaxMap::Records(map(9, &[(1, 2), (9, 0)])) });
        let (size, name) = (("size", "9"), ("name", "n"));
        let newer = read(&[size, ("numblocks", "2"), name, ("map", "1,2,9,0")]);
        assert_eq!(newer, Sparse { name: Some(b"n".to_vec()), map: old.map });
        let newest = read(&[("major", "1"), ("minor", "0"), name, ("realsize", "9")]);
        assert_eq!(newest, Sparse { name: Some(b"n".to_vec()), map: PaxMap::Content(9) });
        for damaged in ["1,2,9", "2,1,1,2", "1,9", ""] {
            let file = read(&[size, ("numblocks", "2"), name, ("map", damaged)]);
            assert_eq!(file.map, PaxMap::Records(None), "{damaged}");
        }
        let major = ("major", "1");
        for mixture in [
            &[name][..],
            &[("map", "1,2")],
            &[size],
            &[size, ("numblocks", "0"), name],
            &[size, ("numblocks", "1"), ("map", "1,2")],
            &[size, ("numblocks", "1"), name, ("map", "1,x")],
            &[size, ("numblocks", "1"), ("numbytes", "2"), ("offset", "1")],
            &[size, ("numblocks", "1"), name, ("map", "1,2"), ("offset", "1"), ("numbytes", "2")],
            &[major, ("minor", "0"), ("realsize", "9")],
            &[major, name, size],
            &[major, name, ("realsize", "9"), ("map", "")],
            &[("major", "2"), name, ("realsize", "9")],
            &[major, major, name, ("realsize", "9")],
        ] {
            assert_eq!(sparse_file(mixture), Err(()), "{mixture:?}");
        }
        assert_eq!(sparse_file(&[]), Ok(None));
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
