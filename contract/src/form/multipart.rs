//! `multipart/form-data`, as RFC 2046 and RFC 7578 have it, from a body that is there in full.
//!
//! Promises: time that grows with the body's length alone, no recursion, and nothing copied but names. A line that begins
//! with the boundary is never content. Preamble, epilogue and parts with a file's name are ignored.

use std::borrow::Cow;

use super::parameters::Parameters;
use super::{InvalidForm, MAX_PARTS, first_of_each, split_once};
use crate::Fields;

/// The header lines of a part, in bytes.
const MAX_HEAD_BYTES: usize = 4096;
/// Blanks behind a boundary, for whoever reads a form while it comes.
const MAX_BLANKS: usize = 1024;

/// What parts are told from each other by: 1 to 70 characters, of which the last is no space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    const MAX_CHARS: usize = 70;

    /// The boundary that a `Content-Type` names.
    pub(crate) fn from_content_type(value: &[u8]) -> Option<Self> {
        let parameters = Parameters::parse(std::str::from_utf8(value).ok()?)?;
        let text = parameters.get("boundary").ok()??;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
        let is_good = (1..=Self::MAX_CHARS).contains(&text.len()) && text.bytes().all(is_plain) && !text.ends_with(' ');
        is_good.then(|| Self(text.to_owned()))
    }

    /// What stands between two parts, with the line break before it, which belongs to it.
    #[must_use]
    pub fn delimiter(&self) -> Vec<u8> {
        format!("\r\n--{}", self.0).into_bytes()
    }
}

/// What follows a boundary on its line, for whoever reads a form while it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundaryLine {
    /// A part: so many bytes are to be skipped up to the line break before it.
    Part(usize),
    /// Nothing more.
    Last,
    /// More has to come before it can be told.
    Unfinished,
}

impl BoundaryLine {
    /// Reads what has come behind a boundary; `is_all` says that nothing more will.
    ///
    /// # Errors
    /// [`InvalidForm::BoundaryLine`], [`InvalidForm::Truncated`].
    pub fn read(text: &[u8], is_all: bool) -> Result<Self, InvalidForm> {
        match end_boundary_line(text) {
            // What ends behind two hyphens may yet go on.
            Ok(LineEnd::Last) if is_all || text.contains(&b'\n') => Ok(Self::Last),
            Ok(LineEnd::Part(part)) => Ok(Self::Part(text.len() - part.len())),
            Ok(LineEnd::Last) | Err(InvalidForm::Truncated) if !is_all && text.len() < MAX_BLANKS => {
                Ok(Self::Unfinished)
            }
            Ok(LineEnd::Last) => Err(InvalidForm::BoundaryLine),
            Err(fault) => Err(fault),
        }
    }
}

/// What follows a boundary on its line.
enum LineEnd<'a> {
    /// A part, from the line break on that may begin the next boundary already.
    Part(&'a [u8]),
    /// Nothing more.
    Last,
}

/// What a part says of itself.
#[derive(Debug)]
pub struct PartHead {
    name: String,
    /// What its file is called, if it is one; `None` within if it says so in a way that is not read here.
    file: Option<Option<String>>,
    /// How its text is to be read, if it is one.
    charset: Result<Charset, InvalidForm>,
}

impl PartHead {
    /// The most bytes that its lines have, with those that end them.
    pub const MAX_BYTES: usize = MAX_HEAD_BYTES + 4;

    /// Reads the lines of the part of this number, without the empty one behind them.
    ///
    /// # Errors
    /// [`InvalidForm`] says which rule they break.
    pub fn parse(lines: &[u8], number: usize) -> Result<Self, InvalidForm> {
        parse_head(lines, number)
    }

    /// Which field it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// What its file is called, if it says so plainly.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.file.as_ref()?.as_deref()
    }

    /// Whether its bytes are what they are, and no parts or letters that stand for bytes.
    ///
    /// # Errors
    /// [`InvalidForm`] says what they are.
    pub fn check_plain(&self) -> Result<(), InvalidForm> {
        self.charset.map(|_| ())
    }

    /// The value of a field.
    ///
    /// # Errors
    /// If it is no UTF-8, or in another encoding.
    pub fn read_text<'a>(&self, value: &'a [u8], number: usize) -> Result<&'a str, InvalidForm> {
        if matches!(self.charset?, Charset::AsciiOnly) && !value.is_ascii() {
            return Err(InvalidForm::Encoding(number));
        }
        std::str::from_utf8(value).map_err(|_| InvalidForm::NotUtf8(number))
    }
}

#[derive(Clone, Copy, Debug)]
enum Charset {
    Utf8,
    /// One in which ASCII is ASCII, and all else is not read here.
    AsciiOnly,
}

/// Reads a form.
///
/// # Errors
/// [`InvalidForm`] says which rule it breaks.
pub(crate) fn parse_multipart<'a>(boundary: &Boundary, body: &'a [u8]) -> Result<Fields<'a>, InvalidForm> {
    let delimiter = boundary.delimiter();
    let mut rest = skip_preamble(body, &delimiter).ok_or(InvalidForm::NoPart)?;
    let (mut fields, mut parts) = (Vec::new(), 0);
    while let LineEnd::Part(begin) = end_boundary_line(rest)? {
        parts += 1;
        if parts > MAX_PARTS {
            return Err(InvalidForm::TooManyParts);
        }
        let (part, next) = split_once(begin, &delimiter).ok_or(InvalidForm::Truncated)?;
        fields.extend(parse_part(part, parts)?);
        rest = next;
    }
    Ok(first_of_each(fields))
}

/// What follows the first boundary, which may stand at the very beginning.
fn skip_preamble<'a>(body: &'a [u8], delimiter: &[u8]) -> Option<&'a [u8]> {
    let at_once = delimiter.strip_prefix(b"\r\n").and_then(|line| body.strip_prefix(line));
    at_once.or_else(|| split_once(body, delimiter).map(|(_, rest)| rest))
}

/// Blanks may follow a boundary on its line, nothing else: what does might be content to another reader.
fn end_boundary_line(text: &[u8]) -> Result<LineEnd<'_>, InvalidForm> {
    let (is_last, text) = text.strip_prefix(b"--").map_or((false, text), |rest| (true, rest));
    let blanks = text.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    match (is_last, text.get(blanks..).unwrap_or_default()) {
        (true, [] | [b'\r', b'\n', ..]) => Ok(LineEnd::Last),
        (false, part @ [b'\r', b'\n', ..]) => Ok(LineEnd::Part(part)),
        (_, [] | [b'\r'] | [b'-']) => Err(InvalidForm::Truncated),
        _ => Err(InvalidForm::BoundaryLine),
    }
}

/// Its name and its value.
type Field<'a> = (Cow<'a, str>, Cow<'a, str>);

/// A field, or nothing where the part is a file.
fn parse_part(part: &[u8], number: usize) -> Result<Option<Field<'_>>, InvalidForm> {
    let part = part.strip_prefix(b"\r\n").ok_or(InvalidForm::Headers(number))?;
    let (head, value) = match part.strip_prefix(b"\r\n") {
        Some(value) => (&[][..], value),
        None => split_once(part, b"\r\n\r\n").ok_or(InvalidForm::Headers(number))?,
    };
    let head = parse_head(head, number)?;
    if head.is_file() {
        return Ok(None);
    }
    let value = head.read_text(value, number)?;
    Ok(Some((head.name.into(), value.into())))
}

fn parse_head(head: &[u8], number: usize) -> Result<PartHead, InvalidForm> {
    if head.len() > MAX_HEAD_BYTES {
        return Err(InvalidForm::Headers(number));
    }
    let head = std::str::from_utf8(head).map_err(|_| InvalidForm::NotUtf8(number))?;
    let (mut field, mut media_type, mut transfer) = (None, None, None);
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = parse_line(line).ok_or(InvalidForm::Headers(number))?;
        let is_first = match name.as_str() {
            "content-disposition" => field.replace(parse_disposition(value, number)?).is_none(),
            "content-type" => media_type.replace(value).is_none(),
            "content-transfer-encoding" => transfer.replace(value).is_none(),
            _ => true,
        };
        if !is_first {
            return Err(InvalidForm::Headers(number));
        }
    }
    let (name, file) = field.ok_or(InvalidForm::Name(number))?;
    let charset = if transfer.is_none_or(is_identity) {
        media_type.map_or(Ok(Charset::Utf8), |value| parse_type(value, number))
    } else {
        Err(InvalidForm::Encoding(number))
    };
    Ok(PartHead { name, file, charset })
}

/// A line that goes on with the next one is not read.
fn parse_line(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    let is_value = value.chars().all(|c| !c.is_control() || c == '\t');
    (is_name && is_value).then(|| (name.to_ascii_lowercase(), value.trim()))
}

/// A field's name and, of a file, what that is called.
type Disposition = (String, Option<Option<String>>);

fn parse_disposition(value: &str, number: usize) -> Result<Disposition, InvalidForm> {
    let parameters = Parameters::parse(value).ok_or(InvalidForm::Headers(number))?;
    let is_file = parameters.has("filename") || parameters.has("filename*");
    let file_name = parameters.get("filename").ok().flatten().filter(|_| !parameters.has("filename*"));
    let file = is_file.then(|| file_name.map(str::to_owned));
    match parameters.get("name") {
        Ok(Some(name)) if parameters.value == "form-data" && !parameters.has("name*") => Ok((name.to_owned(), file)),
        _ => Err(InvalidForm::Name(number)),
    }
}

fn parse_type(value: &str, number: usize) -> Result<Charset, InvalidForm> {
    let parameters = Parameters::parse(value).ok_or(InvalidForm::Headers(number))?;
    if parameters.value.starts_with("multipart/") {
        return Err(InvalidForm::Nested(number));
    }
    let charset = parameters.get("charset").map_err(|()| InvalidForm::Headers(number))?.unwrap_or("utf-8");
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" => Ok(Charset::Utf8),
        "us-ascii" | "ascii" | "iso-8859-1" | "latin1" | "windows-1252" | "gbk" | "gb2312" | "gb18030" => {
            Ok(Charset::AsciiOnly)
        }
        _ => Err(InvalidForm::Encoding(number)),
    }
}

fn is_identity(transfer_encoding: &str) -> bool {
    ["7bit", "8bit", "binary"].iter().any(|plain| transfer_encoding.eq_ignore_ascii_case(plain))
}

#[cfg(test)]
mod tests;
