//! How a caller's command fails: in which words, with which next step, and with which exit code.

use std::path::Path;

use linkgate_client::{Error, Refusal};
use serde_json::{Value, json};

/// Kinds of failure, each with an exit code of its own (docs/CLI.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request or the package is wrong: the same again is refused again.
    Refused,
    /// The command line, the configuration or a file of this machine is wrong.
    Usage,
    /// Something was begun, and how it ended is not known.
    Unconfirmed,
    /// Nobody knows the caller, or they may not do this.
    NotAllowed,
    /// It is not there, or not any more.
    NotFound,
    /// Something else is in the way: a version, a pin, another state.
    Conflict,
    /// Too much at a time, or a quota is used up.
    Limited,
    /// The gateway, the store or the package's server failed.
    Failed,
    /// No connection to the gateway, or it broke off.
    Unreachable,
    /// A digest, signature or statement does not fit.
    Mismatch,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl Kind {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Self; 11] = [
        Self::Refused,
        Self::Usage,
        Self::Unconfirmed,
        Self::NotAllowed,
        Self::NotFound,
        Self::Conflict,
        Self::Limited,
        Self::Failed,
        Self::Unreachable,
        Self::Mismatch,
        Self::Interrupted,
    ];

    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unconfirmed => 3,
            Self::NotAllowed => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Limited => 7,
            Self::Failed => 8,
            Self::Unreachable => 9,
            Self::Mismatch => 10,
            Self::Interrupted => 130,
        }
    }

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::Unconfirmed => "unconfirmed",
            Self::NotAllowed => "not_allowed",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Limited => "limited",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::Mismatch => "mismatch",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A command that did not do what it was to.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    message: String,
    refusal: Option<Box<Refusal>>,
    next: Option<String>,
    /// What it is about, where there are several.
    about: Option<String>,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), refusal: None, next: None, about: None }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The system refused something about a file of this machine.
    pub fn file(action: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::usage(format!("cannot {action} {}: {error}", path.display()))
    }

    /// With what to do now.
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }

    /// About one of several.
    pub fn about(mut self, what: impl Into<String>) -> Self {
        self.about = Some(what.into());
        self
    }

    /// What an operator needs to know, for people; `bold` begins and ends what stands out.
    pub fn describe(&self, bold: (&str, &str)) -> String {
        let about = self.about.as_ref().map(|about| format!("{about}: ")).unwrap_or_default();
        let mut text = format!("{}error:{} {about}{}\n", bold.0, bold.1, self.message);
        if let Some(refusal) = &self.refusal {
            for (field, messages) in &refusal.fields {
                text += &format!("  field {field}: {}\n", messages.join(" "));
            }
            let wait = refusal.retry_after.map(|wait| format!("  wait: {} seconds\n", wait.as_secs()));
            text += &wait.unwrap_or_default();
            let id = refusal.request_id.as_ref();
            text += &id.map(|id| format!("  request: {id}\n")).unwrap_or_default();
        }
        text + &self.next.as_ref().map(|next| format!("  next: {next}\n")).unwrap_or_default()
    }

    /// The same for programs.
    pub fn to_json(&self) -> Value {
        let refusal = self.refusal.as_deref();
        json!({"error": {
            "kind": self.kind.name(),
            "exit_code": self.kind.exit_code(),
            "about": self.about,
            "message": self.message,
            "code": refusal.map(|refusal| &refusal.code),
            "status": refusal.map(|refusal| refusal.status).filter(|status| *status > 0),
            "reason": refusal.and_then(|refusal| refusal.reason.as_ref()),
            "fields": refusal.map(|refusal| &refusal.fields),
            "data": refusal.and_then(|refusal| refusal.data.as_ref()),
            "request_id": refusal.and_then(|refusal| refusal.request_id.as_ref()),
            "retry_after": refusal.and_then(|refusal| refusal.retry_after).map(|wait| wait.as_secs()),
            "next": self.next,
        }})
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let refusal = error.refusal().map(Box::new);
        let kind = match &error {
            Error::Refused(_) | Error::JobEnded(_) => refusal.as_deref().map_or(Kind::Failed, kind_of_refusal),
            Error::Unreachable { .. } | Error::BrokenOff { .. } | Error::TimedOut { .. } => Kind::Unreachable,
            Error::NotOurs { .. } => Kind::Failed,
            Error::DigestMismatch { .. } | Error::Statement(_) => Kind::Mismatch,
            Error::Overwritten => Kind::Conflict,
            Error::CannotSignFile | Error::Setting(_) | Error::File { .. } => Kind::Usage,
        };
        let next = match &error {
            Error::Refused(_) | Error::JobEnded(_) => refusal.as_deref().and_then(next_after_refusal),
            Error::Unreachable { .. } => Some("check --gateway, the network and whether the gateway runs"),
            Error::BrokenOff { .. } | Error::TimedOut { .. } => {
                Some("run the command again; what was done already is not done twice")
            }
            Error::NotOurs { .. } => Some("check --gateway: it is the gateway's address with its prefix"),
            Error::DigestMismatch { .. } => Some("do not use these bytes; run the command again"),
            Error::CannotSignFile => Some("use --auth secret or LINKGATE_ACCESS_TOKEN, or push a link"),
            _ => None,
        };
        Self { kind, message: error.to_string(), refusal, next: next.map(str::to_owned), about: None }
    }
}

fn kind_of_refusal(refusal: &Refusal) -> Kind {
    match (refusal.status, refusal.code.as_str()) {
        (_, "PACKAGE_ALREADY_EXISTS" | "PACKAGE_IN_USE" | "UPLOAD_CANCELLED") => Kind::Conflict,
        (_, "PACKAGE_QUOTA_EXCEEDED" | "INSUFFICIENT_STORAGE" | "TOO_MANY_UPLOADS") => Kind::Limited,
        (_, "CHECKSUM_MISMATCH" | "SIZE_MISMATCH") => Kind::Mismatch,
        (400, "INVALID_ARGS") | (401 | 403, _) => Kind::NotAllowed,
        (404 | 410, _) => Kind::NotFound,
        (409 | 412, _) => Kind::Conflict,
        (429, _) => Kind::Limited,
        (500.., _) => Kind::Failed,
        // Of a job, which has no status.
        (0, code) if is_failure(code) => Kind::Failed,
        _ => Kind::Refused,
    }
}

/// The codes of failures, as jobs name them.
fn is_failure(code: &str) -> bool {
    matches!(
        code,
        "ERROR"
            | "OBJECT_STORE_EXCEPTION"
            | "SERVICE_UNAVAILABLE"
            | "SOURCE_TIMEOUT"
            | "SOURCE_UNREACHABLE"
            | "UPLOAD_ABANDONED"
    )
}

fn next_after_refusal(refusal: &Refusal) -> Option<&'static str> {
    Some(match (refusal.status, refusal.code.as_str()) {
        (_, "PACKAGE_ALREADY_EXISTS") => "take another --version, or --overwrite",
        (_, "PACKAGE_IN_USE") => {
            "see its pins with `linkgate show`; take them away if they are yours, or use another version"
        }
        (_, "PACKAGE_QUOTA_EXCEEDED") => "see `linkgate usage`; delete what is not needed, or ask the operator",
        (_, "PACKAGE_DELETED") => "`linkgate restore ID` brings it back while its bytes are there",
        (_, "PACKAGE_PURGED") => "its bytes are gone; upload it again",
        (_, "PLAN_CHANGED") => "nothing was deleted; look at `linkgate cleanup plan` again",
        (_, "PRECONDITION_FAILED") => "it changed since you looked; see `linkgate show`",
        (_, "UPLOAD_CANCELLED") => "somebody cancelled it; ask who, or push again",
        (_, "CHECKSUM_MISMATCH" | "SIZE_MISMATCH") => "check the source and the digest",
        (_, "SOURCE_UNREACHABLE" | "SOURCE_TIMEOUT") => "check the link; the server of the package did not give it",
        (400, "INVALID_ARGS") => {
            "check the credentials with `linkgate login`; docs/reference/REASONS.md explains the reason"
        }
        (403, "APP_NO_PERMISSION") => "`linkgate login` shows what you may do; ask the operator for a grant",
        (403, "IP_NOT_ALLOWED" | "BK_USER_NOT_ALLOWED") => "ask the operator",
        (404, "API_NOT_FOUND") => "check --gateway: it is the gateway's address with its prefix",
        (404, _) => "check --app, --module and the id; `linkgate list` shows what is there",
        (429, _) => "wait for your other requests to end, then try again",
        (400, "VALIDATION_ERROR") => "correct what it names",
        (500.., _) => "try again; if it stays, tell the operator the request",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, code: &str) -> Failure {
        let refusal = Refusal { status, code: code.to_owned(), detail: "why".to_owned(), ..Refusal::default() };
        Error::from(refusal).into()
    }

    #[test]
    fn each_kind_has_its_own_code_and_name() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in Kind::ALL {
            assert!(seen.insert(kind.exit_code().to_string()) && seen.insert(kind.name().to_owned()), "{kind:?}");
        }
        assert!(!seen.contains("0"));
    }

    #[test]
    fn refusals_are_told_apart() {
        for (status, code, kind) in [
            (400, "VALIDATION_ERROR", Kind::Refused),
            (400, "PACKAGE_BROKEN", Kind::Refused),
            (413, "PACKAGE_TOO_LARGE", Kind::Refused),
            (400, "INVALID_ARGS", Kind::NotAllowed),
            (403, "APP_NO_PERMISSION", Kind::NotAllowed),
            (404, "ERROR", Kind::NotFound),
            (410, "PACKAGE_DELETED", Kind::NotFound),
            (400, "PACKAGE_ALREADY_EXISTS", Kind::Conflict),
            (412, "PRECONDITION_FAILED", Kind::Conflict),
            (400, "PACKAGE_QUOTA_EXCEEDED", Kind::Limited),
            (429, "RATE_LIMIT_RESTRICTION", Kind::Limited),
            (507, "INSUFFICIENT_STORAGE", Kind::Limited),
            (502, "SOURCE_UNREACHABLE", Kind::Failed),
            (400, "CHECKSUM_MISMATCH", Kind::Mismatch),
            // Of jobs.
            (0, "SOURCE_UNREACHABLE", Kind::Failed),
            (0, "PACKAGE_BROKEN", Kind::Refused),
            (0, "UPLOAD_CANCELLED", Kind::Conflict),
        ] {
            assert_eq!(failure(status, code).kind, kind, "{status} {code}");
        }
    }

    #[test]
    fn people_and_programs_read_the_same() {
        let refusal = Refusal {
            status: 403,
            code: "APP_NO_PERMISSION".to_owned(),
            detail: "no".to_owned(),
            request_id: Some("ab12".to_owned()),
            ..Refusal::default()
        };
        let failure = Failure::from(Error::from(refusal)).about("app.tgz");
        let text = failure.describe(("", ""));
        assert!(text.starts_with("error: app.tgz: APP_NO_PERMISSION: no\n  request: ab12\n  next: "), "{text}");
        let json = &failure.to_json()["error"];
        assert_eq!((&json["kind"], &json["exit_code"]), (&"not_allowed".into(), &4.into()));
        assert_eq!((&json["request_id"], &json["status"]), (&"ab12".into(), &403.into()));
    }
}
