//! Reads one YAML document of a stranger into JSON.
//!
//! Promises: scalars are what PyYAML makes of them, for the platform reads descriptions with it; memory and time grow with the text, whatever aliases it has. Takes anchors, aliases
//! and merge keys (`<<`), for descriptions have them; what they unfold to is counted. Refuses several documents, tags,
//! duplicate keys, keys that are no scalars, and nesting deeper than [`MAX_DEPTH`].

use std::collections::HashMap;

use linkgate_yaml::scalar_of_pyyaml;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Value};

use super::error::DescriptionError;
use super::limits::Limits;

/// Descriptions nest to about ten.
pub(super) const MAX_DEPTH: usize = 32;
/// Values and bytes of text, unfolded; a copy that is kept for aliases counts like what it is a copy of. The largest meta
/// information costs half of it.
const MAX_COST: usize = 2 * Limits::MAX_META_INFO_BYTES;

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    /// Numbers of the outermost mapping as they are written: a version `1.10` is not `1.1`.
    pub(super) numbers: HashMap<String, String>,
}

/// Reads the only document of a text.
pub(super) fn parse_document(text: &str) -> Result<Document, DescriptionError> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), numbers: HashMap::new(), left: MAX_COST };
    loop {
        let (event, span) = reader.next_event()?;
        match event {
            Event::DocumentStart(_) => break,
            Event::StreamEnd => return Err(yaml_error(span.start, "there is nothing in it")),
            _ => {}
        }
    }
    let (event, span) = reader.next_event()?;
    let value = reader.read_node(event, span, 0)?.value;
    loop {
        let (event, span) = reader.next_event()?;
        match event {
            Event::StreamEnd => return Ok(Document { value, numbers: reader.numbers }),
            Event::DocumentStart(_) => return Err(yaml_error(span.start, "a second document begins here")),
            _ => {}
        }
    }
}

/// A value and what it costs.
#[derive(Clone)]
struct Node {
    value: Value,
    cost: usize,
    depth: usize,
}

struct Reader<'input> {
    parser: Parser<'input, StrInput<'input>>,
    anchors: HashMap<usize, Node>,
    numbers: HashMap<String, String>,
    left: usize,
}

impl<'input> Reader<'input> {
    fn next_event(&mut self) -> Result<(Event<'input>, Span), DescriptionError> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(yaml_error(*error.marker(), error.info())),
            None => Err(yaml_error(Marker::default(), "it ends too early")),
        }
    }

    fn charge(&mut self, cost: usize, at: Marker) -> Result<(), DescriptionError> {
        match self.left.checked_sub(cost) {
            Some(left) => self.left = left,
            None => return Err(yaml_error(at, "its aliases unfold to too much")),
        }
        Ok(())
    }

    fn read_node(&mut self, event: Event<'input>, span: Span, depth: usize) -> Result<Node, DescriptionError> {
        let (anchor, has_tag) = anchor_and_tag(&event);
        if has_tag {
            return Err(yaml_error(span.start, "tags (`!name`) are not taken"));
        }
        let node = match event {
            Event::Alias(id) => self.unfold_alias(id, span)?,
            Event::Scalar(text, style, ..) => {
                let value = scalar_of_pyyaml(&text, style);
                let cost = 1 + text.len();
                self.charge(cost, span.start)?;
                Node { value, cost, depth: 0 }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if depth >= MAX_DEPTH => {
                return Err(too_deep_error(span));
            }
            Event::SequenceStart(..) => self.read_sequence(depth, span)?,
            Event::MappingStart(..) => self.read_mapping(depth, span)?,
            _ => return Err(yaml_error(span.start, "a value is missing here")),
        };
        if depth + node.depth > MAX_DEPTH {
            return Err(too_deep_error(span));
        }
        if anchor != 0 {
            self.charge(node.cost, span.start)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn unfold_alias(&mut self, id: usize, span: Span) -> Result<Node, DescriptionError> {
        // An anchor that is still being read is not known yet, so nothing holds itself.
        let Some(cost) = self.anchors.get(&id).map(|node| node.cost) else {
            return Err(yaml_error(span.start, "an alias of something that is not there, or of itself"));
        };
        self.charge(cost, span.start)?;
        self.anchors.get(&id).cloned().ok_or_else(|| yaml_error(span.start, "an alias of something that is not there"))
    }

    fn read_sequence(&mut self, depth: usize, begin: Span) -> Result<Node, DescriptionError> {
        self.charge(1, begin.start)?;
        let (mut items, mut cost, mut inner) = (Vec::new(), 1, 0);
        loop {
            let (event, span) = self.next_event()?;
            if event == Event::SequenceEnd {
                return Ok(Node { value: Value::Array(items), cost, depth: inner + 1 });
            }
            let item = self.read_node(event, span, depth + 1)?;
            cost += item.cost;
            inner = inner.max(item.depth);
            items.push(item.value);
        }
    }

    fn read_mapping(&mut self, depth: usize, begin: Span) -> Result<Node, DescriptionError> {
        self.charge(1, begin.start)?;
        let (mut entries, mut merged) = (Map::new(), Vec::new());
        let (mut cost, mut inner) = (1, 0);
        loop {
            let (event, span) = self.next_event()?;
            if event == Event::MappingEnd {
                merge_entries(&mut entries, merged);
                return Ok(Node { value: Value::Object(entries), cost, depth: inner + 1 });
            }
            let (key, merges) = self.read_key(event, span)?;
            let (event, value_span) = self.next_event()?;
            if let (0, Event::Scalar(text, ScalarStyle::Plain, ..)) = (depth, &event) {
                self.numbers.insert(key.clone(), text.clone().into_owned());
            }
            let value = self.read_node(event, value_span, depth + 1)?;
            cost += key.len() + 1 + value.cost;
            inner = inner.max(value.depth);
            if merges {
                merged.extend(
                    list_mappings(value.value).ok_or_else(|| yaml_error(span.start, "`<<` takes mappings only"))?,
                );
            } else if entries.contains_key(&key) {
                return Err(yaml_error(span.start, &format!("the key {key:?} is there twice")));
            } else {
                entries.insert(key, value.value);
            }
        }
    }

    /// A key as it is written, and whether it is the one that merges.
    fn read_key(&mut self, event: Event<'input>, span: Span) -> Result<(String, bool), DescriptionError> {
        match event {
            Event::Scalar(text, style, 0, None) => {
                self.charge(1 + text.len(), span.start)?;
                let merges = style == ScalarStyle::Plain && text == "<<";
                Ok((text.into_owned(), merges))
            }
            _ => Err(yaml_error(span.start, "a key must be plain text")),
        }
    }
}

/// The anchor, 0 for none, and whether there is a tag.
fn anchor_and_tag(event: &Event<'_>) -> (usize, bool) {
    match event {
        Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
            (*anchor, tag.is_some())
        }
        _ => (0, false),
    }
}

/// The mappings to merge: one, or a list of them.
fn list_mappings(value: Value) -> Option<Vec<Map<String, Value>>> {
    let one = |value| match value {
        Value::Object(mapping) => Some(mapping),
        _ => None,
    };
    match value {
        Value::Array(items) => items.into_iter().map(one).collect(),
        other => one(other).map(|mapping| vec![mapping]),
    }
}

/// What is written wins over what is merged, and what is merged first over what is merged later.
fn merge_entries(entries: &mut Map<String, Value>, merged: Vec<Map<String, Value>>) {
    for (key, value) in merged.into_iter().flatten() {
        entries.entry(key).or_insert(value);
    }
}

fn too_deep_error(span: Span) -> DescriptionError {
    yaml_error(span.start, &format!("nested deeper than {MAX_DEPTH}"))
}

/// A stranger's key may be in the message, so it is bounded.
fn yaml_error(marker: Marker, message: &str) -> DescriptionError {
    let message = message.chars().take(200).collect();
    DescriptionError::Yaml { line: marker.line(), column: marker.col() + 1, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        parse_document(text).unwrap().value
    }

    fn refusal(text: &str) -> (usize, usize, String) {
        match parse_document(text).unwrap_err() {
            DescriptionError::Yaml { line, column, message } => (line, column, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scalars_mean_what_they_look_like() {
        assert_eq!(
            value("{a: on, b: 1.2.3, c: '12', d: 12, e: ~}"),
            json!({"a": true, "b": "1.2.3", "c": "12", "d": 12, "e": null})
        );
    }

    #[test]
    fn anchors_aliases_and_merges_unfold() {
        let text = "base: &base {a: 1, b: 2}\nx:\n  <<: *base\n  b: 3\ny: {<<: [{a: 9}, *base]}\nz: *base\n8080: p\n";
        let want = json!({
            "base": {"a": 1, "b": 2}, "x": {"a": 1, "b": 3}, "y": {"a": 9, "b": 2}, "z": {"a": 1, "b": 2}, "8080": "p"
        });
        assert_eq!(value(text), want);
        assert_eq!(value("'<<': 1"), json!({"<<": 1}));
    }

    #[test]
    fn alias_bombs_are_refused() {
        let mut text = String::from("l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for level in 1..10 {
            let below = format!("*l{}, ", level - 1).repeat(10);
            text.push_str(&format!("l{level}: &l{level} [{}]\n", below.trim_end_matches(", ")));
        }
        assert!(refusal(&text).2.contains("unfold to too much"));
        let flat = format!("a: &a {}\nb: [{}]\n", "x".repeat(1000), "*a, ".repeat(2000));
        assert!(refusal(&flat).2.contains("unfold to too much"));
        let mut deep = String::from("l0: &l0 [1]\n");
        for level in 1..40 {
            deep.push_str(&format!("l{level}: &l{level} [*l{}]\n", level - 1));
        }
        assert!(refusal(&deep).2.contains("nested deeper"));
    }

    #[test]
    fn what_is_no_single_plain_document_is_refused_where_it_stands() {
        let cases = [
            ("", (1, 1), "nothing in it"),
            ("a: 1\nb: 2\na: 3\n", (3, 1), "there twice"),
            ("a: 1\n\"a\": 3\n", (2, 1), "there twice"),
            ("a: 1\n---\nb: 2\n", (2, 1), "second document"),
            ("a: !!python/object:os.system 1\n", (1, 4), "tags"),
            ("a: &a [*a]\n", (1, 8), "itself"),
            ("a: *b\n", (1, 4), "anchor"),
            ("[a, b]: c\n", (1, 1), "a key must be plain text"),
            ("<<: 1\n", (1, 1), "mappings only"),
            ("<<: [1]\n", (1, 1), "mappings only"),
        ];
        for (text, (line, column), message) in cases {
            let (at_line, at_column, said) = refusal(text);
            assert!(said.contains(message), "{text:?}: {said}");
            assert_eq!((at_line, at_column), (line, column), "{text:?}: {said}");
        }
        for text in ["a: [1, 2\nb: 3\n", "a: b\n c: d\n", "a:\n\t- b\n", "a: 'b\n"] {
            assert!(parse_document(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn nesting_has_an_end_and_is_refused_quickly() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse_document(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(parse_document(&nested(MAX_DEPTH)).is_ok());
        assert!(refusal(&nested(MAX_DEPTH + 1)).2.contains("nested deeper"));
        assert!(parse_document(&"[".repeat(256 << 10)).is_err());
        assert!(parse_document(&"{a: ".repeat(64 << 10)).is_err());
        assert!(parse_document(&"- ".repeat(128 << 10)).is_err());
    }

    #[test]
    fn a_long_key_does_not_make_a_long_message() {
        let key = "k".repeat(10_000);
        assert!(refusal(&format!("{key}: 1\n{key}: 2\n").replace("k: ", "k : ")).2.chars().count() <= 200);
    }
}
