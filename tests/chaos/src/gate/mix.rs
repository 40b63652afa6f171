//! The requests: good ones and every kind of bad one, each with the only reply that is right for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI8, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::schedule::{Condition, FaultSchedule, Moment};
use crate::load::{Scenario, Shot};
use linkgate_tests::gateway::{APP, Credentials, USER};
use linkgate_tests::{Identity, Reply};

/// How long a slow caller takes between head and body: long enough to meet a new policy on the way.
const PAUSE: Duration = Duration::from_millis(250);
/// How long one waits who goes away: not as long as bkauth takes.
const HANGS_UP_AFTER: Duration = Duration::from_millis(10);
/// How long a refusal of the warm-up is kept for certain; the gate keeps it for a minute.
const KEPT: Duration = Duration::from_secs(55);
/// Apps that are good, and users.
const APPS: usize = 4;
const USERS: usize = 5;
/// A host that every policy allows, and one that only every other does.
pub(super) const HOST: &str = "good.example";
pub(super) const SWINGING_HOST: &str = "swing.example";
/// What the names of the good apps begin with.
pub(super) const GOOD: &str = "good-";
/// What every credential begins with that is presented only once.
pub(super) const NEW: &str = "new-";
/// An app that may nothing.
const LONELY: &str = "lonely";

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Good,
    GoodSlow,
    Listed,
    WrongSecret,
    NewSecret,
    NewApp,
    NewAppGone,
    NewToken,
    NoGrant,
    OtherHost,
    SwingingHost,
    BrokenJson,
    NoCredentials,
    NoRoute,
}

/// How many of each are in a hundred.
const SHARES: [(Class, &str, usize); 14] = [
    (Class::Good, "good", 45),
    (Class::GoodSlow, "good, slow body", 2),
    (Class::Listed, "good, listed", 5),
    (Class::WrongSecret, "wrong secret, known", 6),
    (Class::NewSecret, "wrong secret, new", 5),
    (Class::NewApp, "unknown app, new", 5),
    (Class::NewAppGone, "unknown app, gone", 1),
    (Class::NewToken, "unknown user, new", 4),
    (Class::NoGrant, "no grant", 6),
    (Class::OtherHost, "other host", 6),
    (Class::SwingingHost, "host by policy", 6),
    (Class::BrokenJson, "broken JSON", 4),
    (Class::NoCredentials, "no credentials", 3),
    (Class::NoRoute, "no route", 2),
];

/// Kinds whose credentials a worker asks about once: those of the warm-up.
pub(super) const KNOWN: [Class; 4] = [Class::Good, Class::WrongSecret, Class::NoGrant, Class::Listed];

/// A request that was sent.
pub(super) struct Asked {
    pub(super) class: Class,
    number: u32,
    app: String,
    user: String,
    target: String,
    sent: Moment,
}

/// A reply that is right.
enum Right {
    Linked,
    /// The gateway's envelope with this status, code and words.
    Envelope(u16, u32, &'static str),
    /// The store's form with this status, code and words.
    Problem(u16, &'static str, &'static str),
}

/// Whom the services know, and how they are.
pub(super) struct Mix {
    apps: Vec<(String, String)>,
    users: Vec<(String, String)>,
    lonely: String,
    listed: Credentials,
    begun: Instant,
    pub(super) schedule: Arc<FaultSchedule>,
    /// Whether the policy allows the swinging host: 1 or 0, and -1 where it may be either.
    swinging: AtomicI8,
}

impl Mix {
    /// Makes apps and users known to the services.
    pub(super) fn new(identity: &Identity, listed: &Credentials) -> Self {
        let named = |what: &str, n: usize| format!("{what}{n}");
        let apps = (0..APPS).map(|n| named(GOOD, n)).map(|app| (app.clone(), identity.add_app(&app))).collect();
        let users = (0..USERS).map(|n| named("user-", n)).map(|user| (user.clone(), identity.add_token(&user)));
        Self {
            apps,
            users: users.collect(),
            lonely: identity.add_app(LONELY),
            listed: listed.clone(),
            begun: Instant::now(),
            schedule: Arc::default(),
            swinging: AtomicI8::new(-1),
        }
    }

    /// Questions that one worker has about whom it meets again and again.
    pub(super) fn known_questions(&self) -> usize {
        // Good secrets, one wrong one for each, the app without a grant; tokens.
        2 * self.apps.len() + 1 + self.users.len()
    }

    /// From now on it is known whether the swinging host is allowed.
    pub(super) fn settle(&self, allowed: bool) {
        self.swinging.store(i8::from(allowed), Ordering::SeqCst);
    }

    fn class_of(number: u32) -> Class {
        // 37 and 100 have no common divisor: the kinds come well mixed, and each as often as it should.
        let mut place = number as usize * 37 % 100;
        for (class, _, share) in SHARES {
            if place < share {
                return class;
            }
            place -= share;
        }
        Class::Good
    }

    /// One request of a kind.
    pub(super) fn of_class(&self, class: Class, number: u32) -> (Shot, Asked) {
        // Not the remainders that the kind was chosen by, so that each kind meets every pair.
        let at = number as usize / 100 + number as usize;
        let ((app, secret), (user, token)) = (&self.apps[at % APPS], &self.users[at % USERS]);
        let presented =
            |app: &str, secret: &str| json!({"bk_app_code": app, "bk_app_secret": secret, "bk_token": token});
        let new = format!("{NEW}{number}");
        let credentials = match class {
            Class::Listed => {
                json!({"bk_app_code": APP, "bk_app_secret": self.listed.secret, "bk_ticket": self.listed.ticket})
            }
            Class::WrongSecret => presented(app, "wrong"),
            Class::NewSecret => presented(app, &new),
            Class::NewApp | Class::NewAppGone => presented(&new, "any"),
            Class::NewToken => json!({"bk_app_code": app, "bk_app_secret": secret, "bk_token": new}),
            Class::NoGrant => presented(LONELY, &self.lonely),
            Class::NoCredentials => json!({}),
            _ => presented(app, secret),
        };
        let host = match class {
            Class::OtherHost => "other.example",
            Class::SwingingHost => SWINGING_HOST,
            _ => HOST,
        };
        let (app, user) = if class == Class::Listed { (APP, USER) } else { (app.as_str(), user.as_str()) };
        let target = format!("/bkapps/applications/target-{}/modules/default/source_package/link/", at % 3);
        let shot = shot(class, &target, &credentials, &link(class, host, number));
        let sent = self.schedule.now();
        (shot, Asked { class, number, app: app.to_owned(), user: user.to_owned(), target, sent })
    }

    fn right(&self, asked: &Asked) -> Vec<Right> {
        const ARGS: u32 = 1_640_001;
        let unknown = |words| {
            let refused = Right::Envelope(400, ARGS, words);
            let failed = Right::Envelope(500, 1_650_001, "[reason=\"failed to request third-party api, bkauth, ");
            match self.schedule.since(asked.sent) {
                Condition::Up => vec![refused],
                Condition::Down => vec![failed],
                Condition::Changing => vec![refused, failed],
            }
        };
        let wrong_secret = "[reason=\"bk_app_code or bk_app_secret is incorrect\"]";
        let other_host = Right::Problem(400, "VALIDATION_ERROR", "is not in the allow-list.");
        match asked.class {
            Class::Good | Class::GoodSlow | Class::Listed => vec![Right::Linked],
            Class::WrongSecret if self.begun.elapsed() < KEPT => vec![Right::Envelope(400, ARGS, wrong_secret)],
            Class::WrongSecret => {
                unknown(wrong_secret).into_iter().chain([Right::Envelope(400, ARGS, wrong_secret)]).collect()
            }
            Class::NewSecret => unknown(wrong_secret),
            Class::NewApp | Class::NewAppGone => unknown("[reason=\"app not found\"]"),
            Class::NewToken => vec![Right::Envelope(400, ARGS, "[reason=\"登录态已过期\"]")],
            Class::NoGrant => vec![Right::Envelope(403, 1_640_301, "[reason=\"no permission, bk_app_code=lonely\"]")],
            Class::OtherHost => vec![other_host],
            Class::SwingingHost => match self.swinging.load(Ordering::SeqCst) {
                0 => vec![other_host],
                1 => vec![Right::Linked],
                _ => vec![Right::Linked, other_host],
            },
            Class::BrokenJson => vec![Right::Problem(400, "ERROR", "JSON parse error - ")],
            Class::NoCredentials => vec![Right::Envelope(400, ARGS, "[reason=\"app code cannot be empty\"]")],
            Class::NoRoute => vec![Right::Envelope(404, 1_640_401, "API not found")],
        }
    }
}

impl Scenario for Mix {
    type Asked = Asked;

    fn shot(&self, number: u32) -> (Shot, Asked) {
        self.of_class(Self::class_of(number), number)
    }

    fn class(&self, asked: &Asked) -> &'static str {
        SHARES.iter().find(|(class, ..)| *class == asked.class).map_or("", |(_, name, _)| name)
    }

    fn judge(&self, asked: &Asked, reply: &Reply) -> Result<(), String> {
        let (right, id) = (self.right(asked), id_of(&reply.headers));
        let fits = |right: &Right| is_right(right, asked, id.unwrap_or_default(), reply);
        if id.is_some() && right.iter().any(fits) {
            return Ok(());
        }
        let condition = self.schedule.since(asked.sent);
        Err(format!("request {} of {} for {}, bkauth {condition:?}: {reply:?}", asked.number, asked.app, asked.user))
    }
}

/// The request's name, if both headers have it once and agree.
fn id_of(headers: &HeaderMap) -> Option<&str> {
    let only = |name: &str| {
        let mut all = headers.get_all(name).iter();
        all.next().filter(|_| all.next().is_none())?.to_str().ok().filter(|id| !id.is_empty())
    };
    only("x-request-id").filter(|id| only("x-bkapi-request-id") == Some(id))
}

fn is_right(right: &Right, asked: &Asked, id: &str, reply: &Reply) -> bool {
    let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    let says = |field: &str, words: &str| body[field].as_str().is_some_and(|text| text.contains(words));
    match right {
        Right::Linked => {
            let account = json!({
                "app": asked.app,
                "user": asked.user,
                "request": format!("POST {} HTTP/1.1", asked.target),
                "id": id,
                "version": version(asked.number),
            });
            reply.status == 200 && body == account
        }
        Right::Envelope(status, code, words) => {
            let header = reply.headers.get("x-bkapi-error-code").and_then(|value| value.to_str().ok());
            let coded = body["code"] == *code && header == Some(code.to_string().as_str());
            reply.status == *status && coded && body["data"].is_null() && says("message", words)
        }
        Right::Problem(status, code, words) => {
            reply.status == *status && body["code"] == *code && says("detail", words)
        }
    }
}

fn version(number: u32) -> String {
    format!("0.0.{number}")
}

fn link(class: Class, host: &str, number: u32) -> String {
    let whole = json!({"package_url": format!("https://{host}/a.tar.gz"), "version": version(number)}).to_string();
    if class == Class::BrokenJson { whole[..whole.len() - 1].to_owned() } else { whole }
}

fn shot(class: Class, target: &str, credentials: &Value, body: &str) -> Shot {
    let prefix = if class == Class::NoRoute { "/elsewhere" } else { "/stag" };
    let head = format!(
        "POST {prefix}{target} HTTP/1.1\r\nhost: gateway\r\nx-bkapi-authorization: {credentials}\r\n\
         content-type: application/json\r\nblueking-language: en\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let pause = if class == Class::GoodSlow { PAUSE } else { Duration::ZERO };
    let hangs_up_after = (class == Class::NewAppGone).then_some(HANGS_UP_AFTER);
    Shot { head: head.into_bytes(), pause, body: body.as_bytes().to_vec(), hangs_up_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_requests_hold_every_kind_as_often_as_its_share_says() {
        for (class, name, share) in SHARES {
            let count = (0..100).filter(|number| Mix::class_of(*number) == class).count();
            assert_eq!(count, share, "{name}");
        }
    }
}
