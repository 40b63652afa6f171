//! What callers read of a package that is refused for what is inside it. Part of the table of `reply`.
//!
//! Members' names come from strangers; [`MemberName`](linkgate_archive::MemberName) has made them safe to show.

use linkgate_archive::{ArchiveError, DescriptionError, FormatError, Limit, LooksLike, MemberError, zip_method};
use linkgate_contract::{ErrorCode, InvalidVersion, PackageVersion, Problem, Text};

const SUPPORTED: &str = "tar, tar.gz, tar.bz2, tar.xz, tar.zst, zip";

/// What a caller reads of a package that is refused for what is inside it.
pub(super) fn archive_problem(error: &ArchiveError) -> Problem {
    let (code, zh, en) = match error {
        ArchiveError::Unsupported { looks, packed } => {
            let inside = packed.map(|format| (format!("（位于 {format} 内）"), format!(" (inside {format})")));
            let (inside_zh, inside) = inside.unwrap_or_default();
            (
                ErrorCode::PackageFormatUnsupported,
                format!("该文件不是源码包，看起来是{}{inside_zh}；支持的格式：{SUPPORTED}", looks_like(*looks)),
                format!("This is no package, it looks like {looks}{inside}; supported are: {SUPPORTED}"),
            )
        }
        ArchiveError::Format { format, error } => (
            ErrorCode::PackageBroken,
            format!("{format} 压缩包已损坏：{}", format_error(error)),
            format!("The {format} archive is broken: {error}"),
        ),
        ArchiveError::Member { member, error } => (
            ErrorCode::PackageMemberRefused,
            format!("{member}：{}", member_error(error)),
            format!("{member}: {error}"),
        ),
        ArchiveError::LimitExceeded(limit) => {
            (ErrorCode::PackageLimitExceeded, format!("源码包{}", over(limit)), format!("The package has {limit}"))
        }
        ArchiveError::Description { file, error } => (
            ErrorCode::PackageDescriptionInvalid,
            format!("{file}：{}", description(error)),
            format!("{file}: {error}"),
        ),
        // The core makes an upload that found no place of it.
        ArchiveError::Interrupted => return Problem::new(ErrorCode::TooManyUploads),
        ArchiveError::Io(_) => return Problem::new(ErrorCode::ObjectStore),
    };
    Problem::with_detail(code, Text::made(zh, en))
}

fn looks_like(looks: LooksLike) -> &'static str {
    match looks {
        LooksLike::Empty => "空文件",
        LooksLike::Html => "HTML 页面",
        LooksLike::Json => "JSON",
        LooksLike::Xml => "XML",
        LooksLike::Script => "脚本",
        LooksLike::Elf => "ELF 程序",
        LooksLike::Exe => "Windows 程序",
        LooksLike::Pdf => "PDF 文档",
        LooksLike::Rar => "RAR 压缩包",
        LooksLike::SevenZip => "7-Zip 压缩包",
        LooksLike::Cpio => "cpio 归档",
        LooksLike::Ar => "ar 归档",
        LooksLike::Lzip => "lzip 文件",
        LooksLike::Compress => "compress 文件",
        LooksLike::Lz4 => "LZ4 文件",
        LooksLike::Cabinet => "CAB 压缩包",
        LooksLike::Image => "图片",
        LooksLike::Text => "纯文本",
        LooksLike::Binary => "未知的二进制数据",
    }
}

fn format_error(error: &FormatError) -> String {
    let text = match error {
        FormatError::Truncated => "内容不完整",
        FormatError::TrailingData => "结尾之后还有多余内容",
        FormatError::Corrupt => "压缩数据已损坏",
        FormatError::Header { at } => return format!("位于 {at} 的头部已损坏"),
        FormatError::Checksum { at } => return format!("位于 {at} 的头部校验和错误"),
        FormatError::Extended { at } => return format!("位于 {at} 的扩展头部存在歧义"),
        FormatError::Empty => "其中没有任何文件",
        FormatError::AlsoZip => "该文件也可以被当作 zip 读取，请压缩后上传，或让其他文件排在最后",
        FormatError::AlsoTar => "该文件也可以被当作 tar 读取，请重新打包",
        FormatError::NoDirectory => "末尾没有目录",
        FormatError::Split => "不支持分卷压缩包",
        FormatError::Gap { at } => return format!("位于 {at} 的内容不属于任何文件"),
    };
    text.to_owned()
}

fn member_error(error: &MemberError) -> String {
    let text = match error {
        MemberError::Nameless => "名称为空",
        MemberError::Absolute => "路径为绝对路径",
        MemberError::Parent => "路径中含有 `..`",
        MemberError::Backslash => "路径中含有反斜杠",
        MemberError::ControlCharacter => "路径中含有控制字符",
        MemberError::PathTooLong { limit_bytes } => return format!("路径超过 {limit_bytes} 字节"),
        MemberError::PartTooLong { limit_bytes } => return format!("路径中的某一段超过 {limit_bytes} 字节"),
        MemberError::TooDeep { limit } => return format!("目录层级超过 {limit} 层"),
        MemberError::Duplicate => "名称重复",
        MemberError::NotInFolder => "其上级不是目录",
        MemberError::LinkOut { target } => return format!("链接指向或可能指向源码包之外：{target}"),
        MemberError::LinkToNothing { target } => return format!("链接指向源码包中不存在的文件：{target}"),
        MemberError::Special => "既不是文件，也不是目录或链接",
        MemberError::Incremental => "属于增量备份（`tar -g`），请不带 `-g` 或使用 `--format=posix` 重新打包",
        MemberError::Continued => "是其他分卷的后续部分（`tar -M`），请打包为单个文件",
        MemberError::UnknownType { flag } => return format!("类型为 {flag:?}，并非所有解包工具都支持"),
        MemberError::Holes => "稀疏文件的空洞记录已损坏",
        MemberError::KindMismatch => "类型与内容不符",
        MemberError::DescriptionNotAFile => "应用描述文件必须是普通文件",
        MemberError::Encrypted => "已加密",
        MemberError::Method { method } => {
            let name = zip_method(*method).map(|(name, _)| format!(" {name}（{method}）"));
            return format!(
                "不支持的压缩方法{}，请使用 Deflate 重新压缩",
                name.unwrap_or_else(|| format!(" {method}"))
            );
        }
        MemberError::OtherName => "UTF-8 名称（扩展字段 0x7075）与文件名不一致，请重新打包",
        MemberError::Disagrees => "目录中的记录与文件自身的头部不一致",
        MemberError::FalseEnd => "其中含有会被部分解包工具当作文件结尾的内容，请使用 Deflate 重新压缩",
        MemberError::Overlaps => "与其他文件重叠",
        MemberError::Corrupt => "数据已损坏",
    };
    text.to_owned()
}

fn over(limit: &Limit) -> String {
    match limit {
        Limit::Entries { limit } => format!("中的文件数超过 {limit}"),
        Limit::UnpackedBytes { limit } => format!("解压后超过 {limit} 字节"),
        Limit::Ratio { limit } => format!("的压缩比超过 {limit}"),
        Limit::DecoderMemory { limit } => format!("解压所需的内存超过 {limit} 字节，请使用更小的字典或窗口重新压缩"),
        Limit::GrowingDictionary => "的 xz 流中后面的块使用了更大的字典，请统一字典大小后重新压缩".to_owned(),
        Limit::CpuTime { limit_s } => format!("的检查耗时超过 {limit_s} 秒 CPU 时间"),
        Limit::Streams { limit } => format!("中的压缩流超过 {limit} 个"),
    }
}

fn description(error: &DescriptionError) -> String {
    match error {
        DescriptionError::TooLarge { limit_bytes } => format!("超过 {limit_bytes} 字节"),
        DescriptionError::NotText => "不是 UTF-8 文本".to_owned(),
        DescriptionError::Yaml { line, column, message } => format!("第 {line} 行第 {column} 列：{message}"),
        DescriptionError::NotAMapping => "内容不是映射（mapping）".to_owned(),
        DescriptionError::Folder => "所在目录的名称不是 UTF-8".to_owned(),
        DescriptionError::Version(error) => match error {
            InvalidVersion::Blank => "其中的版本号为空".to_owned(),
            InvalidVersion::TooLong => format!("其中的版本号超过 {} 个字符", PackageVersion::MAX_CHARS),
            InvalidVersion::ControlCharacter => "其中的版本号含有控制字符".to_owned(),
        },
        DescriptionError::VersionKind => "其中的版本号既不是文本也不是数字".to_owned(),
    }
}
