//! YAML as values, with what manifests use of it: several documents, anchors, and `<<`.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value};

/// Every document of a text; panics where it is no YAML.
pub fn documents(text: &str) -> Vec<Value> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new() };
    let mut found = Vec::new();
    loop {
        match reader.next() {
            Event::StreamEnd => return found,
            Event::DocumentStart(_) => {
                let event = reader.next();
                found.push(reader.node(event));
            }
            _ => {}
        }
    }
}

struct Reader<'input> {
    parser: Parser<'input, StrInput<'input>>,
    anchors: HashMap<usize, Value>,
}

impl<'input> Reader<'input> {
    fn next(&mut self) -> Event<'input> {
        self.parser.next_event().expect("the text ends too early").expect("the text is YAML").0
    }

    fn node(&mut self, event: Event<'input>) -> Value {
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.anchors[&anchor].clone(),
            Event::Scalar(text, style, anchor, _) => (scalar(&text, style), anchor),
            Event::SequenceStart(anchor, _) => (self.sequence(), anchor),
            Event::MappingStart(anchor, _) => (self.mapping(), anchor),
            other => panic!("a value is missing: {other:?}"),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        value
    }

    fn sequence(&mut self) -> Value {
        let mut items = Vec::new();
        loop {
            match self.next() {
                Event::SequenceEnd => return Value::Array(items),
                event => items.push(self.node(event)),
            }
        }
    }

    fn mapping(&mut self) -> Value {
        let (mut entries, mut merged) = (Map::new(), Map::new());
        loop {
            let key = match self.next() {
                Event::MappingEnd => break,
                event => self.node(event),
            };
            let event = self.next();
            let value = self.node(event);
            match (key.as_str(), value) {
                (Some("<<"), Value::Object(more)) => merged.extend(more),
                (Some(key), value) => assert!(entries.insert(key.to_owned(), value).is_none(), "{key} stands twice"),
                (None, _) => panic!("a key is no text: {key}"),
            }
        }
        // What is written out counts before what is merged.
        merged.extend(entries);
        Value::Object(merged)
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match text {
        _ if style != ScalarStyle::Plain => text.into(),
        "" | "~" | "null" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        _ => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
    }
}
