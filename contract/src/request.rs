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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{HostRule, Language};

    fn read(body: &Value) -> Result<UploadByLinkRequest, Problem> {
        let allowed = AllowList::new(vec![HostRule::new("example.com").unwrap()]);
        UploadByLinkRequest::parse_body(&MediaType::Json, body.to_string().as_bytes(), &allowed)
    }

    fn detail(body: &Value) -> String {
        read(body).expect_err(&body.to_string()).detail(Language::English)
    }

    const URL: &str = "https://example.com/generic/example.tar.gz";

    #[test]
    fn the_request_of_the_api_document_is_read() {
        let request = read(&json!({"package_url": URL, "version": "0.0.5", "unknown": 1})).unwrap();
        assert_eq!(request.package_url.as_str(), URL);
        assert_eq!(request.version.unwrap().as_str(), "0.0.5");
        assert!(!request.allow_overwrite);
    }

    #[test]
    fn a_request_reads_as_itself_when_it_is_written_again() {
        for body in [
            json!({"package_url": format!("{URL}?sign=a%2Fb&x=%E7%89%88")}),
            json!({"package_url": URL, "version": " 1.10 ", "allow_overwrite": "yes", "sha256": "AB".repeat(32), "size": "7"}),
        ] {
            let request = read(&body).unwrap();
            let again: Value = serde_json::from_str(&request.to_json()).unwrap();
            assert_eq!(read(&again).unwrap(), request);
        }
    }

    #[test]
    fn a_version_may_be_a_number_or_absent_but_not_null() {
        let version = |v: Value| read(&json!({"package_url": URL, "version": v})).map(|r| r.version.unwrap());
        assert_eq!(version(json!(7)).unwrap().as_str(), "7");
        assert_eq!(version(json!(1.5)).unwrap().as_str(), "1.5");
        assert_eq!(read(&json!({"package_url": URL})).unwrap().version, None);
        assert_eq!(detail(&json!({"package_url": URL, "version": null})), "version: This field may not be null.");
        assert_eq!(detail(&json!({"package_url": URL, "version": "  "})), "version: This field may not be blank.");
        assert_eq!(detail(&json!({"package_url": URL, "version": [1]})), "version: Not a valid string.");
        assert_eq!(detail(&json!({"package_url": URL, "version": true})), "version: Not a valid string.");
    }

    #[test]
    fn booleans_are_taken_as_callers_send_them() {
        let flag = |v: Value| read(&json!({"package_url": URL, "allow_overwrite": v})).map(|r| r.allow_overwrite);
        for yes in [
            json!(true),
            json!("true"),
            json!("T"),
            json!("y"),
            json!("YES"),
            json!("On"),
            json!("1"),
            json!(1),
            json!(1.0),
        ] {
            assert_eq!(flag(yes.clone()), Ok(true), "{yes}");
        }
        for no in
            [json!(false), json!("False"), json!("n"), json!("off"), json!(0), json!(null), json!(""), json!("null")]
        {
            assert_eq!(flag(no.clone()), Ok(false), "{no}");
        }
        for bad in [
            json!("maybe"),
            json!(2),
            json!([]),
            json!({}),
            json!(-1),
            json!(0.5),
            json!("1.0"),
            json!("0.0"),
            json!(" true "),
            json!("true\n"),
            json!("\tfalse"),
            json!(" "),
            json!("-0"),
        ] {
            let problem = flag(bad.clone()).expect_err(&bad.to_string());
            assert_eq!(problem.detail(Language::English), "allow_overwrite: Must be a valid boolean.");
        }
    }

    #[test]
    fn a_version_of_no_sign_has_none() {
        let body = format!(r#"{{"package_url": "{URL}", "version": -0}}"#);
        let request = UploadByLinkRequest::parse_body(&MediaType::Json, body.as_bytes(), &Pinned);
        assert_eq!(request.map(|_| ()).unwrap_err().detail(Language::English), "sha256: This field is required.");
        let fields = parse_body_fields(&MediaType::Json, body.as_bytes()).unwrap();
        assert_eq!(read_version(fields.get("version")).unwrap().unwrap().as_str(), "0");
    }

    #[test]
    fn a_field_that_nobody_reads_may_hold_anything() {
        let parse = |more: &str| {
            let body = format!(r#"{{"package_url": "{URL}", "sha256": "{}", {more}}}"#, "0".repeat(64));
            UploadByLinkRequest::parse_body(&MediaType::Json, body.as_bytes(), &Pinned)
        };
        for more in [r#""note": "\ud800""#, r#""note": 1e400"#, r#""\udc00": null"#, r#""note": [{"a": 1e999}]"#] {
            assert!(parse(more).is_ok(), "{more}");
        }
        for (more, said) in [
            (r#""version": "\ud800""#, "version: Not a valid string."),
            (r#""version": 1e400"#, "version: Not a valid string."),
            (r#""allow_overwrite": 1e400"#, "allow_overwrite: Must be a valid boolean."),
        ] {
            assert_eq!(parse(more).unwrap_err().detail(Language::English), said, "{more}");
        }
    }

    #[test]
    fn a_body_with_a_byte_order_mark_is_told_so() {
        let problem = parse_body_fields(&MediaType::Json, b"\xef\xbb\xbf{}").unwrap_err();
        assert_eq!(problem.code(), ErrorCode::ParseError);
        assert!(problem.detail(Language::English).contains("byte order mark"), "{problem:?}");
    }

    #[test]
    fn a_name_of_the_package_has_at_most_128_characters() {
        let read = |name: &str, version: &str| {
            read(&json!({"package_url": format!("https://example.com/{name}.tgz/"), "version": version}))
        };
        assert!(read(&"n".repeat(126), "1").is_ok());
        assert!(read(&format!("{}1", "n".repeat(127)), "1").is_ok());
        for (name, version) in [("n".repeat(127), "1"), ("n".to_owned(), &*"1".repeat(127)), ("版".repeat(20), "1")] {
            let sentence = "package_url: The file name of the link and the version make a package name of more than 128 characters; shorten one of them.";
            assert_eq!(read(&name, version).unwrap_err().detail(Language::English), sentence, "{name} {version}");
        }
    }

    #[test]
    fn links_are_required_valid_and_allowed() {
        assert_eq!(detail(&json!({})), "package_url: This field is required.");
        assert_eq!(detail(&json!({"package_url": null})), "package_url: This field may not be null.");
        assert_eq!(detail(&json!({"package_url": " "})), "package_url: This field may not be blank.");
        assert_eq!(detail(&json!({"package_url": "nonsense"})), "package_url: Enter a valid URL.");
        assert_eq!(detail(&json!({"package_url": 7})), "package_url: Not a valid string.");
        assert_eq!(
            detail(&json!({"package_url": "https://evil.example/a"})),
            "package_url: Host 'evil.example' (port 443) is not in the allow-list."
        );
    }

    #[test]
    fn without_allowed_hosts_the_caller_is_sent_to_the_operator() {
        let body = json!({"package_url": URL}).to_string();
        let problem =
            UploadByLinkRequest::parse_body(&MediaType::Json, body.as_bytes(), &AllowList::default()).unwrap_err();
        assert!(problem.detail(Language::English).contains("no host is allowed"));
    }

    #[test]
    fn a_digest_is_taken_in_any_case_and_may_be_left_empty() {
        let digest = |v: Value| read(&json!({"package_url": URL, "sha256": v})).map(|r| r.sha256);
        let digits = "ab".repeat(32);
        for given in [json!(digits), json!(digits.to_uppercase())] {
            assert_eq!(digest(given).unwrap().unwrap().to_string(), digits);
        }
        for none in [json!(null), json!(""), json!("  ")] {
            assert_eq!(digest(none.clone()), Ok(None), "{none}");
        }
        assert_eq!(read(&json!({"package_url": URL})).unwrap().sha256, None);
        for bad in [json!("ab"), json!("x".repeat(64))] {
            let sentence = "sha256: Must be 64 hexadecimal digits, the SHA-256 of the package.";
            assert_eq!(digest(bad.clone()).expect_err(&bad.to_string()).detail(Language::English), sentence);
        }
        for bad in [json!(7), json!([]), json!(true)] {
            let problem = digest(bad.clone()).expect_err(&bad.to_string());
            assert_eq!(problem.detail(Language::English), "sha256: Not a valid string.");
        }
    }

    #[test]
    fn a_size_is_a_whole_number_in_digits_or_as_a_number_and_may_be_left_empty() {
        let size = |v: Value| read(&json!({"package_url": URL, "size": v})).map(|r| r.size);
        for (given, want) in [
            (json!(0), Some(0)),
            (json!(1024), Some(1024)),
            (json!(u64::MAX), Some(u64::MAX)),
            (json!(" 01024 "), Some(1024)),
            (json!(null), None),
            (json!(""), None),
            (json!("  "), None),
        ] {
            assert_eq!(size(given.clone()), Ok(want), "{given}");
        }
        assert_eq!(read(&json!({"package_url": URL})).unwrap().size, None);
        for bad in [
            json!(-1),
            json!(1.5),
            json!(1e20),
            json!("1.0"),
            json!("+1"),
            json!("-1"),
            json!("1 000"),
            json!("1k"),
            json!("18446744073709551616"),
            json!("１"),
            json!(true),
            json!([1]),
            json!({}),
        ] {
            let problem = size(bad.clone()).expect_err(&bad.to_string());
            let sentence = "size: Must be a whole number, the bytes of the package.";
            assert_eq!(problem.detail(Language::English), sentence, "{bad}");
        }
    }

    /// Allows every link and requires the digest of all but those to `trusted.example`.
    struct Pinned;

    impl SourceRules for Pinned {
        fn allows(&self, _origin: &Origin) -> bool {
            true
        }

        fn allows_nothing(&self) -> bool {
            false
        }

        fn requires_sha256(&self, origin: &Origin) -> bool {
            origin.host != url::Host::Domain("trusted.example".to_owned())
        }
    }

    #[test]
    fn a_digest_is_required_where_the_rules_say_so() {
        let read =
            |body: Value| UploadByLinkRequest::parse_body(&MediaType::Json, body.to_string().as_bytes(), &Pinned);
        for none in [
            json!({"package_url": URL}),
            json!({"package_url": URL, "sha256": null}),
            json!({"package_url": URL, "sha256": " "}),
        ] {
            let problem = read(none.clone()).expect_err(&none.to_string());
            assert_eq!(problem.detail(Language::English), "sha256: This field is required.");
        }
        assert!(read(json!({"package_url": URL, "sha256": "0".repeat(64)})).is_ok());
        assert!(read(json!({"package_url": "https://trusted.example/a"})).is_ok());
        let elsewhere = read(json!({"package_url": 7})).unwrap_err();
        assert!(!elsewhere.body(Language::English).contains("sha256"), "the link comes first");
    }

    #[test]
    fn a_link_that_is_read_for_its_origin_makes_the_same_request() {
        for link in [URL, "https://trusted.example/a", "http://user@example.com/", ""] {
            let body = json!({"package_url": link, "version": 7}).to_string();
            let fields = parse_body_fields(&MediaType::Json, body.as_bytes()).unwrap();
            let judged =
                UploadByLinkRequest::<Origin>::from_fields(&fields, &Pinned).map(|r| (r.package_url, r.version));
            let whole = UploadByLinkRequest::<PackageUrl>::parse_body(&MediaType::Json, body.as_bytes(), &Pinned);
            assert_eq!(judged, whole.map(|r| (r.package_url.origin(), r.version)), "{link}");
        }
    }

    #[test]
    fn all_wrong_fields_are_named() {
        let problem =
            read(&json!({"version": null, "allow_overwrite": "perhaps", "sha256": 1, "size": -1})).unwrap_err();
        let body: Value = serde_json::from_str(&problem.body(Language::English)).unwrap();
        assert_eq!(body["detail"], "allow_overwrite: Must be a valid boolean.");
        let fields: Vec<_> = body["fields_detail"].as_object().unwrap().keys().collect();
        assert_eq!(fields, ["allow_overwrite", "package_url", "sha256", "size", "version"]);
    }

    #[test]
    fn a_form_is_the_request_of_the_same_fields() {
        let read = |content_type: &str, body: &[u8]| {
            UploadByLinkRequest::parse_body(&MediaType::from_header(Some(content_type.as_bytes())), body, &Pinned)
        };
        let fields = [
            ("version", "1.10"),
            ("allow_overwrite", "true"),
            ("package_url", "https://trusted.example/a"),
            ("size", "7"),
        ];
        let whole = read(
            "application/json",
            br#"{"package_url":"https://trusted.example/a","version":"1.10","allow_overwrite":true,"size":7}"#,
        );
        let parts = fields
            .map(|(name, value)| format!("--B\r\nContent-Disposition: form-data; name={name}\r\n\r\n{value}\r\n"));
        assert_eq!(read("multipart/form-data; boundary=B", format!("{}--B--", parts.concat()).as_bytes()), whole);
        let pairs = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        assert_eq!(read("application/x-www-form-urlencoded", pairs.as_bytes()), whole);
        assert!(whole.is_ok_and(|request| request.allow_overwrite));
    }

    #[test]
    fn a_form_that_cannot_be_read_is_said_to_be_none() {
        for (content_type, want) in [
            (
                "multipart/form-data",
                "Form parse error - Content-Type names no valid boundary (1 to 70 characters); let your HTTP client set that header",
            ),
            (
                "multipart/form-data; boundary=C",
                "Form parse error - the body has no line with the boundary of Content-Type; let your HTTP client set that header",
            ),
            (
                "multipart/form-data; boundary=B",
                "Form parse error - the body ends before its last boundary; send all of it, with lines that end in CRLF",
            ),
        ] {
            let media_type = MediaType::from_header(Some(content_type.as_bytes()));
            let problem = parse_body_fields(&media_type, b"--B\r\n").unwrap_err();
            assert_eq!((problem.code(), problem.detail(Language::English).as_str()), (ErrorCode::ParseError, want));
        }
    }

    #[test]
    fn only_a_json_object_is_a_request() {
        let allowed = AllowList::default();
        let read = |media: MediaType, body: &[u8]| UploadByLinkRequest::parse_body(&media, body, &allowed).unwrap_err();
        assert_eq!(read(MediaType::Json, b"{").code(), ErrorCode::ParseError);
        assert_eq!(read(MediaType::Json, b"\xff").code(), ErrorCode::ParseError);
        assert_eq!(read(MediaType::Json, "[".repeat(10_000).as_bytes()).code(), ErrorCode::ParseError);
        assert_eq!(read(MediaType::Other, b"{}").code(), ErrorCode::UnsupportedMediaType);
        let list = read(MediaType::Json, b"[]");
        assert_eq!(list.code(), ErrorCode::Validation);
        assert_eq!(list.detail(Language::English), "Invalid data. Expected a dictionary, but got list.");
        assert_eq!(read(MediaType::Other, b"").detail(Language::English), "package_url: This field is required.");
    }
}
