//! Authentication: the app first, then the user, by the strongest credential that is there.
//!
//! A straight reading that stops where an answer is missing ([`Interrupt::NeedsAnswer`]) and starts again when it came; the
//! request remembers what it learned, so each question is asked once. Promises: a bad credential never falls back to a
//! weaker one, except that app code and secret still count for the app when its access token fails, as in BlueKing.

pub(crate) mod signature;

use std::rc::Rc;

use linkgate_contract::{AppClaim, SignedNonce, TenantId, UserClaim, is_printable_name};

use self::signature::{PresentedSignature, SignedParts};
use crate::credentials::{CredentialKind, PresentedCredentials};
use crate::denied::Denied;
use crate::directory::{AppAnswer, LoginKind};
use crate::interrupt::Interrupt;
use crate::jwt::{JwtFacts, Party};
use crate::metrics::Metric;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::reply::GatewayError;
use crate::secret::Secret;
use crate::services::answer::{Answer, AppTenant, TokenFacts, User};
use crate::services::cache::{CacheKey, CacheLookup};
use crate::services::question::Question;
use crate::shared::Slots;
use crate::time::Time;
use crate::worker::Worker;

/// The rule that bounds the work on tokens of other gateways.
const UNSEEN_TOKENS: &str = "identity.unseen_tokens";

/// How it is known who calls; the least certain of all answers counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Basis {
    /// By the policy itself.
    #[default]
    Listed,
    /// By a cached answer.
    Cached,
    /// By an answer of just now.
    Fresh,
    /// By a stale answer, because the service does not answer.
    Stale,
}

impl Basis {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Cached => "cached",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
        }
    }
}

/// What came of a call to a service.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Answered(Answer),
    Failed {
        /// What the caller reads.
        reason: String,
        /// Whether it is the service's fault, so that a stale answer may count.
        is_down: bool,
    },
}

/// What one request has learned.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    outcomes: Vec<(CacheKey, Outcome)>,
    /// What is known of the app's secrets, while the body is awaited.
    app_keys: Option<Answer>,
    /// The nonce that it used up.
    pub(crate) nonce: Option<SignedNonce>,
    pub(crate) basis: Basis,
    /// Whether one of the answers is to be refreshed.
    pub(crate) needs_refresh: bool,
    /// The kinds of credentials that were good.
    pub(crate) kinds: Vec<&'static str>,
}

impl Learned {
    pub(crate) fn add_outcome(&mut self, key: CacheKey, outcome: Outcome) {
        self.outcomes.push((key, outcome));
    }

    fn outcome_for(&self, key: &CacheKey) -> Option<&Outcome> {
        self.outcomes.iter().rev().find(|(of, _)| of == key).map(|(_, outcome)| outcome)
    }
}

/// Authenticates one request by the credentials that it presents.
pub(crate) struct Authenticator<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) worker: &'a Worker,
    pub(crate) credentials: &'a PresentedCredentials,
    pub(crate) learned: &'a mut Learned,
    pub(crate) slots: Slots<'a>,
    pub(crate) now: Time,
}

impl Authenticator<'_> {
    /// The verified app. `signed` is what a signature covers, if the request carries one.
    pub(crate) fn authenticate_app(&mut self, signed: Option<SignedParts<'_>>) -> Result<AppClaim, Interrupt> {
        let (kind, app) = match self.credentials.kind() {
            CredentialKind::Jwt => ("access_token", self.token_facts().map(|facts| facts.app_code)),
            CredentialKind::AccessToken => ("access_token", self.app_of_token_or_secret(signed)),
            CredentialKind::InnerJwt => return self.app_by_inner_jwt(),
            CredentialKind::Plain => {
                (if signed.is_some() { "signature" } else { "app_secret" }, self.app_by_secret_or_signature(signed))
            }
        };
        self.count_authentication(kind, &app);
        app.map(AppClaim::verified)
    }

    fn app_by_inner_jwt(&mut self) -> Result<AppClaim, Interrupt> {
        let party = self.party_of_inner_jwt(|facts| facts.app.as_ref(), "app");
        self.count_authentication("inner_jwt", &party);
        let Party { name, tenant_mode, tenant, .. } = party?;
        let app = AppClaim::verified(name);
        Ok(if self.has_tenants() { AppClaim { tenant_mode, tenant_id: text_of(tenant), ..app } } else { app })
    }

    /// Adds where a verified app belongs, as far as somebody knows. Only once the app is known for good: a signature counts
    /// once, and this may have to ask.
    pub(crate) fn add_tenant(&mut self, app: &mut AppClaim) -> Result<(), Interrupt> {
        let is_known = !app.verified || app.tenant_mode.is_some() || self.policy.directory.has_app(&app.app_code);
        if is_known || !self.has_tenants() || self.policy.services.bkauth.is_none() || !may_be_registered(&app.app_code)
        {
            return Ok(());
        }
        let question = Question::AppTenant { app_code: app.app_code.clone() };
        let (mode, id) = match self.ask(question, Reason::APP_NOT_FOUND)? {
            Answer::AppTenant(AppTenant::Global) => (AppClaim::GLOBAL, None),
            Answer::AppTenant(AppTenant::Single(id)) => (AppClaim::SINGLE, Some(id)),
            Answer::AppTenant(AppTenant::Unknown) => return Ok(()),
            _ => return Err(Interrupt::failed(None)),
        };
        (app.tenant_mode, app.tenant_id) = (Some(mode.to_owned()), text_of(id));
        Ok(())
    }

    fn has_tenants(&self) -> bool {
        self.policy.services.have_tenants()
    }

    /// The verified user.
    pub(crate) fn authenticate_user(&mut self) -> Result<UserClaim, Interrupt> {
        let (kind, user) = match self.credentials.kind() {
            CredentialKind::Jwt => ("jwt", self.user_by_jwt()),
            CredentialKind::AccessToken => ("access_token", self.token_facts().and_then(user_of_token)),
            CredentialKind::InnerJwt => {
                ("inner_jwt", self.party_of_inner_jwt(|facts| facts.user.as_ref(), "user").map(user_of_party))
            }
            CredentialKind::Plain => self.user_by_login(),
        };
        self.count_authentication(kind, &user);
        let User { name, tenant } = user?;
        let tenant_id = if self.has_tenants() { text_of(tenant) } else { None };
        Ok(UserClaim { tenant_id, ..UserClaim::verified(name) })
    }

    fn count_authentication<T>(&mut self, kind: &'static str, found: &Result<T, Interrupt>) {
        let outcome = match found {
            Ok(_) => {
                self.learned.kinds.push(kind);
                "ok"
            }
            Err(Interrupt::Denied(denied)) => match denied.gateway_error() {
                Some(GatewayError::Internal { .. }) => "failed",
                _ => "refused",
            },
            Err(Interrupt::NeedsAnswer(_) | Interrupt::NeedsBody) => return,
        };
        self.worker.metrics.count(Metric::Authentication { kind, outcome });
    }

    fn now_s(&self) -> i64 {
        self.now.seconds()
    }

    fn app_of_token_or_secret(&mut self, signed: Option<SignedParts<'_>>) -> Result<String, Interrupt> {
        let refused = match self.token_facts() {
            Ok(facts) => return Ok(facts.app_code),
            Err(Interrupt::Denied(denied)) => denied,
            Err(interrupt) => return Err(interrupt),
        };
        match self.app_by_secret_or_signature(signed) {
            Err(Interrupt::Denied(_)) => Err(refused.into()),
            other => other,
        }
    }

    /// The secret goes before a signature. Lengths are judged only where there is something to verify.
    fn app_by_secret_or_signature(&mut self, signed: Option<SignedParts<'_>>) -> Result<String, Interrupt> {
        let app_code = self.credentials.app_code.clone();
        self.credentials.check_app_code()?;
        let has_secret = !self.credentials.app_secret.reveal().is_empty();
        if !has_secret && signed.is_none() {
            return Err(Reason::NO_APP_SECRET.into());
        }
        self.credentials.check_form()?;
        match signed {
            Some(signed) if !has_secret => self.signed_app(&app_code, &signed)?,
            _ => self.app_by_secret(&app_code)?,
        }
        Ok(app_code)
    }

    /// The policy's own word on an app is final; bkauth is asked only about codes that it can have, for it may take
    /// `CI` for `ci`.
    fn app_by_secret(&mut self, app_code: &str) -> Result<(), Interrupt> {
        let secret = &self.credentials.app_secret;
        match self.policy.directory.verify_app(app_code, secret.reveal()) {
            AppAnswer::Verified => return Ok(()),
            AppAnswer::WrongSecret => return Err(Reason::WRONG_SECRET.into()),
            AppAnswer::NotFound if !may_be_registered(app_code) => return Err(Reason::APP_NOT_FOUND.into()),
            AppAnswer::NotFound => {}
        }
        let question = Question::AppSecret { app_code: app_code.to_owned(), secret: secret.clone() };
        self.ask(question, Reason::APP_NOT_FOUND).map(|_| ())
    }

    /// Judges in this order what the policy says of the app, whether bkauth knows it, and the signature as far as the
    /// query tells; only then is the body needed.
    #[cold]
    fn signed_app(&mut self, app_code: &str, parts: &SignedParts<'_>) -> Result<(), Interrupt> {
        if parts.is_streamed {
            return Err(Reason::STREAM_NOT_SIGNED.into());
        }
        if self.policy.directory.has_app(app_code) {
            return Err(Reason::UNSIGNED.into());
        }
        if !may_be_registered(app_code) {
            return Err(Reason::APP_NOT_FOUND.into());
        }
        let question = Question::AppKeys { app_code: app_code.to_owned() };
        let known = match self.learned.app_keys.take() {
            Some(known) => known,
            None => self.ask(question.clone(), Reason::UNSIGNED)?,
        };
        let presented = PresentedSignature::from_query(parts.query, self.now_s())?;
        let Some(body) = parts.body else {
            self.learned.app_keys = Some(known);
            return Err(Interrupt::NeedsBody);
        };
        let signed = presented.over(parts, body)?;
        let fits = |answer: &Answer| matches!(answer, Answer::Keys(keys) if signed.is_made_with(keys));
        if !fits(&known) {
            // The cached secrets may be older than the one that signed.
            let refreshed = self.ask_past_cache(question)?;
            if !fits(&refreshed) {
                return Err(Reason::BAD_SIGNATURE.into());
            }
        }
        let used = signed.consume_nonce(self.slots, app_code, self.now);
        self.learned.nonce = Some(used.map_err(|_| Interrupt::failed(None))??);
        Ok(())
    }

    fn token_facts(&mut self) -> Result<TokenFacts, Interrupt> {
        let token = self.credentials.access_token.clone().ok_or(Reason("access_token cannot be empty".into()))?;
        match self.ask(Question::AccessToken(token), Reason::NO_ACCESS_TOKENS)? {
            Answer::Token(facts) if facts.expires_at > self.now_s() => Ok(facts),
            Answer::Token(facts) if facts.username.is_empty() => Err(Reason("access_token has expired".into()).into()),
            Answer::Token(TokenFacts { username, .. }) => {
                let text = format!("the access_token of the user({username}) has expired, please re-authorize");
                Err(Reason(text.into()).into())
            }
            _ => Err(Interrupt::failed(None)),
        }
    }

    fn user_by_jwt(&mut self) -> Result<User, Interrupt> {
        let facts = self.verify_jwt(self.credentials.jwt.clone())?;
        Ok(user_of_party(verified_party(facts.user.as_ref(), "user")?))
    }

    fn party_of_inner_jwt(&mut self, of: fn(&JwtFacts) -> Option<&Party>, what: &str) -> Result<Party, Interrupt> {
        let Some(kid) = self.policy.jwt_keys.inner_kid.as_deref() else { return Err(Reason::NO_INNER_JWT.into()) };
        let facts = self.verify_jwt(self.credentials.inner_jwt.clone())?;
        if facts.kid != kid {
            return Err(Reason(format!("invalid kid, only {kid} is supported").into()).into());
        }
        Ok(verified_party(of(&facts), what)?)
    }

    /// Verifies a token of another gateway, or takes the cached facts of it.
    fn verify_jwt(&mut self, token: Option<Secret>) -> Result<Rc<JwtFacts>, Interrupt> {
        let token = token.ok_or(Reason::NO_USER)?;
        let keys = &self.policy.jwt_keys;
        let key = CacheKey::of_parts(&["jwt", &keys.key_fingerprints(token.reveal())], &[token.reveal()]);
        let (answer, basis) = match self.worker.identity_cache.look_up(&key, self.now_s()) {
            CacheLookup::Fresh(answer) | CacheLookup::RefreshDue(answer) => (answer, Basis::Cached),
            CacheLookup::Stale(_) | CacheLookup::StaleUnasked(_) | CacheLookup::Miss => {
                self.spend_on_signature(keys.work_us(token.reveal()))?;
                let facts = keys.verify_token(token.reveal(), self.now_s());
                let answer = facts.map_or_else(Answer::Refused, |facts| Answer::Jwt(facts.into()));
                self.worker.identity_cache.insert(key, &answer, self.now_s());
                (answer, Basis::Fresh)
            }
        };
        self.learned.basis = self.learned.basis.max(basis);
        match answer {
            Answer::Jwt(facts) => Ok(facts),
            Answer::Refused(reason) => Err(reason.into()),
            _ => Err(Interrupt::failed(None)),
        }
    }

    /// A token that was not seen before takes time of all requests of the worker.
    fn spend_on_signature(&self, work_us: u32) -> Result<(), Interrupt> {
        if self.worker.token_signatures.spend(work_us, self.now) {
            return Ok(());
        }
        self.worker.metrics.count(Metric::Limited { rule: UNSEEN_TOKENS.to_owned() });
        Err(Denied::enforced(UNSEEN_TOKENS, GatewayError::RateLimited { retry_after_s: 1 }).into())
    }

    fn user_by_login(&mut self) -> (&'static str, Result<User, Interrupt>) {
        let logins = [
            ("bk_token", LoginKind::Token, self.credentials.bk_token.clone()),
            ("bk_ticket", LoginKind::Ticket, self.credentials.bk_ticket.clone()),
        ];
        for (name, kind, secret) in logins {
            let Some(secret) = secret else { continue };
            return (name, self.user_by_token_or_ticket(kind, secret));
        }
        let reason = if self.credentials.has_username { Reason::USER_NOT_VERIFIED } else { Reason::NO_USER };
        ("username", Err(reason.into()))
    }

    fn user_by_token_or_ticket(&mut self, kind: LoginKind, secret: Secret) -> Result<User, Interrupt> {
        if let Some(user) = self.policy.directory.verify_login(kind, secret.reveal()) {
            return Ok(User { name: user.to_owned(), tenant: None });
        }
        let (question, unknown) = match kind {
            LoginKind::Token => (Question::Token(secret), Reason::BAD_TOKEN),
            LoginKind::Ticket => (Question::Ticket(secret), Reason::BAD_TICKET),
        };
        match self.ask(question, unknown)? {
            Answer::User(user) => Ok(user),
            _ => Err(Interrupt::failed(None)),
        }
    }

    /// The answer to a question: learned by this request, cached by this worker, or still to be asked. `nobody` is the
    /// reason of the denial where the policy names no service that could know.
    fn ask(&mut self, question: Question, nobody: Reason) -> Result<Answer, Interrupt> {
        let Some(key) = question.cache_key(&self.policy.services) else { return Err(nobody.into()) };
        let kind = question.kind();
        let now = self.now_s();
        let learned = self.learned.outcome_for(&key).cloned();
        let (answer, basis) = match (learned, self.worker.identity_cache.look_up(&key, now)) {
            (Some(Outcome::Answered(answer)), _) => (answer, Basis::Fresh),
            // A call past the cache that failed leaves what is cached.
            (None, CacheLookup::Fresh(answer))
            | (Some(Outcome::Failed { .. }), CacheLookup::Fresh(answer) | CacheLookup::RefreshDue(answer)) => {
                self.count_hit(kind, answer)
            }
            (None, CacheLookup::RefreshDue(answer)) => {
                self.learned.needs_refresh = true;
                self.worker.refreshes.push(key, question);
                self.count_hit(kind, answer)
            }
            (
                Some(Outcome::Failed { is_down: true, .. }),
                CacheLookup::Stale(answer) | CacheLookup::StaleUnasked(answer),
            ) => self.count_stale(kind, answer),
            (None, CacheLookup::StaleUnasked(answer)) => {
                // Whether the service is back is found out between requests.
                self.worker.refreshes.push(key, question);
                self.count_stale(kind, answer)
            }
            (Some(Outcome::Failed { reason, .. }), _) => return Err(Interrupt::failed(Some(reason))),
            (None, CacheLookup::Stale(_) | CacheLookup::Miss) => {
                self.worker.metrics.count(Metric::Cache { kind, result: "miss" });
                return Err(Interrupt::NeedsAnswer(question));
            }
        };
        self.learned.basis = self.learned.basis.max(basis);
        if let Answer::Refused(reason) = answer { Err(reason.into()) } else { Ok(answer) }
    }

    fn count_hit(&self, kind: &'static str, answer: Answer) -> (Answer, Basis) {
        self.worker.metrics.count(Metric::Cache { kind, result: "hit" });
        (answer, Basis::Cached)
    }

    fn count_stale(&self, kind: &'static str, answer: Answer) -> (Answer, Basis) {
        self.worker.metrics.count(Metric::Cache { kind, result: "stale" });
        (answer, Basis::Stale)
    }

    /// Asks past the cache, once for each request.
    fn ask_past_cache(&mut self, question: Question) -> Result<Answer, Interrupt> {
        let Some(key) = question.cache_key(&self.policy.services) else { return Err(Reason::UNSIGNED.into()) };
        match self.learned.outcome_for(&key) {
            Some(Outcome::Answered(Answer::Refused(reason))) => Err(reason.clone().into()),
            Some(Outcome::Answered(answer)) => Ok(answer.clone()),
            // The service is down and the cached secrets do not fit: nobody can say more.
            Some(Outcome::Failed { .. }) => Err(Reason::BAD_SIGNATURE.into()),
            None => Err(Interrupt::NeedsAnswer(question)),
        }
    }
}

/// The codes that bkauth gives out.
fn may_be_registered(app_code: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut bytes = app_code.bytes();
    bytes.next().is_some_and(plain) && bytes.all(|b| plain(b) || b == b'-' || b == b'_')
}

fn user_of_token(facts: TokenFacts) -> Result<User, Interrupt> {
    if facts.username.is_empty() {
        let text = "the access_token is the application type and cannot indicate the user";
        return Err(Reason(text.into()).into());
    }
    Ok(User { name: facts.username, tenant: None })
}

fn user_of_party(Party { name, tenant, .. }: Party) -> User {
    User { name, tenant }
}

fn text_of(tenant: Option<TenantId>) -> Option<String> {
    tenant.map(|tenant| tenant.to_string())
}

fn verified_party(party: Option<&Party>, what: &str) -> Result<Party, Reason> {
    match party {
        None => Err(Reason(format!("parameter jwt does not indicate {what} information").into())),
        Some(party) if party.verified && is_printable_name(&party.name) => Ok(party.clone()),
        Some(_) => Err(Reason(format!("the {what} indicated by jwt is not verified").into())),
    }
}
