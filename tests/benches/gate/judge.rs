//! A service that does for `ext_authz` what the gate does in Envoy: the same judgement, by the same code, without WASM.
//!
//! It speaks HTTP as services here do, with the server that the store uses. What `ext_authz` cannot do is left out: the
//! path is not made canonical.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use linkgate_gate::policy::Policy;
use linkgate_gate::{Gate, Head, Keys, OwnCredentials, SigningKey, Time, Unshared, Verdict, Worker};
use linkgate_tests::GatewayPlan;
use tokio::net::TcpListener;
use warp::Filter;
use warp::http::response::Builder;
use warp::http::{HeaderMap, Response};
use warp::hyper::body::Bytes;
use warp::path::FullPath;

use crate::contenders::HOST;
use crate::services::{Authorizer, on_its_own_thread};

thread_local!(static GATE: std::cell::OnceCell<Gate> = const { std::cell::OnceCell::new() });

/// Starts it for the apps, users and keys of a plan.
pub fn start(plan: &GatewayPlan) -> Authorizer {
    let policy = plan.credentials().policy(&[HOST.to_owned()]);
    let private_key = plan.private_key();
    on_its_own_thread(move |listener| async move {
        GATE.with(|gate| assert!(gate.set(gate_of(&policy, &private_key)).is_ok()));
        serve(listener).await;
    })
}

fn gate_of(policy: &serde_json::Value, private_key: &str) -> Gate {
    let signing = SigningKey::parse(private_key).unwrap();
    let own = OwnCredentials::new(String::new(), String::new(), String::new());
    let worker = Rc::new(Worker::new(Box::new(Unshared::default()), [7; 16]));
    Gate::new(Policy::from_value(policy).unwrap(), Keys { signing, own }, worker)
}

async fn serve(listener: TcpListener) {
    let question = warp::path::full().and(warp::header::headers_cloned()).and(warp::body::bytes());
    warp::serve(question.map(answer)).incoming(listener).run().await;
}

fn answer(path: FullPath, headers: HeaderMap, body: Bytes) -> Response<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Time::from_nanos(u64::try_from(now.as_nanos()).unwrap());
    let mut pairs: Vec<(&[u8], &[u8])> = vec![(b":method", b"POST"), (b":path", path.as_str().as_bytes())];
    pairs.extend(headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())));
    let verdict = GATE.with(|gate| {
        let gate = gate.get().unwrap();
        match gate.on_headers(&Head::new(&pairs, false, now, || [0; 16])) {
            Verdict::NeedBody(pending) => pending.on_body(gate, body.to_vec(), now),
            verdict => verdict,
        }
    });
    match verdict {
        Verdict::Allow(forward) => {
            let set = forward.set.iter().filter(|(name, _)| !name.starts_with(':'));
            let set = set.map(|(name, value)| (*name, value.as_str()));
            wearing(Response::builder(), set.chain(forward.record.filled_fields())).body(String::new()).unwrap()
        }
        Verdict::Deny(refusal) => {
            let reply = Response::builder().status(refusal.reply.status);
            wearing(reply, refusal.reply.headers).body(refusal.reply.body).unwrap()
        }
        Verdict::NeedBody(_) | Verdict::NeedAnswer(_) => panic!("the body is there, and the policy knows everybody"),
    }
}

fn wearing<V: AsRef<[u8]>>(reply: Builder, headers: impl IntoIterator<Item = (&'static str, V)>) -> Builder {
    headers.into_iter().fold(reply, |reply, (name, value)| reply.header(name, value.as_ref()))
}
