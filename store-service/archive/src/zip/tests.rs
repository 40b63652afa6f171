//! Every trick that a zip knows.

use std::io::{Cursor, Write as _};

use flate2::Compression;

use super::inspect_zip;
use crate::testing::*;
use crate::*;

/// A member of a zip that is made by hand, good until a test changes it.
#[derive(Clone, Debug)]
struct Made {
    name: Vec<u8>,
    content: Vec<u8>,
    packed: Option<Vec<u8>>,
    method: u16,
    flags: u16,
    mode: u16,
    size: u32,
    crc: u32,
    extra: Vec<u8>,
    /// Extra fields of the member's own header, where they are others.
    own_extra: Option<Vec<u8>>,
    /// Changes of the member's own header, by position.
    own: Vec<(usize, Vec<u8>)>,
    /// Changes of its entry in the directory.
    listed: Vec<(usize, Vec<u8>)>,
    descriptor: Vec<u8>,
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn made(name: &str, content: &[u8]) -> Made {
    Made {
        name: name.as_bytes().to_vec(),
        content: content.to_vec(),
        packed: None,
        method: 8,
        flags: 0,
        mode: 0,
        size: u32::try_from(content.len()).unwrap(),
        crc: crc(content),
        extra: Vec::new(),
        own_extra: None,
        own: Vec::new(),
        listed: Vec::new(),
        descriptor: Vec::new(),
    }
}

impl Made {
    fn packed(&self) -> Vec<u8> {
        match (&self.packed, self.method) {
            (Some(packed), _) => packed.clone(),
            (None, 8) => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&self.content).unwrap();
                encoder.finish().unwrap()
            }
            (None, _) => self.content.clone(),
        }
    }

    /// Flags to lengths, as both headers have them.
    fn common(&self, extra: &[u8]) -> Vec<u8> {
        let packed = u32::try_from(self.packed().len()).unwrap();
        let mut fields = Vec::new();
        fields.extend(self.flags.to_le_bytes());
        fields.extend(self.method.to_le_bytes());
        fields.extend([0; 4]);
        for number in [self.crc, packed, self.size] {
            fields.extend(number.to_le_bytes());
        }
        for length in [self.name.len(), extra.len()] {
            fields.extend(u16::try_from(length).unwrap().to_le_bytes());
        }
        fields
    }

    fn own(&self) -> Vec<u8> {
        let extra = self.own_extra.as_ref().unwrap_or(&self.extra);
        let mut header = [b"PK\x03\x04\x14\0".to_vec(), self.common(extra)].concat();
        change(&mut header, &self.own);
        [header, self.name.clone(), extra.clone(), self.packed(), self.descriptor.clone()].concat()
    }

    fn listed(&self, offset: usize) -> Vec<u8> {
        let mut header = [b"PK\x01\x02\x14\x03\x14\0".to_vec(), self.common(&self.extra), vec![0; 6]].concat();
        header.extend((u32::from(self.mode) << 16).to_le_bytes());
        header.extend(u32::try_from(offset).unwrap().to_le_bytes());
        change(&mut header, &self.listed);
        [header, self.name.clone(), self.extra.clone()].concat()
    }

    /// With sizes and checksum behind the content, and not before.
    fn streamed(mut self, mark: &[u8]) -> Self {
        self.flags |= 8;
        self.own.push((14, vec![0; 12]));
        let packed = u32::try_from(self.packed().len()).unwrap();
        let numbers = [self.crc, packed, self.size].map(u32::to_le_bytes).concat();
        self.descriptor = [mark, &numbers].concat();
        self
    }

    /// Size and packed size, and where the member begins, as zip64 has them.
    fn wide_numbers(&self, offset: u64) -> [u64; 3] {
        [u64::from(self.size), self.packed().len() as u64, offset]
    }
}

fn change(header: &mut [u8], changes: &[(usize, Vec<u8>)]) {
    for (at, bytes) in changes {
        header[*at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn end(members: usize, bytes: usize, at: usize, comment: &[u8]) -> Vec<u8> {
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    end.extend(u16::try_from(members).unwrap().to_le_bytes().repeat(2));
    for number in [bytes, at] {
        end.extend(u32::try_from(number).unwrap().to_le_bytes());
    }
    end.extend(u16::try_from(comment.len()).unwrap().to_le_bytes());
    [end, comment.to_vec()].concat()
}

fn zip_with(members: &[Made], comment: &[u8]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        directory.extend(member.listed(file.len()));
        file.extend(member.own());
    }
    let at = file.len();
    [file, directory.clone(), end(members.len(), directory.len(), at, comment)].concat()
}

fn zip(members: &[Made]) -> Vec<u8> {
    zip_with(members, b"")
}

fn good() -> Vec<Made> {
    let mut stored = made("app/stored", b"as it is");
    stored.method = 0;
    let mut link = made("app/l", b"stored");
    link.mode = 0o120_777;
    let folder = made("app/", b"");
    let text = made("app/app_desc.yaml", DESCRIPTION.as_bytes());
    let streamed = made("app/s1", &[7; 5000]).streamed(b"PK\x07\x08");
    vec![folder, text, stored, link, streamed, made("app/s2", b"x").streamed(b"")]
}

/// So many members of the same content.
pub(crate) fn repeated(content: &[u8], members: usize) -> Vec<u8> {
    let one = made("", content);
    let one = Made { packed: Some(one.packed()), content: Vec::new(), ..one };
    zip(&(0..members).map(|n| Made { name: n.to_string().into(), ..one.clone() }).collect::<Vec<_>>())
}

pub(crate) fn good_zip() -> Vec<u8> {
    zip(&good())
}

fn format_error(error: FormatError, archive: &[u8]) {
    refuses(archive, Format::Zip, error);
}

fn refuses_last(error: MemberError, member: Made) {
    let name = String::from_utf8(member.name.clone()).unwrap();
    let mut members = good();
    members.push(member);
    refuses_member(&zip(&members), &name, error);
}

#[test]
fn a_good_zip_is_read() {
    let package = judge(&good_zip()).unwrap();
    assert_eq!(package.format, Format::Zip);
    assert_eq!(package.relative_path, "app/");
    assert_eq!(package.version.unwrap().as_str(), "0.0.5");
    assert_eq!(package.entries, 6);
    assert_eq!(package.unpacked_bytes, (DESCRIPTION.len() + 8 + 6 + 5000 + 1) as u64);
    assert!(judge(&zip_with(&good(), b"a comment")).is_ok());
    let mut shuffled = good_zip();
    // The order of the directory does not matter.
    let (members, mut directory, mut offset) = (good(), Vec::new(), 0);
    for member in &members {
        directory.insert(0, member.listed(offset));
        offset += member.own().len();
    }
    let directory = directory.concat();
    shuffled.truncate(offset);
    shuffled.extend(directory.iter().chain(&end(members.len(), directory.len(), offset, b"")));
    assert!(judge(&shuffled).is_ok());
}

#[test]
fn hostile_names_are_refused() {
    refuses_last(MemberError::Absolute, made("/etc/passwd", b"x"));
    refuses_last(MemberError::Parent, made("a/../../x", b"x"));
    refuses_last(MemberError::Backslash, made("..\\x", b"x"));
    refuses_last(MemberError::ControlCharacter, made("a\0b", b"x"));
    refuses_last(MemberError::Nameless, made("", b"x"));
    refuses_last(MemberError::Duplicate, made("app/stored", b"x"));
    refuses_member(&zip(&[made("a", b"1"), made("./a", b"2")]), "a", MemberError::Duplicate);
    refuses_last(MemberError::NotInFolder, made("app/l/x", b"x"));
    refuses_last(MemberError::KindMismatch, made("full/", b"x"));
    refuses_last(MemberError::DescriptionNotAFile, made("app_desc.yaml/", b""));
}

#[test]
fn links_and_special_files_are_judged_by_their_mode() {
    let with_mode = |mode: u16, content: &[u8]| Made { mode, ..made("m", content) };
    let target = MemberName::new(b"../x");
    refuses_last(MemberError::LinkOut { target }, with_mode(0o120_777, b"../x"));
    let long = Limits::default().max_path_bytes;
    assert!(judge(&zip(&[with_mode(0o120_777, "a/".repeat(long / 2).as_bytes())])).is_ok());
    refuses_last(MemberError::PathTooLong { limit_bytes: long }, with_mode(0o120_777, &vec![b'a'; long + 1]));
    for mode in [0o020_644, 0o060_644, 0o140_644] {
        refuses_last(MemberError::Special, with_mode(mode, b""));
    }
    refuses_last(MemberError::KindMismatch, with_mode(0o040_755, b""));
}

#[test]
fn encryption_and_other_methods_are_refused() {
    refuses_last(MemberError::Encrypted, Made { flags: 1, ..made("m", b"x") });
    refuses_last(MemberError::Special, Made { flags: 1 << 5, ..made("m", b"x") });
    refuses_last(MemberError::Method { method: 12 }, Made { method: 12, ..made("m", b"x") });
    refuses_last(MemberError::Method { method: 99 }, Made { method: 99, ..made("m", b"x") });
}

#[test]
fn the_directory_must_say_what_the_members_say() {
    // Flags, method, checksum, sizes, in either place; and the name.
    for (own, listed, bytes) in [(6, 8, 2), (8, 10, 2), (14, 16, 4), (18, 20, 4), (22, 24, 4)] {
        let mut member = made("m", b"content");
        member.own.push((own, vec![2; bytes]));
        refuses_last(MemberError::Disagrees, member);
        // An entry that the directory gives differently may also be no entry at all.
        let mut member = made("m", b"content");
        member.listed.push((listed, vec![2; bytes]));
        assert!(judge(&zip(&[member])).is_err());
    }
    let (mut archive, name) = (zip(&[made("name-a", b"x")]), b"name-a");
    let at = archive.windows(name.len()).position(|window| window == name).unwrap();
    archive[at..at + name.len()].copy_from_slice(b"name-b");
    refuses_member(&archive, "name-a", MemberError::Disagrees);
}

/// The extra field with a name in UTF-8, made for this name.
fn unicode_path(made_for: &[u8], path: &str) -> Vec<u8> {
    let length = u16::try_from(5 + path.len()).unwrap().to_le_bytes();
    [&[0x75, 0x70][..], &length, &[1], &crc(made_for).to_le_bytes(), path.as_bytes()].concat()
}

/// A member with a name in GBK, or what is left of it, and in UTF-8.
fn with_path(name: &[u8], path: &str) -> Made {
    Made { name: name.to_vec(), extra: unicode_path(name, path), ..made("", b"x") }
}

#[test]
fn a_name_in_utf8_counts_if_it_is_the_same_name() {
    let gbk = b"app\xd4\xb4\xc2\xeb/\xd4\xb4.py";
    let path = "app\u{6e90}\u{7801}/\u{6e90}.py";
    assert_eq!(judge(&zip(&[with_path(gbk, path)])).unwrap().entries, 3);
    // What cannot be said in the old characters is lost.
    assert!(judge(&zip(&[with_path(b"__.py", "\u{6e90}\u{7801}.py")])).is_ok());
    let described = Made {
        content: DESCRIPTION.as_bytes().to_vec(),
        crc: crc(DESCRIPTION.as_bytes()),
        ..with_path(b"\xd4\xb4/app_desc.yaml", "\u{6e90}/app_desc.yaml")
    };
    let package = judge(&zip(&[Made { size: DESCRIPTION.len() as u32, ..described }])).unwrap();
    assert_eq!((package.relative_path.as_str(), package.version.unwrap().as_str()), ("\u{6e90}/", "0.0.5"));
    // Both names are taken.
    refuses_member(&zip(&[with_path(b"_.py", "\u{6e90}.py"), made("_.py", b"x")]), "_.py", MemberError::Duplicate);
    refuses_member(
        &zip(&[with_path(b"_.py", "\u{6e90}.py"), made("\u{6e90}.py", b"x")]),
        "\u{6e90}.py",
        MemberError::Duplicate,
    );
    // The same name once more says nothing, whatever its checksum.
    assert!(judge(&zip(&[Made { extra: unicode_path(b"other", "m"), ..made("m", b"x") }])).is_ok());
}

#[test]
fn a_name_in_utf8_that_is_another_one_is_refused() {
    let refused = |member: Made| {
        let judged = judge(&zip(&[member]));
        assert!(matches!(&judged, Err(ArchiveError::Member { error: MemberError::OtherName, .. })), "{judged:?}");
    };
    for (name, path) in [
        (&b"m"[..], "../n"),
        (b"a.py", "b.py"),
        (b"\xd4\xb4/a.py", "\u{6e90}/b.py"),
        (b"\xd4\xb4", "\u{6e90}/b.py"),
        (b"\xd4\xb4/", "\u{6e90}"),
        (b"app_desc.yaml", "\u{6e90}.yaml"),
        (b"\xd4\xb4.yaml", "app_desc.yaml"),
        // A part that is none for some readers and a folder for others.
        (b"./l", "\u{6e90}/l"),
        (b"a//l", "a/\u{6e90}/l"),
        (b"./app_desc.yaml", "\u{6e90}/app_desc.yaml"),
    ] {
        refused(with_path(name, path));
    }
    let good = with_path(b"\xd4\xb4", "\u{6e90}");
    // Made for another name, of another version, no text, only in one of the two headers.
    refused(Made { extra: unicode_path(b"\xd4", "\u{6e90}"), ..good.clone() });
    let spoilt = |at: usize, byte: u8| {
        let mut extra = good.extra.clone();
        extra[at] = byte;
        Made { extra, ..good.clone() }
    };
    refused(spoilt(4, 2));
    refused(spoilt(9, 0xff));
    refused(Made { own_extra: Some(Vec::new()), ..good.clone() });
    refused(Made { own_extra: Some(good.extra.clone()), extra: Vec::new(), ..good.clone() });
    let twice = zip(&[Made { extra: good.extra.repeat(2), ..good }]);
    assert!(matches!(judge(&twice), Err(ArchiveError::Format { error: FormatError::Header { .. }, .. })));
}

#[test]
fn extra_fields_may_be_padded_but_not_be_cut() {
    for extra in [vec![0], vec![1, 2, 3], vec![0; 10], [vec![9, 9, 1, 0, 7], vec![0; 3]].concat()] {
        assert!(judge(&zip(&[Made { extra, ..made("m", b"x") }])).is_ok());
    }
    let damaged = zip(&[Made { extra: vec![9, 9, 1, 0], ..made("m", b"x") }]);
    assert!(matches!(judge(&damaged), Err(ArchiveError::Format { error: FormatError::Header { .. }, .. })));
}

#[test]
fn a_refused_method_is_called_by_its_name() {
    for (method, words) in [
        (9, "m: it is packed by Deflate64 (method 9), as Windows Explorer and 7-Zip may; pack it with Deflate"),
        (12, "m: it is packed by bzip2 (method 12), as `zip -Z bzip2` and 7-Zip may; pack it with Deflate"),
        (77, "m: it is packed by method 77, which is not known here; pack it with Deflate"),
    ] {
        assert_eq!(judge(&zip(&[Made { method, ..made("m", b"x") }])).unwrap_err().to_string(), words);
    }
}

#[test]
fn a_folder_twice_is_one_folder_and_a_byte_of_a_character_no_backslash() {
    assert_eq!(judge(&zip(&[made("d/", b""), made("d/a", b"x"), made("d/", b"")])).unwrap().entries, 3);
    assert!(judge(&zip(&[Made { name: b"\x83\x5c\x81\x5b.txt".to_vec(), ..made("", b"x") }])).is_ok());
}

#[test]
fn zeros_behind_the_end_are_padding() {
    for archive in [good_zip(), zip_with(&good(), b"a comment"), wide_zip(&good())] {
        assert_eq!(judge(&[archive.clone(), vec![0; 10_000]].concat()), judge(&archive));
        format_error(FormatError::NoDirectory, &[archive.clone(), vec![0; 10_000], vec![1]].concat());
        // So far back nobody looks for it.
        format_error(FormatError::NoDirectory, &[archive, vec![0; 1 << 17]].concat());
    }
}

#[test]
fn descriptors_must_be_right() {
    for mark in [&b"PK\x07\x08"[..], b""] {
        let mut member = made("m", b"content").streamed(mark);
        let last = member.descriptor.len() - 1;
        member.descriptor[last] ^= 1;
        refuses_last(MemberError::Disagrees, member);
    }
    let mut member = made("m", b"content").streamed(b"");
    member.descriptor.truncate(11);
    assert!(judge(&zip(&[member])).is_err());
}

#[test]
fn numbers_that_come_later_may_be_left_out_but_not_be_others() {
    // Info-ZIP in a pipe knows the size before, the rest afterwards.
    let mut member = made("m", b"content").streamed(b"PK\x07\x08");
    member.own.push((22, 7_u32.to_le_bytes().to_vec()));
    assert!(judge(&zip(&[member.clone()])).is_ok());
    member.own.push((22, 8_u32.to_le_bytes().to_vec()));
    refuses_last(MemberError::Disagrees, member);
    let mut member = made("m", b"content");
    member.own.push((14, vec![0; 12]));
    refuses_last(MemberError::Disagrees, member);
}

#[test]
fn a_stored_member_has_no_end_within_it_for_readers_of_a_stream() {
    let mark = b"PK\x07\x08";
    let stored = |content: &[u8]| Made { method: 0, ..made("m", content) }.streamed(mark);
    let first = [&mark[..], &crc(b"").to_le_bytes(), b"more"].concat();
    refuses_last(MemberError::FalseEnd, stored(&first));
    let later = [b"some", &mark[..], &crc(b"some").to_le_bytes()].concat();
    refuses_last(MemberError::FalseEnd, stored(&later));
    // The mark alone is none, and neither is one where the reader knows the length or finds the end in the data.
    assert!(judge(&zip(&[stored(&[&mark[..], b"more than that"].concat())])).is_ok());
    assert!(judge(&zip(&[Made { method: 0, ..made("m", &first) }])).is_ok());
    assert!(judge(&zip(&[made("m", &first).streamed(mark)])).is_ok());
}

#[test]
fn contents_are_what_the_headers_say() {
    for lie in [0, 6, 8, 1000] {
        refuses_last(MemberError::Corrupt, Made { size: lie, ..made("m", b"content") });
        refuses_last(MemberError::Corrupt, Made { size: lie, method: 0, ..made("m", b"content") });
    }
    refuses_last(MemberError::Corrupt, Made { crc: 1, ..made("m", b"content") });
    refuses_last(MemberError::Corrupt, Made { packed: Some(b"\xff\xff".to_vec()), ..made("m", b"content") });
    let packed = made("m", b"content").packed();
    let cut = Some(packed[..packed.len() - 1].to_vec());
    refuses_last(MemberError::Corrupt, Made { packed: cut, ..made("m", b"content") });
    // Something between the end of the data and the end of the member.
    let more = Some([packed, b"more".to_vec()].concat());
    refuses_last(MemberError::Corrupt, Made { packed: more, ..made("m", b"content") });
}

#[test]
fn members_do_not_overlap_and_leave_no_gap_between_them() {
    let (first, second) = (made("a", b"1"), made("b", b"2"));
    let file = [first.own(), second.own()].concat();
    let with_offsets = |one: usize, two: usize, file: &[u8]| {
        let directory = [first.listed(one), second.listed(two)].concat();
        [file, &directory, &end(2, directory.len(), file.len(), b"")].concat()
    };
    let at = first.own().len();
    assert!(judge(&with_offsets(0, at, &file)).is_ok());
    refuses_member(&with_offsets(0, 0, &file), "b", MemberError::Overlaps);
    refuses_member(&with_offsets(0, at - 1, &file), "b", MemberError::Overlaps);
    let gap = [first.own(), b"hidden".to_vec(), second.own()].concat();
    format_error(FormatError::Gap { at: at as u64 }, &with_offsets(0, at + 6, &gap));
    let behind = [file.clone(), b"hidden".to_vec()].concat();
    format_error(FormatError::Gap { at: file.len() as u64 }, &with_offsets(0, at, &behind));
    // One entry, two members.
    let directory = first.listed(0);
    let hidden = [file.clone(), directory.clone(), end(1, directory.len(), file.len(), b"")].concat();
    format_error(FormatError::Gap { at: at as u64 }, &hidden);
}

#[test]
fn nothing_stands_before_or_behind_or_in_between() {
    let archive = good_zip();
    let shifted = [made("stub", b"").own(), archive.clone()].concat();
    assert!(matches!(judge(&shifted), Err(ArchiveError::Format { error: FormatError::Gap { .. }, .. })));
    format_error(FormatError::NoDirectory, &[archive.clone(), b"x".to_vec()].concat());
    // Two archives one after the other: only one of them is found.
    assert!(matches!(judge(&[archive.clone(), archive.clone()].concat()), Err(ArchiveError::Format { .. })));
    let hidden_end = zip_with(&good(), &end(0, 0, 0, b""));
    assert!(judge(&hidden_end).is_err());
    let member = made("m", b"x");
    let (own, listed) = (member.own(), member.listed(0));
    let between = [own.clone(), listed.clone(), b"hidden".to_vec(), end(1, listed.len(), own.len(), b"")].concat();
    format_error(FormatError::Gap { at: (own.len() + listed.len()) as u64 }, &between);
    let inside = [own.clone(), listed.clone(), b"hide".to_vec(), end(1, listed.len() + 4, own.len(), b"")].concat();
    format_error(FormatError::Gap { at: (own.len() + listed.len()) as u64 }, &inside);
}

/// The extra field of zip64 with these numbers.
fn zip64(numbers: &[u64]) -> Vec<u8> {
    let length = u16::try_from(numbers.len() * 8).unwrap().to_le_bytes();
    [vec![1, 0], length.to_vec(), numbers.iter().flat_map(|number| number.to_le_bytes()).collect()].concat()
}

/// The ends of an archive whose directory is there: of zip64, what leads to it, and the usual one with all its numbers
/// cut off.
fn wide_end(members: usize, bytes: usize, at: usize) -> Vec<u8> {
    let mut wide = [b"PK\x06\x06".to_vec(), 44_u64.to_le_bytes().to_vec(), vec![45, 0, 45, 0], vec![0; 8]].concat();
    for number in [members, members, bytes, at] {
        wide.extend((number as u64).to_le_bytes());
    }
    let locator =
        [b"PK\x06\x07\0\0\0\0".to_vec(), ((at + bytes) as u64).to_le_bytes().to_vec(), vec![1, 0, 0, 0]].concat();
    let usual = [b"PK\x05\x06\0\0\0\0".to_vec(), vec![0xff; 12], vec![0, 0]].concat();
    [wide, locator, usual].concat()
}

fn wide_zip(members: &[Made]) -> Vec<u8> {
    let usual = zip(members);
    let number = |at: usize| u32::from_le_bytes(usual[usual.len() - at..][..4].try_into().unwrap()) as usize;
    let (bytes, at) = (number(10), number(6));
    [usual[..usual.len() - 22].to_vec(), wide_end(members.len(), bytes, at)].concat()
}

#[test]
fn sizes_of_zip64_are_read_wherever_they_stand() {
    let plain = made("m", b"content");
    let [size, packed, offset] = plain.wide_numbers(0);
    let cut = |at: usize, numbers: usize| vec![(at, vec![0xff; 4 * numbers])];
    // Before the content, as who does not know the size beforehand leaves space for it.
    let before = Made { own_extra: Some(zip64(&[size, packed])), own: cut(18, 2), ..plain.clone() };
    // In the directory, with the place or without.
    let both = Made { extra: zip64(&[size, packed]), own: cut(18, 2), listed: cut(20, 2), ..plain.clone() };
    let listed = [(20, vec![0xff; 8]), (42, vec![0xff; 4])].to_vec();
    let with_place =
        Made { extra: zip64(&[size, packed, offset]), own_extra: Some(Vec::new()), listed, ..plain.clone() };
    let place = Made { extra: zip64(&[offset]), own_extra: Some(Vec::new()), listed: cut(42, 1), ..plain.clone() };
    // Where they do not have to be.
    let needless = Made { extra: zip64(&[size, packed]), ..plain.clone() };
    for member in [before, both, with_place, place, needless] {
        let package = judge(&zip(std::slice::from_ref(&member))).unwrap();
        assert_eq!((package.entries, package.unpacked_bytes), (1, 7), "{member:?}");
        assert_eq!(judge(&wide_zip(&[member])), Ok(package));
    }
}

#[test]
fn descriptors_of_zip64_are_read_with_a_mark_or_without() {
    for mark in [&b"PK\x07\x08"[..], b""] {
        for own_sizes in [[0xff; 8], [0; 8]] {
            let mut member = made("m", b"content").streamed(mark);
            let [size, packed, _] = member.wide_numbers(0);
            member.own.push((18, own_sizes.to_vec()));
            member.own_extra = (own_sizes == [0xff; 8]).then(|| zip64(&[0, 0]));
            let numbers = [packed.to_le_bytes(), size.to_le_bytes()].concat();
            member.descriptor = [mark, &member.crc.to_le_bytes(), &numbers].concat();
            let next = made("n", b"x");
            assert_eq!(judge(&zip(&[member.clone(), next.clone()])).unwrap().unpacked_bytes, 8);
            let last = member.descriptor.len() - 1;
            member.descriptor[last] = 1;
            refuses_member(&zip(&[member, next]), "m", MemberError::Disagrees);
        }
    }
}

#[test]
fn sizes_of_zip64_that_are_left_open_come_later() {
    for own_sizes in [[0xff; 8], [0; 8]] {
        let mut member = made("m", b"content").streamed(b"PK\x07\x08");
        let [size, packed, _] = member.wide_numbers(0);
        member.own.push((18, own_sizes.to_vec()));
        member.own_extra = Some(zip64(&[u64::MAX; 2]));
        member.descriptor =
            [&b"PK\x07\x08"[..], &member.crc.to_le_bytes(), &[packed.to_le_bytes(), size.to_le_bytes()].concat()]
                .concat();
        assert_eq!(judge(&zip(std::slice::from_ref(&member))).unwrap().unpacked_bytes, 7);
        // One of them said is said wrongly, and where nothing comes later they must be there.
        let half = Made { own: vec![(14, vec![0; 12]), (18, vec![8, 0, 0, 0])], ..member.clone() };
        refuses_last(MemberError::Disagrees, half);
        let never = Made { flags: 0, descriptor: Vec::new(), ..member };
        refuses_last(MemberError::Disagrees, never);
    }
}

#[test]
fn numbers_of_zip64_that_readers_take_differently_are_refused() {
    let plain = made("m", b"content");
    let [size, packed, _] = plain.wide_numbers(0);
    let cut = vec![(20, vec![0xff; 8])];
    for numbers in [&[size][..], &[packed, size], &[size, packed, 9], &[size + 1, packed], &[]] {
        refuses_last(
            MemberError::Disagrees,
            Made { extra: zip64(numbers), own_extra: Some(vec![]), listed: cut.clone(), ..plain.clone() },
        );
    }
    // Some take what is there although the header has space for it.
    for numbers in [&[size + 1][..], &[size, packed + 1], &[size, packed, 9]] {
        refuses_last(MemberError::Disagrees, Made { extra: zip64(numbers), own_extra: Some(vec![]), ..plain.clone() });
        refuses_last(MemberError::Disagrees, Made { own_extra: Some(zip64(numbers)), ..plain.clone() });
    }
    let twice = [zip64(&[size, packed]), zip64(&[size, packed])].concat();
    let judged = judge(&zip(&[Made { extra: twice, ..plain.clone() }]));
    assert!(matches!(judged, Err(ArchiveError::Format { error: FormatError::Header { .. }, .. })));
    // No field, although the header says so.
    let listed = vec![(20, vec![0xff; 4])];
    assert!(judge(&zip(&[Made { listed, ..plain }])).is_err());
}

#[test]
fn the_ends_of_zip64_must_say_the_same() {
    let members = good();
    let archive = wide_zip(&members);
    let package = judge(&good_zip()).unwrap();
    assert_eq!(judge(&archive), Ok(package.clone()));
    let (usual, locator, wide) = (archive.len() - 22, archive.len() - 42, archive.len() - 98);
    // The usual end may have its numbers as well, as Info-ZIP writes them.
    let mut full = archive.clone();
    full[usual..].copy_from_slice(&good_zip()[good_zip().len() - 22..]);
    assert_eq!(judge(&full), Ok(package));
    for (at, byte, error) in [
        (usual + 8, 7, FormatError::Split),
        (usual + 12, 1, FormatError::NoDirectory),
        (usual + 16, 1, FormatError::NoDirectory),
        (locator + 4, 1, FormatError::Split),
        (locator + 8, 1, FormatError::NoDirectory),
        (locator + 16, 2, FormatError::Split),
        (wide, 0, FormatError::NoDirectory),
        (wide + 4, 45, FormatError::NoDirectory),
        (wide + 16, 1, FormatError::Split),
        (wide + 24, 1, FormatError::Split),
        (wide + 55, 0x80, FormatError::NoDirectory),
    ] {
        let mut bad = archive.clone();
        bad[at] = byte;
        format_error(error, &bad);
    }
    // What leads nowhere, and a record that nothing leads to.
    let leads_nowhere = [&archive[..wide], &archive[locator..]].concat();
    assert!(judge(&leads_nowhere).is_err());
    let nothing_leads = [&archive[..locator], &archive[usual..]].concat();
    assert!(judge(&nothing_leads).is_err());
}

#[test]
fn more_members_than_the_usual_end_can_count_are_read() {
    let one = made("", b"x");
    let one = Made { packed: Some(one.packed()), content: Vec::new(), ..one };
    let members: Vec<_> = (0..70_000).map(|n| Made { name: n.to_string().into(), ..one.clone() }).collect();
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for member in &members {
        directory.extend(member.listed(file.len()));
        file.extend(member.own());
    }
    let end = wide_end(members.len(), directory.len(), file.len());
    let archive = [file, directory, end].concat();
    let judged = |limits: &Limits| in_pieces(&archive, 1 << 20, limits).map(|package| package.entries);
    assert_eq!(judged(&Limits::default()), Ok(70_000));
    let limits = Limits { max_entries: 69_999, ..Limits::default() };
    assert_eq!(judged(&limits), Err(ArchiveError::LimitExceeded(Limit::Entries { limit: 69_999 })));
    // As many as it just can count need no zip64.
    assert_eq!(in_pieces(&repeated(b"x", 65_535), 1 << 20, &Limits::default()).unwrap().entries, 65_535);
}

#[test]
fn what_was_packed_from_a_pipe_is_a_file() {
    let mut member = made("-", b"content");
    member.mode = 0o010_600;
    assert_eq!(judge(&zip(&[member])).unwrap().unpacked_bytes, 7);
}

#[test]
fn split_and_empty_zips_are_refused() {
    let mut split = good_zip();
    let at = split.len() - 22;
    split[at + 4] = 1;
    format_error(FormatError::Split, &split);
    format_error(FormatError::Empty, &zip(&[]));
    for position in [12, 16] {
        let mut bad = good_zip();
        bad[at + position..at + position + 4].fill(0xff);
        format_error(FormatError::NoDirectory, &bad);
    }
}

#[test]
fn what_is_cut_off_anywhere_is_refused() {
    let archive = zip_with(&good(), b"comment");
    for length in 0..archive.len() {
        assert!(in_pieces(&archive[..length], usize::MAX, &Limits::default()).is_err(), "at {length}");
    }
}

#[test]
fn limits_count_what_comes_out() {
    let (members, size) = (good(), judge(&good_zip()).unwrap().unpacked_bytes);
    let judged = |limits: Limits| judge_with(&zip(&members), &limits).map(|package| package.unpacked_bytes);
    let bytes = |max_unpacked_bytes| judged(Limits { max_unpacked_bytes, ..Limits::default() });
    assert_eq!((bytes(size + 1), bytes(size)), (Ok(size), Ok(size)));
    assert_eq!(bytes(size - 1), Err(ArchiveError::LimitExceeded(Limit::UnpackedBytes { limit: size - 1 })));
    let entries = |max_entries| judged(Limits { max_entries, ..Limits::default() });
    assert_eq!((entries(7), entries(6)), (Ok(size), Ok(size)));
    assert_eq!(entries(5), Err(ArchiveError::LimitExceeded(Limit::Entries { limit: 5 })));
}

#[test]
fn bombs_are_refused_by_their_ratio_whatever_they_say_of_themselves() {
    let zeros = vec![0; 48 << 20];
    let bomb = made("zeros", &zeros);
    let over = Err(ArchiveError::LimitExceeded(Limit::Ratio { limit: 100 }));
    let judged = |members: &[Made]| inspect_zip(&mut Cursor::new(zip(members)), &Limits::default(), &mut Unmetered);
    assert_eq!(judged(std::slice::from_ref(&bomb)), over);
    // One that says it is small is caught at the size that it says.
    let error = MemberError::Corrupt;
    assert_eq!(judged(&[Made { size: 10, ..bomb }]), Err(ArchiveError::for_member(b"zeros", error)));
    // Many small ones are one bomb.
    let part = made("part", &zeros[..4 << 20]);
    let parts: Vec<_> = (0..9_u8).map(|n| Made { name: vec![b'a' + n], ..part.clone() }).collect();
    assert_eq!(judged(&parts), over);
    assert!(judged(&parts[..8]).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_no_fault_of_the_package() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    impl std::io::Seek for Failing {
        fn seek(&mut self, _: std::io::SeekFrom) -> std::io::Result<u64> {
            Ok(100)
        }
    }
    let refused = inspect_zip(&mut Failing, &Limits::default(), &mut Unmetered);
    assert_eq!(refused, Err(ArchiveError::Io(std::io::ErrorKind::PermissionDenied)));
}
