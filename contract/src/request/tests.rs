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
    for no in [json!(false), json!("False"), json!("n"), json!("off"), json!(0), json!(null), json!(""), json!("null")]
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
    let read = |body: Value| UploadByLinkRequest::parse_body(&MediaType::Json, body.to_string().as_bytes(), &Pinned);
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
        let judged = UploadByLinkRequest::<Origin>::from_fields(&fields, &Pinned).map(|r| (r.package_url, r.version));
        let whole = UploadByLinkRequest::<PackageUrl>::parse_body(&MediaType::Json, body.as_bytes(), &Pinned);
        assert_eq!(judged, whole.map(|r| (r.package_url.origin(), r.version)), "{link}");
    }
}

#[test]
fn all_wrong_fields_are_named() {
    let problem = read(&json!({"version": null, "allow_overwrite": "perhaps", "sha256": 1, "size": -1})).unwrap_err();
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
    let fields =
        [("version", "1.10"), ("allow_overwrite", "true"), ("package_url", "https://trusted.example/a"), ("size", "7")];
    let whole = read(
        "application/json",
        br#"{"package_url":"https://trusted.example/a","version":"1.10","allow_overwrite":true,"size":7}"#,
    );
    let parts =
        fields.map(|(name, value)| format!("--B\r\nContent-Disposition: form-data; name={name}\r\n\r\n{value}\r\n"));
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
