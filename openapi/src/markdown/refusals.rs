//! What requests are refused with: by operation what is its own, and at the end each status with all of its errors.
//!
//! Promises: an error that any operation may be refused with is named once, not in each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{entries, operations, resolve, string};
use crate::responses::explain;

/// The names of errors, by status.
type Errors = BTreeMap<u16, BTreeSet<String>>;

/// What the document says of refusals.
pub(super) struct RefusalTable {
    of_any: Errors,
    all: Errors,
}

impl RefusalTable {
    pub(super) fn of(document: &Value) -> Self {
        let each: Vec<Errors> = operations(document).map(|operation| errors_of(operation, document)).collect();
        let mut all = Errors::new();
        for (status, names) in each.iter().flatten() {
            all.entry(*status).or_default().extend(names.iter().cloned());
        }
        let is_of_any = |status: u16, name: &str| each.iter().all(|errors| has(errors, status, name));
        let mut of_any = Errors::new();
        for (status, name) in all.iter().flat_map(|(status, names)| names.iter().map(|name| (*status, name))) {
            if is_of_any(status, name) {
                of_any.entry(status).or_default().insert(name.clone());
            }
        }
        Self { of_any, all }
    }

    /// What an operation has beside the others.
    pub(super) fn write_of(&self, operation: &Value, document: &Value) -> String {
        let errors = errors_of(operation, document);
        let own = errors.into_iter().filter_map(|(status, names)| {
            let own: Vec<_> = names.into_iter().filter(|name| !has(&self.of_any, status, name)).collect();
            (!own.is_empty()).then(|| format!("| [{status}](#{status}) | {} |\n", code_list(&own)))
        });
        let own: String = own.collect();
        if own.is_empty() {
            return "\nRefused with what [any operation](#refusals) is refused with.\n".to_owned();
        }
        format!("\n| refused with | beside what [any operation](#refusals) is |\n|---|---|\n{own}")
    }

    /// All of them, by status.
    pub(super) fn write(&self) -> String {
        let mut text = String::from(INTRODUCTION);
        for (status, names) in &self.all {
            text.push_str(&format!("\n### {status}\n\n{HEAD}"));
            for name in names {
                let any = if has(&self.of_any, *status, name) { "yes" } else { "" };
                let explained = explain(*status, name);
                let numbers: Vec<_> = explained.numbers.iter().map(u32::to_string).collect();
                let (numbers, meaning, remedy) = (numbers.join(", "), explained.meaning, explained.remedy);
                text.push_str(&format!("| `{name}` | {numbers} | {any} | {meaning} | {remedy} |\n"));
            }
        }
        text
    }
}

const HEAD: &str = "| error | number | of any operation | meaning | what to do |\n|---|---|---|---|---|\n";
const INTRODUCTION: &str = "
## Refusals

The body is a [Problem](#problem) where the request is at fault, and a [GatewayProblem](#gatewayproblem) where the caller or the gateway
is; a reply to `HEAD` has the headers alone. [API.md](API.md#errors) says how to read them, and which is found first. The number is
`code` of a GatewayProblem, whose `code_name` is the error; of a Problem it is in `bkapi-error-code-num`.
";

fn has(errors: &Errors, status: u16, name: &str) -> bool {
    errors.get(&status).is_some_and(|names| names.contains(name))
}

/// Refusals are described by the names of their errors.
fn errors_of(operation: &Value, document: &Value) -> Errors {
    let referring = entries(&operation["responses"]).filter_map(|(status, reply)| {
        let names = string(&resolve(reply, document)?["description"]).split(", ").map(str::to_owned).collect();
        Some((status.parse().ok()?, names))
    });
    referring.collect()
}

fn code_list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_every_operation_is_refused_with_is_named_once() {
        let refused = |names: &str| json!({"description": names});
        let document = json!({
            "paths": {
                "/a": {"get": {"responses": {"200": {}, "404": {"$ref": "#/both"}}}},
                "/b": {"get": {"responses": {"404": {"$ref": "#/both"}, "410": {"$ref": "#/gone"}}}},
            },
            "both": refused("API_NOT_FOUND, ERROR"),
            "gone": refused("PACKAGE_PURGED"),
        });
        let table = RefusalTable::of(&document);
        let write = |path: &str| table.write_of(&document["paths"][path]["get"], &document);
        assert!(!write("/a").contains("404"));
        assert!(write("/b").contains("| [410](#410) | `PACKAGE_PURGED` |") && !write("/b").contains("404"));
        let all = table.write();
        assert!(
            all.contains("| `ERROR` |  | yes | Not found |")
                && all.contains("| `PACKAGE_PURGED` |  |  | The package was purged")
        );
    }

    #[test]
    fn every_error_has_a_meaning_and_a_remedy() {
        for (status, names) in RefusalTable::of(&crate::document()).all {
            for name in names {
                let explained = explain(status, &name);
                assert!(!explained.meaning.is_empty() && !explained.remedy.is_empty(), "{status} {name}");
            }
        }
    }
}
