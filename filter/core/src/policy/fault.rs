//! What is wrong with a policy, and where.

use std::fmt::Display;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, like `clients[0].secret_sha256[1]`; empty: the document as a whole.
    pub path: String,
    /// What, and what to do.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(path: impl Into<String>, message: impl Display) -> Self {
        Self { path: path.into(), message: message.to_string() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// Collects faults, so that an operator meets all of them in one run.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Display) {
        self.0.push(Fault::new(path, message));
    }

    /// Takes what was read, or notes why it was not.
    pub(super) fn take_ok<T, E: Display>(&mut self, path: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.add(path, e)).ok()
    }

    /// A list that is longer than the limit.
    pub(super) fn check_length<T>(&mut self, path: &str, list: &[T], most: usize) {
        if list.len() > most {
            self.add(path, format!("lists {} entries, the limit is {most}", list.len()));
        }
    }
}
