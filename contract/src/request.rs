//! The body of an upload, read once and the same way by the gate and the store.
//!
//! Promises: every wrong field is named, not only the first. Refuses anything but a JSON object or a form; ignores unknown
//! fields, as BlueKing does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::form::{parse_multipart, parse_urlencoded};
use crate::{
    AllowList, ErrorCode, Field, Fields, InvalidForm, InvalidUrl, MediaType, NoObject, Origin, PackageName, PackageUrl,
    PackageVersion, Problem, Sha256, Text,
};

/// A checked upload; of the link, it holds as much as its reader has use for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadByLinkRequest<L = PackageUrl> {
    /// Where the package is.
    pub package_url: L,
    /// Its version; absent: the package itself says.
    pub version: Option<PackageVersion>,
    /// Whether a package of the same version is replaced.
    pub allow_overwrite: bool,
    /// What its bytes must hash to; absent: whatever comes is taken.
    pub sha256: Option<Sha256>,
    /// How many bytes it must have; absent: as many as come.
    pub size: Option<u64>,
}

/// A link as far as its reader has use for it: whole, to fetch it, or only its origin, to judge it. Either way the same
/// links are taken.
pub trait ParseLink: Sized {
    /// Reads and checks a link.
    ///
    /// # Errors
    /// [`InvalidUrl`] says which rule it breaks.
    fn parse_link(link: &str) -> Result<Self, InvalidUrl>;
    /// Where it points to.
    fn origin(&self) -> Cow<'_, Origin>;
}

impl ParseLink for PackageUrl {
    fn parse_link(link: &str) -> Result<Self, InvalidUrl> {
        Self::new(link)
    }

    fn origin(&self) -> Cow<'_, Origin> {
        Cow::Owned(self.origin())
    }
}

impl ParseLink for Origin {
    fn parse_link(link: &str) -> Result<Self, InvalidUrl> {
        Self::parse_link(link)
    }

    fn origin(&self) -> Cow<'_, Origin> {
        Cow::Borrowed(self)
    }
}

/// What the reader of a request allows; the gate and the store have lists of their own.
pub trait SourceRules {
    /// Whether links may point there.
    fn allows(&self, origin: &Origin) -> bool;
    /// Whether no link at all is allowed, so that the caller is told to ask the operator.
    fn allows_nothing(&self) -> bool;
    /// Whether the request must say the package's SHA-256. Asked for a link that is allowed.
    fn requires_sha256(&self, _origin: &Origin) -> bool {
        false
    }
}

impl SourceRules for AllowList {
    fn allows(&self, origin: &Origin) -> bool {
        Self::allows(self, origin)
    }

    fn allows_nothing(&self) -> bool {
        self.is_empty()
    }
}

const BYTE_ORDER_MARK: Text = Text::fixed(
    "JSON 解析错误 - 请求体以字节顺序标记（BOM）开头；请以不带 BOM 的 UTF-8 发送",
    "JSON parse error - the body begins with a byte order mark (BOM); send UTF-8 without it",
);
pub(crate) const REQUIRED: Text = Text::fixed("该字段是必填项。", "This field is required.");
const NOT_NULL: Text = Text::fixed("该字段不能为 null。", "This field may not be null.");
const NOT_STRING: Text = Text::fixed("请输入有效的字符串。", "Not a valid string.");
const NOT_BOOLEAN: Text = Text::fixed("请输入有效的布尔值。", "Must be a valid boolean.");
const NOT_SIZE: Text =
    Text::fixed("请输入源码包的字节数，即非负整数。", "Must be a whole number, the bytes of the package.");

impl UploadByLinkRequest {
    /// Reads and checks a body. An empty one counts as an object without fields, whatever its media type.
    ///
    /// # Errors
    /// The [`Problem`] to answer with.
    pub fn parse_body(media_type: &MediaType, body: &[u8], rules: &dyn SourceRules) -> Result<Self, Problem> {
        Self::from_fields(&parse_body_fields(media_type, body)?, rules)
    }

    /// A body that reads as this very request.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut fields = Map::new();
        fields.insert("package_url".into(), self.package_url.as_str().into());
        fields.insert("allow_overwrite".into(), self.allow_overwrite.into());
        let version = self.version.as_ref().map(|version| ("version", version.as_str().into()));
        let sha256 = self.sha256.map(|digest| ("sha256", digest.to_string().into()));
        let size = self.size.map(|size| ("size", size.into()));
        fields.extend([version, sha256, size].into_iter().flatten().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(fields).to_string()
    }
}

impl<L: ParseLink> UploadByLinkRequest<L> {
    /// Checks the fields of a body that was read.
    ///
    /// # Errors
    /// The [`Problem`] to answer with.
    pub fn from_fields(fields: &Fields<'_>, rules: &dyn SourceRules) -> Result<Self, Problem> {
        let mut wrong = BTreeMap::new();
        let mut note = |name, message| {
            wrong.insert(name, vec![message]);
        };
        let link = read_package_url::<L>(fields.get("package_url"), rules).map_err(|m| note("package_url", m)).ok();
        let version = read_version(fields.get("version")).map_err(|m| note("version", m)).ok();
        let allow_overwrite = read_boolean(fields.get("allow_overwrite")).map_err(|m| note("allow_overwrite", m)).ok();
        let needs_sha256 = link.as_ref().is_some_and(|link| rules.requires_sha256(&link.origin()));
        let sha256 = read_sha256(fields.get("sha256"), needs_sha256).map_err(|m| note("sha256", m)).ok();
        let size = read_size(fields.get("size")).map_err(|m| note("size", m)).ok();
        let link = link.filter(|_| check_name(fields, version.as_ref()).map_err(|m| note("package_url", m)).is_ok());
        match (link, version, allow_overwrite, sha256, size) {
            (Some(package_url), Some(version), Some(allow_overwrite), Some(sha256), Some(size)) => {
                Ok(Self { package_url, version, allow_overwrite, sha256, size })
            }
            _ => Err(Problem::fields(wrong)),
        }
    }
}

/// Reads a body as far as its fields. An empty one has none, whatever its media type.
///
/// # Errors
/// The [`Problem`] to answer with: another media type, no JSON, no object, or a form that cannot be read.
pub fn parse_body_fields<'a>(media_type: &MediaType, body: &'a [u8]) -> Result<Fields<'a>, Problem> {
    if body.is_empty() {
        return Ok(Fields::default());
    }
    let form = match media_type {
        MediaType::Json => return parse_json_fields(body),
        MediaType::UrlEncoded => parse_urlencoded(body),
        MediaType::Multipart(None) => Err(InvalidForm::NoBoundary),
        MediaType::Multipart(Some(boundary)) => parse_multipart(boundary, body),
        MediaType::Other => return Err(Problem::new(ErrorCode::UnsupportedMediaType)),
    };
    form.map_err(|fault| Problem::with_detail(ErrorCode::ParseError, fault.caller_message()))
}

/// The version that a body names, if it names one. `null` is none, as by leaving it out.
///
/// # Errors
/// The [`Problem`] to answer with: it is no version.
pub fn read_version_field(fields: &Fields<'_>) -> Result<Option<PackageVersion>, Problem> {
    let value = fields.get("version").filter(|value| **value != Field::Null);
    read_version(value).map_err(|message| Problem::field("version", message))
}

/// A field of a body that says yes or no. Left out, it says no.
///
/// # Errors
/// The [`Problem`] to answer with: it says neither.
pub fn read_flag_field(fields: &Fields<'_>, name: &'static str) -> Result<bool, Problem> {
    read_boolean(fields.get(name)).map_err(|message| Problem::field(name, message))
}

fn parse_json_fields(body: &[u8]) -> Result<Fields<'_>, Problem> {
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(Problem::with_detail(ErrorCode::ParseError, BYTE_ORDER_MARK));
    }
    Fields::from_json(body).map_err(|error| match error {
        NoObject::Malformed(e) => {
            let text = Text::made(format!("JSON 解析错误 - {e}"), format!("JSON parse error - {e}"));
            Problem::with_detail(ErrorCode::ParseError, text)
        }
        NoObject::Other(value) => no_object(&value),
    })
}

fn no_object(value: &Value) -> Problem {
    let found = match value {
        Value::Object(_) => "dict",
        Value::Array(_) => "list",
        Value::String(_) => "str",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Null => "null",
    };
    Problem::field(
        Problem::NO_FIELD,
        Text::made(
            format!("无效数据。期待为字典类型，得到的是 {found}。"),
            format!("Invalid data. Expected a dictionary, but got {found}."),
        ),
    )
}

fn read_package_url<L: ParseLink>(value: Option<&Field<'_>>, rules: &dyn SourceRules) -> Result<L, Text> {
    let link = match value {
        None => return Err(REQUIRED),
        Some(Field::Null) => return Err(NOT_NULL),
        Some(Field::Text(link)) => L::parse_link(link).map_err(|e| e.caller_message())?,
        Some(_) => return Err(NOT_STRING),
    };
    let refusal = {
        let origin = link.origin();
        (!rules.allows(&origin)).then(|| not_allowed(&origin, rules))
    };
    refusal.map_or(Ok(link), Err)
}

/// A name that the package's own version makes is checked when that is known.
fn check_name(fields: &Fields<'_>, version: Option<&Option<PackageVersion>>) -> Result<(), Text> {
    match (fields.get("package_url"), version) {
        (Some(Field::Text(link)), Some(Some(version))) => {
            PackageName::check(link, version).map_err(|e| e.caller_message())
        }
        _ => Ok(()),
    }
}

/// Names the host, so that a caller can ask the operator for it.
fn not_allowed(origin: &Origin, rules: &dyn SourceRules) -> Text {
    if rules.allows_nothing() {
        return Text::fixed(
            "通过链接上传源码包的功能未开启，请联系管理员。",
            "Uploading by link is not enabled: no host is allowed. Ask the operator.",
        );
    }
    let Origin { host, port, .. } = origin;
    Text::made(
        format!("主机 '{host}'（端口 {port}）不在允许的白名单中。"),
        format!("Host '{host}' (port {port}) is not in the allow-list."),
    )
}

pub(crate) fn read_version(value: Option<&Field<'_>>) -> Result<Option<PackageVersion>, Text> {
    let text = match value {
        None => return Ok(None),
        Some(Field::Null) => return Err(NOT_NULL),
        Some(Field::Text(text)) => Cow::Borrowed(text.as_ref()),
        Some(Field::Number(number)) => Cow::Owned(number.to_string()),
        Some(_) => return Err(NOT_STRING),
    };
    PackageVersion::new(&text).map(Some).map_err(|e| e.caller_message())
}

/// Nothing, null and blank are one: callers fill the fields they do not use with either.
pub(crate) fn read_sha256(value: Option<&Field<'_>>, required: bool) -> Result<Option<Sha256>, Text> {
    let digits = match value {
        None | Some(Field::Null) => "",
        Some(Field::Text(digits)) => digits.trim(),
        Some(_) => return Err(NOT_STRING),
    };
    match digits {
        "" if required => Err(REQUIRED),
        "" => Ok(None),
        _ => Sha256::parse_any_case(digits).map(Some).map_err(|e| e.caller_message()),
    }
}

/// Also as a text, for that is the form of a reply's `package_size`. Nothing, null and blank are one, as with a digest.
pub(crate) fn read_size(value: Option<&Field<'_>>) -> Result<Option<u64>, Text> {
    match value {
        None | Some(Field::Null) => Ok(None),
        Some(Field::Number(number)) => number.as_u64().map(Some).ok_or(NOT_SIZE),
        Some(Field::Text(text)) => match text.trim() {
            "" => Ok(None),
            // The parser would take a sign.
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().map(Some).map_err(|_| NOT_SIZE),
            _ => Err(NOT_SIZE),
        },
        Some(_) => Err(NOT_SIZE),
    }
}

/// Everything that callers send for a boolean today, as BlueKing's framework reads it: words in any case, but without blanks.
pub(crate) fn read_boolean(value: Option<&Field<'_>>) -> Result<bool, Text> {
    let text = match value {
        None | Some(Field::Null) => return Ok(false),
        Some(Field::Bool(flag)) => return Ok(*flag),
        Some(Field::Number(number)) => return read_flag(number),
        Some(Field::Text(text)) => text.to_ascii_lowercase(),
        Some(_) => return Err(NOT_BOOLEAN),
    };
    match text.as_str() {
        "true" | "t" | "y" | "yes" | "on" | "1" => Ok(true),
        "false" | "f" | "n" | "no" | "off" | "0" | "" | "null" => Ok(false),
        _ => Err(NOT_BOOLEAN),
    }
}

/// One or zero, however it is written.
fn read_flag(number: &Number) -> Result<bool, Text> {
    match number.to_string().as_str() {
        "1" | "1.0" => Ok(true),
        "0" | "0.0" | "-0.0" => Ok(false),
        _ => Err(NOT_BOOLEAN),
    }
}

#[cfg(test)]
mod tests;
