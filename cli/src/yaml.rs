//! Reads YAML into JSON values and remembers where each came from.
//!
//! Promises: YAML 1.2's core schema (`n`, `on` and `012:30` are text); every node's line and column can be asked for by
//! its path, `apps[0].name`. Refuses what JSON has not and what can be read in two ways: several documents, duplicate
//! keys, keys that are not text, tags, anchors and aliases (a small file could blow up), numbers that JSON cannot hold,
//! and nesting without end.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Number, Value};

/// Nothing of ours nests deeper than a handful.
const MAX_DEPTH: usize = 32;

/// A line and a column, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// What was wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

/// A document with its places.
#[derive(Debug)]
pub struct Document {
    /// The content.
    pub value: Value,
    /// Entries of a mapping stand at their key, items of a sequence at themselves.
    places: HashMap<String, Place>,
}

impl Document {
    /// Where a path stands; for what is not there, where its nearest parent stands.
    pub fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return *place;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None if path.is_empty() => return Place { line: 1, column: 1 },
                None => path = "",
            }
        }
    }
}

/// Reads one document.
///
/// # Errors
/// The first thing that is wrong.
pub fn read(text: &str) -> Result<Document, Complaint> {
    let mut reader = Reader { parser: Parser::new_from_str(text), places: HashMap::new() };
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::DocumentStart(_) => break,
            Event::StreamEnd => return Err(complain(span.start, "the file is empty")),
            _ => {}
        }
    }
    let (event, span) = reader.next()?;
    reader.places.insert(String::new(), span.start.into());
    let value = reader.node(event, span, "", 0)?;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(Document { value, places: reader.places }),
            Event::DocumentStart(_) => return Err(complain(span.start, "a second document: keep one per file")),
            _ => {}
        }
    }
}

struct Reader<'input> {
    parser: Parser<'input, StrInput<'input>>,
    places: HashMap<String, Place>,
}

impl<'input> Reader<'input> {
    fn next(&mut self) -> Result<(Event<'input>, Span), Complaint> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(complain(*error.marker(), error.info())),
            // The parser ends with `StreamEnd`, after which nobody asks.
            None => Err(complain(Marker::default(), "the file ends too early")),
        }
    }

    fn node(&mut self, event: Event<'input>, span: Span, path: &str, depth: usize) -> Result<Value, Complaint> {
        if depth > MAX_DEPTH {
            return Err(complain(span.start, &format!("nested deeper than {MAX_DEPTH}")));
        }
        refuse_extras(&event, span)?;
        match event {
            Event::Scalar(text, style, ..) => scalar(&text, style).map_err(|message| complain(span.start, message)),
            Event::SequenceStart(..) => self.sequence(path, depth),
            Event::MappingStart(..) => self.mapping(path, depth),
            _ => Err(complain(span.start, "a value is missing here")),
        }
    }

    fn sequence(&mut self, path: &str, depth: usize) -> Result<Value, Complaint> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(items));
            }
            let item = format!("{path}[{}]", items.len());
            self.places.insert(item.clone(), span.start.into());
            items.push(self.node(event, span, &item, depth + 1)?);
        }
    }

    fn mapping(&mut self, path: &str, depth: usize) -> Result<Value, Complaint> {
        let mut entries = Map::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Object(entries));
            }
            let key = key(event, span)?;
            let entry = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if entries.contains_key(&key) {
                let line = self.places.get(&entry).map_or(0, |place| place.line);
                return Err(complain(span.start, &format!("`{key}` is already given on line {line}")));
            }
            self.places.insert(entry.clone(), span.start.into());
            let (event, span) = self.next()?;
            let value = self.node(event, span, &entry, depth + 1)?;
            entries.insert(key, value);
        }
    }
}

fn key(event: Event<'_>, span: Span) -> Result<String, Complaint> {
    refuse_extras(&event, span)?;
    let value = match event {
        Event::Scalar(text, style, ..) => scalar(&text, style).ok(),
        _ => None,
    };
    match value {
        Some(Value::String(key)) => Ok(key),
        _ => Err(complain(span.start, "a key must be text, put it in quotes if it looks like something else")),
    }
}

/// Anchors, aliases and tags: JSON has none of them.
fn refuse_extras(event: &Event<'_>, span: Span) -> Result<(), Complaint> {
    let (anchor, tag) = match event {
        Event::Alias(_) => return Err(complain(span.start, "aliases (`*name`) are not taken, write the value out")),
        Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
            (*anchor, tag.is_some())
        }
        _ => return Ok(()),
    };
    if anchor != 0 {
        return Err(complain(span.start, "anchors (`&name`) are not taken, write the value out where it is needed"));
    }
    if tag {
        return Err(complain(span.start, "tags (`!name`) are not taken"));
    }
    Ok(())
}

fn complain(marker: Marker, message: &str) -> Complaint {
    Complaint { place: marker.into(), message: message.to_owned() }
}

/// The core schema of YAML 1.2.2, section 10.3.2.
fn scalar(text: &str, style: ScalarStyle) -> Result<Value, &'static str> {
    if style != ScalarStyle::Plain {
        return Ok(text.into());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(true.into()),
        "false" | "False" | "FALSE" => Ok(false.into()),
        _ => number(text).unwrap_or_else(|| Ok(text.into())),
    }
}

const OUT_OF_RANGE: &str = "a number out of range, put it in quotes if it is meant as text";

/// Nothing if the text is no number.
fn number(text: &str) -> Option<Result<Value, &'static str>> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            return Some(u64::from_str_radix(digits, radix).map(Value::from).map_err(|_| OUT_OF_RANGE));
        }
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(OUT_OF_RANGE));
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let whole = text.strip_prefix('+').unwrap_or(text);
        let value = whole.parse::<u64>().map(Value::from).or_else(|_| whole.parse::<i64>().map(Value::from));
        return Some(value.map_err(|_| OUT_OF_RANGE));
    }
    is_fraction(unsigned).then(|| {
        let number = text.parse().ok().and_then(Number::from_f64);
        number.map(Value::Number).ok_or(OUT_OF_RANGE)
    })
}

/// `1.5`, `.5`, `1.`, `1e3`: digits around at most one dot, and an exponent.
fn is_fraction(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && whole.len() + fraction.len() > 0
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        read(text).unwrap().value
    }

    fn refusal(text: &str) -> (usize, usize, String) {
        let Complaint { place, message } = read(text).unwrap_err();
        (place.line, place.column, message)
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let cases = [
            ("n", json!("n")),
            ("on", json!("on")),
            ("Yes", json!("Yes")),
            ("~", json!(null)),
            ("true", json!(true)),
            ("\"true\"", json!("true")),
            ("'12'", json!("12")),
            ("65536", json!(65_536)),
            ("-1", json!(-1)),
            ("+7", json!(7)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("010", json!(10)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("1.2.3", json!("1.2.3")),
            ("12:30", json!("12:30")),
            ("127.0.0.1:8090", json!("127.0.0.1:8090")),
            ("2024-01-01", json!("2024-01-01")),
            (".", json!(".")),
            ("-", json!("-")),
            ("e5", json!("e5")),
            ("1e", json!("1e")),
        ];
        for (text, want) in cases {
            // A lone dash would start a sequence, so ask in a flow mapping's place.
            assert_eq!(scalar_of(text), want, "{text}");
        }
    }

    fn scalar_of(text: &str) -> Value {
        match text {
            "-" => scalar(text, ScalarStyle::Plain).unwrap(),
            _ => value(&format!("k: {text}"))["k"].clone(),
        }
    }

    #[test]
    fn places_are_those_of_keys_and_items() {
        let document = read("# about\napps:\n  - app_code: a\n    secret: [x,\n             y]\n").unwrap();
        let at = |path| (document.place(path).line, document.place(path).column);
        assert_eq!(at("apps"), (2, 1));
        assert_eq!(at("apps[0]"), (3, 5));
        assert_eq!(at("apps[0].secret"), (4, 5));
        assert_eq!(at("apps[0].secret[1]"), (5, 14));
        assert_eq!(document.value, json!({"apps": [{"app_code": "a", "secret": ["x", "y"]}]}));
    }

    #[test]
    fn what_is_missing_stands_at_its_nearest_parent() {
        let document = read("version: 1\napps:\n  - app_code: a\n").unwrap();
        assert_eq!(document.place("apps[0].secret[3].x").line, 3);
        assert_eq!(document.place("nothing.at.all").line, 1);
        assert_eq!(document.place("apps[7]").line, 2);
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
        assert!(read(&nested(MAX_DEPTH)).is_ok());
        assert!(refusal(&nested(MAX_DEPTH + 1)).2.contains("nested deeper"));
        assert!(read(&"[".repeat(1 << 20)).is_err());
        assert!(read(&"{a: ".repeat(1 << 18)).is_err());
    }
}
