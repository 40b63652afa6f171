//! Credentials for the sources of packages: those that the policy names, and those that callers bring.

use super::rules::{changed, extension, forwarded};
use super::*;

const OWN: &str = "x-linkgate-source-authorization";
const JUDGED: &str = "x-bkapi-source-authorization";
const OTHER: &str = "/bkapps/applications/other/modules/default/source_package/link/";

fn gate_with(entry: &Value) -> Gate {
    changed(|d| {
        let mut entry = entry.clone();
        entry["host"] = json!("example.com");
        d["packages"] =
            json!({"hosts": [{"host": "elsewhere.com", "credential": "other"}, entry, {"host": "example.com"}]});
    })
}

fn said(forward: &Forward) -> Value {
    extension(forward)
}

fn set<'a>(forward: &'a Forward, name: &str) -> Option<&'a str> {
    forward.set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_token_names_the_credential_of_the_link_s_host_for_its_targets_alone() {
    let gate = gate_with(&json!({"targets": ["app_*"], "credential": "nexus"}));
    // The caller is the same, and cached.
    for _ in 0..2 {
        let forward = forwarded(judge(&gate, &pairs(), BODY.as_bytes()));
        assert_eq!(said(&forward), json!({"credentials": ["nexus"]}));
        let forward = forwarded(judge(&gate, &with(":path", OTHER.as_bytes()), BODY.as_bytes()));
        assert_eq!(said(&forward), Value::Null);
    }
}

#[test]
fn a_caller_s_own_credential_goes_on_alone_where_the_policy_allows_it() {
    let gate = gate_with(&json!({"targets": ["app_*"], "credential": "nexus", "allow_caller_credential": true}));
    let forward = forwarded(judge(&gate, &with(OWN, b"Bearer my-own"), BODY.as_bytes()));
    assert_eq!(said(&forward), json!({"caller_credential": true}));
    assert_eq!(set(&forward, JUDGED), Some("Bearer my-own"));
    assert!(forward.remove.contains(&OWN.to_owned()));
    let forward = forwarded(judge(&gate, &pairs(), BODY.as_bytes()));
    assert_eq!((said(&forward), set(&forward, JUDGED)), (json!({"credentials": ["nexus"]}), None));
}

#[test]
fn elsewhere_it_is_refused_with_the_reason() {
    let gate = gate_with(&json!({"targets": ["app_*"], "allow_caller_credential": true}));
    let mut other = with(OWN, b"Bearer my-own");
    other.retain(|(name, _)| *name != b":path");
    other.extend([(&b":path"[..], OTHER.as_bytes()), (b"blueking-language", b"en")]);
    let Denial { reply, record } = refused(judge(&gate, &other, BODY.as_bytes()));
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    let reason = "A caller's own credential is not allowed for host 'example.com' (port 443). Ask the operator.";
    assert_eq!((reply.status, &body["code"]), (400, &json!("VALIDATION_ERROR")));
    assert_eq!(body["detail"], format!("X-Linkgate-Source-Authorization: {reason}"));
    assert_eq!((record.decision, record.rule.as_str()), ("VALIDATION_ERROR", "packages.hosts"));
    assert!(!reply.body.contains("my-own") && !record.to_json().contains("my-own"));
}

#[test]
fn what_is_no_credential_is_refused_and_not_shown() {
    let gate = gate_with(&json!({"allow_caller_credential": true}));
    for bad in [&b""[..], b" ", b"s3cret\xff", b"s3cret\tx", &[b'a'; 8193]] {
        let reply = refused(judge(&gate, &with(OWN, bad), BODY.as_bytes())).reply;
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains("X-Linkgate-Source-Authorization") && !reply.body.contains("s3cret"), "{reply:?}");
    }
    let mut twice = with(OWN, b"Bearer a");
    twice.push((b"X-Linkgate-Source-Authorization", b"Bearer a"));
    assert_eq!(refused(judge(&gate, &twice, BODY.as_bytes())).reply.status, 400);
}

#[test]
fn the_header_never_goes_on_as_it_came_in_whatever_form() {
    let job = format!("{CANONICAL}0198c3a4-5f00-7abc-8def-0123456789ab/");
    for name in [OWN, "X-Linkgate_Source-Authorization", JUDGED, "X_Bkapi_Source_Authorization"] {
        let mut pairs = with(name, b"Bearer my-own");
        pairs.retain(|(name, _)| *name != b":path" && *name != b":method" && *name != b"content-type");
        pairs.extend([(&b":path"[..], job.as_bytes()), (b":method", b"GET")]);
        let forward = forwarded(judge(&gate(), &pairs, b""));
        assert_eq!(forward.remove.iter().filter(|removed| **removed == name.to_ascii_lowercase()).count(), 1, "{name}");
        assert_eq!(set(&forward, JUDGED), None);
    }
    let forward = forwarded(judge(&gate(), &with(JUDGED, b"Bearer my-own"), BODY.as_bytes()));
    assert!(forward.remove.contains(&JUDGED.to_owned()) && set(&forward, JUDGED).is_none());
}
