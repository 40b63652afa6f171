//! `linkgate policy explain`: how would the gate decide a request, and by which rule?
//!
//! Promises: the verdict is that of the very code that runs in Envoy, fed with a described request and described answers
//! of the identity services; nobody is asked and nothing is written. Secrets of the described request are not
//! printed. Each run begins with empty memory: rates, cached answers and used nonces of a running gate play no part.

mod answer;
mod request;

use std::path::Path;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use linkgate_gate::{
    CallStep, Denial, Forward, Gate, Head, Keys, OwnCredentials, Record, ServiceReply, SigningKey, Unshared, Verdict,
    Waiter, Worker,
};
use serde_json::{Map, Value, json};

use self::request::{DescribedRequest, SERVICE_OF};
use crate::Report;
use crate::args::Algorithm;
use crate::error::Error;
use crate::keys;
use crate::policy;

/// The header with the token for the store.
const TOKEN: &str = "x-bkapi-jwt";
/// The header with the caller's own credential for the source.
const SOURCE_AUTHORIZATION: &str = "x-bkapi-source-authorization";
/// The proxy names every request; this is what it is called here.
const REQUEST_ID: &str = "explained";

/// Decides the request; returns what to print.
pub fn explain_request(file: &Path, request: &Path, as_json: bool) -> Result<Report, Error> {
    let policy = policy::check_policy(file)?.policy;
    let instances = policy.summary().instances;
    let gate = build_gate(policy)?;
    let described = DescribedRequest::read_file(request, policy::read_clock()?, gate.needs_client_address())?;
    let explanation = decide(&gate, &described, instances)?;
    let code = u8::from(explanation.verdict.name() == DENIED);
    let output = if as_json { format!("{}\n", explanation.to_json()) } else { explanation.format_lines() };
    Ok(Report { output, code, ..Report::default() })
}

/// A gate with a signing key that nobody knows and nobody stores.
fn build_gate(policy: linkgate_gate::policy::Policy) -> Result<Gate, Error> {
    let (private, _) = keys::new_pair(Algorithm::EdDsa)?;
    let signing = SigningKey::parse(&private).map_err(|error| Error::Encode(error.to_string()))?;
    let own = OwnCredentials::new(String::new(), String::new(), String::new());
    let worker = Rc::new(Worker::new(Box::new(Unshared::default()), [0; 16]));
    Ok(Gate::new(policy, Keys { signing, own }, worker))
}

/// How a request ended.
enum Decision {
    Allowed(Forward),
    Denied(Denial),
}

const DENIED: &str = "denied";

impl Decision {
    fn name(&self) -> &'static str {
        match self {
            Self::Allowed(_) => "allowed",
            // A preflight.
            Self::Denied(answer) if answer.reply.status < 400 => "answered",
            Self::Denied(_) => DENIED,
        }
    }

    /// What the reply says to pages of other sites.
    fn reply_headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let headers = match self {
            Self::Allowed(forward) => &forward.reply_headers,
            Self::Denied(denial) => &denial.reply.headers,
        };
        let is_told = |name: &str| name == "vary" || name.starts_with("access-control-");
        headers.iter().filter(move |(name, _)| is_told(name)).map(|(name, value)| (*name, value.as_str()))
    }
}

/// A call to an identity service, and its answer.
struct IdentityCall {
    service: &'static str,
    credential: &'static str,
    answer: String,
}

struct Explanation {
    /// Envoys that share the limits.
    instances: u64,
    calls: Vec<IdentityCall>,
    verdict: Decision,
}

fn decide(gate: &Gate, described: &DescribedRequest, instances: u64) -> Result<Explanation, Error> {
    let pairs = described.pairs(REQUEST_ID);
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let mut head = Head::new(&pairs, described.body.is_empty(), described.at, || [0; 16]);
    if let Some(client_ip) = described.client_ip {
        head = head.with_client_address(client_ip.to_string().as_bytes());
    }
    let mut calls = Vec::new();
    let mut verdict = gate.on_headers(&head);
    let verdict = loop {
        verdict = match verdict {
            Verdict::NeedBody(pending) => pending.on_body(gate, described.body.clone(), described.at),
            Verdict::NeedAnswer(waiter) => answer_call(gate, described, waiter, &mut calls)?,
            Verdict::Allow(forward) => break Decision::Allowed(forward),
            Verdict::Deny(refusal) => break Decision::Denied(refusal),
        };
    };
    Ok(Explanation { instances, calls, verdict })
}

/// Goes on with the answer that is described.
fn answer_call(
    gate: &Gate,
    described: &DescribedRequest,
    waiter: Waiter,
    calls: &mut Vec<IdentityCall>,
) -> Result<Verdict, Error> {
    let (about, service) = SERVICE_OF
        .into_iter()
        .find_map(|(kind, about, service)| (kind == waiter.kind()).then_some((about, service)))
        .unwrap_or((waiter.kind(), "a service"));
    let completion = match gate.start_call(&waiter, 0, described.at) {
        // One request has no other one to wait for, and few questions.
        CallStep::Wait => return Err(Error::NoAnswer { service, about }),
        CallStep::Completed(completion) => completion,
        CallStep::Send(call, call_in_flight) => {
            let answer = described.answers.get(about).ok_or(Error::NoAnswer { service, about })?;
            calls.push(IdentityCall { service, credential: about, answer: answer.describe() });
            let reply = answer.to_reply(&call).map(|(status, body)| (status, body.to_string()));
            let reply = reply.as_ref().map(|(status, body)| ServiceReply { status: *status, body: body.as_bytes() });
            gate.complete_call(&call_in_flight, reply, described.at)
        }
    };
    Ok(gate.resume(waiter, &completion, described.at))
}

impl Explanation {
    fn record(&self) -> &Record {
        match &self.verdict {
            Decision::Allowed(forward) => &forward.record,
            Decision::Denied(refusal) => &refusal.record,
        }
    }

    /// One line each.
    fn format_lines(&self) -> String {
        let mut lines = vec![format!("verdict: {}", self.verdict.name())];
        for (name, value) in self.record().fields() {
            lines.push(format!("{name}: {}", if value.is_empty() { "-" } else { value }));
        }
        if self.instances > 1 {
            lines.push(format!("limits: for {} Envoys, of which this one keeps to its share", self.instances));
        }
        for IdentityCall { service, credential, answer } in &self.calls {
            lines.push(format!("identity call: {service}, {credential}, answer: {answer}"));
        }
        match &self.verdict {
            Decision::Allowed(forward) => {
                let removed: Vec<&str> = forward.remove.iter().map(String::as_str).collect();
                lines
                    .push(format!("removed: {}", if removed.is_empty() { "-".to_owned() } else { removed.join(", ") }));
                lines.extend(forward.set.iter().map(|(name, value)| match *name {
                    TOKEN => format!("set: {TOKEN}, a token that says {}", decode_claims(value)),
                    SOURCE_AUTHORIZATION => format!("set: {SOURCE_AUTHORIZATION}, the caller's own credential"),
                    name => format!("set: {name} = {value}"),
                }));
                lines.extend(
                    forward.body.as_ref().map(|body| format!("body: {} bytes of JSON in its place", body.len())),
                );
            }
            Decision::Denied(refusal) => {
                lines.push(format!("status: {}", refusal.reply.status));
                lines.push(format!("reply: {}", refusal.reply.body));
            }
        }
        lines.extend(self.verdict.reply_headers().map(|(name, value)| format!("reply header: {name} = {value}")));
        lines.join("\n") + "\n"
    }

    fn to_json(&self) -> Value {
        let calls: Vec<Value> = self
            .calls
            .iter()
            .map(|IdentityCall { service, credential, answer }| json!({"service": service, "credential": credential, "answer": answer}))
            .collect();
        let record: Map<String, Value> =
            self.record().fields().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let reply_headers: Map<String, Value> =
            self.verdict.reply_headers().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let mut explained = match &self.verdict {
            Decision::Allowed(forward) => {
                let plain = forward.set.iter().filter(|(name, _)| *name != TOKEN);
                let set: Map<String, Value> =
                    plain.map(|(name, value)| ((*name).to_owned(), hide_secret(name, value).into())).collect();
                let token = forward.set.iter().find(|(name, _)| *name == TOKEN).map(|(_, token)| decode_claims(token));
                json!({
                    "verdict": self.verdict.name(), "record": record, "identity_calls": calls, "removed": forward.remove, "set": set,
                    "token": token, "body_bytes": forward.body.as_ref().map(Vec::len),
                })
            }
            Decision::Denied(refusal) => json!({
                "verdict": self.verdict.name(), "record": record, "identity_calls": calls,
                "status": refusal.reply.status, "reply": refusal.reply.body,
            }),
        };
        if self.instances > 1 {
            explained["instances"] = self.instances.into();
        }
        if !reply_headers.is_empty() {
            explained["reply_headers"] = reply_headers.into();
        }
        explained
    }
}

/// The value of a header, or a word in its place.
fn hide_secret<'a>(name: &str, value: &'a str) -> &'a str {
    if name == SOURCE_AUTHORIZATION { "the caller's own credential" } else { value }
}

/// What a token says; whoever has the token itself could use it.
fn decode_claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
