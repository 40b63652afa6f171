//! What a request may prove to the source of its package.
//!
//! Promises: a credential of the store is named only for a link and a target for which the policy names it, and a caller's
//! own goes on only where the policy lets callers bring theirs. Where both might, the caller's goes alone: it asked for it.

use linkgate_contract::{Origin, Problem, caller_credential_refused};
use secrecy::SecretString;

use super::request::Request;
use crate::denied::Denied;
use crate::rules::packages::TargetRules;

/// The rule that says which credentials go where.
const HOSTS: &str = "packages.hosts";

/// Credentials of the store, by name, or the caller's own.
#[derive(Default)]
pub(super) struct SourceAccess {
    pub(super) credentials: Vec<String>,
    pub(super) callers_own: Option<SecretString>,
}

impl SourceAccess {
    /// Judges what a request with a link to this origin brings.
    pub(super) fn judge(request: &Request, rules: TargetRules<'_>, origin: &Origin) -> Result<Self, Denied> {
        match request.caller_credential().map_err(|invalid| Denied::from(Problem::from(invalid)))? {
            None => Ok(Self { credentials: rules.credentials(origin), callers_own: None }),
            Some(value) if rules.allows_caller_credential(origin) => {
                Ok(Self { credentials: Vec::new(), callers_own: Some(value.clone()) })
            }
            Some(_) => Err(Denied { rule: HOSTS.to_owned(), ..caller_credential_refused(origin).into() }),
        }
    }
}
