//! The reference in Markdown, for people: `docs/REFERENCE.md`.
//!
//! Promises: says what the document says, by operation in the order of the table; what several operations share stands once at
//! the end and is linked. Refuses to explain: that is for `docs/API.md`, which links here.

mod refusals;
mod types;

use std::collections::BTreeSet;

use linkgate_contract::{Endpoint, Method, ModuleRef};
use serde_json::{Map, Value};

use self::refusals::RefusalTable;
use self::types::{field_table, one_line, type_of};
use crate::document;

/// The API's reference.
#[must_use]
pub fn reference() -> String {
    let document = document();
    let refusals = RefusalTable::of(&document);
    let mut text = String::from(INTRODUCTION);
    text.push_str(&overview());
    text.push_str(&for_every_operation(&document));
    text.push_str("\n## Operations\n");
    for endpoint in Endpoint::ALL {
        text.push_str(&operation(endpoint, &document, &refusals));
    }
    text.push_str(&refusals.write());
    text.push_str(&schemas(&document));
    text
}

const INTRODUCTION: &str = "\
# Reference

What each operation takes and gives. [API.md](API.md) is the guide: how to begin, what to do about errors, what is meant. This file is
made of the same table as [openapi.json](../openapi/openapi.json); `linkgate openapi --markdown` prints it. Settings, policy keys, reasons,
metrics and log lines are in [reference/](reference).

All paths lie below `{prefix}/bkapps/applications/{app_code}/modules/{module}/source_package/`, but for one that begins with a slash,
which lies below `{prefix}` and is about no single module. The [action](POLICY.md#actions) is what a grant must give.

";

/// All operations, each in a line.
fn overview() -> String {
    let mut text = String::from("| request | operation | action | what it does |\n|---|---|---|---|\n");
    for endpoint in Endpoint::ALL {
        let (id, action) = (endpoint.operation.id(), endpoint.action.name());
        let (request, summary) = (request_line(endpoint), endpoint.operation.summary());
        text.push_str(&format!("| {request} | [`{id}`](#{id}) | `{action}` | {summary} |\n"));
    }
    text
}

fn request_line(endpoint: &Endpoint) -> String {
    let also = if endpoint.method == Method::Get { ", `HEAD`" } else { "" };
    let path = if endpoint.path.is_empty() { "(nothing behind it)".to_owned() } else { format!("`{}`", endpoint.path) };
    format!("`{}`{also} {path}", endpoint.method.name())
}

/// What stands in every operation of the document, once.
fn for_every_operation(document: &Value) -> String {
    let mut text = String::from(
        "\n## Every operation\n\nCredentials, any one of those that the operation names; `bkapi` where it names none:\n",
    );
    text.push_str("\n| credentials | where | what |\n|---|---|---|\n");
    for (name, scheme) in entries(&document["components"]["securitySchemes"]) {
        let place = format!("{} `{}`", string(&scheme["in"]), string(&scheme["name"]));
        text.push_str(&format!("| `{name}` | {place} | {} |\n", one_line(&scheme["description"])));
    }
    text.push_str("\nParameters; those in the path of every operation on a module:\n\n");
    let shared: Vec<&Value> = shared_parameters(document);
    text.push_str(&parameter_table(&shared, document));
    text.push_str("\nHeaders of replies:\n\n| header | meaning |\n|---|---|\n");
    for (name, header) in response_headers(document) {
        text.push_str(&format!("| `{name}` | {} |\n", one_line(&header["description"])));
    }
    text
}

/// Headers that `components` has, by their names on the wire, which only replies say.
fn response_headers(document: &Value) -> Vec<(String, &Value)> {
    let responses =
        entries(&document["components"]["responses"]).flat_map(|(_, response)| entries(&response["headers"]));
    let referring = responses.filter_map(|(name, header)| Some((name.clone(), resolve(header, document)?)));
    let mut seen = BTreeSet::new();
    referring.filter(|(name, _)| seen.insert(name.clone())).collect()
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    entries(&document["paths"]).flat_map(|(_, path)| entries(path).map(|(_, operation)| operation))
}

fn operations_on_modules(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = entries(&document["paths"]).filter(|(path, _)| path.starts_with(ModuleRef::PATTERN));
    paths.flat_map(|(_, path)| entries(path).map(|(_, operation)| operation))
}

fn shared_parameters(document: &Value) -> Vec<&Value> {
    let mut all = operations_on_modules(document).map(|operation| list(&operation["parameters"]));
    let first = all.next().unwrap_or_default();
    let others: Vec<&[Value]> = all.collect();
    first.iter().filter(|parameter| others.iter().all(|list| list.contains(parameter))).collect()
}

fn parameter_table(parameters: &[&Value], document: &Value) -> String {
    let mut text = String::from("| parameter | in | type | meaning |\n|---|---|---|---|\n");
    for parameter in parameters {
        let (name, place) = (string(&parameter["name"]), string(&parameter["in"]));
        let of_type = type_of(&parameter["schema"], document);
        text.push_str(&format!("| `{name}` | {place} | {of_type} | {} |\n", one_line(&parameter["description"])));
    }
    text
}

fn operation(endpoint: &Endpoint, document: &Value, refusals: &RefusalTable) -> String {
    let operation = &document["paths"][endpoint.route][endpoint.method.name().to_ascii_lowercase()];
    let mut text = format!("\n### {}\n\n{}\n", endpoint.operation.id(), facts(endpoint, operation));
    text.push_str(&format!("\n{} {}\n", endpoint.operation.summary(), one_line(&operation["description"])));
    let shared = shared_parameters(document);
    let own: Vec<&Value> = list(&operation["parameters"]).iter().filter(|p| !shared.contains(p)).collect();
    if !own.is_empty() {
        text.push_str(&format!("\n{}", parameter_table(&own, document)));
    }
    text.push_str(&body(&operation["requestBody"], document));
    text.push_str(&successes(operation, document));
    text.push_str(&refusals.write_of(operation, document));
    text
}

/// Method, path, action and credentials.
fn facts(endpoint: &Endpoint, operation: &Value) -> String {
    let also = if endpoint.method == Method::Get { ", `HEAD`" } else { "" };
    let before = if endpoint.is_of_module() { "…/source_package/" } else { "" };
    let (method, path, action) = (endpoint.method.name(), endpoint.path, endpoint.action);
    let mut text = format!("`{method}`{also} `{before}{path}`, action `{action}`");
    for extra in endpoint.extra {
        text.push_str(&format!(", and `{}` with `{}=true`", extra.action, extra.parameter));
    }
    if let Some(alternatives) = operation["security"].as_array() {
        let names = alternatives.iter().flat_map(entries).map(|(name, _)| format!("`{name}`"));
        text.push_str(&format!(". Credentials: {}", names.collect::<Vec<_>>().join(" or ")));
    }
    text.push('.');
    text
}

/// Media types with the same fields stand together.
fn body(body: &Value, document: &Value) -> String {
    let mut kinds: Vec<(&Value, Vec<String>)> = Vec::new();
    for (media_type, content) in entries(&body["content"]) {
        let (schema, name) = (&content["schema"], format!("`{media_type}`"));
        match kinds.iter_mut().find(|(known, _)| *known == schema) {
            Some((_, names)) => names.push(name),
            None => kinds.push((schema, vec![name])),
        }
    }
    let may_be_left_out = if body["required"] == false { ", which may be left out" } else { "" };
    let kinds = kinds.into_iter().map(|(schema, names)| {
        let begin = format!("\nBody{may_be_left_out}: {}", names.join(", "));
        if schema["properties"].is_object() {
            return format!("{begin}\n\n{}", field_table(schema, "needed", document));
        }
        format!("{begin}: {}\n", type_of(schema, document))
    });
    kinds.collect()
}

/// What comes back when all is well; headers that several replies have stand once.
fn successes(operation: &Value, document: &Value) -> String {
    let mut text = String::from("\n| reply | meaning | body |\n|---|---|---|\n");
    let mut headers: Vec<(&String, String, Vec<&str>)> = Vec::new();
    for (status, reply) in entries(&operation["responses"]).filter(|(_, reply)| reply["$ref"].is_null()) {
        text.push_str(&format!("| {status} | {} | {} |\n", one_line(&reply["description"]), bodies(reply, document)));
        for (name, header) in entries(&reply["headers"]).filter(|(_, header)| header["$ref"].is_null()) {
            let meaning = one_line(&header["description"]);
            match headers.iter_mut().find(|(known, says, _)| (*known, says) == (name, &meaning)) {
                Some((_, _, statuses)) => statuses.push(status),
                None => headers.push((name, meaning, vec![status])),
            }
        }
    }
    if !headers.is_empty() {
        text.push_str("\n| header | of | meaning |\n|---|---|---|\n");
    }
    for (name, meaning, statuses) in headers {
        text.push_str(&format!("| `{name}` | {} | {meaning} |\n", statuses.join(", ")));
    }
    text
}

/// A media type is named where it is not JSON.
fn bodies(reply: &Value, document: &Value) -> String {
    let mut texts: Vec<String> = Vec::new();
    for (media_type, content) in entries(&reply["content"]) {
        let schema = &content["schema"];
        let of_type = if schema["format"] == "binary" { String::new() } else { type_of(schema, document) };
        texts.push(match (media_type.as_str(), of_type.as_str()) {
            ("application/json", _) => of_type,
            (_, "") | ("text/event-stream", _) => format!("`{media_type}`"),
            _ => format!("{of_type} as `{media_type}`"),
        });
    }
    texts.join(", ")
}

fn schemas(document: &Value) -> String {
    let mut text = String::from("\n## Types\n");
    for (name, schema) in entries(&document["components"]["schemas"]).filter(|(_, schema)| types::is_named(schema)) {
        text.push_str(&format!("\n### {name}\n\n{}\n\n", one_line(&schema["description"])));
        text.push_str(&types::table(schema, document));
    }
    text
}

/// What a reference leads to.
fn resolve<'a>(value: &Value, document: &'a Value) -> Option<&'a Value> {
    document.pointer(value["$ref"].as_str()?.strip_prefix('#')?)
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_section_of_its_name_and_a_line_that_leads_there() {
        let text = reference();
        for endpoint in Endpoint::ALL {
            let id = endpoint.operation.id();
            assert_eq!(text.matches(&format!("\n### {id}\n")).count(), 1, "{id}");
            assert!(text.contains(&format!("[`{id}`](#{id})")), "{id}");
        }
    }

    #[test]
    fn every_link_within_leads_to_a_heading() {
        let text = reference();
        let headings: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("##"))
            .map(|line| anchor(line.trim_start_matches('#')))
            .collect();
        let mut found = 0;
        for target in text.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(headings.contains(target), "{target}");
            found += 1;
        }
        assert!(found > Endpoint::ALL.len());
    }

    fn anchor(heading: &str) -> String {
        heading.trim().to_lowercase().replace(' ', "-")
    }

    #[test]
    fn every_row_of_a_table_has_as_many_cells_as_its_head() {
        let text = reference();
        let mut cells = None;
        for line in text.lines() {
            let count = line.starts_with('|').then(|| line.matches('|').count() - line.matches("\\|").count());
            if let (Some(before), Some(now)) = (cells, count) {
                assert_eq!(before, now, "{line}");
            }
            cells = count;
        }
    }

    /// It stands in the repository, so that it can be read there.
    #[test]
    fn the_reference_in_the_repository_is_this_one() {
        let written = include_str!("../../docs/REFERENCE.md");
        assert!(
            written == reference(),
            "write it anew: cargo run -p linkgate-cli -- openapi --markdown > docs/REFERENCE.md"
        );
    }
}
