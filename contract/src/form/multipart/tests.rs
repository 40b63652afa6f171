use super::*;
use crate::Field;

fn boundary(content_type: &str) -> Option<Boundary> {
    Boundary::from_content_type(content_type.as_bytes())
}

fn read(body: &[u8]) -> Result<Vec<(String, String)>, InvalidForm> {
    let fields = parse_multipart(&boundary("multipart/form-data; boundary=B").unwrap(), body)?;
    let mut list: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| match value {
            Field::Text(text) => (name.into_owned(), text.into_owned()),
            other => panic!("{other:?}"),
        })
        .collect();
    list.reverse();
    Ok(list)
}

fn part(head: &str, value: &str) -> String {
    format!("--B\r\n{head}\r\n\r\n{value}\r\n")
}

fn field(name: &str, value: &str) -> String {
    part(&format!("Content-Disposition: form-data; name=\"{name}\""), value)
}

fn form(parts: &[String]) -> Vec<u8> {
    format!("{}--B--\r\n", parts.concat()).into_bytes()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn boundaries_stand_bare_or_in_quotes() {
    for (content_type, want) in [
        ("multipart/form-data; boundary=----WebKitFormBoundaryA1", "----WebKitFormBoundaryA1"),
        ("Multipart/Form-Data;BOUNDARY=\"a b\"; charset=utf-8", "a b"),
        ("multipart/form-data; charset=utf-8; boundary=a", "a"),
        ("multipart/form-data; boundary=\"=_(a/b:c?)\"", "=_(a/b:c?)"),
    ] {
        assert_eq!(boundary(content_type), Some(Boundary(want.to_owned())), "{content_type}");
    }
    let longest = "b".repeat(70);
    assert!(boundary(&format!("multipart/form-data; boundary={longest}")).is_some());
    for none in [
        "multipart/form-data".to_owned(),
        "multipart/form-data; boundary=".to_owned(),
        "multipart/form-data; boundary=\"\"".to_owned(),
        "multipart/form-data; boundary=\"a \"".to_owned(),
        "multipart/form-data; boundary=a; boundary=b".to_owned(),
        "multipart/form-data; boundary=\"a".to_owned(),
        "multipart/form-data; boundary=ä".to_owned(),
        "multipart/form-data; boundary=\"a&b\"".to_owned(),
        format!("multipart/form-data; boundary={longest}b"),
    ] {
        assert_eq!(boundary(&none), None, "{none}");
    }
}

#[test]
fn parts_are_read_in_their_order_whatever_their_headers_look_like() {
    let body = form(&[
        field("a", "1\r\n2\r\n"),
        part("content-disposition:form-data;name=b", ""),
        part("Content-Type: text/plain; charset=UTF-8\r\nContent-Disposition: Form-Data; x=y; name=\"c\"", "版本"),
        part("Content-Disposition: form-data; name=\"d\"\r\nContent-Length: 1\r\nX-Any: thing", "x--B"),
        part("Content-Disposition: form-data; name=\"e\"\r\nContent-Transfer-Encoding: 8BIT", "5"),
        part("Content-Disposition: form-data; name=\"f\"\r\nContent-Type: text/plain; charset=gbk", "6"),
    ]);
    let want = [("a", "1\r\n2\r\n"), ("b", ""), ("c", "版本"), ("d", "x--B"), ("e", "5"), ("f", "6")];
    assert_eq!(read(&body).unwrap(), pairs(&want));
}

#[test]
fn names_are_themselves_quoted_escaped_encoded_or_not_ascii() {
    for (given, name) in [(r#"a\"b"#, r#"a"b"#), (r"a\\b", r"a\b"), ("a%22b", "a%22b"), ("版本", "版本"), ("", "")]
    {
        assert_eq!(read(&form(&[field(given, "1")])).unwrap(), pairs(&[(name, "1")]), "{given}");
    }
}

#[test]
fn preamble_epilogue_and_blanks_behind_a_boundary_do_not_count() {
    let parts = field("a", "1");
    let whole = |before: &str, after: &str| format!("{before}{parts}--B--{after}").into_bytes();
    for (before, after) in [
        ("", ""),
        ("", "\r\n"),
        ("\r\n", " \t\r\n"),
        ("words\r\nmore --B\r\n", "\r\nwords\r\n--B\r\n"),
        ("", "\r\n--B--\r\n"),
    ] {
        assert_eq!(read(&whole(before, after)).unwrap(), pairs(&[("a", "1")]), "{before:?} {after:?}");
    }
    assert_eq!(
        read(b"--B \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--B--").unwrap(),
        pairs(&[("a", "1")])
    );
    assert_eq!(read(b"--B--").unwrap(), []);
}

#[test]
fn files_are_left_out_and_of_a_name_the_first_counts() {
    let body = form(&[
        part("Content-Disposition: form-data; name=\"a\"; filename=\"\"", "file"),
        part(
            "Content-Disposition: form-data; name=\"a\"; filename=x.bin\r\nContent-Type: text/plain; charset=utf-16",
            "file",
        ),
        part("Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''x", "file"),
        field("a", "1"),
        field("a", "2"),
    ]);
    let fields = parse_multipart(&boundary("multipart/form-data; boundary=B").unwrap(), &body);
    assert_eq!(fields.unwrap().get("a"), Some(&Field::Text("1".into())));
}

#[test]
fn a_file_may_be_of_any_bytes() {
    let head = b"--B\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n";
    assert_eq!(read(&[&head[..], b"\xff\0\r\n--\r\n-B", b"\r\n--B--"].concat()).unwrap(), []);
}

#[test]
fn every_cut_of_a_form_is_refused() {
    let whole = form(&[field("a", "1"), part("Content-Disposition: form-data; name=f; filename=f", "2")]);
    let end = whole.len() - 2;
    for cut in 0..end {
        let fault = read(&whole[..cut]).expect_err(&format!("{cut} bytes"));
        assert!(matches!(fault, InvalidForm::NoPart | InvalidForm::Truncated), "{cut}: {fault:?}");
    }
    assert!(read(&whole[..end]).is_ok());
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let named = |more: &str| part(&format!("Content-Disposition: form-data; name=a{more}"), "1");
    let cases = [
        (form(&[field("a", "1\r\n--Bx\r\n2")]), InvalidForm::BoundaryLine),
        (b"--B--x\r\n".to_vec(), InvalidForm::BoundaryLine),
        // A boundary on the first line of a part: the line break between the two belongs to both.
        ([b"--B\r\n--B--x: y\r\n".to_vec(), form(&[field("a", "1")])].concat(), InvalidForm::Headers(1)),
        ([b"--B\r\n".to_vec(), form(&[field("a", "1")])].concat(), InvalidForm::Headers(1)),
        (form(&[field("a", "1")]).into_iter().filter(|b| *b != b'\r').collect(), InvalidForm::BoundaryLine),
        (b"words".to_vec(), InvalidForm::NoPart),
        (b"x--B--".to_vec(), InvalidForm::NoPart),
        (form(&["--B\r\n\r\n1\r\n".to_owned()]), InvalidForm::Name(1)),
        (form(&[field("a", "1"), part("Content-Type: text/plain", "2")]), InvalidForm::Name(2)),
        (form(&[part("Content-Disposition: attachment; name=a", "1")]), InvalidForm::Name(1)),
        (form(&[part("Content-Disposition: form-data", "1")]), InvalidForm::Name(1)),
        (form(&[named("; name=b")]), InvalidForm::Name(1)),
        (form(&[named("; name*=UTF-8''b")]), InvalidForm::Name(1)),
        (form(&[named("\r\nContent-Disposition: form-data; name=b")]), InvalidForm::Headers(1)),
        (form(&[named("\r\nContent-Type: text/plain\r\ncontent-type: text/html")]), InvalidForm::Headers(1)),
        (form(&[named("\r\n folded: line")]), InvalidForm::Headers(1)),
        (form(&[named("\r\nno colon")]), InvalidForm::Headers(1)),
        (form(&[named("\r\nX: a\nb")]), InvalidForm::Headers(1)),
        (form(&[named("; filename=\"")]), InvalidForm::Headers(1)),
        (form(&["--B\r\nContent-Disposition: form-data; name=a\r\n".to_owned()]), InvalidForm::Headers(1)),
        (form(&[named("\r\nContent-Type: multipart/mixed; boundary=C")]), InvalidForm::Nested(1)),
        (form(&[named("\r\nContent-Type: text/plain; charset=utf-16")]), InvalidForm::Encoding(1)),
        (form(&[named("\r\nContent-Transfer-Encoding: base64")]), InvalidForm::Encoding(1)),
        (
            form(&[part("Content-Disposition: form-data; name=a\r\nContent-Type: a/b; charset=gbk", "版")]),
            InvalidForm::Encoding(1),
        ),
        (form(&[named(&format!("\r\nX: {}", "x".repeat(MAX_HEAD_BYTES)))]), InvalidForm::Headers(1)),
    ];
    for (body, fault) in cases {
        assert_eq!(read(&body), Err(fault), "{}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn texts_and_names_are_utf_8() {
    let value = [b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\n", &b"\xff\r\n--B--"[..]].concat();
    assert_eq!(read(&value), Err(InvalidForm::NotUtf8(1)));
    assert_eq!(
        read(b"--B\r\nContent-Disposition: form-data; name=\xc3\x28\r\n\r\n1\r\n--B--"),
        Err(InvalidForm::NotUtf8(1))
    );
}

#[test]
fn there_are_sixty_four_parts_at_most() {
    let parts = vec![field("a", "1"); MAX_PARTS + 1];
    assert_eq!(read(&form(&parts[1..])).unwrap().len(), MAX_PARTS);
    assert_eq!(read(&form(&parts)), Err(InvalidForm::TooManyParts));
}
