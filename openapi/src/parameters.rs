//! What stands in a path, a query or a header.

use linkgate_contract::{Endpoint, FileName, PinName};
use serde_json::{Value, json};

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
        "The application",
    ),
    Parameter::new("module", || json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"}), "Its module"),
    Parameter::new("job_id", || json!({"type": "string", "format": "uuid"}), "An upload by link that has begun"),
    Parameter::new("id", || json!({"type": "integer", "format": "int64", "minimum": 1}), "The package"),
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

/// Every query parameter that a row of the table lists.
const QUERY: &[Parameter] = &[
    Parameter::new(
        "version",
        text,
        "The version of the package. Of an upload, at most 128 characters; left out, the one that app_desc.yaml names",
    ),
    Parameter::new(
        "filename",
        || json!({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "maxLength": FileName::MAX_BYTES}),
        "The name of the file, where the body is the file",
    ),
    Parameter::new(
        "allow_overwrite",
        || json!({"type": "boolean"}),
        "Whether a package of the same version is replaced",
    ),
    Parameter::new("force", || json!({"type": "boolean"}), "Whether pins do not count"),
    Parameter::new("sha256", || json!({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}), "Of the file"),
    Parameter::new("limit", number_or_text, "Rows of a page: 100 where it is left out or is no number, at most 1000"),
    Parameter::new("offset", number_or_text, "How many rows to pass over; 0 where it is no number"),
    Parameter::new("before_id", number_or_text, "Only what has a smaller number, the greatest first"),
    Parameter::new(
        "order_by",
        text,
        "`id`, `version`, `version_natural`, `package_name`, `package_size`, `created`, `updated`, with `-` before it where the \
         greatest comes first; several with commas between them. Left out: `-created`",
    ),
    Parameter::new(
        "search_term",
        text,
        "Words between blanks or commas, or phrases in quotes. Each must occur in the version, the name or the size, in any case",
    ),
    Parameter::new("package_name", text, "Only packages of this name"),
    Parameter::new("sha256_signature", text, "Only packages with these bytes"),
    Parameter::new("operator", text, "Only what this user uploaded"),
    Parameter::new("is_deleted", text, "`false`, `true` or `all`"),
    Parameter::new("pinned", text, "`true` or `false`: only packages that are pinned, or that are not"),
    Parameter::new("created_after", text, "Only what was uploaded then or later, as RFC 3339 or the replies write it"),
    Parameter::new("created_before", text, "Only what was uploaded before then"),
    Parameter::new("updated_after", text, "Only what was changed then or later"),
    Parameter::new("updated_before", text, "Only what was changed before then"),
    Parameter::new("action", text, "Only events of this action"),
    Parameter::new("package_id", number_or_text, "Only events of this package"),
    Parameter::new("size", || json!({"type": "integer", "minimum": 0}), "Of the file in bytes"),
];

/// All parameters of an endpoint.
pub(crate) fn describe(endpoint: &Endpoint, headers: &[Parameter]) -> Vec<Value> {
    let in_path = |parameter: &&Parameter| endpoint.route.contains(&format!("{{{}}}", parameter.name));
    let path = PATH.iter().filter(in_path).map(|parameter| parameter.describe("path"));
    let listed = |parameter: &&Parameter| endpoint.query.contains(&parameter.name);
    let query = QUERY.iter().filter(listed).map(|parameter| parameter.describe("query"));
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
