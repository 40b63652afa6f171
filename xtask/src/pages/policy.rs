//! `docs/reference/POLICY.md`: every key of a policy, from its JSON Schema.

use serde_json::Value;

use super::{Sources, all_said, begin, head, row};
use crate::error::{Outcome, Trying};

const SCHEMA: &str = "deploy/policy.schema.json";
const INTRODUCTION: &str = "\
Every key, as [policy.schema.json](../../deploy/policy.schema.json) has it. [POLICY.md](../POLICY.md) says how to write, check and deploy a
policy. A key that is left out denies, unless it says a default. Unknown keys, anchors, aliases, tags, keys given twice and `null` are
refused. Lists have at most 1000 entries where nothing else is said.";

/// A key: where it is, and what is said of it.
struct Key {
    path: String,
    shape: String,
    says: String,
}

pub(super) fn page(sources: &Sources<'_>) -> Outcome<String> {
    let schema: Value = serde_json::from_str(&sources.read(SCHEMA)?).trying(|| format!("read {SCHEMA}"))?;
    let mut text = begin("Policy keys", INTRODUCTION);
    let mut unsaid = Vec::new();
    let mut sections = vec![("The document".to_owned(), keys(&schema, &schema, ""))];
    for (name, shared) in entries(&schema["$defs"]).filter(|(_, shared)| is_table(shared)) {
        sections.push((name.clone(), keys(shared, &schema, "")));
    }
    for (title, keys) in sections {
        text.push_str(&format!("\n## {title}\n{}", head(&["key", "type", "meaning"])));
        for key in keys {
            if key.says.is_empty() {
                unsaid.push(format!("{SCHEMA}: `{}` of `{title}` has no description", key.path));
            }
            text.push_str(&row(&[&format!("`{}`", key.path), &key.shape, &key.says]));
        }
    }
    all_said(&unsaid)?;
    Ok(text)
}

fn keys(table: &Value, schema: &Value, above: &str) -> Vec<Key> {
    let required = list(&table["required"]);
    let mut found = Vec::new();
    for (name, value) in entries(&table["properties"]) {
        let path = format!("{above}{name}");
        let (within, ending) = if value["items"].is_object() { (&value["items"], "[]") } else { (value, "") };
        let mut shape = shape(value, schema);
        if required.iter().any(|required| *required == name) {
            shape.push_str(", required");
        }
        found.push(Key { path: path.clone(), shape, says: says(value, schema) });
        if is_table(within) {
            found.extend(keys(within, schema, &format!("{path}{ending}.")));
        }
    }
    found
}

/// What kind of value it is, within which bounds, and what it is where it is left out.
fn shape(value: &Value, schema: &Value) -> String {
    let shared = resolve(value, schema);
    let mut parts = vec![kind(value, shared, schema)];
    let bound = |key: &str| value.get(key).or_else(|| shared.get(key)).filter(|bound| bound.is_number());
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => parts.push(format!("{least} to {most}")),
        (Some(least), None) => parts.push(format!("at least {least}")),
        _ => {}
    }
    if let Some(most) = bound("maxItems").filter(|most| **most != 1000) {
        parts.push(format!("at most {most}"));
    }
    if let Some(most) = bound("maxLength") {
        parts.push(format!("at most {most} characters"));
    }
    let default = value.get("default").or_else(|| shared.get("default"));
    parts.extend(default.map(|default| format!("default {}", code(default))));
    parts.join(", ")
}

fn kind(value: &Value, shared: &Value, schema: &Value) -> String {
    if let (true, Some(name)) = (is_table(shared), reference(value)) {
        return format!("[{name}](#{name})");
    }
    if let Some(only) = shared.get("const") {
        return format!("only {}", code(only));
    }
    let of_enum = list(&shared["enum"]);
    if !of_enum.is_empty() {
        return of_enum.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    }
    let alternatives: Vec<_> = shared["anyOf"].as_array().into_iter().flatten().collect();
    if !alternatives.is_empty() {
        let kinds = alternatives.iter().map(|one| kind(one, resolve(one, schema), schema));
        return kinds.collect::<Vec<_>>().join(" or ");
    }
    match shared["type"].as_str().unwrap_or("value") {
        "array" => format!("list of {}", plural(&kind(&shared["items"], resolve(&shared["items"], schema), schema))),
        "object" => "table".to_owned(),
        other => other.to_owned(),
    }
}

fn plural(kind: &str) -> String {
    if kind.starts_with(['`', '[']) { kind.to_owned() } else { format!("{kind}s") }
}

/// Its own sentence, and that of what it refers to.
fn says(value: &Value, schema: &Value) -> String {
    let text = |value: &Value| value["description"].as_str().unwrap_or_default().to_owned();
    let shared = resolve(value, schema);
    let of_items = resolve(&shared["items"], schema);
    let mut parts = vec![text(value)];
    for more in [text(shared), text(of_items)] {
        if !is_table(of_items) && !parts.contains(&more) {
            parts.push(more);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

fn resolve<'v>(value: &'v Value, schema: &'v Value) -> &'v Value {
    reference(value).map_or(value, |name| &schema["$defs"][name])
}

fn reference(value: &Value) -> Option<&str> {
    value["$ref"].as_str()?.strip_prefix("#/$defs/")
}

fn is_table(value: &Value) -> bool {
    value["properties"].is_object()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn code(value: &Value) -> String {
    value.as_str().map_or_else(|| format!("`{value}`"), |text| format!("`{text}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_listed_with_their_place_kind_bounds_and_sentence() {
        let schema = json!({
            "properties": {
                "a": {"type": "array", "items": {"type": "object", "properties": {
                    "b": {"type": "integer", "minimum": 1, "maximum": 9, "default": 2, "description": "B."},
                }, "required": ["b"]}, "description": "A."},
                "c": {"$ref": "#/$defs/shared"},
                "d": {"$ref": "#/$defs/names", "description": "D."},
            },
            "$defs": {
                "shared": {"type": "object", "properties": {"x": {}}, "description": "Shared."},
                "names": {"type": "array", "items": {"type": "string"}, "maxItems": 3, "description": "Names."},
            },
        });
        let rows: Vec<_> = keys(&schema, &schema, "").into_iter().map(|key| (key.path, key.shape, key.says)).collect();
        let want = [
            ("a", "list of tables", "A."),
            ("a[].b", "integer, 1 to 9, default `2`, required", "B."),
            ("c", "[shared](#shared)", "Shared."),
            ("d", "list of strings, at most 3", "D. Names."),
        ];
        assert_eq!(rows, want.map(|(path, shape, says)| (path.to_owned(), shape.to_owned(), says.to_owned())));
    }
}
