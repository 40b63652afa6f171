//! A request as a fuzz input writes it, and as the oracles read it.

use std::collections::HashMap;
use std::fmt;

use linkgate_contract::{BodyKind, Endpoint, Method};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::world::{STAGES, Stage};

/// Header names and values.
pub type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

/// A whole conversation. Written as sections between lines of `---`: the head (`METHOD target words`, then `name: value`
/// lines), the body, then one section for each answer of a service (a status, a space, a body; anything else is none).
pub struct Script<'a> {
    /// The head, pseudo-headers first.
    pub pairs: Pairs<'a>,
    /// What the first line says beyond method and target.
    pub words: &'a [u8],
    /// The whole body.
    pub body: &'a [u8],
    /// What services answer, in the order in which they are asked.
    pub answers: Vec<Option<(u16, &'a [u8])>>,
}

impl<'a> Script<'a> {
    /// Reads any bytes as a script.
    pub fn read(data: &'a [u8]) -> Self {
        let mut sections = split(data, b"\n---\n").into_iter();
        let mut lines = sections.next().unwrap_or_default().split(|b| *b == b'\n');
        let mut first = lines.next().unwrap_or_default().splitn(3, |b| *b == b' ');
        let mut pairs = vec![
            (&b":method"[..], first.next().unwrap_or_default()),
            (&b":path"[..], first.next().unwrap_or_default()),
        ];
        pairs.extend(lines.map(|line| {
            let at = line.iter().position(|b| *b == b':').unwrap_or(line.len());
            (&line[..at], line.get(at + 1..).unwrap_or_default().trim_ascii_start())
        }));
        let words = first.next().unwrap_or_default();
        let body = sections.next().unwrap_or_default();
        Self { pairs, words, body, answers: sections.map(answer).collect() }
    }

    /// Whether the first line says a word.
    pub fn says(&self, word: &str) -> bool {
        self.words.split(|b| *b == b' ').any(|said| said == word.as_bytes())
    }
}

fn split<'a>(mut data: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut sections = Vec::new();
    while let Some(at) = data.windows(separator.len()).position(|window| window == separator) {
        sections.push(&data[..at]);
        data = &data[at + separator.len()..];
    }
    sections.push(data);
    sections
}

fn answer(section: &[u8]) -> Option<(u16, &[u8])> {
    let at = section.iter().position(|b| *b == b' ')?;
    let status = std::str::from_utf8(&section[..at]).ok()?.parse().ok()?;
    Some((status, &section[at + 1..]))
}

/// Every value of a header.
pub fn all<'a>(pairs: &Pairs<'a>, name: &str) -> Vec<&'a [u8]> {
    let named = pairs.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
    named.map(|(_, value)| *value).collect()
}

/// The first value of a header, where it is text.
pub fn text<'a>(pairs: &Pairs<'a>, name: &str) -> Option<&'a str> {
    all(pairs, name).first().and_then(|value| std::str::from_utf8(value).ok())
}

/// Those of the secrets that do not stand in the path, which names application and module in records and logs.
pub fn hidden<'a>(pairs: &Pairs<'_>, secrets: &[&'a str]) -> Vec<&'a str> {
    let path = text(pairs, ":path").and_then(|target| target.split('?').next()).unwrap_or_default();
    secrets.iter().copied().filter(|secret| !path.contains(secret)).collect()
}

/// The fields of a query or a form; the first of each name.
pub fn form(encoded: &[u8]) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        fields.entry(name).or_insert_with(|| Value::from(value.as_ref()));
    }
    fields
}

/// JSON by the API's rules: of an object, a field whose value nothing can hold is as if it were not there.
pub fn json(text: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(text).ok()?;
    if !text.trim_ascii_start().starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    let fields: HashMap<Name, &RawValue> = serde_json::from_str(text).ok()?;
    let read = fields.into_iter().filter_map(|(Name(name), value)| match value.get() {
        "-0" => Some((name, Value::from(0))),
        value => Some((name, serde_json::from_str(value).ok()?)),
    });
    Some(Value::Object(read.collect()))
}

/// A name, in which half of a surrogate pair is some character.
#[derive(PartialEq, Eq, Hash)]
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Name, E> {
                Ok(Name(String::from_utf8_lossy(text).into_owned()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

/// The only targets that are served: a prefix, and behind it the path of a row of the table with names of 1 to 32 letters,
/// digits, `-` and `_` in it, of which the first is a letter or digit, and the names of an upload, a package, a pin or a file
/// where the row has them. Gives the stage, which takes nothing from a body that is not read, the path that is to be forwarded,
/// and the row.
pub fn route(method: Option<&str>, target: Option<&str>) -> Option<(Stage, String, &'static Endpoint)> {
    let path = target.filter(|target| target.len() <= crate::world::URI_BYTES)?.split('?').next()?;
    let stage = STAGES.iter().find(|stage| is_canonical(path.strip_prefix(stage.prefix).unwrap_or_default()))?;
    let path = path[stage.prefix.len()..].to_owned();
    let serves = |endpoint: &&Endpoint| match (endpoint.method, method) {
        (Method::Get, Some("HEAD")) => true,
        (row, method) => method == Some(row.name()),
    };
    let endpoint = rows_of(&path).find(serves)?;
    Some((Stage { body: stage.body && endpoint.body == BodyKind::Json, ..*stage }, path, endpoint))
}

/// Whether it is a form that the store serves.
pub fn is_canonical(path: &str) -> bool {
    rows_of(path).next().is_some()
}

/// The rows with this path, found in another way than the product's own.
fn rows_of(path: &str) -> impl Iterator<Item = &'static Endpoint> {
    Endpoint::ALL.iter().filter(move |endpoint| {
        let (row, segments): (Vec<_>, Vec<_>) = (endpoint.route.split('/').collect(), path.split('/').collect());
        row.len() == segments.len() && row.iter().zip(&segments).all(|(row, segment)| fits(row, segment))
    })
}

fn fits(row: &str, segment: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match row {
        "{app_code}" | "{module}" => {
            segment.len() <= 32
                && segment.starts_with(|c: char| c.is_ascii_alphanumeric())
                && segment.bytes().all(plain)
        }
        "{job_id}" => is_uuid(segment),
        "{id}" => {
            segment.parse::<u64>().is_ok_and(|id| id > 0 && i64::try_from(id).is_ok() && id.to_string() == segment)
        }
        "{name}" => segment.len() <= 64 && is_dotted(segment),
        "{filename}" => segment.len() <= 128 && is_dotted(segment),
        row => row == segment,
    }
}

/// What nobody has to encode, and no way to another folder.
fn is_dotted(segment: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    segment.bytes().all(plain) && !segment.trim_matches('.').is_empty()
}

/// A UUID of lower-case digits.
fn is_uuid(segment: &str) -> bool {
    let groups: Vec<_> = segment.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && segment.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}
