//! Every trick that a tar knows.

use crate::testing::*;
use crate::{ArchiveError, Format, FormatError, Limits, MemberError, MemberName};

fn broken(error: FormatError, archive: &[u8]) {
    refuses(archive, Format::Tar, error);
}

fn member_refused(name: &str, error: MemberError, members: &[Vec<u8>]) {
    refuses_member(&tar(members), name, error);
}

#[test]
fn paths_that_lead_elsewhere_are_refused_by_name() {
    for (name, error) in [
        ("/etc/passwd", MemberError::Absolute),
        ("../x", MemberError::Parent),
        ("a/../../x", MemberError::Parent),
        ("a\\..\\x", MemberError::Backslash),
        ("a\x01b", MemberError::ControlCharacter),
    ] {
        member_refused(name, error.clone(), &[file(name, "x")]);
        // The same by the longer ways.
        member_refused(name, error.clone(), &[pax(b'x', &[("path", name)]), file("ok", "x")]);
        let gnu = member("././@LongLink", b'L', format!("{name}\0").as_bytes());
        member_refused(name, error.clone(), &[gnu, file("ok", "x")]);
        member_refused(&format!("{name}/"), error, &[folder(&format!("{name}/"))]);
    }
    member_refused("a\0b", MemberError::ControlCharacter, &[pax(b'x', &[("path", "a\0b")]), file("ok", "x")]);
    member_refused("", MemberError::Nameless, &[file("", "x")]);
}

#[test]
fn a_prefix_is_part_of_the_name() {
    let mut block = header(b"name", b'0', b"", 0);
    block[345..348].copy_from_slice(b"../");
    member_refused("..//name", MemberError::Parent, &[with_checksum(block.clone())]);
    // GNU has no prefix, but some read one.
    block[257..265].copy_from_slice(b"ustar  \0");
    broken(FormatError::Header { at: 0 }, &tar(&[with_checksum(block)]));
}

#[test]
fn the_same_name_twice_is_refused_however_it_is_spelt() {
    for (first, second) in [("a", "a"), ("a", "./a"), ("x/a", "x//a"), ("x/a", "x/./a")] {
        let name = second.replace("./", "").replace("//", "/");
        member_refused(&name, MemberError::Duplicate, &[file(first, "1"), file(second, "2")]);
    }
    member_refused("a", MemberError::Duplicate, &[folder("a/"), folder("./a")]);
    member_refused("a", MemberError::Duplicate, &[file("a", "x"), folder("a/")]);
    member_refused("a", MemberError::Duplicate, &[file("a/b", "x"), file("a", "x")]);
    member_refused("a/b", MemberError::NotInFolder, &[file("a", "x"), file("a/b", "x")]);
}

#[test]
fn links_stay_in_the_package() {
    let out = |target: &str| MemberError::LinkOut { target: MemberName::new(target.as_bytes()) };
    for target in ["/etc/passwd", "../x", "b/../../x", "b/../x"] {
        member_refused("l", out(target), &[link("l", b'2', target)]);
        let by_pax = [pax(b'x', &[("linkpath", target)]), link("l", b'2', "ok")];
        member_refused("l", out(target), &by_pax);
        let by_gnu = [member("././@LongLink", b'K', format!("{target}\0").as_bytes()), link("l", b'2', "ok")];
        member_refused("l", out(target), &by_gnu);
    }
    assert!(judge(&tar(&[link("a/b/l", b'2', "../../x"), link("a/m", b'2', "../later"), file("later", "")])).is_ok());
    member_refused("a/b/l", out("../../../x"), &[link("a/b/l", b'2', "../../../x")]);
    // Through a link, in either order.
    member_refused("l/x", MemberError::NotInFolder, &[link("l", b'2', "d"), file("l/x", "x")]);
    member_refused("l", MemberError::Duplicate, &[file("l/x", "x"), link("l", b'2', "d")]);
}

#[test]
fn hard_links_lead_to_files_that_came_before() {
    let nothing = |target: &str| MemberError::LinkToNothing { target: MemberName::new(target.as_bytes()) };
    assert!(judge(&tar(&[file("a", "x"), link("b", b'1', "./a"), link("c", b'1', "b")])).is_ok());
    for target in ["/etc/passwd", "../x", "none", "d", "s"] {
        let members = [folder("d/"), file("a", "x"), link("s", b'2', "a"), link("h", b'1', target)];
        member_refused("h", nothing(target), &members);
    }
    member_refused("h", nothing("a"), &[link("h", b'1', "a"), file("a", "x")]);
}

#[test]
fn special_members_are_refused() {
    for flag in [b'3', b'4', b'6', b'7', b'S', b'D', b'M', b'V', b'N', b'X', b'A', b'9', 0xff] {
        member_refused("dev", MemberError::Special, &[member("dev", flag, b"")]);
    }
}

#[test]
fn kinds_and_contents_must_fit() {
    for flag in [b'1', b'2', b'5'] {
        let members = [file("a", "x"), header(b"b", flag, b"a", 512), vec![0; 512]];
        member_refused("b", MemberError::KindMismatch, &members);
    }
    member_refused("a/", MemberError::KindMismatch, &[file("a/", "")]);
    assert!(judge(&tar(&[member("old", 0, b"x")])).is_ok());
}

#[test]
fn the_description_is_a_plain_file() {
    for bad in [folder("x/app_desc.yaml/"), link("app_desc.yml", b'2', "a"), link("app_desc.yml", b'1', "a")] {
        let refused = judge(&tar(&[file("a", "x"), bad])).unwrap_err();
        assert!(matches!(&refused, ArchiveError::Member { error: MemberError::DescriptionNotAFile, .. }), "{refused}");
    }
}

#[test]
fn wrong_checksums_and_damaged_headers_are_refused_with_their_place() {
    let mut archive = tar(&[file("a", "x"), file("b", "x")]);
    archive[1024] ^= 1;
    broken(FormatError::Checksum { at: 1024 }, &archive);
    archive[1024 + 257] ^= 1;
    broken(FormatError::Header { at: 1024 }, &archive);
    let mut block = header(b"a", b'0', b"", 0);
    block[263] = b'7';
    broken(FormatError::Header { at: 0 }, &tar(&[with_checksum(block)]));
    broken(FormatError::Truncated, &tar(&[file("a", "x")])[..300]);
    let mut block = header(b"a", b'0', b"", 0);
    block[124..136].copy_from_slice(b"-0000000001\0");
    broken(FormatError::Header { at: 0 }, &tar(&[with_checksum(block)]));
}

#[test]
fn binary_sizes_are_read_and_absurd_ones_refused() {
    let sized = |size: [u8; 8]| {
        let mut block = header(b"a", b'0', b"", 0);
        block[124..136].fill(0);
        block[124] = 0x80;
        block[128..136].copy_from_slice(&size);
        with_checksum(block)
    };
    assert!(judge(&tar(&[sized(600_u64.to_be_bytes()), vec![1; 1024]])).is_ok());
    broken(FormatError::Header { at: 0 }, &tar(&[sized(u64::MAX.to_be_bytes())]));
    broken(FormatError::Truncated, &tar(&[sized((i64::MAX as u64).to_be_bytes())]));
}

#[test]
fn the_end_is_two_blocks_of_zeros_and_then_nothing() {
    let members = file("a", "x");
    broken(FormatError::Truncated, &members);
    broken(FormatError::Truncated, &[members.clone(), vec![0; 512]].concat());
    broken(FormatError::Truncated, &[members.clone(), vec![0; 1023]].concat());
    assert!(judge(&[members.clone(), vec![0; 1024]].concat()).is_ok());
    assert!(judge(&[members.clone(), vec![0; 1025]].concat()).is_ok());
    broken(FormatError::TrailingData, &[tar(std::slice::from_ref(&members)), tar(&[file("b", "x")])].concat());
    // One block of zeros, and a second archive for those who go on reading.
    broken(FormatError::TrailingData, &[members.clone(), vec![0; 512], tar(&[file("b", "x")])].concat());
    broken(FormatError::TrailingData, &[tar(&[members]), vec![0; 99], vec![1]].concat());
}

#[test]
fn an_archive_without_members_is_refused() {
    refuses(&gz(&[0; 10_240]), Format::TarGz, FormatError::Empty);
    broken(FormatError::Empty, &tar(&[pax(b'g', &[("comment", "x")])]));
}

#[test]
fn extended_headers_that_can_be_read_in_two_ways_are_refused() {
    let long = member("././@LongLink", b'L', b"long\0");
    let second = [pax(b'x', &[("mtime", "1")]), pax(b'x', &[("path", "b")]), file("a", "x")];
    broken(FormatError::Extended { at: 1024 }, &tar(&second));
    broken(FormatError::Extended { at: 1024 }, &tar(&[long.clone(), pax(b'x', &[("path", "b")]), file("a", "x")]));
    broken(FormatError::Extended { at: 1024 }, &tar(&[long.clone(), long.clone(), file("a", "x")]));
    broken(FormatError::Extended { at: 0 }, &tar(&[pax(b'g', &[("path", "b")]), file("a", "x")]));
    broken(FormatError::Extended { at: 1024 }, &tar(&[long, pax(b'g', &[("comment", "b")]), file("a", "x")]));
    broken(FormatError::Extended { at: 0 }, &tar(&[pax(b'x', &[("GNU.sparse.name", "b")]), file("a", "x")]));
    // Nothing follows.
    broken(FormatError::Extended { at: 1024 }, &tar(&[pax(b'x', &[("path", "b")])]));
}

#[test]
fn a_size_in_two_places_must_be_the_same() {
    // Who ignores pax finds another member in the content.
    let hidden = file("hidden", "x");
    let smuggled = [pax(b'x', &[("size", "1024")]), header(b"a", b'0', b"", 0), hidden.clone()];
    broken(FormatError::Extended { at: 1024 }, &tar(&smuggled));
    assert!(judge(&tar(&[pax(b'x', &[("size", "1024")]), member("a", b'0', &hidden)])).is_ok());
}

#[test]
fn extended_headers_are_taken_up_to_their_limit() {
    let judged = |bytes: usize| {
        let fixed = format!("{bytes} comment=\n").len();
        let content = format!("{bytes} comment={}\n", "x".repeat(bytes - fixed));
        judge(&tar(&[member("pax", b'x', content.as_bytes()), file("a", "x")]))
    };
    let limit = Limits::MAX_EXTENDED_BYTES;
    assert!(judged(limit - 1).is_ok() && judged(limit).is_ok());
    let error = FormatError::Extended { at: 0 };
    assert_eq!(judged(limit + 1), Err(ArchiveError::Format { format: Format::Tar, error }));
}

#[test]
fn a_header_that_promises_more_than_comes_is_cut_off() {
    broken(FormatError::Truncated, &tar(&[header(b"a", b'0', b"", 1 << 30)]));
}
