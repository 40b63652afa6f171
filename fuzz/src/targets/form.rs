//! A content type, a line break, a form: at the contract's reader.
//!
//! Holds: a form that is taken has the fields that a second reader finds, at most 64 of them, none longer than the body; and
//! cut short it is no form with other fields.

use linkgate_contract::{Field, Fields, MAX_PARTS, MediaType, parse_body_fields};
use serde_json::{Map, Value};

use crate::{multipart, request};

/// Takes one input, and panics if something does not hold.
pub fn check_input(data: &[u8]) {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (content_type, body) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let media_type = MediaType::from_header(Some(content_type));
    if !media_type.is_form() {
        return;
    }
    let Ok(fields) = parse_body_fields(&media_type, body) else { return };
    assert!(fields.clone().into_iter().count() <= MAX_PARTS);
    let read = texts(fields, body.len());
    let again = match media_type {
        MediaType::UrlEncoded => request::form(body),
        _ => multipart::fields(content_type, body),
    };
    assert_eq!(read, again);
    if let (MediaType::Multipart(_), Some(cut)) = (&media_type, body.len().checked_sub(3)) {
        let short = parse_body_fields(&media_type, &body[..cut]).map(|fields| texts(fields, cut));
        assert!(cut == 0 || short.is_err() || short == Ok(read));
    }
}

fn texts(fields: Fields<'_>, most: usize) -> Map<String, Value> {
    let read = fields.into_iter().map(|(name, value)| match value {
        Field::Text(text) if text.len() <= most && name.len() <= most => (name.into_owned(), text.into_owned().into()),
        other => panic!("{name:?}: {other:?}"),
    });
    // The last of a name counts.
    read.collect()
}
