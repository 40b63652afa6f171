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
/// first is a letter or digit; and behind them, for who asks or cancels, the name of an upload. Gives the stage, which for
/// these takes nothing from a body, and what is to be forwarded.
pub fn route(method: Option<&str>, target: Option<&str>) -> Option<(Stage, String)> {
    let path = target.filter(|target| target.len() <= crate::world::URI_BYTES)?.split('?').next()?;
    let stage = STAGES.iter().find(|stage| is_canonical(path.strip_prefix(stage.prefix).unwrap_or_default()))?;
    let path = path[stage.prefix.len()..].to_owned();
    let is_job = is_job(&path);
    let served = if is_job { matches!(method, Some("GET" | "DELETE")) } else { method == Some("POST") };
    served.then_some((Stage { body: stage.body && !is_job, ..*stage }, path))
}

/// Whether it is a form that the store serves.
pub fn is_canonical(path: &str) -> bool {
    let is_name = |name: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        name.len() <= 32 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(plain)
    };
    let upload = if is_job(path) { &path[..path.len() - JOB_LEN - 1] } else { path };
    let segments: Vec<_> = upload.split('/').collect();
    matches!(segments[..], ["", "bkapps", "applications", app, "modules", module, "source_package", "link", ""]
        if is_name(app) && is_name(module))
}

const JOB_LEN: usize = 36;

/// Whether a path ends in the name of an upload: a UUID of lower-case digits.
pub fn is_job(path: &str) -> bool {
    let last = path.strip_suffix('/').and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let groups: Vec<_> = last.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && last.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}
