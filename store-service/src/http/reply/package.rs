//! What callers read of a package that is refused for what is inside it. Part of the table of `reply`.
//!
//! Members' names come from strangers; [`MemberName`](linkgate_archive::MemberName) has made them safe to show.

use linkgate_archive::{Broken, DescriptionFault, Limit, LooksLike, MemberFault, Refused};
use linkgate_contract::{ErrorCode, InvalidVersion, PackageVersion, Problem, Text};

const SUPPORTED: &str = "tar, tar.gz, tar.bz2, tar.xz, tar.zst, zip";

/// What a caller reads of a package that is refused for what is inside it.
pub(super) fn refused_package_problem(refused: &Refused) -> Problem {
    let (code, zh, en) = match refused {
        Refused::Unsupported { looks, packed } => {
            let inside = packed.map(|format| (format!("（位于 {format} 内）"), format!(" (inside {format})")));
            let (inside_zh, inside) = inside.unwrap_or_default();
            (
                ErrorCode::PackageFormatUnsupported,
                format!("该文件不是源码包，看起来是{}{inside_zh}；支持的格式：{SUPPORTED}", looks_like(*looks)),
                format!("This is no package, it looks like {looks}{inside}; supported are: {SUPPORTED}"),
            )
        }
        Refused::Broken { format, fault } => (
            ErrorCode::PackageBroken,
            format!("{format} 压缩包已损坏：{}", broken(fault)),
            format!("The {format} archive is broken: {fault}"),
        ),
        Refused::Member { member, fault } => (
            ErrorCode::PackageMemberRefused,
            format!("{member}：{}", member_fault(fault)),
            format!("{member}: {fault}"),
        ),
        Refused::Over(limit) => {
            (ErrorCode::PackageLimitExceeded, format!("源码包{}", over(limit)), format!("The package has {limit}"))
        }
        Refused::Description { file, fault } => (
            ErrorCode::PackageDescriptionInvalid,
            format!("{file}：{}", description(fault)),
            format!("{file}: {fault}"),
        ),
        Refused::Io(_) => return Problem::new(ErrorCode::ObjectStore),
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
        LooksLike::Image => "图片",
        LooksLike::Text => "纯文本",
        LooksLike::Binary => "未知的二进制数据",
    }
}

fn broken(fault: &Broken) -> String {
    let text = match fault {
        Broken::Truncated => "内容不完整",
        Broken::TrailingData => "结尾之后还有多余内容",
        Broken::Corrupt => "压缩数据已损坏",
        Broken::Window { limit_bytes } => {
            return format!("解压所需内存超过 {limit_bytes} 字节，请使用更小的字典重新压缩");
        }
        Broken::Header { at } => return format!("位于 {at} 的头部已损坏"),
        Broken::Checksum { at } => return format!("位于 {at} 的头部校验和错误"),
        Broken::Extended { at } => return format!("位于 {at} 的扩展头部存在歧义"),
        Broken::Empty => "其中没有任何文件",
        Broken::AlsoZip => "该文件也可以被当作 zip 读取，请压缩后上传，或让其他文件排在最后",
        Broken::NoDirectory => "末尾没有目录",
        Broken::Zip64 => "不支持 zip64",
        Broken::Split => "不支持分卷压缩包",
        Broken::Gap { at } => return format!("位于 {at} 的内容不属于任何文件"),
    };
    text.to_owned()
}

fn member_fault(fault: &MemberFault) -> String {
    let text = match fault {
        MemberFault::Nameless => "名称为空",
        MemberFault::Absolute => "路径为绝对路径",
        MemberFault::Parent => "路径中含有 `..`",
        MemberFault::Backslash => "路径中含有反斜杠",
        MemberFault::ControlCharacter => "路径中含有控制字符",
        MemberFault::PathTooLong { limit_bytes } => return format!("路径超过 {limit_bytes} 字节"),
        MemberFault::PartTooLong { limit_bytes } => return format!("路径中的某一段超过 {limit_bytes} 字节"),
        MemberFault::TooDeep { limit } => return format!("目录层级超过 {limit} 层"),
        MemberFault::Duplicate => "名称重复",
        MemberFault::NotInFolder => "其上级不是目录",
        MemberFault::LinkOut { target } => return format!("链接指向或可能指向源码包之外：{target}"),
        MemberFault::LinkToNothing { target } => return format!("链接指向源码包中不存在的文件：{target}"),
        MemberFault::Special => "既不是文件，也不是目录或链接",
        MemberFault::KindMismatch => "类型与内容不符",
        MemberFault::DescriptionNotAFile => "应用描述文件必须是普通文件",
        MemberFault::Encrypted => "已加密",
        MemberFault::Method { method } => return format!("不支持的压缩方法 {method}"),
        MemberFault::Disagrees => "目录中的记录与文件自身的头部不一致",
        MemberFault::Overlaps => "与其他文件重叠",
        MemberFault::Corrupt => "数据已损坏",
    };
    text.to_owned()
}

fn over(limit: &Limit) -> String {
    match limit {
        Limit::Entries { limit } => format!("中的文件数超过 {limit}"),
        Limit::UnpackedBytes { limit } => format!("解压后超过 {limit} 字节"),
        Limit::Ratio { limit } => format!("的压缩比超过 {limit}"),
        Limit::Streams { limit } => format!("中的压缩流超过 {limit} 个"),
    }
}

fn description(fault: &DescriptionFault) -> String {
    match fault {
        DescriptionFault::TooLarge { limit_bytes } => format!("超过 {limit_bytes} 字节"),
        DescriptionFault::NotText => "不是 UTF-8 文本".to_owned(),
        DescriptionFault::Yaml { line, column, message } => format!("第 {line} 行第 {column} 列：{message}"),
        DescriptionFault::NotAMapping => "内容不是映射（mapping）".to_owned(),
        DescriptionFault::Folder => "所在目录的名称不是 UTF-8".to_owned(),
        DescriptionFault::Version(fault) => match fault {
            InvalidVersion::Blank => "其中的版本号为空".to_owned(),
            InvalidVersion::TooLong => format!("其中的版本号超过 {} 个字符", PackageVersion::MAX_CHARS),
            InvalidVersion::ControlCharacter => "其中的版本号含有控制字符".to_owned(),
        },
        DescriptionFault::VersionKind => "其中的版本号既不是文本也不是数字".to_owned(),
    }
}
