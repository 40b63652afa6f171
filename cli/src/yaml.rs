//! Reads YAML into JSON values, each with its span.
//!
//! Promises: YAML 1.2's core schema (`n`, `on` and `012:30` are text); every node's line and column can be asked for by
//! its path, `apps[0].name`. Refuses what JSON has not and what can be read in two ways: several documents, duplicate
//! keys, keys that are not text, tags, anchors and aliases (a small file could blow up), numbers that JSON cannot hold,
//! and nesting without end.

use std::collections::HashMap;

use linkgate_yaml::scalar;
use saphyr_parser::{Event, Marker, Parser, Span as EventSpan, StrInput};
use serde_json::{Map, Value};

/// Nothing of ours nests deeper than a handful.
const MAX_DEPTH: usize = 32;

/// Where a node begins: a line and a column, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl From<Marker> for Span {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// What was wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct YamlError {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
}

/// A document with the spans of its nodes.
#[derive(Debug)]
pub struct Document {
    /// The content.
    pub value: Value,
    /// Entries of a mapping stand at their key, items of a sequence at themselves.
    spans: HashMap<String, Span>,
}

impl Document {
    /// The span of a path; of its nearest parent, if there is no such node.
    pub fn find_span(&self, path: &str) -> Span {
        let mut path = path;
        loop {
            if let Some(span) = self.spans.get(path) {
                return *span;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None if path.is_empty() => return Span { line: 1, column: 1 },
                None => path = "",
            }
        }
    }
}

/// Reads one document.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse_document(text: &str) -> Result<Document, YamlError> {
    let mut reader = Reader { parser: Parser::new_from_str(text), spans: HashMap::new() };
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::DocumentStart(_) => break,
            Event::StreamEnd => return Err(error_at(span.start, "the file is empty")),
            _ => {}
        }
    }
    let (event, span) = reader.next()?;
    reader.spans.insert(String::new(), span.start.into());
    let value = reader.node(event, span, "", 0)?;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(Document { value, spans: reader.spans }),
            Event::DocumentStart(_) => return Err(error_at(span.start, "a second document: keep one per file")),
            _ => {}
        }
    }
}

struct Reader<'input> {
    parser: Parser<'input, StrInput<'input>>,
    spans: HashMap<String, Span>,
}

impl<'input> Reader<'input> {
    fn next(&mut self) -> Result<(Event<'input>, EventSpan), YamlError> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(error_at(*error.marker(), error.info())),
            // The parser ends with `StreamEnd`, after which nobody asks.
            None => Err(error_at(Marker::default(), "the file ends too early")),
        }
    }

    fn node(&mut self, event: Event<'input>, span: EventSpan, path: &str, depth: usize) -> Result<Value, YamlError> {
        if depth > MAX_DEPTH {
            return Err(error_at(span.start, &format!("nested deeper than {MAX_DEPTH}")));
        }
        refuse_extras(&event, span)?;
        match event {
            Event::Scalar(text, style, ..) => scalar(&text, style).map_err(|message| error_at(span.start, message)),
            Event::SequenceStart(..) => self.sequence(path, depth),
            Event::MappingStart(..) => self.mapping(path, depth),
            _ => Err(error_at(span.start, "a value is missing here")),
        }
    }

    fn sequence(&mut self, path: &str, depth: usize) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(items));
            }
            let item = format!("{path}[{}]", items.len());
            self.spans.insert(item.clone(), span.start.into());
            items.push(self.node(event, span, &item, depth + 1)?);
        }
    }

    fn mapping(&mut self, path: &str, depth: usize) -> Result<Value, YamlError> {
        let mut entries = Map::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Object(entries));
            }
            let key = key(event, span)?;
            let entry = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if entries.contains_key(&key) {
                let line = self.spans.get(&entry).map_or(0, |span| span.line);
                return Err(error_at(span.start, &format!("`{key}` is already given on line {line}")));
            }
            self.spans.insert(entry.clone(), span.start.into());
            let (event, span) = self.next()?;
            let value = self.node(event, span, &entry, depth + 1)?;
            entries.insert(key, value);
        }
    }
}

fn key(event: Event<'_>, span: EventSpan) -> Result<String, YamlError> {
    refuse_extras(&event, span)?;
    let value = match event {
        Event::Scalar(text, style, ..) => scalar(&text, style).ok(),
        _ => None,
    };
    match value {
        Some(Value::String(key)) => Ok(key),
        _ => Err(error_at(span.start, "a key must be text, put it in quotes if it looks like something else")),
    }
}

/// Anchors, aliases and tags: JSON has none of them.
fn refuse_extras(event: &Event<'_>, span: EventSpan) -> Result<(), YamlError> {
    let (anchor, tag) = match event {
        Event::Alias(_) => return Err(error_at(span.start, "aliases (`*name`) are not taken, write the value out")),
        Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
            (*anchor, tag.is_some())
        }
        _ => return Ok(()),
    };
    if anchor != 0 {
        return Err(error_at(span.start, "anchors (`&name`) are not taken, write the value out where it is needed"));
    }
    if tag {
        return Err(error_at(span.start, "tags (`!name`) are not taken"));
    }
    Ok(())
}

fn error_at(marker: Marker, message: &str) -> YamlError {
    YamlError { span: marker.into(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(text: &str) -> (usize, usize, String) {
        let YamlError { span, message } = parse_document(text).unwrap_err();
        (span.line, span.column, message)
    }

    #[test]
    fn scalars_mean_what_they_look_like() {
        let value = parse_document("a: on\nb: 012:30\nc: '12'\nd: 12\ne:\n").unwrap().value;
        assert_eq!(value, json!({"a": "on", "b": "012:30", "c": "12", "d": 12, "e": null}));
    }

    #[test]
    fn places_are_those_of_keys_and_items() {
        let document = parse_document("# about\napps:\n  - app_code: a\n    secret: [x,\n             y]\n").unwrap();
        let at = |path| (document.find_span(path).line, document.find_span(path).column);
        assert_eq!(at("apps"), (2, 1));
        assert_eq!(at("apps[0]"), (3, 5));
        assert_eq!(at("apps[0].secret"), (4, 5));
        assert_eq!(at("apps[0].secret[1]"), (5, 14));
        assert_eq!(document.value, json!({"apps": [{"app_code": "a", "secret": ["x", "y"]}]}));
    }

    #[test]
    fn what_is_missing_has_the_span_of_its_nearest_parent() {
        let document = parse_document("version: 1\napps:\n  - app_code: a\n").unwrap();
        assert_eq!(document.find_span("apps[0].secret[3].x").line, 3);
        assert_eq!(document.find_span("nothing.at.all").line, 1);
        assert_eq!(document.find_span("apps[7]").line, 2);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused_where_it_stands() {
        let cases = [
            ("", (1, 1), "the file is empty"),
            ("a: 1\nb: 2\na: 3\n", (3, 1), "`a` is already given on line 1"),
            ("a: 1\n---\nb: 2\n", (2, 1), "a second document"),
            ("a: &x 1\nb: *x\n", (1, 4), "anchors"),
            ("a: !!str 1\n", (1, 4), "tags"),
            ("1: a\n", (1, 1), "a key must be text"),
            ("[a, b]: c\n", (1, 1), "a key must be text"),
            ("a: 99999999999999999999\n", (1, 4), "out of range"),
            ("a: .inf\n", (1, 4), "out of range"),
            ("a: 1e999\n", (1, 4), "out of range"),
        ];
        for (text, (line, column), message) in cases {
            let (at_line, at_column, said) = refusal(text);
            assert!(said.contains(message), "{text:?}: {said}");
            assert_eq!((at_line, at_column), (line, column), "{text:?}: {said}");
        }
    }

    #[test]
    fn broken_yaml_is_refused_with_its_line() {
        for (text, line) in [("a: [1, 2\nb: 3\n", 2), ("a: b\n c: d\n", 2), ("a:\n\t- b\n", 2), ("a: *none\n", 1)] {
            let (at_line, _, said) = refusal(text);
            assert_eq!(at_line, line, "{text:?}: {said}");
        }
    }

    #[test]
    fn nesting_has_an_end_and_is_refused_quickly() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse_document(&nested(MAX_DEPTH)).is_ok());
        assert!(refusal(&nested(MAX_DEPTH + 1)).2.contains("nested deeper"));
        assert!(parse_document(&"[".repeat(1 << 20)).is_err());
        assert!(parse_document(&"{a: ".repeat(1 << 18)).is_err());
    }
}
