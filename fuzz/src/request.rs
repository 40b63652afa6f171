//! A request as a fuzz input writes it, and as the oracles read it.

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

/// The only targets that are served: a prefix, the fixed words, names of 1 to 32 letters, digits, `-` and `_`, of which the
/// first is a letter or digit. Gives the stage and what is to be forwarded.
pub fn route(method: Option<&str>, target: Option<&str>) -> Option<(&'static Stage, String)> {
    let path = target.filter(|target| method == Some("POST") && target.len() <= crate::world::URI_BYTES)?;
    let path = path.split('?').next()?;
    let stage = STAGES.iter().find(|stage| {
        let rest = path.strip_prefix(stage.prefix).unwrap_or_default();
        is_canonical(rest)
    })?;
    Some((stage, path[stage.prefix.len()..].to_owned()))
}

/// Whether it is the form that the store serves.
pub fn is_canonical(path: &str) -> bool {
    let is_name = |name: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        name.len() <= 32 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(plain)
    };
    let segments: Vec<_> = path.split('/').collect();
    matches!(segments[..], ["", "bkapps", "applications", app, "modules", module, "source_package", "link", ""]
        if is_name(app) && is_name(module))
}
