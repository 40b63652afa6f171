//! Who calls: the app first, then the user, from the strongest proof that is there.
//!
//! A straight reading that stops where an answer is missing ([`Halt::Ask`]) and is begun again when it came; what was
//! learned is kept with the request, so each question is asked once. Promises: a bad proof never falls back to a weaker
//! one, except that app code and secret still count for the app when its access token fails, as in BlueKing.

pub(crate) mod answer;
pub(crate) mod flights;
pub(crate) mod jwt;
pub(crate) mod service;
pub(crate) mod signature;

use std::rc::Rc;

use linkgate_contract::{AppClaim, UserClaim};

use self::answer::{Answer, Found, Key, TokenFacts};
use self::jwt::{JwtFacts, Party};
use self::service::{Failure, Question, is_name};
use self::signature::Signed;
use crate::credentials::{Credentials, Kind, Reason};
use crate::directory::{AppAnswer, LoginKind};
use crate::metrics::Metric;
use crate::policy::Policy;
use crate::reply::GatewayError;
use crate::secret::Secret;
use crate::shared::Slots;
use crate::time::Time;
use crate::worker::Worker;

/// Where the reading of a request stops.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The body is needed first.
    Body,
    /// A service has to be asked.
    Ask(Question),
    /// It ends here.
    Refuse(GatewayError),
}

impl Halt {
    /// Something of ours failed.
    pub(crate) fn failed() -> Self {
        Self::Refuse(GatewayError::Internal { reason: None })
    }
}

impl From<Reason> for Halt {
    fn from(Reason(reason): Reason) -> Self {
        Self::Refuse(GatewayError::NotAuthenticated { reason })
    }
}

/// How it is known who calls; the least certain of all answers counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Basis {
    /// By the policy itself.
    #[default]
    Listed,
    /// By an answer that was kept.
    Cached,
    /// By an answer of just now.
    Fresh,
    /// By an old answer, because the service does not answer.
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

/// What came of a question.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Answered(Answer),
    Failed(Failure),
}

/// What one request has learned.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    outcomes: Vec<(Key, Outcome)>,
    pub(crate) basis: Basis,
    /// Whether an answer among them is to be renewed.
    pub(crate) is_ageing: bool,
    /// The kinds of proof that were good.
    pub(crate) kinds: Vec<&'static str>,
}

impl Learned {
    pub(crate) fn add(&mut self, key: Key, outcome: Outcome) {
        self.outcomes.push((key, outcome));
    }

    fn of(&self, key: &Key) -> Option<&Outcome> {
        self.outcomes.iter().rev().find(|(of, _)| of == key).map(|(_, outcome)| outcome)
    }
}

/// The reading of one request's credentials.
pub(crate) struct Inquiry<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) worker: &'a Worker,
    pub(crate) credentials: &'a Credentials,
    pub(crate) learned: &'a mut Learned,
    pub(crate) slots: Slots<'a>,
    pub(crate) now: Time,
}

impl Inquiry<'_> {
    /// The verified app. `signed` reads the request's signature, if it carries one.
    pub(crate) fn app(&mut self, signed: Option<&dyn Fn() -> Result<Signed, Halt>>) -> Result<AppClaim, Halt> {
        let (kind, app) = match self.credentials.kind() {
            Kind::Jwt => ("access_token", self.token_facts().map(|facts| facts.app_code)),
            Kind::AccessToken => ("access_token", self.app_of_token_or_secret(signed)),
            Kind::InnerJwt => ("inner_jwt", self.inner_jwt_party(|facts| facts.app.as_ref(), "app")),
            Kind::Plain => (if signed.is_some() { "signature" } else { "app_secret" }, self.plain_app(signed)),
        };
        self.count(kind, &app);
        app.map(AppClaim::verified)
    }

    /// The verified user.
    pub(crate) fn user(&mut self) -> Result<UserClaim, Halt> {
        let (kind, user) = match self.credentials.kind() {
            Kind::Jwt => ("jwt", self.jwt_user()),
            Kind::AccessToken => ("access_token", self.token_facts().and_then(user_of)),
            Kind::InnerJwt => ("inner_jwt", self.inner_jwt_party(|facts| facts.user.as_ref(), "user")),
            Kind::Plain => self.plain_user(),
        };
        self.count(kind, &user);
        user.map(UserClaim::verified)
    }

    fn count<T>(&mut self, kind: &'static str, found: &Result<T, Halt>) {
        let outcome = match found {
            Ok(_) => {
                self.learned.kinds.push(kind);
                "ok"
            }
            Err(Halt::Refuse(GatewayError::Internal { .. })) => "failed",
            Err(Halt::Refuse(_)) => "refused",
            Err(Halt::Ask(_) | Halt::Body) => return,
        };
        self.worker.metrics.count(Metric::Authentication { kind, outcome });
    }

    fn now_s(&self) -> i64 {
        self.now.seconds()
    }

    fn app_of_token_or_secret(&mut self, signed: Option<&dyn Fn() -> Result<Signed, Halt>>) -> Result<String, Halt> {
        let refused = match self.token_facts() {
            Ok(facts) => return Ok(facts.app_code),
            Err(Halt::Refuse(error)) => error,
            Err(halt) => return Err(halt),
        };
        match self.plain_app(signed) {
            Err(Halt::Refuse(_)) => Err(Halt::Refuse(refused)),
            other => other,
        }
    }

    /// The secret goes before a signature. Lengths are judged only where there is something to verify.
    fn plain_app(&mut self, signed: Option<&dyn Fn() -> Result<Signed, Halt>>) -> Result<String, Halt> {
        let app_code = self.credentials.app_code.clone();
        self.credentials.check_app_code()?;
        let has_secret = !self.credentials.app_secret.reveal().is_empty();
        if !has_secret && signed.is_none() {
            return Err(Reason::NO_APP_SECRET.into());
        }
        self.credentials.check_form()?;
        match signed {
            Some(signed) if !has_secret => self.signed_app(&app_code, &signed()?)?,
            _ => self.app_by_secret(&app_code)?,
        }
        Ok(app_code)
    }

    /// The policy's own word on an app is final; bkauth is asked only about codes that it can have, for it may take
    /// `CI` for `ci`.
    fn app_by_secret(&mut self, app_code: &str) -> Result<(), Halt> {
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

    fn signed_app(&mut self, app_code: &str, signed: &Signed) -> Result<(), Halt> {
        if self.policy.directory.has_app(app_code) {
            return Err(Reason::UNSIGNED.into());
        }
        if !may_be_registered(app_code) {
            return Err(Reason::APP_NOT_FOUND.into());
        }
        let question = Question::AppKeys { app_code: app_code.to_owned() };
        let known = self.ask(question.clone(), Reason::UNSIGNED)?;
        let fits = |answer: &Answer| matches!(answer, Answer::Keys(keys) if signed.is_by(keys));
        if !fits(&known) {
            // The secrets that are kept may be older than the one that signed.
            let renewed = self.ask_anew(question)?;
            if !fits(&renewed) {
                return Err(Reason::BAD_SIGNATURE.into());
            }
        }
        let used = signed.use_up(self.slots, app_code, self.now);
        used.map_err(|_| Halt::failed())?.map_err(Halt::from)
    }

    fn token_facts(&mut self) -> Result<TokenFacts, Halt> {
        let token = self.credentials.access_token.clone().ok_or(Reason("access_token cannot be empty".into()))?;
        match self.ask(Question::AccessToken(token), Reason::NO_ACCESS_TOKENS)? {
            Answer::Token(facts) if facts.expires_at > self.now_s() => Ok(facts),
            Answer::Token(facts) if facts.username.is_empty() => Err(Reason("access_token has expired".into()).into()),
            Answer::Token(TokenFacts { username, .. }) => {
                let text = format!("the access_token of the user({username}) has expired, please re-authorize");
                Err(Reason(text.into()).into())
            }
            _ => Err(Halt::failed()),
        }
    }

    fn jwt_user(&mut self) -> Result<String, Halt> {
        let facts = self.jwt(self.credentials.jwt.clone())?;
        Ok(verified(facts.user.as_ref(), "user")?)
    }

    fn inner_jwt_party(&mut self, of: fn(&JwtFacts) -> Option<&Party>, what: &str) -> Result<String, Halt> {
        let Some(kid) = self.policy.jwt_keys.inner_kid.as_deref() else { return Err(Reason::NO_INNER_JWT.into()) };
        let facts = self.jwt(self.credentials.inner_jwt.clone())?;
        if facts.kid != kid {
            return Err(Reason(format!("invalid kid, only {kid} is supported").into()).into());
        }
        Ok(verified(of(&facts), what)?)
    }

    /// Reads a token of another gateway, or takes what was read of it before.
    fn jwt(&mut self, token: Option<Secret>) -> Result<Rc<JwtFacts>, Halt> {
        let token = token.ok_or(Reason::NO_USER)?;
        let keys = &self.policy.jwt_keys;
        let key = Key::of(&["jwt", &keys.fingerprints(token.reveal())], &[token.reveal()]);
        let (answer, basis) = match self.worker.answers.find(&key, self.now_s()) {
            Found::Fresh(answer) | Found::Ageing(answer) => (answer, Basis::Cached),
            Found::Stale(_) | Found::Nothing => {
                let read = keys.read(token.reveal(), self.now_s());
                let answer = read.map_or_else(Answer::Refused, |facts| Answer::Jwt(facts.into()));
                self.worker.answers.keep(key, &answer, self.now_s());
                (answer, Basis::Fresh)
            }
        };
        self.learned.basis = self.learned.basis.max(basis);
        match answer {
            Answer::Jwt(facts) => Ok(facts),
            Answer::Refused(reason) => Err(reason.into()),
            _ => Err(Halt::failed()),
        }
    }

    fn plain_user(&mut self) -> (&'static str, Result<String, Halt>) {
        let proofs = [
            ("bk_token", LoginKind::Token, self.credentials.bk_token.clone()),
            ("bk_ticket", LoginKind::Ticket, self.credentials.bk_ticket.clone()),
        ];
        for (name, kind, proof) in proofs {
            let Some(proof) = proof else { continue };
            return (name, self.login(kind, proof));
        }
        let reason = if self.credentials.has_username { Reason::USER_NOT_VERIFIED } else { Reason::NO_USER };
        ("username", Err(reason.into()))
    }

    fn login(&mut self, kind: LoginKind, proof: Secret) -> Result<String, Halt> {
        if let Some(user) = self.policy.directory.verify_login(kind, proof.reveal()) {
            return Ok(user.to_owned());
        }
        let (question, unknown) = match kind {
            LoginKind::Token => (Question::Token(proof), Reason::BAD_TOKEN),
            LoginKind::Ticket => (Question::Ticket(proof), Reason::BAD_TICKET),
        };
        match self.ask(question, unknown)? {
            Answer::User(name) => Ok(name),
            _ => Err(Halt::failed()),
        }
    }

    /// The answer to a question: learned by this request, kept by this worker, or still to be asked. `nobody` is the
    /// refusal where the policy names no service that could know.
    fn ask(&mut self, question: Question, nobody: Reason) -> Result<Answer, Halt> {
        let Some(key) = question.key(&self.policy.services) else { return Err(nobody.into()) };
        let kind = question.kind();
        let now = self.now_s();
        let learned = self.learned.of(&key).cloned();
        let (answer, basis) = match (learned, self.worker.answers.find(&key, now)) {
            (Some(Outcome::Answered(answer)), _) => (answer, Basis::Fresh),
            // One that was asked past what is kept, and failed, leaves what is kept.
            (None, Found::Fresh(answer)) | (Some(Outcome::Failed(_)), Found::Fresh(answer) | Found::Ageing(answer)) => {
                self.hit(kind, answer)
            }
            (None, Found::Ageing(answer)) => {
                self.learned.is_ageing = true;
                self.worker.ageing.add(key, question);
                self.hit(kind, answer)
            }
            (Some(Outcome::Failed(failure)), Found::Stale(answer)) if failure.is_down => self.stale(kind, answer),
            (None, Found::Stale(answer)) if self.worker.answers.is_resting(question.service(), now) => {
                // Whether the service is back is found out between requests.
                self.worker.ageing.add(key, question);
                self.stale(kind, answer)
            }
            (Some(Outcome::Failed(Failure { reason, .. })), _) => {
                return Err(Halt::Refuse(GatewayError::Internal { reason: Some(reason) }));
            }
            (None, Found::Stale(_) | Found::Nothing) => {
                self.worker.metrics.count(Metric::Cache { kind, result: "miss" });
                return Err(Halt::Ask(question));
            }
        };
        self.learned.basis = self.learned.basis.max(basis);
        if let Answer::Refused(reason) = answer { Err(reason.into()) } else { Ok(answer) }
    }

    fn hit(&self, kind: &'static str, answer: Answer) -> (Answer, Basis) {
        self.worker.metrics.count(Metric::Cache { kind, result: "hit" });
        (answer, Basis::Cached)
    }

    fn stale(&self, kind: &'static str, answer: Answer) -> (Answer, Basis) {
        self.worker.metrics.count(Metric::Cache { kind, result: "stale" });
        (answer, Basis::Stale)
    }

    /// Asks past what is kept, once for each request.
    fn ask_anew(&mut self, question: Question) -> Result<Answer, Halt> {
        let Some(key) = question.key(&self.policy.services) else { return Err(Reason::UNSIGNED.into()) };
        match self.learned.of(&key) {
            Some(Outcome::Answered(Answer::Refused(reason))) => Err(reason.clone().into()),
            Some(Outcome::Answered(answer)) => Ok(answer.clone()),
            // The service is down and the secrets that are kept do not fit: nobody can say more.
            Some(Outcome::Failed(_)) => Err(Reason::BAD_SIGNATURE.into()),
            None => Err(Halt::Ask(question)),
        }
    }
}

/// The codes that bkauth gives out.
fn may_be_registered(app_code: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut bytes = app_code.bytes();
    bytes.next().is_some_and(plain) && bytes.all(|b| plain(b) || b == b'-' || b == b'_')
}

fn user_of(facts: TokenFacts) -> Result<String, Halt> {
    if facts.username.is_empty() {
        let text = "the access_token is the application type and cannot indicate the user";
        return Err(Reason(text.into()).into());
    }
    Ok(facts.username)
}

fn verified(party: Option<&Party>, what: &str) -> Result<String, Reason> {
    match party {
        None => Err(Reason(format!("parameter jwt does not indicate {what} information").into())),
        Some(party) if party.verified && is_name(&party.name) => Ok(party.name.clone()),
        Some(_) => Err(Reason(format!("the {what} indicated by jwt is not verified").into())),
    }
}
