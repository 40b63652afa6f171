//! Which packages are kept, and which are deleted by and by.

use linkgate_contract::ModuleRef;
use linkgate_fetch::SharedList;

use super::Patterns;

/// The operator's rules, the first that fits counts. A copy shares them.
pub type RetentionRules = SharedList<RetentionRule>;

/// What is kept of some modules. A package goes only if everything here lets it go.
#[derive(Clone, Debug)]
pub struct RetentionRule {
    /// By which events and log lines call it.
    pub name: String,
    /// Applications.
    pub targets: Patterns,
    /// Their modules.
    pub modules: Patterns,
    /// Whether the clock deletes, or only says what it would.
    pub mode: RetentionMode,
    /// So many of the newest stay, pinned ones not counted. At least one.
    pub keep_last: u64,
    /// What is younger stays.
    pub remove_after_ms: i64,
    /// Versions that stay.
    pub keep_versions: Patterns,
    /// Versions that may go.
    pub remove_versions: Patterns,
    /// What is newer, and how old a package is.
    pub order: RetentionOrder,
}

/// What the clock does with a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetentionMode {
    /// It says what it would delete.
    #[default]
    Report,
    /// It deletes that.
    Enforce,
}

/// By which time packages are ordered, and how old they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetentionOrder {
    /// When it was stored last, or restored.
    #[default]
    Updated,
    /// When its version was stored for the first time.
    Created,
    /// Which version it is, in the natural order of versions. Its age is since when it was stored last.
    Version,
}

impl RetentionMode {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Enforce => "enforce",
        }
    }
}

impl RetentionRule {
    /// Whether it is about this module.
    #[must_use]
    pub fn fits(&self, target: &ModuleRef) -> bool {
        self.targets.matches(target.app.as_str()) && self.modules.matches(target.module.as_str())
    }
}
