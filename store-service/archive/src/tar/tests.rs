//! Every trick that a tar knows.

use crate::testing::*;
use crate::{ArchiveError, Format, FormatError, Limit, Limits, LooksLike, MemberError, MemberName};

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
    member_refused("a", MemberError::Duplicate, &[folder("a/"), file("./a", "x")]);
    member_refused("a", MemberError::Duplicate, &[file("a", "x"), folder("a/")]);
    member_refused("a", MemberError::Duplicate, &[file("a/b", "x"), file("a", "x")]);
    member_refused("a/b", MemberError::NotInFolder, &[file("a", "x"), file("a/b", "x")]);
}

#[test]
fn the_same_folder_twice_is_one_folder() {
    let members =
        [folder("./"), folder("./lib/"), file("./lib/x", "1"), folder("./"), folder("lib"), file("lib/y", "2")];
    assert_eq!(judge(&tar(&members)).unwrap().entries, 6);
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
    for flag in [b'3', b'4', b'6'] {
        member_refused("dev", MemberError::Special, &[member("dev", flag, b"")]);
    }
    for flag in [b'7', b'V', b'N', b'X', b'A', b'9', 0xff] {
        let error = MemberError::UnknownType { flag: char::from(flag) };
        member_refused("dev", error, &[file("a", "x"), member("dev", flag, b"")]);
    }
    member_refused("dev", MemberError::Incremental, &[member("dev", b'D', b"Yx\0\0")]);
    member_refused("dev", MemberError::Continued, &[member("dev", b'M', b"")]);
    // A map of holes is only where GNU's own format has it.
    broken(FormatError::Header { at: 0 }, &tar(&[member("dev", b'S', b"")]));
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
    archive[1024 + 257] ^= 2;
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
fn the_version_of_ustar_may_be_left_out() {
    for version in [b" \0", b"\0\0"] {
        let mut block = header(b"name", b'0', b"", 0);
        block[263..265].copy_from_slice(version);
        assert!(judge(&tar(&[with_checksum(block.clone())])).is_ok(), "{version:?}");
        // Some readers know no prefix then.
        block[345..348].copy_from_slice(b"pre");
        broken(FormatError::Header { at: 0 }, &tar(&[with_checksum(block)]));
    }
}

#[test]
fn a_prefix_that_reaches_into_the_times_of_star_is_refused() {
    let with_prefix = |bytes: usize, mark: &[u8; 4]| {
        let mut block = header(b"x", b'0', b"", 0);
        block[345..345 + bytes].fill(b'p');
        block[508..512].copy_from_slice(mark);
        tar(&[with_checksum(block)])
    };
    assert!(judge(&with_prefix(130, b"tar\0")).is_ok());
    assert!(judge(&with_prefix(131, b"\0\0\0\0")).is_ok());
    broken(FormatError::Header { at: 0 }, &with_prefix(131, b"tar\0"));
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
    broken(FormatError::Truncated, &members[..1000]);
    broken(FormatError::Truncated, &[members.clone(), vec![0; 1023]].concat());
    assert!(judge(&[members.clone(), vec![0; 1024]].concat()).unwrap().proves_whole);
    assert!(judge(&[members.clone(), vec![0; 1025]].concat()).is_ok());
    broken(FormatError::TrailingData, &[tar(std::slice::from_ref(&members)), tar(&[file("b", "x")])].concat());
    // One block of zeros, and a second archive for those who go on reading.
    broken(FormatError::TrailingData, &[members.clone(), vec![0; 512], tar(&[file("b", "x")])].concat());
    broken(FormatError::TrailingData, &[tar(&[members]), vec![0; 99], vec![1]].concat());
}

#[test]
fn an_end_may_be_missing_where_something_else_shows_that_nothing_is() {
    for zeros in [0, 512] {
        let cut = [file("a", "x"), vec![0; zeros]].concat();
        let package = judge(&cut).unwrap();
        assert_eq!((package.entries, package.proves_whole), (1, false));
        for (_, pack) in PACKERS {
            assert!(judge(&pack(&cut)).unwrap().proves_whole);
        }
    }
    // A member that is announced must come.
    broken(FormatError::Truncated, &pax(b'x', &[("path", "b")]));
    broken(FormatError::Truncated, &[file("a", "x"), member("././@LongLink", b'L', b"long\0")].concat());
    broken(FormatError::Empty, &pax(b'g', &[("comment", "x")]));
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
    broken(FormatError::Extended { at: 1024 }, &tar(&[pax(b'x', &[("GNU.sparse.name", "b")]), file("a", "x")]));
    broken(FormatError::Extended { at: 0 }, &tar(&[pax(b'x', &[("SCHILY.realsize", "1")]), file("a", "x")]));
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

#[test]
fn v7_is_told_by_its_checksum_and_its_numbers() {
    let content = [DESCRIPTION.as_bytes(), &[0; 512 - DESCRIPTION.len()]].concat();
    let description = [v7_header("p/app_desc.yaml", 0, "", DESCRIPTION.len() as u64), content].concat();
    let members = [
        v7_header("p/", 0, "", 0),
        description,
        v7_header("p/sub/", b'5', "", 0),
        v7_header("p/hard", b'1', "p/app_desc.yaml", 0),
        v7_header("p/soft", b'2', "hard", 0),
    ];
    for (format, archive) in [(Format::Tar, tar(&members)), (Format::TarGz, gz(&tar(&members)))] {
        let package = judge(&archive).unwrap();
        assert_eq!((package.format, package.relative_path.as_str(), package.entries), (format, "p/", 5));
        assert_eq!(package.version.unwrap().as_str(), "0.0.5");
    }
    // The sum of signed bytes, as old programs made it.
    let mut signed = v7_header("\u{e9}", 0, "", 0);
    let sum: i64 = signed
        .iter()
        .enumerate()
        .map(|(at, b)| if (148..156).contains(&at) { 32 } else { i64::from(b.cast_signed()) })
        .sum();
    signed[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(judge(&tar(&[signed])).is_ok());
    for spoil in [0..1, 100..101, 116..117, 136..137, 148..150] {
        let mut block = v7_header("name", 0, "", 0);
        block[spoil.clone()].fill(if spoil.start == 0 { 0 } else { b'x' });
        let block = if spoil.start == 148 { block } else { with_checksum(block) };
        let looks = LooksLike::Binary;
        assert_eq!(
            judge(&tar(std::slice::from_ref(&block))),
            Err(ArchiveError::Unsupported { looks, packed: None }),
            "{spoil:?}"
        );
        let packed = Some(Format::TarGz);
        assert_eq!(judge(&gz(&tar(&[block]))), Err(ArchiveError::Unsupported { looks, packed }), "{spoil:?}");
    }
    broken(FormatError::Header { at: 1024 }, &tar(&[file("a", "x"), vec![1; 512]]));
}

#[test]
fn a_v7_header_has_no_prefix_and_its_folders_nothing_in_them() {
    // Some readers take a prefix from any header.
    let mut block = v7_header("name", 0, "", 0);
    block[345..348].copy_from_slice(b"../");
    broken(FormatError::Header { at: 0 }, &tar(&[with_checksum(block)]));
    member_refused("p/", MemberError::KindMismatch, &[v7_header("p/", 0, "", 512), vec![0; 512]]);
    // A folder by its own name, a file by the longer one, or the other way round.
    let long = |name: &str| member("././@LongLink", b'L', format!("{name}\0").as_bytes());
    member_refused("p", MemberError::KindMismatch, &[long("p"), v7_header("p/", 0, "", 0)]);
    member_refused("p/", MemberError::KindMismatch, &[long("p/"), v7_header("p", 0, "", 0)]);
    assert!(judge(&tar(&[long("p/"), v7_header("q/", 0, "", 0)])).is_ok());
}

#[test]
fn the_name_of_an_archive_is_no_member() {
    let label = |name: &str| v7_header(name, b'V', "", 0);
    assert_eq!(judge(&tar(&[label("app"), folder("app/"), file("app/a", "x")])).unwrap().entries, 3);
    member_refused("../x", MemberError::Parent, &[label("../x"), file("a", "x")]);
    // An unpacker that does not know labels would make an empty description of it.
    member_refused("app_desc.yaml", MemberError::KindMismatch, &[label("app_desc.yaml"), file("a", "x")]);
    member_refused("app", MemberError::UnknownType { flag: 'V' }, &[file("a", "x"), label("app")]);
    broken(FormatError::Empty, &tar(&[label("app")]));
}

#[test]
fn incremental_backups_of_gnus_own_format_are_named() {
    let mut block = header(b"d/a", b'0', b"", 0);
    block[257..265].copy_from_slice(b"ustar  \0");
    block[345..357].copy_from_slice(b"15302627776\0");
    member_refused("d/a", MemberError::Incremental, &[with_checksum(block)]);
}

/// A member with holes, as pax has it in the records, or before its data.
fn pax_sparse(records: &[(&str, &str)], name: &str, content: &[u8]) -> Vec<u8> {
    let records: Vec<_> = records.iter().map(|(key, value)| (format!("GNU.sparse.{key}"), *value)).collect();
    let records: Vec<_> = records.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    [pax(b'x', &records), member(name, b'0', content)].concat()
}

fn text_map(map: &str, data: &[u8]) -> Vec<u8> {
    let mut content = map.as_bytes().to_vec();
    content.resize(content.len().next_multiple_of(512), 0);
    [content, data.to_vec()].concat()
}

/// A member with holes in GNU's own format: the entries in its header, and blocks of further ones.
fn gnu_sparse(name: &str, size: u64, entries: &[(u64, u64)], data: &[u8]) -> Vec<u8> {
    let numbers = |(offset, bytes): &(u64, u64)| format!("{offset:011o}\0{bytes:011o}\0").into_bytes();
    let (first, rest) = entries.split_at(entries.len().min(4));
    let mut block = header(name.as_bytes(), b'S', b"", data.len() as u64);
    block[257..265].copy_from_slice(b"ustar  \0");
    let map = first.iter().flat_map(numbers).collect::<Vec<_>>();
    block[386..386 + map.len()].copy_from_slice(&map);
    block[482] = u8::from(!rest.is_empty());
    block[483..495].copy_from_slice(format!("{size:011o}\0").as_bytes());
    let mut all = with_checksum(block);
    let blocks = rest.chunks(21).collect::<Vec<_>>();
    for (at, entries) in blocks.iter().enumerate() {
        let mut block = entries.iter().flat_map(numbers).collect::<Vec<_>>();
        block.resize(512, 0);
        block[504] = u8::from(at + 1 < blocks.len());
        all.extend(block);
    }
    all.extend(data);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

const HOLES: u64 = 3 << 20;

/// Each way to write down a file of 3 MiB of holes, and four bytes before their end.
fn sparse_files() -> Vec<(&'static str, Vec<u8>)> {
    let (size, at) = ((HOLES + 4).to_string(), (HOLES - 9).to_string());
    let raw = "a/GNUSparseFile.0/h";
    let (map, text) = (format!("{at},4,{size},0"), format!("2\n{at}\n4\n{size}\n0\n"));
    let far = [
        ("size", size.as_str()),
        ("numblocks", "2"),
        ("offset", &at),
        ("numbytes", "4"),
        ("offset", &size),
        ("numbytes", "0"),
    ];
    let near = [("size", size.as_str()), ("numblocks", "2"), ("name", "a/h"), ("map", &map)];
    let newest = [("major", "1"), ("minor", "0"), ("name", "a/h"), ("realsize", size.as_str())];
    vec![
        ("pax 0.0", pax_sparse(&far, "a/h", b"data")),
        ("pax 0.1", pax_sparse(&near, raw, b"data")),
        ("pax 1.0", pax_sparse(&newest, raw, &text_map(&text, b"data"))),
        ("GNU", gnu_sparse("a/h", HOLES + 4, &[(HOLES - 9, 4), (HOLES + 4, 0)], b"data")),
    ]
}

#[test]
fn files_with_holes_have_the_name_and_the_size_that_they_unpack_to() {
    for (form, sparse) in sparse_files() {
        let archive = tar(&[sparse, link("same", b'1', "a/h"), file("last", "x")]);
        let package = judge(&archive).unwrap();
        assert_eq!(package.unpacked_bytes, archive.len() as u64 + HOLES, "{form}");
        let judged =
            |max_unpacked_bytes| judge_with(&gz(&archive), &Limits { max_unpacked_bytes, ..Limits::default() });
        assert!(judged(package.unpacked_bytes).is_ok(), "{form}");
        for limit in [package.unpacked_bytes - 1, 4000] {
            assert_eq!(judged(limit), Err(ArchiveError::LimitExceeded(Limit::UnpackedBytes { limit })), "{form}");
        }
        // The name is taken.
        let twice = tar(&[file("a/h", "x"), sparse_files().swap_remove(0).1]);
        refuses_member(&twice, "a/h", MemberError::Duplicate);
    }
    let many: Vec<_> = (0..60).map(|n| (n * 10, 1)).collect();
    let archive = tar(&[gnu_sparse("m", 1000, &many, &[7; 60])]);
    let package = judge(&archive).unwrap();
    // Three blocks of the map count as the headers that they are.
    assert_eq!((package.entries, package.unpacked_bytes), (4, archive.len() as u64 + 940));
}

#[test]
fn maps_that_do_not_fit_their_data_are_refused() {
    let gnu = |size, entries: &[(u64, u64)]| gnu_sparse("h", size, entries, b"data");
    let text = |map: &str| {
        let records = [("major", "1"), ("minor", "0"), ("name", "h"), ("realsize", "20")];
        pax_sparse(&records, "GNUSparseFile.0/h", &text_map(map, b"data"))
    };
    let records = |blocks: &str, map: &str| {
        pax_sparse(&[("size", "20"), ("numblocks", blocks), ("name", "h"), ("map", map)], "GNUSparseFile.0/h", b"data")
    };
    assert!(judge(&tar(&[gnu(20, &[(5, 4)])])).is_ok() && judge(&tar(&[text("1\n5\n4\n")])).is_ok());
    assert!(judge(&tar(&[records("1", "5,4")])).is_ok());
    let huge = format!("{}\n", u64::MAX);
    let damaged = [
        gnu(8, &[(5, 4)]),
        gnu(20, &[(5, 3)]),
        gnu(20, &[(5, 2), (4, 2)]),
        text("1\n17\n4\n"),
        text("2\n5\n4\n"),
        text("1\n5\n3\n"),
        text("x"),
        text(&huge),
        text(""),
        records("1", "17,4"),
        records("2", "5,4"),
        records("1", "5,5"),
    ];
    for (at, damaged) in damaged.into_iter().enumerate() {
        assert_eq!(judge(&tar(&[damaged])), Err(ArchiveError::for_member(b"h", MemberError::Holes)), "{at}");
    }
    // An entry behind the last one, and a block behind it: some readers go on there, some do not.
    let mut block = gnu(20, &[(5, 4)]);
    block[434..458].copy_from_slice(b"00000000024\x0000000000000\0");
    for spoilt in [with_checksum(block[..512].to_vec()), {
        block[434..458].fill(0);
        block[482] = 1;
        with_checksum(block[..512].to_vec())
    }] {
        let archive = tar(&[spoilt, block[512..].to_vec()]);
        refuses_member(&archive, "h", MemberError::Holes);
    }
    broken(FormatError::Truncated, &gnu_sparse("h", 9, &[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)], b"data.")[..600]);
}

#[test]
fn who_does_not_know_of_holes_finds_no_other_member() {
    let sparse = |name: &str, raw: &str| {
        tar(&[pax_sparse(&[("size", "9"), ("numblocks", "1"), ("name", name), ("map", "5,4")], raw, b"data")])
    };
    assert!(judge(&sparse("a/h", "a/GNUSparseFile.12/h")).is_ok());
    for raw in ["a/h", "other", "GNUSparseFile.0", "../GNUSparseFile.0/h", "GNUSparseFile.0/app_desc.yaml"] {
        broken(FormatError::Extended { at: 1024 }, &sparse("a/h", raw));
    }
    refuses_member(&sparse("../h", "GNUSparseFile.0/h"), "../h", MemberError::Parent);
    // Its holes are in one unpacker's description, and not in another's.
    let error = MemberError::DescriptionNotAFile;
    refuses_member(&tar(&[gnu_sparse("app_desc.yaml", 9, &[(5, 4)], b"a: 1")]), "app_desc.yaml", error);
    // Only files have holes.
    let records = [("GNU.sparse.size", "0"), ("GNU.sparse.numblocks", "0")];
    broken(FormatError::Extended { at: 1024 }, &tar(&[pax(b'x', &records), folder("d/")]));
    broken(FormatError::Extended { at: 0 }, &tar(&[pax(b'g', &records), file("d", "x")]));
}
