//! Where settings come from, and how single values are read.
//!
//! Promises: a fault is noted and reading goes on with a stand-in, so that all faults show at once; a stand-in never
//! leaves this module, because [`Reader::finish`] refuses when any fault was noted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use linkgate_contract::{AllowList, HostRule};

use super::{BadConfig, BadVar};

/// A source of settings.
pub trait Vars {
    /// The value of a variable.
    fn get(&self, name: &str) -> Option<OsString>;
    /// All names, to find typos.
    fn names(&self) -> Vec<String>;
}

/// The process's environment.
#[derive(Clone, Copy, Debug)]
pub struct Env;

impl Vars for Env {
    fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }
}

impl Vars for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<OsString> {
        BTreeMap::get(self, name).map(OsString::from)
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// Reads values and collects faults.
pub(super) struct Reader<'a, V> {
    vars: &'a V,
    bad: Vec<BadVar>,
}

impl<'a, V: Vars> Reader<'a, V> {
    pub(super) fn new(vars: &'a V) -> Self {
        Self { vars, bad: Vec::new() }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.vars.names()
    }

    pub(super) fn fault(&mut self, name: &str, fault: impl Into<String>) {
        self.bad.push(BadVar { name: name.to_owned(), fault: fault.into() });
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, BadConfig> {
        if self.bad.is_empty() { Ok(value) } else { Err(BadConfig(self.bad)) }
    }

    /// The trimmed value; an empty one counts as not given, as compose files pass it for "unset".
    pub(super) fn read_text(&mut self, name: &str) -> Option<String> {
        let Ok(value) = self.vars.get(name)?.into_string() else {
            self.fault(name, "is not UTF-8");
            return None;
        };
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    pub(super) fn required(&mut self, name: &str) -> Option<String> {
        let known_bad = self.bad.len();
        let value = self.read_text(name);
        if value.is_none() && self.bad.len() == known_bad {
            self.fault(name, "is required");
        }
        value
    }

    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, default: T, want: &str) -> T {
        match self.read_text(name).map(|text| (text.parse(), text)) {
            None => default,
            Some((Ok(value), _)) => value,
            Some((Err(_), text)) => {
                self.fault(name, format!("is `{text}`, not {want}"));
                default
            }
        }
    }

    pub(super) fn number<T>(&mut self, name: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let want = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.parsed(name, default, &want);
        if !range.contains(&value) {
            self.fault(name, format!("is `{value}`, not {want}"));
        }
        value
    }

    /// Whole seconds, at least one and at most a day: a timeout of zero would refuse everything.
    pub(super) fn seconds(&mut self, name: &str, default: u64) -> Duration {
        Duration::from_secs(self.number(name, default, 1..=86_400))
    }

    /// A comma list of `host` and `host:port`; not given: nothing.
    pub(super) fn hosts(&mut self, name: &str) -> AllowList {
        let mut rules = Vec::new();
        for entry in self.read_text(name).iter().flat_map(|list| list.split(',')).map(str::trim) {
            match HostRule::new(entry) {
                Ok(rule) => rules.push(rule),
                Err(e) => self.fault(name, format!("has the entry `{entry}`, which is wrong: `{entry}` {e}")),
            }
        }
        AllowList::new(rules)
    }
}
