//! The questions to identity services: how each is asked, and what its reply means.
//!
//! The gate only names the question and takes the answer; the shell carries both. Promises: whatever a service answers
//! becomes an [`Answer`] or a failure, at most [`MAX_ANSWER`] bytes of it are read, and neither a secret nor a service's
//! body ends up in a message. What a service says of a refusal reaches the caller bounded and without control characters.
//!
//! What a failed question is called in replies, which docs/reference/REASONS.md lists:
//!
//! - `status: 503`: the service does not accept the connection, or it broke off before an answer; or the service said
//!   so itself.
//! - `status: 504`: no answer within `identity.timeout_ms` of the policy; or the service said so itself.
//! - `status: 401`: as a rule: the gate's own credentials are wrong.
//! - `status: …`: any other status that is no answer. For 4xx the gate takes no stale answer, because the service
//!   works.
//! - `too many requests are under way`: the call was not sent: 512 are in flight, or Envoy takes no more or has no
//!   such cluster.
//! - `no answer`: the answer broke off or was over 64 KiB.
//! - `response is not valid json, status: …`, `response is not as expected, status: …`: something else than the
//!   service answers there; often another service behind its address.
//! - `the response is too large`: over 64 KiB, behind a proxy that has no limit of its own.

use std::borrow::Cow;
use std::rc::Rc;

use linkgate_contract::{AppClaim, TenantId, is_printable_name};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, AppTenant, FailureKind, TokenFacts, User};
use super::cache::CacheKey;
use super::{Service, ServiceKind, Services};
use crate::reason::Reason;
use crate::secret::Secret;

/// No answer that means anything comes near this.
pub const MAX_ANSWER: usize = 64 << 10;
/// What is passed on of a service's own words.
const MAX_QUOTED_CHARS: usize = 200;

/// What the gateway itself presents to the services.
#[derive(Clone, Debug)]
pub struct OwnCredentials {
    app_code: String,
    app_secret: Secret,
    login_token: Secret,
}

impl OwnCredentials {
    /// The gateway's app code and secret for bkauth, and its token for a login service with tenants; empty: none.
    #[must_use]
    pub fn new(app_code: String, app_secret: String, login_token: String) -> Self {
        Self { app_code, app_secret: Secret::new(app_secret), login_token: Secret::new(login_token) }
    }
}

/// What the gate wants to know.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// Whether the secret is the app's.
    AppSecret { app_code: String, secret: Secret },
    /// Every secret of an app, to check a signature by.
    AppKeys { app_code: String },
    /// Which tenant an app belongs to.
    AppTenant { app_code: String },
    /// Whose access token this is.
    AccessToken(Secret),
    /// Whose `bk_token` this is.
    Token(Secret),
    /// Whose `bk_ticket` this is.
    Ticket(Secret),
}

/// A request to a service, for the shell to send. It holds secrets, so nothing prints it.
pub struct OutsideCall {
    /// The proxy's cluster.
    pub cluster: String,
    /// Which service that is, for metrics.
    pub service: ServiceKind,
    /// Headers, pseudo-headers first.
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or nothing.
    pub body: Vec<u8>,
    /// How long to wait.
    pub timeout_ms: u32,
}

/// What came back. It may hold secrets, so nothing prints it.
#[derive(Clone, Copy)]
pub struct ServiceReply<'a> {
    /// HTTP status.
    pub status: u16,
    /// At most [`MAX_ANSWER`] + 1 bytes of the body.
    pub body: &'a [u8],
}

/// A question without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the caller reads.
    pub(crate) reason: String,
    /// Whether the service is to blame.
    pub(crate) kind: FailureKind,
}

impl Question {
    /// The failure of a call that was not even sent, because too many are in flight.
    pub(crate) fn overload_failure(&self) -> Failure {
        self.failure("too many requests are under way", FailureKind::Refused)
    }

    fn failure(&self, what: &str, kind: FailureKind) -> Failure {
        Failure { reason: format!("failed to request third-party api, {}, {what}", self.service().name()), kind }
    }

    pub(crate) fn service(&self) -> ServiceKind {
        match self {
            Self::AppSecret { .. } | Self::AppKeys { .. } | Self::AppTenant { .. } | Self::AccessToken(_) => {
                ServiceKind::Bkauth
            }
            Self::Token(_) => ServiceKind::Login,
            Self::Ticket(_) => ServiceKind::Ticket,
        }
    }

    /// The kind of credential, in metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::AppSecret { .. } => "app_secret",
            Self::AppKeys { .. } => "signature",
            Self::AppTenant { .. } => "app_tenant",
            Self::AccessToken(_) => "access_token",
            Self::Token(_) => "bk_token",
            Self::Ticket(_) => "bk_ticket",
        }
    }

    /// What its answer is cached under; another service is another question. `None`: there is no such service.
    pub(crate) fn cache_key(&self, services: &Services) -> Option<CacheKey> {
        let (service, mode) = services.find_service(self)?;
        let place = [self.kind(), &service.cluster, &service.authority, mode];
        Some(match self {
            Self::AppSecret { app_code, secret } => CacheKey::of_parts(&place, &[app_code, secret.reveal()]),
            Self::AppKeys { app_code } | Self::AppTenant { app_code } => CacheKey::of_parts(&place, &[app_code]),
            Self::AccessToken(secret) | Self::Token(secret) | Self::Ticket(secret) => {
                CacheKey::of_parts(&place, &[secret.reveal()])
            }
        })
    }

    /// The request that asks it; `None`: there is no such service.
    pub(crate) fn build_call(
        &self,
        services: &Services,
        own: &OwnCredentials,
        request_id: &str,
    ) -> Option<OutsideCall> {
        let (service, _) = services.find_service(self)?;
        let (method, path) = self.target(services);
        let mut headers = vec![
            (":method", method.to_owned()),
            (":path", path),
            (":authority", service.authority.clone()),
            ("accept", "application/json".to_owned()),
            ("x-request-id", request_id.to_owned()),
        ];
        match self.service() {
            ServiceKind::Bkauth => headers.extend([
                ("x-bk-app-code", own.app_code.clone()),
                ("x-bk-app-secret", own.app_secret.reveal().to_owned()),
            ]),
            ServiceKind::Login if services.have_tenants() => {
                headers.push(("authorization", format!("Bearer {}", own.login_token.reveal())));
            }
            ServiceKind::Login | ServiceKind::Ticket => {}
        }
        let body = match self {
            Self::AppSecret { secret, .. } => json!({"bk_app_secret": secret.reveal()}).to_string().into_bytes(),
            Self::AccessToken(secret) => json!({"access_token": secret.reveal()}).to_string().into_bytes(),
            _ => Vec::new(),
        };
        if !body.is_empty() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        let cluster = service.cluster.clone();
        Some(OutsideCall { cluster, service: self.service(), headers, body, timeout_ms: services.timeout_ms })
    }

    fn target(&self, services: &Services) -> (&'static str, String) {
        let query = |path: &str, name: &str, secret: &Secret| {
            let target = format!("{path}?");
            let start = target.len();
            let mut query = form_urlencoded::Serializer::for_suffix(target, start);
            query.append_pair(name, secret.reveal()).finish()
        };
        match self {
            Self::AppSecret { app_code, .. } => ("POST", format!("/api/v1/apps/{app_code}/access-keys/verify")),
            Self::AppKeys { app_code } => ("GET", format!("/api/v1/apps/{app_code}/access-keys")),
            Self::AppTenant { app_code } => ("GET", format!("/api/v1/apps/{app_code}")),
            Self::AccessToken(_) => ("POST", "/api/v1/auth/access-tokens/verify".to_owned()),
            Self::Token(secret) if services.have_tenants() => {
                ("GET", query("/login/api/v3/apigw/bk-tokens/verify/", "bk_token", secret))
            }
            Self::Token(secret) => ("GET", query("/login/api/v2/is_login/", "bk_token", secret)),
            Self::Ticket(secret) => {
                let path = services.ticket.as_ref().map_or("/", |ticket| &ticket.path);
                ("GET", query(path, "bk_ticket", secret))
            }
        }
    }

    /// What a reply means; `None` for a service that did not answer.
    pub(crate) fn read_reply(&self, reply: Option<ServiceReply<'_>>, now: i64) -> Result<Answer, Failure> {
        let Some(reply) = reply else { return Err(self.failure("no answer", FailureKind::Down)) };
        if reply.body.len() > MAX_ANSWER {
            return Err(self.failure("the response is too large", FailureKind::Unclear));
        }
        let status = reply.status;
        let body: Option<Value> = serde_json::from_slice(reply.body).ok();
        let answer = match (body.as_ref().filter(|body| body.is_object()), status) {
            (Some(body), 200) => self.read_success(body, now),
            (Some(body), 400 | 404 | 422) => self.read_refusal(body, status),
            _ => None,
        };
        answer.ok_or_else(|| {
            let (what, kind) = match (body, status) {
                (None, 200) => ("response is not valid json, ", FailureKind::Unclear),
                (Some(_), 200) => ("response is not as expected, ", FailureKind::Unclear),
                (_, 502..=504) => ("", FailureKind::Down),
                // A wrong route or an ingress without its service says so in a form of its own.
                (None, 404) => ("", FailureKind::Unclear),
                (_, 400..=499) => ("", FailureKind::Refused),
                _ => ("", FailureKind::Unclear),
            };
            self.failure(&format!("{what}status: {status}"), kind)
        })
    }

    /// A refusal by status, believed only in the form of the service itself.
    fn read_refusal(&self, body: &Value, status: u16) -> Option<Answer> {
        let code = body.get("code").and_then(Value::as_i64).filter(|code| *code != 0);
        match (self, status) {
            (Self::AppSecret { .. } | Self::AppKeys { .. }, 404) => {
                code.map(|_| Answer::Refused(Reason::APP_NOT_FOUND))
            }
            (Self::AppTenant { .. }, 404) => code.map(|_| Answer::AppTenant(AppTenant::Unknown)),
            (Self::Token(_), 400) => Some(Answer::Refused(Reason("bk_token is not valid".into()))),
            (Self::AccessToken(token), _) => code.map(|code| refused_token(body, code, token)),
            _ => None,
        }
    }

    fn read_success(&self, body: &Value, now: i64) -> Option<Answer> {
        match self {
            Self::AppSecret { .. } => {
                let is_match = bkauth_data(body)?.get("is_match")?.as_bool()?;
                Some(if is_match { Answer::AppVerified } else { Answer::Refused(Reason::WRONG_SECRET) })
            }
            Self::AppKeys { .. } => {
                let keys: Vec<AppKey> = Vec::deserialize(bkauth_data(body)?).ok()?;
                let keys = keys.into_iter().filter(AppKey::counts);
                let secrets: Rc<[Secret]> = keys.map(|key| Secret::new(key.bk_app_secret)).collect();
                Some(if secrets.is_empty() { Answer::Refused(Reason::APP_NOT_FOUND) } else { Answer::Keys(secrets) })
            }
            Self::AppTenant { .. } => read_app_tenant(bkauth_data(body)?.get("bk_tenant")?).map(Answer::AppTenant),
            Self::AccessToken(token) => match body.get("code")?.as_i64()? {
                0 => read_token_facts(body.get("data")?, now),
                code => Some(refused_token(body, code, token)),
            },
            Self::Token(token) => match body.get("result") {
                Some(Value::Bool(false)) => {
                    Some(refused_login(body, &["bk_error_msg", "message"], token, Reason::BAD_TOKEN))
                }
                // The login service with tenants has no `result`: its status has said it.
                Some(Value::Bool(true)) | None => read_user(body.get("data")?, "bk_username"),
                // Whatever `"false"` or 0 may mean, it is no yes.
                Some(_) => None,
            },
            Self::Ticket(ticket) => match body.get("ret")?.as_i64()? {
                0 => read_user(body.get("data")?, "username"),
                _ => Some(refused_login(body, &["msg", "message"], ticket, Reason::BAD_TICKET)),
            },
        }
    }
}

#[derive(Deserialize)]
struct AppKey {
    bk_app_secret: String,
    enabled: Option<bool>,
}

impl AppKey {
    /// An app's last secret cannot be deleted, only disabled. An empty one would make anybody's signature good.
    fn counts(&self) -> bool {
        self.enabled != Some(false) && !self.bk_app_secret.is_empty()
    }
}

fn refused_token(body: &Value, code: i64, token: &Secret) -> Answer {
    let said = body.get("message").and_then(Value::as_str).unwrap_or_default();
    let words = quote_message(said, token).unwrap_or_else(|| format!("code: {code}"));
    Answer::Refused(Reason(Cow::Owned(format!("bkauth error message: {words}"))))
}

/// `data` of a reply of bkauth that says it went well.
fn bkauth_data(body: &Value) -> Option<&Value> {
    body.get("data").filter(|_| body.get("code").and_then(Value::as_i64) == Some(0))
}

fn read_token_facts(data: &Value, now: i64) -> Option<Answer> {
    let app_code = data.get("bk_app_code")?.as_str().filter(|code| is_printable_name(code))?.to_owned();
    let username = match data.get("identity").and_then(|identity| identity.get("username")) {
        None | Some(Value::Null) => String::new(),
        Some(name) => name.as_str().filter(|name| name.is_empty() || is_printable_name(name))?.to_owned(),
    };
    let expires_at = now.saturating_add(data.get("expires_in")?.as_i64()?);
    Some(Answer::Token(TokenFacts { app_code, username, expires_at }))
}

fn read_user(data: &Value, key: &str) -> Option<Answer> {
    let name = data.get(key)?.as_str().filter(|name| is_printable_name(name))?.to_owned();
    Some(Answer::User(User { name, tenant: data.get("tenant_id").and_then(read_tenant) }))
}

/// A tenant whose name could not stand in a token is one that nobody belongs to.
fn read_tenant(id: &Value) -> Option<TenantId> {
    id.as_str().and_then(|id| TenantId::new(id).ok())
}

fn read_app_tenant(said: &Value) -> Option<AppTenant> {
    match said.get("mode")?.as_str()? {
        AppClaim::GLOBAL => Some(AppTenant::Global),
        AppClaim::SINGLE => said.get("id").and_then(read_tenant).map(AppTenant::Single),
        _ => None,
    }
}

fn refused_login(body: &Value, keys: &[&str], secret: &Secret, otherwise: Reason) -> Answer {
    let said = keys.iter().filter_map(|key| body.get(*key).and_then(Value::as_str)).find(|text| !text.is_empty());
    Answer::Refused(
        said.and_then(|text| quote_message(text, secret)).map_or(otherwise, |words| Reason(Cow::Owned(words))),
    )
}

/// A service's own words as a caller may read them; never the secret that was asked about.
fn quote_message(said: &str, secret: &Secret) -> Option<String> {
    if said.contains(secret.reveal()) {
        return None;
    }
    let plain = |c: char| match c {
        '"' => '\'',
        c if c.is_control() => ' ',
        c => c,
    };
    let words: String = said.chars().map(plain).take(MAX_QUOTED_CHARS).collect();
    // Looked for again: a quotation mark that became another could have made it.
    Some(words).filter(|words| !words.trim().is_empty() && !words.contains(secret.reveal()))
}

impl Services {
    /// The service that knows the answer, and how it is asked.
    fn find_service(&self, question: &Question) -> Option<(&Service, &str)> {
        match question.service() {
            ServiceKind::Bkauth => self.bkauth.as_ref().map(|service| (service, "")),
            ServiceKind::Login => {
                self.login.as_ref().map(|l| (&l.service, if l.multi_tenant { "tenants" } else { "" }))
            }
            ServiceKind::Ticket => self.ticket.as_ref().map(|ticket| (&ticket.service, ticket.path.as_str())),
        }
    }
}

#[cfg(test)]
mod tests;
