//! What a value may be, in a few words, and tables of fields.

use serde_json::Value;

use super::{entries, list, resolve, string};

/// Whether a schema has a section of its own, to which others link; what is one text or number has none.
pub(super) fn is_named(schema: &Value) -> bool {
    schema["properties"].is_object() || schema["oneOf"].is_array()
}

/// The section of a schema. What another one has, too, stands there alone.
pub(super) fn table(schema: &Value, document: &Value) -> String {
    const REQUIRED: &str = "always there";
    if schema["properties"].is_object() {
        return match base_of(schema, document) {
            Some(base) => {
                let begin = format!("All fields of [{base}](#{}), and these behind them:\n\n", base.to_lowercase());
                begin + &field_table(&without_fields_of(schema, base, document), REQUIRED, document)
            }
            None => field_table(schema, REQUIRED, document),
        };
    }
    let mut text = String::from("| value | meaning |\n|---|---|\n");
    for value in list(&schema["oneOf"]) {
        text.push_str(&format!("| `{}` | {} |\n", string(&value["const"]), one_line(&value["description"])));
    }
    text
}

/// Another schema all of whose fields this one has with the same words.
fn base_of<'a>(schema: &Value, document: &'a Value) -> Option<&'a str> {
    let has = |name: &String, field: &Value| schema["properties"].get(name) == Some(field);
    let is_base = |other: &Value| {
        other != schema
            && other["properties"].is_object()
            && entries(&other["properties"]).all(|(name, field)| has(name, field))
    };
    entries(&document["components"]["schemas"]).find(|(_, other)| is_base(other)).map(|(name, _)| name.as_str())
}

fn without_fields_of(schema: &Value, base: &str, document: &Value) -> Value {
    let mut rest = schema.clone();
    if let Some(fields) = rest["properties"].as_object_mut() {
        fields.retain(|name, _| document["components"]["schemas"][base]["properties"].get(name).is_none());
    }
    rest
}

/// Fields that are always there come first, in the order in which they are written; `required` is the head of the column that
/// says so.
pub(super) fn field_table(schema: &Value, required: &str, document: &Value) -> String {
    let names: Vec<&str> = list(&schema["required"]).iter().map(string).collect();
    let all = || entries(&schema["properties"]);
    let first = names.iter().filter_map(|name| all().find(|(known, _)| known == name));
    let rest = all().filter(|(name, _)| !names.contains(&name.as_str()));
    let mut text = format!("| field | type | {required} | meaning |\n|---|---|---|---|\n");
    for (name, field) in first.chain(rest) {
        let is_required = if names.contains(&name.as_str()) { "yes" } else { "no" };
        let (of_type, meaning) = (type_of(field, document), one_line(&field["description"]));
        text.push_str(&format!("| `{name}` | {of_type} | {is_required} | {meaning} |\n"));
    }
    text
}

/// The type with its limits, or a link to it.
pub(super) fn type_of(schema: &Value, document: &Value) -> String {
    if let Some(target) = resolve(schema, document) {
        let name = string(&schema["$ref"]).rsplit('/').next().unwrap_or_default();
        return if is_named(target) {
            format!("[{name}](#{})", name.to_lowercase())
        } else {
            type_of(target, document)
        };
    }
    let alternatives = list(&schema["anyOf"]);
    if !alternatives.is_empty() {
        let texts: Vec<_> = alternatives.iter().map(|one| type_of(one, document)).collect();
        return texts.join(if texts.iter().any(|text| text.contains(',')) { "; or " } else { " or " });
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().map(string).collect(),
        _ => return "any".to_owned(),
    };
    let names = names.into_iter().map(|name| one_type(name, schema, document)).collect::<Vec<_>>().join(" or ");
    let limits = limits(schema);
    std::iter::once(names).chain(limits).collect::<Vec<_>>().join(", ")
}

fn one_type(name: &str, schema: &Value, document: &Value) -> String {
    match name {
        "array" => format!("list of {}", type_of(&schema["items"], document)),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object, each value a {}", type_of(&schema["additionalProperties"], document))
        }
        "string" if schema["format"] == "binary" => "bytes".to_owned(),
        "string" if schema["format"] == "uuid" => "UUID".to_owned(),
        other => other.to_owned(),
    }
}

/// What the schema limits, each in a few words.
fn limits(schema: &Value) -> Vec<String> {
    let number = |name: &str| schema[name].as_u64();
    let mut limits = Vec::new();
    let (least, most) = (number("minLength").filter(|_| !schema["maxLength"].is_null()), number("maxLength"));
    limits.extend(range(least, most).map(|range| format!("{range} characters")));
    // Nothing here is negative, so a zero says nothing.
    limits.extend(range(number("minimum").filter(|least| *least > 0), number("maximum")));
    limits.extend(number("maxItems").map(|most| format!("at most {most}")));
    limits.extend(schema["pattern"].as_str().map(|pattern| format!("`{}`", pattern.replace('|', "\\|"))));
    let values: Vec<_> = list(&schema["enum"]).iter().map(|value| format!("`{}`", string(value))).collect();
    if !values.is_empty() {
        limits.push(values.join(" or "));
    }
    limits.extend(
        Some(&schema["default"]).filter(|default| !default.is_null()).map(|default| format!("default `{default}`")),
    );
    limits
}

fn range(least: Option<u64>, most: Option<u64>) -> Option<String> {
    match (least, most) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, Some(most)) => Some(format!("at most {most}")),
        (None, None) => None,
    }
}

/// A description, fit for the cell of a table.
pub(super) fn one_line(text: &Value) -> String {
    string(text).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_is_said_in_a_few_words_with_its_limits() {
        let document = json!({"components": {"schemas": {
            "Name": {"type": "string", "minLength": 1, "maxLength": 9},
            "Thing": {"type": "object", "properties": {}},
        }}});
        let cases = [
            (json!({"type": "integer", "minimum": 0, "format": "uint64"}), "integer"),
            (
                json!({"type": "integer", "minimum": 60, "maximum": 70, "default": 65}),
                "integer, 60 to 70, default `65`",
            ),
            (json!({"type": ["string", "null"], "maxLength": 5}), "string or null, at most 5 characters"),
            (json!({"$ref": "#/components/schemas/Name"}), "string, 1 to 9 characters"),
            (json!({"anyOf": [{"$ref": "#/components/schemas/Thing"}, {"type": "null"}]}), "[Thing](#thing) or null"),
            (json!({"type": "array", "maxItems": 3, "items": {"type": "string"}}), "list of string, at most 3"),
            (json!({"type": "string", "pattern": "^(a|b)$"}), "string, `^(a\\|b)$`"),
            (json!({"type": "string", "enum": ["a", "b"]}), "string, `a` or `b`"),
            (json!({"description": "whatever"}), "any"),
        ];
        for (schema, want) in cases {
            assert_eq!(type_of(&schema, &document), want, "{schema}");
        }
    }

    #[test]
    fn fields_that_are_needed_come_first_and_in_their_order() {
        let schema = json!({
            "required": ["z", "b"],
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "z": {"type": "string", "description": "x\ny"}},
        });
        let want = "| field | type | needed | meaning |\n|---|---|---|---|\n\
            | `z` | string | yes | x y |\n| `b` | string | yes |  |\n| `a` | string | no |  |\n";
        assert_eq!(field_table(&schema, "needed", &json!({})), want);
    }

    #[test]
    fn what_another_schema_has_is_not_said_again() {
        let text = json!({"type": "string"});
        let small = json!({"required": ["a"], "properties": {"a": text}});
        let large = json!({"required": ["a", "b"], "properties": {"a": text, "b": text}});
        let document = json!({"components": {"schemas": {"Small": small, "Large": large}}});
        let said = table(&large, &document);
        assert!(said.starts_with("All fields of [Small](#small), and these behind them:"), "{said}");
        assert!(said.contains("| `b` | string | yes |") && !said.contains("`a`"), "{said}");
        assert!(table(&small, &document).contains("| `a` | string | yes |"));
    }
}
