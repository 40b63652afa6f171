//! Whole archives: formats, descriptions, limits, damage.

use std::io::Cursor;

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
        members: Vec::new(),
        unpacked_bytes: good_tar().len() as u64,
        proves_whole: true,
        version_fault: None,
    }
}

#[test]
fn an_inspector_may_be_moved_to_a_thread_of_its_own() {
    let mut inspector = Inspector::new(Limits::default(), Unmetered);
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

/// A hundred times what a judgement takes, on a machine that is busy with other things.
const PROMPT: std::time::Duration = std::time::Duration::from_secs(60);

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
        assert!(begun.elapsed() < PROMPT, "{format}: {:?}", begun.elapsed());
        assert!(grown < 64, "{format}: {grown} MiB");
    }
    // The same without compression is a package.
    let plain = tar(&[member("zeros", b'0', &zeros)]);
    assert!(in_pieces(&plain, 1 << 20, &Limits::default()).is_ok());
}

#[test]
fn dictionaries_that_take_too_much_memory_are_refused() {
    let archive = good_tar();
    let over = |limit| Err(ArchiveError::LimitExceeded(Limit::DecoderMemory { limit }));
    // `xz -9` and `zstd --long=26` have 64 MiB.
    for (dictionary, is_taken) in [(64 << 20, true), (96 << 20, false)] {
        let judged = judge(&xz_with(&archive, dictionary));
        assert_eq!(judged, if is_taken { Ok(good(Format::TarXz)) } else { over(72 << 20) });
    }
    for (window_log, is_taken) in [(26, true), (27, false)] {
        let judged = judge(&zst_with(&archive, window_log));
        assert_eq!(judged, if is_taken { Ok(good(Format::TarZst)) } else { over(72 << 20) });
    }
    // The limit is the operator's, for both alike, and to the byte.
    let judged =
        |archive: &[u8], max_decoder_bytes| judge_with(archive, &Limits { max_decoder_bytes, ..Limits::default() });
    for (format, packed, beside) in
        [(Format::TarXz, xz_with(&archive, 8 << 20), 256 << 10), (Format::TarZst, zst_with(&archive, 23), 512 << 10)]
    {
        let limit = (8 << 20) + beside;
        assert_eq!(judged(&packed, limit), Ok(good(format)));
        assert_eq!(judged(&packed, limit - 1), over(limit - 1), "{format}");
    }
    assert_eq!(judged(&bz2(&archive), (4 << 20) - 1), over((4 << 20) - 1));
    assert_eq!(judged(&gz(&archive), 0), Ok(good(Format::TarGz)));
}

/// Notes what it is asked for.
#[derive(Clone, Default)]
struct Noting {
    asked: std::sync::Arc<std::sync::Mutex<Vec<u64>>>,
    /// Refuses time when it was asked so often.
    steps_left: Option<u64>,
}

impl Resources for Noting {
    fn hold_memory(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.asked.lock().unwrap().push(bytes);
        if bytes == (3 << 19) + (256 << 10) { Err(ArchiveError::Interrupted) } else { Ok(()) }
    }

    fn check_time(&mut self) -> Result<(), ArchiveError> {
        match &mut self.steps_left {
            Some(0) => Err(ArchiveError::LimitExceeded(Limit::CpuTime { limit_s: 1 })),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn asked_for(file: &[u8]) -> (Result<(), ArchiveError>, Vec<u64>) {
    let noting = Noting::default();
    let mut inspector = Inspector::new(Limits::default(), noting.clone());
    let pushed = file.chunks(100).try_for_each(|piece| inspector.push(piece));
    let judged = pushed.and_then(|()| inspector.finish().map(|_| ()));
    let asked = noting.asked.lock().unwrap().clone();
    (judged, asked)
}

#[test]
fn memory_is_asked_for_before_it_is_taken_by_what_each_stream_declares() {
    let archive = good_tar();
    let (first, rest) = archive.split_at(600);
    let (second, third) = rest.split_at(600);
    assert_eq!(asked_for(&archive), (Ok(()), vec![]));
    assert_eq!(asked_for(&gz(&archive)), (Ok(()), vec![]));
    assert_eq!(asked_for(&[bz2(first), bz2(rest)].concat()), (Ok(()), vec![4 << 20]));
    // What a stream takes, the next one may use.
    let streams = [xz_with(first, 1 << 20), xz_with(second, 8 << 20), xz_with(third, 1 << 16)].concat();
    let beside = 256 << 10;
    assert_eq!(asked_for(&streams), (Ok(()), vec![(1 << 20) + beside, (8 << 20) + beside]));
    let frames = [zst_with(first, 20), zst_with(second, 23), zst_with(third, 16)].concat();
    let beside = 512 << 10;
    assert_eq!(asked_for(&frames), (Ok(()), vec![(1 << 20) + beside, (8 << 20) + beside]));
    // An inspection that may not have it ends at once.
    assert_eq!(asked_for(&xz_with(&archive, 3 << 19)).0, Err(ArchiveError::Interrupted));
}

#[test]
fn an_inspection_that_takes_too_long_ends() {
    let over = Err(ArchiveError::LimitExceeded(Limit::CpuTime { limit_s: 1 }));
    for (format, pack) in PACKERS {
        let mut inspector = Inspector::new(Limits::default(), Noting { steps_left: Some(0), ..Noting::default() });
        let judged = inspector.push(&pack(&good_tar())).and_then(|()| inspector.finish().map(|_| ()));
        assert_eq!(judged, over, "{format}");
    }
    for steps_left in [0, 3, 8] {
        let zip = super::zip::tests::good_zip();
        let mut noting = Noting { steps_left: Some(steps_left), ..Noting::default() };
        let judged = inspect_zip(&mut Cursor::new(zip), &Limits::default(), &mut noting);
        assert_eq!(judged.map(|_| ()), over, "{steps_left}");
    }
}

/// A number as xz writes it.
fn xz_number(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// One stream of the blocks of these, which have one each.
fn xz_of_blocks(streams: &[(&[u8], u64)]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let (mut file, mut index) = (streams[0].0[..12].to_vec(), [vec![0], xz_number(streams.len() as u64)].concat());
    for (stream, unpacked) in streams {
        let backward = u32::from_le_bytes(stream[stream.len() - 8..stream.len() - 4].try_into().unwrap());
        let old_index = &stream[stream.len() - 12 - (backward as usize + 1) * 4..];
        let length = (0..8).map(|at| (u64::from(old_index[2 + at]), 7 * at));
        let end = old_index[2..].iter().position(|b| b & 0x80 == 0).unwrap();
        let length = length.take(end + 1).map(|(byte, shift)| (byte & 0x7f) << shift).sum::<u64>();
        file.extend(&stream[12..stream.len() - old_index.len()]);
        index.extend([xz_number(length), xz_number(*unpacked)].concat());
    }
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc(&index));
    let backward = u32::try_from(index.len() / 4 - 1).unwrap().to_le_bytes();
    let tail = [&backward[..], &streams[0].0[6..8]].concat();
    [file, index, crc(&tail).to_vec(), tail, b"YZ".to_vec()].concat()
}

#[test]
fn a_dictionary_that_grows_within_a_stream_of_xz_is_refused() {
    let archive = good_tar();
    let (first, second) = archive.split_at(1000);
    let of_blocks = |one: u32, two: u32| {
        let (one, two) = (xz_with(first, one), xz_with(second, two));
        xz_of_blocks(&[(&one, first.len() as u64), (&two, second.len() as u64)])
    };
    assert_eq!(judge(&of_blocks(1 << 20, 1 << 20)), Ok(good(Format::TarXz)));
    assert_eq!(judge(&of_blocks(1 << 20, 1 << 16)), Ok(good(Format::TarXz)));
    let growing = Err(ArchiveError::LimitExceeded(Limit::GrowingDictionary));
    assert_eq!(judge(&of_blocks(1 << 16, 1 << 20)), growing);
}

#[test]
fn streams_that_are_dear_to_begin_are_taken_up_to_their_limit() {
    let archive = good_tar();
    for (format, pack) in [(Format::TarBz2, bz2 as Packer), (Format::TarXz, xz)] {
        let with_empty = |count| [pack(&archive), pack(b"").repeat(count)].concat();
        let judged = |count| in_pieces(&with_empty(count), usize::MAX, &Limits::default());
        assert_eq!(judged(999), Ok(good(format)));
        assert_eq!(judged(1_000), Err(ArchiveError::LimitExceeded(Limit::Streams { limit: 1_000 })), "{format}");
    }
    let many = [gz(&archive), gz(b"").repeat(2_000)].concat();
    assert_eq!(in_pieces(&many, usize::MAX, &Limits::default()), Ok(good(Format::TarGz)));
}

#[test]
fn what_is_cut_off_anywhere_is_refused() {
    let archive = good_tar();
    for length in 0..archive.len() {
        let cut = in_pieces(&archive[..length], usize::MAX, &Limits::default());
        assert!(cut.is_err() || cut.is_ok_and(|package| !package.proves_whole), "tar at {length}");
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
    for (format, pack) in [(Format::TarGz, gz as Packer), (Format::TarBz2, bz2)] {
        // What pads a file to a multiple of its blocks.
        assert_eq!(judge(&[pack(&good_tar()), vec![0; 513]].concat()), Ok(good(format)));
        let (first, second) = (pack(&good_tar()[..1000]), pack(&good_tar()[1000..]));
        refuses(&[first, vec![0; 4], second].concat(), format, FormatError::TrailingData);
        refuses(&[pack(&good_tar()), vec![0; 512], vec![1]].concat(), format, FormatError::TrailingData);
    }
    refuses(&[zst(&good_tar()), vec![0; 512]].concat(), Format::TarZst, FormatError::TrailingData);
}

#[test]
fn what_others_take_for_a_tar_is_refused() {
    // A header that ends the beginning of another format, as the content of a field that it passes over.
    let disguised = |beginning: &[u8], rest: &[u8]| {
        let mut head = [0; 512];
        head[..beginning.len()].copy_from_slice(beginning);
        head[100..156].copy_from_slice(b"0000644\x000000000\x000000000\x0000000000000\x0000000000000\0        ");
        head[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        [&head[..], rest].concat()
    };
    let hidden = tar(&[file("app_desc.yaml", DESCRIPTION)]);
    let field_bytes = u16::try_from(500 + hidden.len()).unwrap().to_le_bytes();
    let gzip = [&b"\x1f\x8b\x08\x04\0\0\0\0\0\x03"[..], &field_bytes].concat();
    let content = gz(&good_tar());
    let refused = disguised(&gzip, &[&hidden[..], &content[10..]].concat());
    refuses(&refused, Format::TarGz, FormatError::AlsoTar);
    let frame_bytes = u32::try_from(504 + hidden.len()).unwrap().to_le_bytes();
    let frame = [&b"\x50\x2a\x4d\x18"[..], &frame_bytes].concat();
    refuses(&disguised(&frame, &[hidden, zst(&good_tar())].concat()), Format::TarZst, FormatError::AlsoTar);
    refuses(&disguised(b"PK\x03\x04", b"whatever follows"), Format::Zip, FormatError::AlsoTar);
}

#[test]
fn a_name_that_begins_as_another_format_does_is_a_name() {
    let plain = tar(&[file("BZhang/app_desc.yaml", DESCRIPTION)]);
    assert_eq!(judge(&plain).map(|package| package.format), Ok(Format::Tar));
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
        assert!(begun.elapsed() < PROMPT, "{begin:?}");
    }
}

#[test]
fn the_most_entries_and_the_largest_dictionaries_take_little_memory() {
    // More than fits into a dictionary, and not as dense as a bomb.
    let mut state = 1_u64;
    let mut noise = Vec::new();
    while noise.len() < 68 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.extend(state.to_le_bytes().repeat(16));
    }
    let mut archive = member("noise", b'0', &noise);
    for n in 0..Limits::default().max_entries {
        archive.extend(header(format!("{n}/").as_bytes(), b'5', b"", 0));
    }
    drop(noise);
    for (format, packed) in [(Format::TarXz, xz_with(&archive, 64 << 20)), (Format::TarZst, zst_with(&archive, 26))] {
        let grown = grows_by(|| {
            let verdict = in_pieces(&packed, 512 << 10, &Limits::default());
            assert_eq!(verdict, Err(ArchiveError::LimitExceeded(Limit::Entries { limit: 100_000 })), "{format}");
        });
        assert!(grown < 88, "{format}: {grown} MiB");
        assert!(grown > 48, "{format}: {grown} MiB, so nothing was measured");
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
