//! What stands in a path, a query or a header.

use linkgate_contract::{BodyKind, Endpoint, FileName, PinName};
use serde_json::{Value, json};

use crate::bodies::{FILE_SHA256, FILE_SIZE, OVERWRITE, VERSION};

/// A parameter: its name, its schema, and what it means.
pub(crate) struct Parameter {
    name: &'static str,
    schema: fn() -> Value,
    meaning: &'static str,
}

impl Parameter {
    pub(crate) const fn new(name: &'static str, schema: fn() -> Value, meaning: &'static str) -> Self {
        Self { name, schema, meaning }
    }

    fn describe(&self, place: &str) -> Value {
        json!({
            "name": self.name,
            "in": place,
            "required": place == "path",
            "description": self.meaning,
            "schema": (self.schema)(),
        })
    }
}

pub(crate) fn text() -> Value {
    json!({"type": "string"})
}

/// What is no number is passed over, so it is no fault.
fn number_or_text() -> Value {
    json!({"type": ["integer", "string"]})
}

const PATH: &[Parameter] = &[
    Parameter::new(
        "app_code",
        || json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"}),
        "The application whose package it is: 1 to 32 of `A-Z a-z 0-9 _ -`, the first a letter or digit",
    ),
    Parameter::new(
        "module",
        || json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"}),
        "Its module, by the same rule",
    ),
    Parameter::new(
        "job_id",
        || json!({"type": "string", "format": "uuid"}),
        "The upload by link, as the reply 202 named it: in lower case, with its hyphens",
    ),
    Parameter::new(
        "id",
        || json!({"type": "integer", "format": "int64", "minimum": 1}),
        "The package: the `id` of its upload's reply",
    ),
    Parameter::new(
        "name",
        || json!({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "maxLength": PinName::MAX_BYTES}),
        "The pin, by the name of what uses the package",
    ),
    Parameter::new(
        "filename",
        || json!({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "maxLength": FileName::MAX_BYTES}),
        "The name of the file",
    ),
];

/// What the query of an upload by file may say.
const OF_FILES: &[Parameter] = &[
    Parameter::new("version", text, VERSION),
    Parameter::new(
        "filename",
        || json!({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "maxLength": FileName::MAX_BYTES}),
        "The name of the file, where the body is the file and no form",
    ),
    Parameter::new("allow_overwrite", || json!({"type": "boolean"}), OVERWRITE),
    Parameter::new("sha256", || json!({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}), FILE_SHA256),
    Parameter::new("size", || json!({"type": "integer", "minimum": 0}), FILE_SIZE),
];

const LIMIT: &str =
    "Rows of a page, 100 without it. 0, negative numbers and what is no number mean 100; more than 1000 means 1000";
const OFFSET: &str = "How many rows to leave out first, 0 without it and where it is no number";

/// Every other query parameter that a row of the table lists.
const QUERY: &[Parameter] = &[
    Parameter::new("force", || json!({"type": "boolean"}), "Whether it is deleted although it is pinned"),
    Parameter::new("limit", number_or_text, LIMIT),
    Parameter::new("offset", number_or_text, OFFSET),
    Parameter::new(
        "before_id",
        number_or_text,
        "Only what has a smaller id; without `order_by` the greatest id first. `next` then names the next `before_id`",
    ),
    Parameter::new(
        "order_by",
        text,
        "`id`, `version`, `version_natural`, `package_name`, `package_size`, `created`, `updated`, with `-` before it where the \
         greatest comes first; several with commas between them. What is equal by all of them is in the order of ids, in the direction \
         of the last. Unknown ones are left out. Without it `-created`",
    ),
    Parameter::new(
        "search_term",
        text,
        "Terms between blanks or commas, or phrases in quotes, at most 16 with 1024 bytes. Each must occur in `version`, `package_name` or \
         `package_size`, in any case",
    ),
    Parameter::new("version", text, "Only packages of this version"),
    Parameter::new("package_name", text, "Only packages of this name"),
    Parameter::new("sha256_signature", text, "Only packages with these bytes"),
    Parameter::new("operator", text, "Only what this user uploaded"),
    Parameter::new("is_deleted", text, "`false`, as without it, `true` or `all`"),
    Parameter::new("pinned", text, "`true`: only packages that something uses; `false`: only the others"),
    Parameter::new(
        "created_after",
        text,
        "Only what was uploaded then or later: a time as replies write it (`2025-10-28 07:58:00`) or a date alone, in the store's time zone; or \
         with a zone, as RFC 3339 (`2025-10-28T07:58:00+08:00`, of which `+` is `%2B` in a query) or `2025-10-28 07:58:00 +0800`",
    ),
    Parameter::new("created_before", text, "Only what was uploaded before then, in the same forms"),
    Parameter::new(
        "updated_after",
        text,
        "Only what was uploaded, overwritten or restored then or later, in the same forms",
    ),
    Parameter::new(
        "updated_before",
        text,
        "Only what was uploaded, overwritten or restored before then, in the same forms",
    ),
    Parameter::new("action", text, "Only events of this action"),
    Parameter::new("package_id", number_or_text, "Only events of this package"),
];

/// What the query of a list of modules may say.
const OF_MODULES: &[Parameter] = &[
    Parameter::new("limit", number_or_text, LIMIT),
    Parameter::new("offset", number_or_text, OFFSET),
    Parameter::new(
        "search_term",
        text,
        "Terms between blanks or commas, at most 16 with 1024 bytes. Each must occur in the application's code or the module's name, in any \
         case",
    ),
];

/// All parameters of an endpoint.
pub(crate) fn describe(endpoint: &Endpoint, headers: &[Parameter]) -> Vec<Value> {
    let in_path = |parameter: &&Parameter| endpoint.route.contains(&format!("{{{}}}", parameter.name));
    let path = PATH.iter().filter(in_path).map(|parameter| parameter.describe("path"));
    let listed = |parameter: &&Parameter| endpoint.query.contains(&parameter.name);
    let known = match endpoint.body {
        BodyKind::Stream => OF_FILES,
        _ if !endpoint.is_of_module() => OF_MODULES,
        _ => QUERY,
    };
    let query = known.iter().filter(listed).map(|parameter| parameter.describe("query"));
    path.chain(query).chain(headers.iter().map(|parameter| parameter.describe("header"))).collect()
}

#[cfg(test)]
mod tests {
    use linkgate_contract::UNKNOWN_PARAMETER;

    use super::*;

    #[test]
    fn every_parameter_of_the_table_is_described() {
        for endpoint in Endpoint::ALL {
            let described = describe(endpoint, &[]);
            let listed = endpoint.query.iter().filter(|name| **name != UNKNOWN_PARAMETER).count();
            let named = endpoint.route.matches('{').count() + listed;
            assert_eq!(described.len(), named, "{}", endpoint.operation.id());
        }
    }
}
