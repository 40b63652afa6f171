//! Writes JSON as YAML that people like to read: blocks instead of braces. Texts stay in quotes, which both read alike.

use serde_json::Value;

/// The document.
pub(crate) fn write(value: &Value) -> String {
    let mut text = String::new();
    write_block(value, 0, &mut text);
    text
}

fn write_block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                text.push_str(&" ".repeat(indent));
                write_name(name, text);
                text.push(':');
                write_value(value, indent, text);
            }
        }
        Value::Array(list) => {
            for value in list {
                text.push_str(&" ".repeat(indent));
                text.push('-');
                write_value(value, indent, text);
            }
        }
        scalar => write_value(scalar, indent, text),
    }
}

/// What follows a name or a dash: in the same line if it is small, else in a block below.
fn write_value(value: &Value, indent: usize, text: &mut String) {
    let is_block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if is_block {
        text.push('\n');
        write_block(value, indent + 2, text);
    } else {
        text.push(' ');
        text.push_str(&value.to_string());
        text.push('\n');
    }
}

fn write_name(name: &str, text: &mut String) {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if is_plain && !name.is_empty() { text.push_str(name) } else { text.push_str(&Value::from(name).to_string()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_stand_below_their_names_and_texts_in_quotes() {
        let value = json!({"a": {"/b/{c}": [1, "x: y", {"d": null}], "e": {}, "f": []}, "g": true});
        let want = "a:\n  \"/b/{c}\":\n    - 1\n    - \"x: y\"\n    -\n      d: null\n  e: {}\n  f: []\ng: true\n";
        assert_eq!(write(&value), want);
    }
}
