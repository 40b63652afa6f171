//! `linkgate policy check`, `diff` and `show`: does the gate accept this policy, which entries have no effect, what would change,
//! and which one is in force?
//!
//! Promises: the verdict is the gate's own, from the same code; every fault is named with its line. A policy is read from a
//! file, from standard input (`-`), and out of what `deploy` wrote. Reads, never writes.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use linkgate_gate::Time;
use linkgate_gate::policy::{Difference, Fault, Policy, Summary};
use serde_json::{Value, json};

use crate::Report;
use crate::admin::Admin;
use crate::deploy::RESOURCE;
use crate::error::Error;
use crate::files;
use crate::proxy;
use crate::resource::{MAX_RESOURCE_BYTES, Resource};
use crate::yaml::{self, Document, Span};

/// The shape of a policy, as JSON Schema.
pub const SCHEMA: &str = include_str!("../../deploy/policy.schema.json");

/// A policy that the gate takes.
pub struct Checked {
    /// Compiled.
    pub policy: Policy,
    file: String,
    document: Document,
}

impl Checked {
    /// The policy as the gate reads it, the same text for the same policy.
    pub fn to_json(&self) -> String {
        self.document.value.to_string()
    }

    /// One line about it.
    pub fn format_summary(&self) -> String {
        let Summary { prefixes, clients, users, grants, allowed_hosts, instances } = self.policy.summary();
        let shared = if instances > 1 { format!(", limits for {instances} Envoys") } else { String::new() };
        format!(
            "{}: ok ({prefixes} prefixes, {grants} grants, {clients} clients, {users} users, {allowed_hosts} allowed hosts{shared})\n",
            self.file
        )
    }

    /// Its entries without effect now, a line each.
    fn format_warnings(&self, now: Time) -> Vec<String> {
        let warnings = Policy::warnings(&self.document.value, now).unwrap_or_default();
        let lines = format_faults(&self.file, &self.document, &warnings);
        lines.into_iter().map(|line| format!("warning: {line}\n")).collect()
    }
}

/// Reads and judges a policy.
pub fn check_policy(path: &Path) -> Result<Checked, Error> {
    let (file, document) = read_document(path)?;
    match Policy::from_value(&document.value) {
        Ok(policy) => Ok(Checked { policy, file, document }),
        Err(faults) => Err(Error::Faults(format_faults(&file, &document, &faults))),
    }
}

/// Judges policies, each by itself, and warns about entries without effect.
pub fn check_and_warn(paths: &[PathBuf], strict: bool, json: bool) -> Result<Report, Error> {
    if let ([path], false) = (paths, json) {
        return check_one(path, strict);
    }
    let verdicts: Vec<_> = paths.iter().map(|path| judge_file(path, strict)).collect::<Result<_, _>>()?;
    let code = u8::from(verdicts.iter().any(|verdict| !verdict.accepted));
    if json {
        let list: Vec<_> = verdicts.iter().map(Verdict::to_json).collect();
        return Ok(Report { output: format!("{:#}\n", Value::from(list)), code, ..Report::default() });
    }
    let output = verdicts.iter().filter(|verdict| verdict.accepted).map(|verdict| verdict.summary.as_str()).collect();
    let warnings = verdicts.iter().flat_map(Verdict::format_lines).collect();
    Ok(Report { output, warnings, code })
}

fn check_one(path: &Path, strict: bool) -> Result<Report, Error> {
    let checked = check_policy(path)?;
    let warnings = checked.format_warnings(read_clock()?);
    let fails = strict && !warnings.is_empty();
    let output = if fails { String::new() } else { checked.format_summary() };
    Ok(Report { output, warnings: warnings.concat(), code: u8::from(fails) })
}

/// What became of one file of several.
struct Verdict {
    file: String,
    accepted: bool,
    version: Option<String>,
    summary: String,
    faults: Vec<Located>,
    warnings: Vec<Located>,
}

/// A fault or a warning, and where it is.
struct Located {
    span: Span,
    path: String,
    message: String,
}

fn judge_file(path: &Path, strict: bool) -> Result<Verdict, Error> {
    let (file, text) = read_policy_text(path)?;
    let mut verdict = Verdict {
        file: file.clone(),
        accepted: false,
        version: None,
        summary: String::new(),
        faults: Vec::new(),
        warnings: Vec::new(),
    };
    let document = match yaml::parse_document(&text) {
        Ok(document) => document,
        Err(error) => {
            verdict.faults.push(Located { span: error.span, path: String::new(), message: error.message });
            return Ok(verdict);
        }
    };
    match Policy::from_value(&document.value) {
        Err(faults) => verdict.faults = locate(&document, &faults),
        Ok(policy) => {
            let warnings = Policy::warnings(&document.value, read_clock()?).unwrap_or_default();
            verdict.warnings = locate(&document, &warnings);
            verdict.accepted = !strict || warnings.is_empty();
            verdict.version = Some(policy.version().to_owned());
            verdict.summary = Checked { policy, file, document }.format_summary();
        }
    }
    Ok(verdict)
}

fn locate(document: &Document, faults: &[Fault]) -> Vec<Located> {
    let mut found: Vec<_> = faults
        .iter()
        .map(|Fault { path, message }| Located {
            span: document.find_span(path),
            path: path.clone(),
            message: message.clone(),
        })
        .collect();
    found.sort_by_key(|located| (located.span.line, located.span.column));
    found
}

impl Verdict {
    fn format_lines(&self) -> Vec<String> {
        let line = |l: &Located| format_fault(&self.file, l.span, &l.path, &l.message);
        let faults = self.faults.iter().map(|located| format!("{}\n", line(located)));
        faults.chain(self.warnings.iter().map(|located| format!("warning: {}\n", line(located)))).collect()
    }

    fn to_json(&self) -> Value {
        let list = |list: &[Located]| -> Value {
            list.iter()
                .map(|Located { span, path, message }| {
                    json!({"line": span.line, "column": span.column, "path": path, "message": message})
                })
                .collect()
        };
        json!({
            "file": self.file,
            "accepted": self.accepted,
            "version": self.version,
            "faults": list(&self.faults),
            "warnings": list(&self.warnings),
        })
    }
}

/// The policy that Envoy serves by, or that was deployed into a folder.
pub fn show_policy(from: Option<&Path>, admin: &Admin) -> Result<Report, Error> {
    let (place, text) = match from {
        Some(path) if path.is_dir() => {
            let path = path.join(RESOURCE);
            let text = files::read_text_up_to(&path, MAX_RESOURCE_BYTES)?;
            let policy = Resource::find_policy(&text).ok_or_else(|| Error::NotResource(path.clone()))?;
            (path.display().to_string(), policy)
        }
        Some(path) => read_policy_text(path)?,
        None => (admin.to_string(), proxy::fetch_policy(admin)?),
    };
    let document = yaml::parse_document(&text)
        .map_err(|error| Error::Faults(vec![format_fault(&place, error.span, "", &error.message)]))?;
    let version = Policy::from_value(&document.value).map(|policy| policy.version().to_owned());
    let version = version.map_err(|faults| Error::Faults(format_faults(&place, &document, &faults)))?;
    let warnings = format!("{place}: version {version}\n");
    Ok(Report { output: format!("{:#}\n", document.value), warnings, code: 0 })
}

/// Who gains and who loses.
pub fn compare_policies(old: &Path, new: &Path) -> Result<String, Error> {
    let (old, new) = (check_policy(old)?, check_policy(new)?);
    let difference = Policy::difference(&old.document.value, &new.document.value);
    // Both were good a moment ago.
    difference
        .map(|difference| format_difference(&difference))
        .map_err(|f| Error::Faults(format_faults("", &new.document, &f)))
}

fn format_difference(difference: &Difference) -> String {
    if difference.is_empty() {
        return "no difference\n".to_owned();
    }
    let groups = [("gains", &difference.gains), ("loses", &difference.loses), ("changes", &difference.changes)];
    let mut text = String::new();
    for (name, list) in groups.into_iter().filter(|(_, list)| !list.is_empty()) {
        text += &format!("{name}:\n");
        list.iter().for_each(|sentence| text += &format!("  {sentence}\n"));
    }
    text
}

/// The name of a file, and what it holds.
pub fn read_document(path: &Path) -> Result<(String, Document), Error> {
    let (file, text) = read_policy_text(path)?;
    let document = yaml::parse_document(&text)
        .map_err(|error| Error::Faults(vec![format_fault(&file, error.span, "", &error.message)]))?;
    Ok((file, document))
}

/// The name of a file and the policy in it, which may be standard input, and may be what `deploy` wrote.
fn read_policy_text(path: &Path) -> Result<(String, String), Error> {
    let file = path.display().to_string();
    let text = match path.to_str() {
        Some("-") => files::read_stdin(MAX_RESOURCE_BYTES)?,
        _ => files::read_text_up_to(path, MAX_RESOURCE_BYTES)?,
    };
    if let Some(policy) = Resource::find_policy(&text) {
        return Ok((file, policy));
    }
    if text.len() as u64 > files::MAX_TEXT_BYTES {
        return Err(Error::TooLarge { path: path.to_owned(), limit_bytes: files::MAX_TEXT_BYTES });
    }
    Ok((file, text))
}

/// One line per fault, in the order of the file.
pub fn format_faults(file: &str, document: &Document, faults: &[Fault]) -> Vec<String> {
    let mut found: Vec<_> = faults.iter().map(|fault| (document.find_span(&fault.path), fault)).collect();
    found.sort_by_key(|(span, _)| (span.line, span.column));
    found.into_iter().map(|(span, fault)| format_fault(file, span, &fault.path, &fault.message)).collect()
}

fn format_fault(file: &str, span: Span, path: &str, message: &str) -> String {
    let separator = if path.is_empty() { "" } else { ": " };
    format!("{file}:{}:{}: {path}{separator}{message}", span.line, span.column)
}

/// The moment of the system's clock.
pub fn read_clock() -> Result<Time, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.map_err(|e| Error::io("read", "the clock", std::io::Error::other(e)))?;
    Ok(Time::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place in a policy, and the keys that the schema has there.
    type Table = (String, Vec<String>, Vec<String>);

    fn follow<'a>(root: &'a Value, node: &'a Value) -> &'a Value {
        match node["$ref"].as_str() {
            Some(name) => root.pointer(name.trim_start_matches('#')).unwrap(),
            None => node,
        }
    }

    /// Every table of the schema: where it is, its keys, and those that it requires.
    fn tables(root: &Value, node: &Value, path: &str, found: &mut Vec<Table>) {
        let node = follow(root, node);
        if node["type"] == "array" {
            return tables(root, &node["items"], &format!("{path}[0]"), found);
        }
        let Some(properties) = node["properties"].as_object() else { return };
        let required = node["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned());
        found.push((path.to_owned(), properties.keys().cloned().collect(), required.collect()));
        for (name, child) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            tables(root, child, &path, found);
        }
    }

    /// A policy that has one table, with one key that there is not, in an otherwise empty one.
    fn with_table(path: &str) -> Value {
        let mut policy = json!({"version": 1, "gateway": "g", "routes": {"prefixes": [""]}});
        let mut at = &mut policy;
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let name = part.trim_end_matches("[0]");
            if name != part && at[name].is_null() {
                at[name] = json!([{}]);
            } else if at[name].is_null() {
                at[name] = json!({});
            }
            at = if name == part { &mut at[name] } else { &mut at[name][0] };
        }
        at["no_such_key"] = json!(1);
        policy
    }

    /// What the gate itself says that a table may hold.
    fn keys_of_the_gate(path: &str) -> Vec<String> {
        let faults = Policy::from_value(&with_table(path)).err().unwrap();
        let message = &faults[0].message;
        let (_, list) = message.split_once("expected ").unwrap_or_else(|| panic!("{path}: {faults:?}"));
        let mut keys: Vec<_> = list.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        keys.sort();
        keys
    }

    #[test]
    fn the_schema_has_the_keys_that_the_gate_takes() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let mut found = Vec::new();
        tables(&schema, &schema, "", &mut found);
        assert!(found.len() > 15, "{}", found.len());
        for (path, mut keys, required) in found {
            keys.sort();
            assert_eq!(keys, keys_of_the_gate(&path), "at `{path}`");
            assert!(required.iter().all(|name| keys.contains(name)), "at `{path}`");
        }
    }

    #[test]
    fn faults_come_in_the_order_of_the_file() {
        let document = yaml::parse_document("version: 1\nclients:\n  - secret: [a, b]\n").unwrap();
        let faults = [("clients[0].secret[1]", "is short"), ("users", "is missing"), ("", "is odd")];
        let faults = faults.map(|(path, message)| Fault { path: path.to_owned(), message: message.to_owned() });
        assert_eq!(
            format_faults("p.yaml", &document, &faults),
            ["p.yaml:1:1: users: is missing", "p.yaml:1:1: is odd", "p.yaml:3:17: clients[0].secret[1]: is short"]
        );
    }
}
