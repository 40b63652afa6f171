//! A request's way through the gate: head, then body, each step consuming the one before.
//!
//! The order is part of the contract: size of the target, route, app, user, size of the body, body. A caller who may not
//! know the route learns nothing about credentials, and one who is not known learns nothing about the body.

use std::collections::BTreeSet;

use linkgate_contract::{Language, LinkRequest, MediaType, UploadPath, headers};

use crate::credentials::{Credentials, Reason, UserCredential};
use crate::directory::{AppAnswer, Directory, LoginKind};
use crate::head::Head;
use crate::policy::Policy;
use crate::reply::{GatewayError, Reply};
use crate::token::{SigningKey, Tokens};

/// A policy at work.
pub struct Gate {
    policy: Policy,
    tokens: Tokens,
}

/// What the proxy is to do next.
pub enum Verdict {
    /// Hold the headers and hand over the body.
    NeedBody(Pending),
    /// Send the request on, changed.
    Forward(Forward),
    /// Answer here.
    Refuse(Reply),
}

/// How the request is changed before it goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct Forward {
    /// Headers to drop first, every copy.
    pub remove: BTreeSet<String>,
    /// Headers to set then, pseudo-headers among them.
    pub set: Vec<(&'static str, String)>,
}

/// A request whose head was accepted.
pub struct Pending {
    caller: Caller,
    path: UploadPath,
    media_type: MediaType,
    language: Language,
    request_id: String,
    remove: BTreeSet<String>,
}

/// Who calls, verified.
struct Caller {
    app_code: String,
    username: String,
}

impl Gate {
    /// The header that names the request on every reply.
    pub const REQUEST_ID_HEADER: &'static str = headers::REQUEST_ID;

    /// Puts a policy to work.
    #[must_use]
    pub fn new(policy: Policy, key: SigningKey) -> Self {
        let tokens = Tokens::new(&policy.gateway, key);
        Self { policy, tokens }
    }

    /// Judges the head of a request.
    #[must_use]
    pub fn on_headers(&self, head: &Head<'_>) -> Verdict {
        let pending = match self.judge_head(head) {
            Ok((path, caller)) => Pending::new(head, path, caller),
            Err(error) => return Verdict::Refuse(Reply::gateway(&error, head.request_id())),
        };
        if head.end_of_stream { pending.on_body(self, &[], head.now) } else { Verdict::NeedBody(pending) }
    }

    /// The refusal when the gate or its host failed; an id that is not known yet is empty.
    #[must_use]
    pub fn failed(request_id: &str) -> Reply {
        Reply::gateway(&GatewayError::Internal, request_id)
    }

    fn judge_head(&self, head: &Head<'_>) -> Result<(UploadPath, Caller), GatewayError> {
        let path = self.route(head)?;
        let caller = self.authenticate(head).map_err(|Reason(reason)| GatewayError::NotAuthenticated { reason })?;
        let announced = head.text("content-length").and_then(|length| length.parse::<u64>().ok());
        if announced.is_some_and(|length| length > self.policy.limits.body_bytes as u64) {
            return Err(GatewayError::BodyTooLarge);
        }
        Ok((path, caller))
    }

    fn route(&self, head: &Head<'_>) -> Result<UploadPath, GatewayError> {
        if head.all(":path").next().is_some_and(|target| target.len() > self.policy.limits.uri_bytes) {
            return Err(GatewayError::UriTooLarge);
        }
        let target = head.text(":path").filter(|_| head.text(":method") == Some("POST"));
        target.and_then(|t| UploadPath::read(t, &self.policy.prefixes)).ok_or(GatewayError::ApiNotFound)
    }

    /// The app first, then the user.
    fn authenticate(&self, head: &Head<'_>) -> Result<Caller, Reason> {
        let credentials = Credentials::read(head)?;
        let directory = &self.policy.directory;
        match directory.verify_app(&credentials.app_code, &credentials.app_secret) {
            AppAnswer::Verified => {}
            AppAnswer::WrongSecret => return Err(Reason::WRONG_SECRET),
            AppAnswer::NotFound => return Err(Reason::APP_NOT_FOUND),
        }
        let username = match &credentials.user {
            UserCredential::Token(t) => directory.verify_login(LoginKind::Token, t).ok_or(Reason::BAD_TOKEN)?,
            UserCredential::Ticket(t) => directory.verify_login(LoginKind::Ticket, t).ok_or(Reason::BAD_TICKET)?,
            UserCredential::Username => return Err(Reason::USER_NOT_VERIFIED),
            UserCredential::Unsupported => return Err(Reason::UNSUPPORTED),
            UserCredential::Absent => return Err(Reason::NO_USER),
        };
        Ok(Caller { username: username.to_owned(), app_code: credentials.app_code })
    }
}

impl Pending {
    fn new(head: &Head<'_>, path: UploadPath, caller: Caller) -> Self {
        Self {
            caller,
            path,
            media_type: MediaType::from_header(head.all(headers::CONTENT_TYPE).next()),
            language: Language::choose(head.text(headers::LANGUAGE), head.text(headers::ACCEPT_LANGUAGE)),
            request_id: head.request_id().to_owned(),
            remove: names_to_remove(head),
        }
    }

    /// The refusal of a body that is over the limit before it ended; the length is of all that came so far.
    #[must_use]
    pub fn over_limit(&self, gate: &Gate, received: usize) -> Option<Reply> {
        (received > gate.policy.limits.body_bytes)
            .then(|| Reply::gateway(&GatewayError::BodyTooLarge, &self.request_id))
    }

    /// Judges the whole body.
    #[must_use]
    pub fn on_body(self, gate: &Gate, body: &[u8], now: i64) -> Verdict {
        if let Some(reply) = self.over_limit(gate, body.len()) {
            return Verdict::Refuse(reply);
        }
        if let Err(problem) = LinkRequest::read(self.media_type, body, &gate.policy.allowed_hosts) {
            return Verdict::Refuse(Reply::problem(&problem, self.language, &self.request_id));
        }
        match gate.tokens.issue(&self.caller.app_code, &self.caller.username, now) {
            Some(token) => Verdict::Forward(self.forward(token)),
            None => Verdict::Refuse(Gate::failed(&self.request_id)),
        }
    }

    fn forward(self, token: String) -> Forward {
        let set = vec![
            // The store serves this one form and no query, so it cannot read the path another way.
            (":path", self.path.canonical()),
            (headers::JWT, token),
            (headers::REQUEST_ID, self.request_id.clone()),
            (headers::X_REQUEST_ID, self.request_id),
        ];
        Forward { remove: self.remove, set }
    }
}

/// Credentials, which the store has no use for, and every header of ours that the caller made up.
fn names_to_remove(head: &Head<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, _) in head.pairs {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let name = name.to_ascii_lowercase();
        let credential = matches!(name.as_str(), "authorization" | "cookie" | "proxy-authorization");
        // Back ends of the CGI kind read `x_bkapi_jwt` as `X-Bkapi-JWT`.
        let ours = name.replace('_', "-").starts_with(headers::TRUSTED_PREFIX);
        if credential || ours {
            names.insert(name);
        }
    }
    names
}

#[cfg(test)]
mod tests;
