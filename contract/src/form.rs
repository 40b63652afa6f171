//! Bodies of HTML forms: `multipart/form-data` (RFC 7578) and `application/x-www-form-urlencoded`, as fields.
//!
//! Promises: every value is a text in UTF-8, of several of one name the first counts, files are left out, and no form has
//! more than [`MAX_PARTS`] parts. Refuses, with what to do about it, a form that two readers could read in two ways.

mod multipart;
mod parameters;

use std::borrow::Cow;

use percent_encoding::percent_decode;

pub(crate) use self::multipart::parse_multipart;
pub use self::multipart::{Boundary, BoundaryLine, PartHead};
use crate::{Field, Fields, Text};

/// More than any caller has use for.
pub const MAX_PARTS: usize = 64;

/// Why a body is no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidForm {
    /// The media type names no boundary, or one that cannot be.
    #[error("no boundary")]
    NoBoundary,
    /// No line with the boundary.
    #[error("no part begins")]
    NoPart,
    /// It ends before its last boundary.
    #[error("cut off")]
    Truncated,
    /// Something else follows a boundary on its line.
    #[error("more on a boundary's line")]
    BoundaryLine,
    /// More than [`MAX_PARTS`].
    #[error("too many parts")]
    TooManyParts,
    /// The header lines of a part that cannot be read, or are too long.
    #[error("bad headers in part {0}")]
    Headers(usize),
    /// A part that does not say once which field it is.
    #[error("no name in part {0}")]
    Name(usize),
    /// A part that is made of parts.
    #[error("parts within part {0}")]
    Nested(usize),
    /// A text in another encoding of characters than UTF-8, or in one of bytes.
    #[error("another encoding in part {0}")]
    Encoding(usize),
    /// A text that is no UTF-8.
    #[error("no UTF-8 in part {0}")]
    NotUtf8(usize),
}

impl InvalidForm {
    /// What is wrong, and what to do, without any of the form's own words.
    #[must_use]
    pub fn caller_message(self) -> Text {
        let (zh, en) = match self {
            Self::NoBoundary => (
                "Content-Type 中缺少有效的 boundary（1 至 70 个字符）；请让 HTTP 客户端自行设置该请求头".to_owned(),
                "Content-Type names no valid boundary (1 to 70 characters); let your HTTP client set that header".to_owned(),
            ),
            Self::NoPart => (
                "请求体中没有 Content-Type 所声明的 boundary；请让 HTTP 客户端自行设置该请求头".to_owned(),
                "the body has no line with the boundary of Content-Type; let your HTTP client set that header".to_owned(),
            ),
            Self::Truncated => (
                "请求体不完整，缺少结尾的 boundary；请发送完整的请求体，各行以 CRLF 结尾".to_owned(),
                "the body ends before its last boundary; send all of it, with lines that end in CRLF".to_owned(),
            ),
            Self::BoundaryLine => (
                "boundary 所在行含有其他内容；请使用内容中不会出现的 boundary，各行以 CRLF 结尾".to_owned(),
                "something else follows a boundary on its line; choose one that the parts do not contain, and end lines in CRLF".to_owned(),
            ),
            Self::TooManyParts => {
                (format!("字段过多，最多 {MAX_PARTS} 个"), format!("it has more than {MAX_PARTS} parts; send fewer"))
            }
            Self::Headers(part) => (
                format!("第 {part} 部分的头部无法读取；每行应为 `名称: 值`，共不超过 4096 字节，之后有一个空行"),
                format!("the headers of part {part} cannot be read; write `name: value` lines of at most 4096 bytes in all, then an empty line"),
            ),
            Self::Name(part) => (
                format!("第 {part} 部分缺少唯一的 `Content-Disposition: form-data; name=\"…\"`"),
                format!("part {part} does not have `Content-Disposition: form-data; name=\"…\"` just once"),
            ),
            Self::Nested(part) => (
                format!("第 {part} 部分自身又是 multipart；请将每个字段作为单独的部分发送"),
                format!("part {part} is multipart itself; send each field as a part of its own"),
            ),
            Self::Encoding(part) => (
                format!("第 {part} 部分的编码不受支持；请以不加编码的 UTF-8 发送"),
                format!("part {part} has an encoding that is not read here; send plain UTF-8"),
            ),
            Self::NotUtf8(part) => {
                (format!("第 {part} 部分不是 UTF-8；请以 UTF-8 发送"), format!("part {part} is not UTF-8; send UTF-8"))
            }
        };
        Text::made(format!("表单解析错误 - {zh}"), format!("Form parse error - {en}"))
    }
}

/// Reads `application/x-www-form-urlencoded`.
///
/// # Errors
/// [`InvalidForm::TooManyParts`], [`InvalidForm::NotUtf8`].
pub(crate) fn parse_urlencoded(body: &[u8]) -> Result<Fields<'_>, InvalidForm> {
    let pairs = body.split(|b| *b == b'&').filter(|pair| !pair.is_empty());
    let mut fields = Vec::new();
    for (n, pair) in pairs.enumerate() {
        if n == MAX_PARTS {
            return Err(InvalidForm::TooManyParts);
        }
        let (name, value) = split_once(pair, b"=").unwrap_or((pair, &[]));
        let decode = |encoded| decode_form_text(encoded).ok_or(InvalidForm::NotUtf8(n + 1));
        fields.push((decode(name)?, decode(value)?));
    }
    Ok(first_of_each(fields))
}

/// Percent-decodes a name or a value, in which a plus sign is a space.
fn decode_form_text(encoded: &[u8]) -> Option<Cow<'_, str>> {
    if !encoded.iter().any(|b| matches!(b, b'+' | b'%')) {
        return std::str::from_utf8(encoded).ok().map(Cow::Borrowed);
    }
    let spaced: Vec<u8> = encoded.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    String::from_utf8(percent_decode(&spaced).collect()).ok().map(Cow::Owned)
}

/// As an object, of whose fields the last one counts.
fn first_of_each<'a>(fields: Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Fields<'a> {
    fields.into_iter().rev().map(|(name, value)| (name, Field::Text(value))).collect()
}

fn split_once<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let n = text.windows(at.len()).position(|window| window == at)?;
    Some((text.get(..n)?, text.get(n + at.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;

    fn text<'a>(fields: &'a Fields<'_>, name: &str) -> &'a str {
        match fields.get(name) {
            Some(Field::Text(text)) => text,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn a_urlencoded_form_gives_the_first_of_each_name_decoded() {
        let fields = parse_urlencoded(b"a=x%20y+z%2B&&a=2&b&=c&%E7%89%88=%e6%9c%ac&c=%zz%2&d=1=2").unwrap();
        for (name, want) in [("a", "x y z+"), ("b", ""), ("", "c"), ("版", "本"), ("c", "%zz%2"), ("d", "1=2")] {
            assert_eq!(text(&fields, name), want, "{name}");
        }
        assert_eq!(parse_urlencoded(b"").unwrap(), Fields::default());
    }

    #[test]
    fn a_urlencoded_form_is_utf_8_and_bounded() {
        for (body, part) in [(&b"a=%ff"[..], 1), (b"a=1&%c3%28=2", 2), (b"a=\xff", 1)] {
            assert_eq!(parse_urlencoded(body).unwrap_err(), InvalidForm::NotUtf8(part));
        }
        assert!(parse_urlencoded("a=1&".repeat(MAX_PARTS).as_bytes()).is_ok());
        assert_eq!(parse_urlencoded("a=1&".repeat(MAX_PARTS + 1).as_bytes()).unwrap_err(), InvalidForm::TooManyParts);
    }

    #[test]
    fn every_fault_says_what_to_do_in_both_languages() {
        let faults = [
            InvalidForm::NoBoundary,
            InvalidForm::NoPart,
            InvalidForm::Truncated,
            InvalidForm::BoundaryLine,
            InvalidForm::TooManyParts,
            InvalidForm::Headers(3),
            InvalidForm::Name(3),
            InvalidForm::Nested(3),
            InvalidForm::Encoding(3),
            InvalidForm::NotUtf8(3),
        ];
        for fault in faults {
            let said = [Language::Chinese, Language::English]
                .map(|language| fault.caller_message().in_language(language).to_owned());
            assert!(said[1].starts_with("Form parse error - ") && said[0].starts_with("表单解析错误 - "), "{said:?}");
            let about_part = format!("{fault}").contains('3');
            assert!(said.iter().all(|text| text.contains('3') == about_part || fault == InvalidForm::TooManyParts));
        }
    }
}
