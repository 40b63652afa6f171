//! Takes a request through the gate, the way the shell does it.

use linkgate_gate::{CallStep, Denial, Forward, Gate, Head, OutsideCall, ServiceKind, ServiceReply, Time, Verdict};
use serde_json::Value;

use crate::request::Pairs;
use crate::world::NOW;

/// An access token that fails, the app's secret or its keys, a login: nobody asks more.
const MOST_QUESTIONS: usize = 4;

/// How it ended.
pub enum End {
    /// Sent on.
    Forward(Forward),
    /// Answered by the gate.
    Refuse(Denial),
}

/// A question, and what was answered.
pub struct Asked<'a> {
    /// What was asked.
    pub call: OutsideCall,
    /// Status and body; `None`: nothing came.
    pub answer: Option<(u16, &'a [u8])>,
}

impl Asked<'_> {
    /// A header of the question.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.call.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// The secret that it is about.
    pub fn secret(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.call.body).unwrap_or_default();
        let in_body = ["bk_app_secret", "access_token"].into_iter().find_map(|name| body[name].as_str());
        let query = self.path().split_once('?').map_or("", |(_, query)| query);
        let in_query = form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned());
        in_body.map(str::to_owned).or(in_query)
    }

    /// What was answered, as far as it is JSON.
    pub fn said(&self) -> Value {
        self.answer.and_then(|(_, body)| serde_json::from_slice(body).ok()).unwrap_or_default()
    }

    /// The target of the question.
    pub fn path(&self) -> &str {
        self.header(":path").unwrap()
    }
}

/// How a request reaches the gate.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// When.
    pub now: Time,
    /// From where.
    pub source: &'a [u8],
    /// The whole body; an empty one is none.
    pub body: &'a [u8],
    /// Whether the body grows while the first answer is waited for.
    pub body_first: bool,
}

impl<'a> Way<'a> {
    /// The usual one.
    pub fn with(body: &'a [u8]) -> Self {
        Self { now: NOW, source: b"10.1.2.3:4711", body, body_first: false }
    }
}

/// Drives a request to its end; what was not answered got no answer.
pub fn drive<'a>(
    gate: &Gate,
    pairs: &Pairs<'_>,
    way: Way<'_>,
    answers: &[Option<(u16, &'a [u8])>],
) -> (End, Vec<Asked<'a>>) {
    let Way { now, body, body_first, source } = way;
    let head = Head::new(pairs, body.is_empty(), now, || [1; 16]).with_client_address(source);
    let mut asked: Vec<Asked<'a>> = Vec::new();
    let mut held = body.is_empty();
    let mut verdict = gate.on_headers(&head);
    loop {
        verdict = match verdict {
            Verdict::NeedBody(mut pending) => {
                assert!(!held, "asked twice for the body");
                held = true;
                match pending.hold(gate, body.len(), || source.to_vec()) {
                    Some(refusal) => return (End::Refuse(refusal), asked),
                    None => pending.on_body(gate, body.to_vec(), now),
                }
            }
            Verdict::NeedAnswer(mut waiter) => {
                let received = if body_first || held { body.len() } else { 0 };
                if let Some(refusal) = waiter.hold(gate, received, || source.to_vec()) {
                    return (End::Refuse(refusal), asked);
                }
                let CallStep::Send(call, call_in_flight) = gate.start_call(&waiter, 1, now) else {
                    panic!("nothing to send")
                };
                check_call(&call);
                let known = asked.iter().any(|old| old.path() == path_of(&call) && old.call.body == call.body);
                assert!(!known && asked.len() < MOST_QUESTIONS, "asked too often: {}", path_of(&call));
                let answer = answers.get(asked.len()).copied().flatten();
                asked.push(Asked { call, answer });
                let reply = answer.map(|(status, body)| ServiceReply { status, body });
                let completion = gate.complete_call(&call_in_flight, reply, now);
                assert_eq!(completion.waiters, [1]);
                gate.resume(waiter, &completion, now)
            }
            Verdict::Allow(forward) => {
                assert!(held || forward.ends_with_caller, "forwarded without the body");
                return (End::Forward(forward), asked);
            }
            Verdict::Deny(refusal) => return (End::Refuse(refusal), asked),
        };
    }
}

/// The codes that bkauth gives out.
fn may_be_registered(app: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    app.starts_with(plain) && app.len() <= 32 && app.chars().all(|c| plain(c) || c == '-' || c == '_')
}

fn path_of(call: &OutsideCall) -> &str {
    &call.headers.iter().find(|(name, _)| *name == ":path").unwrap().1
}

/// A question goes where the policy says and nowhere else, and shows each service only what is its own.
fn check_call(call: &OutsideCall) {
    for (name, value) in &call.headers {
        assert!(value.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{name} of a question holds {value:?}");
    }
    let header = |name: &str| call.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    let path = path_of(call);
    let (plain, query) = path.split_once('?').unwrap_or((path, ""));
    let segments: Vec<_> = plain.split('/').collect();
    if call.service != ServiceKind::Ticket {
        assert!(!segments.iter().any(|segment| matches!(*segment, "." | "..")), "{plain}");
        assert!(!plain.contains(['%', '\\', '#']), "{plain}");
    }
    let (presented, bearer) = (header("x-bk-app-secret").is_some(), header("authorization").is_some());
    match call.service {
        ServiceKind::Bkauth => {
            assert!(presented && !bearer && query.is_empty());
            let known = match segments[..] {
                ["", "api", "v1", "apps", app, "access-keys", "verify"] => {
                    header(":method") == Some("POST") && may_be_registered(app)
                }
                ["", "api", "v1", "apps", app] | ["", "api", "v1", "apps", app, "access-keys"] => {
                    header(":method") == Some("GET") && may_be_registered(app)
                }
                ["", "api", "v1", "auth", "access-tokens", "verify"] => header(":method") == Some("POST"),
                _ => false,
            };
            assert!(known, "{plain}");
        }
        ServiceKind::Login => {
            let tenants = plain == "/login/api/v3/apigw/bk-tokens/verify/";
            assert!(!presented && bearer == tenants && (tenants || plain == "/login/api/v2/is_login/"), "{plain}");
            assert!(query.starts_with("bk_token=") && !query.contains('&'), "{query}");
        }
        ServiceKind::Ticket => {
            assert!(!presented && !bearer);
            assert!(query.starts_with("bk_ticket=") && !query.contains('&'), "{query}");
        }
    }
}
