//! A second reading of `multipart/form-data`, line by line, of a form that was taken.

use serde_json::{Map, Value};

/// The text fields of a form, of each name the first, by a `Content-Type`.
pub fn fields(content_type: &[u8], body: &[u8]) -> Map<String, Value> {
    let mut fields = Map::new();
    let Some(boundary) = parameter(&String::from_utf8_lossy(content_type), "boundary") else { return fields };
    for part in parts(&format!("--{boundary}"), body) {
        let (head, value) = split(&part);
        let head = String::from_utf8_lossy(&head).into_owned();
        let disposition = head.split("\r\n").find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"));
        let Some(disposition) = disposition else { continue };
        let is_file = ["filename", "filename*"].iter().any(|name| parameter(disposition, name).is_some());
        if let (Some(name), Ok(text), false) = (parameter(disposition, "name"), String::from_utf8(value), is_file) {
            fields.entry(name).or_insert(Value::String(text));
        }
    }
    fields
}

/// What stands between two lines that begin with the boundary.
fn parts(boundary: &str, body: &[u8]) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut inside = false;
    for line in lines(body) {
        if line.starts_with(boundary.as_bytes()) {
            if line[boundary.len()..].starts_with(b"--") {
                break;
            }
            parts.push(Vec::new());
            inside = true;
        } else if let (true, Some(part)) = (inside, parts.last_mut()) {
            part.extend([b"\r\n", line].concat());
        }
    }
    parts
}

/// Head and value of a part, which begins with a line break.
fn split(part: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut head, mut value, mut is_head) = (Vec::new(), None, true);
    for line in lines(part).into_iter().skip(1) {
        if is_head && line.is_empty() {
            is_head = false;
        } else if is_head {
            head.extend([line, b"\r\n"].concat());
        } else {
            let value: &mut Vec<u8> = value.get_or_insert_default();
            value.extend([line, b"\r\n"].concat());
        }
    }
    let mut value = value.unwrap_or_default();
    value.truncate(value.len().saturating_sub(2));
    (head, value)
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut begin) = (Vec::new(), 0);
    for at in 0..text.len().saturating_sub(1) {
        if &text[at..at + 2] == b"\r\n" {
            lines.push(&text[begin..at]);
            begin = at + 2;
        }
    }
    lines.push(&text[begin..]);
    lines
}

/// The value of a parameter, out of its quotes.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut chars = header.chars().skip_while(|c| *c != ';').skip(1).peekable();
    while chars.peek().is_some() {
        let name: String = chars.by_ref().take_while(|c| *c != '=').collect();
        let mut value = String::new();
        if chars.next_if_eq(&'"').is_some() {
            while let Some(c) = chars.next().filter(|c| *c != '"') {
                value.push(if c == '\\' { chars.next()? } else { c });
            }
        } else {
            while let Some(c) = chars.next_if(|c| ![';', ' ', '\t'].contains(c)) {
                value.push(c);
            }
        }
        if name.trim_matches([' ', '\t', ';']).eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        chars.by_ref().take_while(|c| *c != ';').for_each(drop);
    }
    None
}
