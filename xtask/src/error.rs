//! A failure is a message for the person at the terminal: what went wrong, and what to do.

use std::fmt;

/// Why a task stopped.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

/// What a task comes to.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// Something went wrong: the process ends with 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// A message about a tool that is not there: nothing was found wrong, but nothing was looked at either.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// What the process ends with.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Says what was tried when something else's error comes up.
pub trait Trying<T> {
    /// `what` goes behind "cannot".
    fn trying(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: fmt::Display> Trying<T> for Result<T, E> {
    fn trying(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Failure::new(format!("cannot {}: {error}", what())))
    }
}
