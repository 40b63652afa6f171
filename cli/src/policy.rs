//! `linkgate policy check` and `diff`: does the gate accept this policy, which entries have no effect, what would change?
//!
//! Promises: the verdict is the gate's own, from the same code; every fault is named with its line. Reads, never writes.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use linkgate_gate::Time;
use linkgate_gate::policy::{Difference, Fault, Policy, Summary};

use crate::Report;
use crate::error::Error;
use crate::files;
use crate::yaml::{self, Document, Span};

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
        let Summary { prefixes, clients, users, grants, allowed_hosts } = self.policy.summary();
        format!(
            "{}: ok ({prefixes} prefixes, {grants} grants, {clients} clients, {users} users, {allowed_hosts} allowed hosts)\n",
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

/// Judges a policy, and warns about entries without effect.
pub fn check_and_warn(path: &Path, strict: bool) -> Result<Report, Error> {
    let checked = check_policy(path)?;
    let warnings = checked.format_warnings(read_clock()?);
    let fails = strict && !warnings.is_empty();
    let output = if fails { String::new() } else { checked.format_summary() };
    Ok(Report { output, warnings: warnings.concat(), code: u8::from(fails) })
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
    let text = files::read_text(path)?;
    let file = path.display().to_string();
    let document = yaml::parse_document(&text)
        .map_err(|error| Error::Faults(vec![format_fault(&file, error.span, "", &error.message)]))?;
    Ok((file, document))
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
