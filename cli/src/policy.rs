//! `linkgate policy check`: would the gate take this policy?
//!
//! Promises: the answer is the gate's own, from the same code; every fault is named with its line. Reads, never writes.

use std::path::Path;

use linkgate_gate::policy::{Policy, Summary};
use serde_json::Value;

use crate::error::Error;
use crate::files;
use crate::yaml::{self, Document, Place};

/// A policy that the gate takes.
pub struct Checked {
    file: String,
    value: Value,
    counts: Summary,
}

impl Checked {
    /// The policy as the gate reads it, the same text for the same policy.
    pub fn json(&self) -> String {
        self.value.to_string()
    }

    /// One line about it.
    pub fn summary(&self) -> String {
        let Summary { prefixes, apps, users, grants, allowed_hosts } = self.counts;
        format!(
            "{}: ok ({prefixes} prefixes, {grants} grants, {apps} apps, {users} users, {allowed_hosts} allowed hosts)\n",
            self.file
        )
    }
}

/// Reads and judges a policy.
pub fn check(path: &Path) -> Result<Checked, Error> {
    let text = files::read_text(path)?;
    let file = path.display().to_string();
    let document = yaml::read(&text).map_err(|c| Error::Faults(vec![line(&file, c.place, "", &c.message)]))?;
    match Policy::read(&document.value) {
        Ok(policy) => Ok(Checked { file, value: document.value, counts: policy.summary() }),
        Err(faults) => {
            let found = faults.iter().map(|fault| (fault.path.as_str(), fault.message.as_str()));
            Err(Error::Faults(report(&file, &document, found)))
        }
    }
}

/// One line per fault, in the order of the file.
fn report<'a>(file: &str, document: &Document, faults: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut found: Vec<_> = faults.map(|(path, message)| (document.place(path), path, message)).collect();
    found.sort_by_key(|(place, ..)| (place.line, place.column));
    found.into_iter().map(|(place, path, message)| line(file, place, path, message)).collect()
}

fn line(file: &str, place: Place, path: &str, message: &str) -> String {
    let separator = if path.is_empty() { "" } else { ": " };
    format!("{file}:{}:{}: {path}{separator}{message}", place.line, place.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_the_order_of_the_file() {
        let document = yaml::read("version: 1\napps:\n  - secret: [a, b]\n").unwrap();
        let faults = [("apps[0].secret[1]", "is short"), ("users", "is missing"), ("", "is odd")];
        assert_eq!(
            report("p.yaml", &document, faults.into_iter()),
            ["p.yaml:1:1: users: is missing", "p.yaml:1:1: is odd", "p.yaml:3:17: apps[0].secret[1]: is short"]
        );
    }
}
