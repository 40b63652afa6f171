//! What a grant allows its callers to do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! actions {
    ($($(#[cfg($cfg:meta)])? $(#[doc = $doc:literal])+ $action:ident = $name:literal,)*) => {
        /// An action that a grant gives and an endpoint needs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Action {
            $($(#[cfg($cfg)])? $(#[doc = $doc])+ #[serde(rename = $name)] $action,)*
        }

        impl Action {
            /// Every action, in the order in which documents list them.
            pub const ALL: &'static [Self] = &[$($(#[cfg($cfg)])? Self::$action,)*];

            /// The name in a policy.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $($(#[cfg($cfg)])? Self::$action => $name,)*
                }
            }
        }
    };
}

actions! {
    /// Upload packages, watch and cancel uploads.
    Upload = "upload",
    /// Read what is known of packages.
    Read = "read",
    /// Download packages.
    Download = "download",
    /// Make signed URLs, by which others download.
    Sign = "sign",
    /// Delete packages.
    Delete = "delete",
    /// Take deleted packages back.
    Restore = "restore",
    /// Pin packages, so that nothing deletes them.
    Pin = "pin",
    /// Explain and run the cleanup of a module.
    Cleanup = "cleanup",
    /// Delete packages that are pinned.
    ForceDelete = "force_delete",
    #[cfg(feature = "test-endpoint")]
    /// Reach the endpoint of the tests.
    Test = "test",
}

impl Action {
    /// What a grant gives that names no actions.
    pub const DEFAULT: &'static [Self] = &[Self::Upload, Self::Read];
}

/// The text names no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no action; the actions are {}", names())]
pub struct UnknownAction {
    found: String,
}

fn names() -> String {
    Action::ALL.iter().map(|action| action.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, UnknownAction> {
        let known = Self::ALL.iter().copied().find(|action| action.name() == name);
        known.ok_or_else(|| UnknownAction { found: name.to_owned() })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_one_name_in_text_and_in_json() {
        for &action in Action::ALL {
            assert_eq!(action.to_string().parse(), Ok(action));
            let json = serde_json::to_string(&action).unwrap();
            assert_eq!(json, format!("\"{action}\""));
            assert_eq!(serde_json::from_str::<Action>(&json).unwrap(), action);
        }
    }

    #[test]
    fn other_words_are_refused_with_the_list_of_those_that_are_known() {
        for bad in ["", "Upload", "upload ", "force-delete", "*"] {
            let refusal = bad.parse::<Action>().unwrap_err().to_string();
            let begin = format!(
                "`{bad}` is no action; the actions are upload, read, download, sign, delete, restore, pin, cleanup"
            );
            assert!(refusal.starts_with(&begin), "{refusal}");
            assert!(serde_json::from_str::<Action>(&format!("\"{bad}\"")).is_err());
        }
    }

    #[test]
    fn no_grant_deletes_by_default() {
        assert_eq!(Action::DEFAULT, [Action::Upload, Action::Read]);
    }
}
