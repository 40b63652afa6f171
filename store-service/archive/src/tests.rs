//! Whole archives: formats, descriptions, limits, damage.

use proptest::prelude::*;

use super::testing::*;
use super::*;

fn good(format: Format) -> Package {
    Package {
        format,
        relative_path: "app/".into(),
        meta_info: Some("{\"app_version\":\"0.0.5\",\"spec_version\":2}".into()),
        version: Some(PackageVersion::new("0.0.5").unwrap()),
        entries: 7,
        unpacked_bytes: good_tar().len() as u64,
    }
}

#[test]
fn an_inspector_may_be_moved_to_a_thread_of_its_own() {
    let mut inspector = Inspector::new(Limits::default());
    inspector.push(&zst(&good_tar())).unwrap();
    let inspected = std::thread::spawn(move || inspector.finish()).join().unwrap();
    assert_eq!(inspected, Ok(Inspection::Package(good(Format::TarZst))));
}

#[test]
fn every_kind_of_tar_is_told_by_its_content() {
    assert_eq!(judge(&good_tar()), Ok(good(Format::Tar)));
    for (format, pack) in PACKERS {
        assert_eq!(judge(&pack(&good_tar())), Ok(good(format)), "{format}");
    }
}

#[test]
fn streams_may_follow_each_other_as_parallel_packers_write_them() {
    let archive = good_tar();
    let (first, second) = archive.split_at(1000);
    for (format, pack) in PACKERS {
        assert_eq!(judge(&[pack(first), pack(second)].concat()), Ok(good(format)), "{format}");
        let parts = [pack(first), pack(b""), pack(second)].concat();
        let judged = |max_streams| judge_with(&parts, &Limits { max_streams, ..Limits::default() });
        assert_eq!((judged(4), judged(3)), (Ok(good(format)), Ok(good(format))), "{format}");
        assert_eq!(judged(2), Err(ArchiveError::LimitExceeded(Limit::Streams { limit: 2 })), "{format}");
    }
    assert_eq!(judge(&[xz(first), vec![0; 8], xz(second), vec![0; 4]].concat()), Ok(good(Format::TarXz)));
    refuses(&[xz(first), vec![0; 7], xz(second)].concat(), Format::TarXz, FormatError::TrailingData);
    refuses(&[xz(&archive), vec![0; 3]].concat(), Format::TarXz, FormatError::TrailingData);
}

#[test]
fn what_the_tar_program_of_others_writes_is_read() {
    let long = "folder/".repeat(30) + "name";
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, content).unwrap();
    };
    add("app_desc.yml", b"specVersion: 3\nappVersion: 1.10\n");
    add(&long, b"x");
    let package = judge(&gz(&builder.into_inner().unwrap())).unwrap();
    assert_eq!(package.version.unwrap().as_str(), "1.10");
    assert_eq!(package.relative_path, "./");
}

#[test]
fn what_is_no_archive_is_refused_for_what_it_looks_like_unless_allowed() {
    let allow = Limits { opaque: Opaque::Allow, ..Limits::default() };
    let page = format!("<!DOCTYPE html><html>{}</html>", "x".repeat(2000));
    let files = [(page.as_bytes(), LooksLike::Html), (b"{\"a\": 1}", LooksLike::Json), (b"\x7fELF", LooksLike::Elf)];
    for (content, looks) in files {
        assert_eq!(judge(content), Err(ArchiveError::Unsupported { looks, packed: None }));
        let opaque = judge_with(content, &allow).unwrap();
        assert_eq!((opaque.format, opaque.meta_info, opaque.version), (Format::Opaque, None, None));
        for (format, pack) in PACKERS {
            let packed = Some(format);
            assert_eq!(judge(&pack(content)), Err(ArchiveError::Unsupported { looks, packed }), "{format}");
            assert_eq!(judge_with(&pack(content), &allow).unwrap().format, Format::Opaque, "{format}");
        }
    }
    let empty = Err(ArchiveError::Unsupported { looks: LooksLike::Empty, packed: None });
    assert_eq!((judge(b""), judge_with(b"", &allow)), (empty.clone(), empty));
    // What is an archive must be a good one.
    assert!(judge_with(&good_tar()[..1000], &allow).is_err());
    let hint = judge(page.as_bytes()).unwrap_err().to_string();
    assert_eq!(hint, "this is no package: it looks like an HTML page");
    let hint = judge(&gz(page.as_bytes())).unwrap_err().to_string();
    assert_eq!(hint, "this is no package: it looks like an HTML page (inside tar.gz)");
}

#[test]
fn the_shallowest_description_counts_whatever_the_order() {
    let (deep, shallow) = (file("a/b/app_desc.yaml", "a: deep"), file("z/app_desc.yml", "a: shallow"));
    let other = file("y/app_desc.yml", "a: first by name");
    for members in [[deep.clone(), shallow.clone(), other.clone()], [other, deep, shallow]] {
        let package = judge(&tar(&members)).unwrap();
        assert_eq!(package.relative_path, "y/");
        assert_eq!(package.meta_info.unwrap(), "{\"a\":\"first by name\"}");
    }
    let none = judge(&tar(&[file("desc.yaml", ":"), file("x/my_app_desc.yaml", ":")])).unwrap();
    assert_eq!((none.relative_path.as_str(), none.meta_info), ("./", None));
    let dotted = judge(&tar(&[file("./app_desc.yaml", "a: 1")])).unwrap();
    assert_eq!(dotted.relative_path, "./");
}

#[test]
fn only_the_description_that_counts_must_be_good() {
    let bad = file("a/app_desc.yaml", "a: [");
    assert!(judge(&tar(&[bad.clone(), file("app_desc.yaml", "a: 1")])).is_ok());
    let refused = judge(&tar(&[bad])).unwrap_err();
    assert!(refused.to_string().starts_with("a/app_desc.yaml: line "), "{refused}");
}

#[test]
fn a_description_is_taken_up_to_its_limit() {
    let limits = Limits { max_description_bytes: 100, ..Limits::default() };
    let judged = |bytes: usize| {
        let text = format!("a: {}", "x".repeat(bytes - 3));
        judge_with(&tar(&[file("app_desc.yaml", &text)]), &limits)
    };
    assert!(judged(99).is_ok() && judged(100).is_ok());
    let error = DescriptionError::TooLarge { limit_bytes: 100 };
    assert_eq!(judged(101), Err(ArchiveError::Description { file: MemberName::new(b"app_desc.yaml"), error }));
}

#[test]
fn entries_are_taken_up_to_their_limit() {
    let limits = Limits { max_entries: 4, ..Limits::default() };
    let judged = |members: &[Vec<u8>]| judge_with(&tar(members), &limits).map(|package| package.entries);
    let files = |count: usize| (0..count).map(|n| file(&n.to_string(), "x")).collect::<Vec<_>>();
    let over = Err(ArchiveError::LimitExceeded(Limit::Entries { limit: 4 }));
    assert_eq!((judged(&files(3)), judged(&files(4)), judged(&files(5))), (Ok(3), Ok(4), over.clone()));
    // Folders that no member names, and headers that are no members, count as well.
    assert_eq!(judged(&[file("a/b/c/d", "x")]), Ok(4));
    assert_eq!(judged(&[file("a/b/c/d/e", "x")]), over);
    let comments = |count| [vec![pax(b'g', &[("comment", "x")]); count], files(1)].concat();
    assert_eq!((judged(&comments(3)), judged(&comments(4))), (Ok(4), over));
}

#[test]
fn unpacked_bytes_are_taken_up_to_their_limit() {
    let archive = good_tar();
    for (format, pack) in [(Format::Tar, <[u8]>::to_vec as Packer)].into_iter().chain(PACKERS) {
        let judged =
            |max_unpacked_bytes| judge_with(&pack(&archive), &Limits { max_unpacked_bytes, ..Limits::default() });
        let size = archive.len() as u64;
        assert_eq!((judged(size + 1), judged(size)), (Ok(good(format)), Ok(good(format))), "{format}");
        assert_eq!(
            judged(size - 1),
            Err(ArchiveError::LimitExceeded(Limit::UnpackedBytes { limit: size - 1 })),
            "{format}"
        );
    }
}

#[test]
fn of_two_faults_the_first_is_named_whatever_the_pieces() {
    let mut archive = tar(&[file("a", "x"), file("b", "x")]);
    archive[1024] ^= 1;
    let judged = |max_unpacked_bytes| judge_with(&archive, &Limits { max_unpacked_bytes, ..Limits::default() });
    let checksum = ArchiveError::Format { format: Format::Tar, error: FormatError::Checksum { at: 1024 } };
    assert_eq!(judged(1535), Err(ArchiveError::LimitExceeded(Limit::UnpackedBytes { limit: 1535 })));
    assert_eq!((judged(1536), judged(1537)), (Err(checksum.clone()), Err(checksum)));
}

#[test]
fn bombs_are_refused_early_by_their_ratio() {
    // 10 GiB in a few megabytes.
    let (zeros, parts) = (vec![0; 64 << 20], 160);
    let head = header(b"zeros", b'0', b"", (parts * zeros.len()) as u64);
    let packed = PACKERS.map(|(format, pack)| (format, [pack(&head), pack(&zeros).repeat(parts)].concat()));
    for (format, bomb) in packed.into_iter().chain([(Format::Zip, super::zip::tests::repeated(&zeros, parts))]) {
        let begun = std::time::Instant::now();
        let grown = grows_by(|| {
            let refused = in_pieces(&bomb, 512 << 10, &Limits::default());
            assert_eq!(refused, Err(ArchiveError::LimitExceeded(Limit::Ratio { limit: 100 })), "{format}");
        });
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{format}: {:?}", begun.elapsed());
        assert!(grown < 64, "{format}: {grown} MiB");
    }
    // The same without compression is a package.
    let plain = tar(&[member("zeros", b'0', &zeros)]);
    assert!(in_pieces(&plain, 1 << 20, &Limits::default()).is_ok());
}

#[test]
fn dictionaries_that_take_too_much_memory_are_refused() {
    let archive = good_tar();
    for (dictionary, is_taken) in [(32 << 20, true), (64 << 20, false)] {
        let judged = judge(&xz_with(&archive, dictionary));
        let limit_bytes = Limits::MAX_DECODER_BYTES;
        let window = Err(ArchiveError::Format { format: Format::TarXz, error: FormatError::Window { limit_bytes } });
        assert_eq!(judged, if is_taken { Ok(good(Format::TarXz)) } else { window });
    }
    for (window_log, is_taken) in [(25, true), (26, false)] {
        let judged = judge(&zst_with(&archive, window_log));
        let window =
            Err(ArchiveError::Format { format: Format::TarZst, error: FormatError::Window { limit_bytes: 32 << 20 } });
        assert_eq!(judged, if is_taken { Ok(good(Format::TarZst)) } else { window });
    }
}

#[test]
fn what_is_cut_off_anywhere_is_refused() {
    let archive = good_tar();
    for length in 0..archive.len() {
        assert!(in_pieces(&archive[..length], usize::MAX, &Limits::default()).is_err(), "tar at {length}");
    }
    for (format, pack) in PACKERS {
        let packed = pack(&archive);
        for length in 0..packed.len() {
            let cut = in_pieces(&packed[..length], usize::MAX, &Limits::default());
            assert!(cut.is_err(), "{format} at {length}");
        }
        refuses(&packed[..packed.len() - 1], format, FormatError::Truncated);
    }
}

#[test]
fn something_behind_the_end_is_refused() {
    for (format, pack) in PACKERS {
        refuses(&[pack(&good_tar()), b"\x01garbage".to_vec()].concat(), format, FormatError::TrailingData);
        // A second archive in a second stream, and one in the same.
        refuses(&[pack(&good_tar()), pack(&good_tar())].concat(), format, FormatError::TrailingData);
        refuses(&pack(&[good_tar(), good_tar()].concat()), format, FormatError::TrailingData);
        // Zeros behind the end are padding, inside.
        assert!(judge(&pack(&[good_tar(), vec![0; 10_000]].concat())).is_ok(), "{format}");
    }
    refuses(&[gz(&good_tar()), vec![0; 512]].concat(), Format::TarGz, FormatError::TrailingData);
}

#[test]
fn a_tar_that_others_take_for_a_zip_is_refused() {
    let zip = super::zip::tests::good_zip();
    // In a field of the last stream's header.
    let mut field = b"\x1f\x8b\x08\x04\0\0\0\0\0\x03".to_vec();
    field.extend(u16::try_from(zip.len()).unwrap().to_le_bytes());
    let hidden = [gz(&good_tar()), field, zip.clone(), b"\x03\0".to_vec(), vec![0; 8]].concat();
    refuses(&hidden, Format::TarGz, FormatError::AlsoZip);
    // In a frame of Zstandard that holds no data.
    let length = u32::try_from(zip.len()).unwrap().to_le_bytes();
    let hidden = [zst(&good_tar()), b"\x50\x2a\x4d\x18".to_vec(), length.to_vec(), zip.clone()].concat();
    refuses(&hidden, Format::TarZst, FormatError::AlsoZip);
    let plain = tar(&[file("app_desc.yaml", DESCRIPTION), member("x.zip", b'0', &zip)]);
    refuses(&plain, Format::Tar, FormatError::AlsoZip);
    // Compressed, or further away, a zip is a member like any other.
    for (format, pack) in PACKERS {
        assert_eq!(judge(&pack(&plain)).map(|package| package.format), Ok(format));
    }
    assert!(judge(&tar(&[member("x.zip", b'0', &zip), file("last", &"x".repeat(1 << 17))])).is_ok());
}

/// The most memory that this process has had since it last asked to forget, and what it has now, in KiB.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (field("VmHWM:"), field("VmRSS:"))
}

/// Runs `judge` and tells by how many MiB the process grew. Each test has a process of its own.
fn grows_by(judge: impl FnOnce()) -> u64 {
    // What was made for the test may not hide what comes now.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let (_, before) = memory();
    judge();
    (memory().0 - before) >> 10
}

#[test]
fn hostile_descriptions_take_little_memory() {
    let size = Limits::default().max_description_bytes;
    let fill = |text: &str| text.repeat(size / text.len());
    let texts = [
        fill("a: "),
        fill("- "),
        fill("? "),
        fill("[~,"),
        format!("[{}]", fill("~,").get(2..).unwrap()),
        format!("[{}]", fill("[],").get(3..).unwrap()),
        format!("a: [{}]", fill("{},").get(7..).unwrap()),
        format!("a: {{{}}}", fill("{b: 1}: 2,").get(10..).unwrap()),
        format!("a: &a [{}]\nb: [{}]", "~,".repeat(60_000), "*a,".repeat(20_000)),
        format!("a: &a {{}}\nb: [{}]", "*a,".repeat(80_000)),
        format!("{}1", fill("&a ")),
        fill("a:\n"),
        fill("!a "),
        fill("\"a"),
        fill("%a b\n"),
        fill("#\n"),
        (0..size / 8).map(|n| format!("{n}: {{}}\n")).collect::<String>()[..size].to_owned(),
    ];
    for text in texts {
        let archive = tar(&[file("app_desc.yaml", &text)]);
        let begun = std::time::Instant::now();
        let grown = grows_by(|| drop(in_pieces(&archive, 1 << 20, &Limits::default())));
        let begin = text.get(..20).unwrap();
        assert!(grown < 48, "{begin:?}: {grown} MiB");
        assert!(begun.elapsed().as_secs() < 10, "{begin:?}");
    }
}

#[test]
fn the_most_entries_and_the_largest_dictionaries_take_little_memory() {
    // More than fits into a dictionary, and not as dense as a bomb.
    let mut state = 1_u64;
    let mut noise = Vec::new();
    while noise.len() < 36 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.extend(state.to_le_bytes().repeat(16));
    }
    let mut archive = member("noise", b'0', &noise);
    for n in 0..Limits::default().max_entries {
        archive.extend(header(format!("{n}/").as_bytes(), b'5', b"", 0));
    }
    drop(noise);
    for (format, packed) in [(Format::TarXz, xz_with(&archive, 32 << 20)), (Format::TarZst, zst_with(&archive, 25))] {
        let grown = grows_by(|| {
            let verdict = in_pieces(&packed, 512 << 10, &Limits::default());
            assert_eq!(verdict, Err(ArchiveError::LimitExceeded(Limit::Entries { limit: 100_000 })), "{format}");
        });
        assert!(grown < 64, "{format}: {grown} MiB");
        assert!(grown > 16, "{format}: {grown} MiB, so nothing was measured");
    }
}

#[test]
fn a_wrong_checksum_or_length_of_gzip_is_refused() {
    let packed = gz(&good_tar());
    for back in 1..=8 {
        let mut bad = packed.clone();
        let at = bad.len() - back;
        bad[at] ^= 1;
        refuses(&bad, Format::TarGz, FormatError::Corrupt);
    }
}

#[test]
fn every_damaged_byte_of_a_checked_format_is_found_or_harmless() {
    for (format, pack) in PACKERS {
        let (archive, mut bad) = (good_tar(), pack(&good_tar()));
        for at in 0..bad.len() {
            bad[at] ^= 0x10;
            if let Ok(package) = in_pieces(&bad, usize::MAX, &Limits::default()) {
                // Only headers that say nothing of the content, such as gzip's time, may be damaged unseen.
                assert_eq!(package.unpacked_bytes, archive.len() as u64, "{format} at {at}");
                assert_eq!(package, good(format), "{format} at {at}");
            }
            bad[at] ^= 0x10;
        }
    }
}

#[test]
fn refusals_are_safe_to_show() {
    let shown = judge(&tar(&[file("a\x1b[2J\n/../x", "")])).unwrap_err().to_string();
    assert_eq!(shown, "a\\u{1b}[2J\\n/../x: the path has a control character in it");
}

fn archives() -> impl Strategy<Value = Vec<u8>> {
    let mut all: Vec<Vec<u8>> = PACKERS.iter().map(|(_, pack)| pack(&good_tar())).collect();
    all.push(good_tar());
    all.push(super::zip::tests::good_zip());
    prop::sample::select(all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_panics_or_passes_a_limit(
        archive in archives(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
        piece in 1..2000_usize,
        max_unpacked_bytes in 1000..12_000_u64,
    ) {
        let mut bytes = archive;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let limits = Limits { max_entries: 9, max_unpacked_bytes, max_depth: 4, ..Limits::default() };
        let verdict = in_pieces(&bytes, usize::MAX, &limits);
        prop_assert_eq!(&in_pieces(&bytes, piece, &limits), &verdict);
        if let Ok(package) = verdict {
            prop_assert!(package.entries <= 9 && package.unpacked_bytes <= max_unpacked_bytes);
        }
    }

    #[test]
    fn no_bytes_behind_a_magic_panic(format in 0..PACKERS.len(), noise in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut bytes = PACKERS[format].1(&good_tar());
        bytes.truncate(12);
        bytes.extend(&noise);
        prop_assert!(in_pieces(&bytes, usize::MAX, &Limits::default()).is_err());
    }
}
