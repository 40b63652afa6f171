//! A policy document, as JSON.
//!
//! Holds: it is read the same way each time and by each reader, or refused with reasons; it does not differ from itself;
//! one that is taken serves requests, at any time, and lets nobody in who shows nothing or only what no service vouches
//! for.

use crate::drive::{End, Way, drive};
use crate::request::Pairs;
use crate::world::{NOW, PATH, gate};
use crate::{forwarded, refused};
use linkgate_gate::policy::{Fault, Policy};
use linkgate_gate::{Gate, Time};
use serde_json::{Value, json};

/// What no digest in a policy is of.
const STRANGER: &str =
    r#"{"bk_app_code":"stranger","bk_app_secret":"0c7fd2a1","bk_token":"f3e1b96d","bk_username":"admin"}"#;
const SIGNED: &str = r#"{"bk_app_code":"stranger","bk_ticket":"f3e1b96d"}"#;

/// Services that vouch for everybody.
const YES: &[u8] =
    br#"{"code":0,"ret":0,"result":true,"data":{"is_match":true,"bk_username":"anna","username":"anna"}}"#;

/// Takes one input, and panics if something does not hold.
pub fn check_input(data: &[u8]) {
    let read = Policy::from_json(data);
    let again = Policy::from_json(data);
    match (&read, &again) {
        (Ok(policy), Ok(again)) => {
            assert_eq!((policy.version(), policy.summary()), (again.version(), again.summary()));
            assert_eq!(format!("{policy:?}"), format!("{again:?}"));
        }
        (Err(faults), Err(again)) => {
            assert!(!faults.is_empty() && faults == again);
            assert!(faults.iter().all(|fault| !fault.message.is_empty()));
        }
        _ => panic!("two readings"),
    }
    let Ok(document) = serde_json::from_slice::<Value>(data) else {
        assert!(read.is_err());
        return;
    };
    let by_value = Policy::from_value(&document);
    let told = |read: &Result<Policy, Vec<Fault>>| read.as_ref().map(Policy::summary).map_err(|faults| shown(faults));
    assert_eq!(told(&by_value), told(&read));
    assert_eq!(Policy::warnings(&document, NOW).is_ok(), read.is_ok());
    assert_eq!(Policy::difference(&document, &document).map(|same| same.is_empty()).ok(), read.is_ok().then_some(true));
    if let (Ok(first), Ok(second)) = (read, by_value) {
        serve(&document, first, NOW);
        serve(&document, second, Time::from_nanos(u64::MAX));
    }
}

fn shown(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(Fault::to_string).collect()
}

fn serve(document: &Value, policy: Policy, now: Time) {
    assert_eq!(document["version"], 1);
    let gate = gate(policy);
    let host = document["packages"]["allowed_hosts"][0].as_str().unwrap_or("example.com");
    let body = json!({"package_url": format!("https://{host}/a.tgz"), "sha256": "0".repeat(64)}).to_string();
    let way = Way { now, ..Way::with(body.as_bytes()) };
    let yes = [Some((200, YES)); 4];
    let paths: Vec<_> = prefixes(document).into_iter().map(|prefix| format!("{prefix}{PATH}")).collect();
    for path in &paths {
        let signed = format!("{path}?bk_signature=c2ln&bk_nonce=7&bk_timestamp={}", now.seconds());
        refused_for_good(&gate, &pairs(path, None), way, &yes);
        refused_for_good(&gate, &pairs(path, Some(STRANGER)), way, &[]);
        refused_for_good(&gate, &pairs(&signed, Some(SIGNED)), way, &[]);
    }
    // From here on the gate remembers that services vouched for the stranger.
    for path in &paths {
        let pairs = pairs(path, Some(STRANGER));
        match drive(&gate, &pairs, way, &yes).0 {
            End::Refuse(refusal) => refused::check(&refusal, []),
            End::Forward(forward) => {
                forwarded::check_headers(&pairs, &forward);
                forwarded::check_body(&pairs, body.as_bytes(), &forward);
                assert_eq!(forward.set[0].1, PATH);
                forward.lease.iter().for_each(|lease| gate.release_lease(lease));
            }
        }
        gate.tick(now);
        assert!(gate.take_refreshes(now).is_empty(), "answers of just now are renewed");
    }
    let elsewhere: Pairs<'_> = vec![(b":method", b"POST"), (b":path", b"/nowhere/")];
    assert!(matches!(drive(&gate, &elsewhere, way, &yes).0, End::Refuse(refusal) if refusal.reply.status == 404));
}

fn pairs<'a>(path: &'a str, credentials: Option<&'a str>) -> Pairs<'a> {
    let mut pairs: Pairs<'_> =
        vec![(b":method", b"POST"), (b":path", path.as_bytes()), (b"content-type", b"application/json")];
    pairs.extend(credentials.map(|text| (&b"x-bkapi-authorization"[..], text.as_bytes())));
    pairs
}

fn refused_for_good(gate: &Gate, pairs: &Pairs<'_>, way: Way<'_>, answers: &[Option<(u16, &[u8])>]) {
    match drive(gate, pairs, way, answers).0 {
        End::Forward(_) => panic!("a stranger goes on"),
        End::Refuse(refusal) => {
            refused::check(&refusal, []);
            assert_ne!(refusal.reply.status, 404);
        }
    }
}

/// Prefixes of a policy, a few of them.
fn prefixes(document: &Value) -> Vec<&str> {
    let routes = &document["routes"];
    let stages = routes["stages"].as_array().into_iter().flatten();
    let lists = std::iter::once(&routes["prefixes"]).chain(stages.map(|stage| &stage["prefixes"]));
    let all = lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    // Longer ones are over the shortest limit of a target.
    all.filter(|prefix| prefix.len() < 100).take(4).collect()
}
