//! Uploads that have begun: asked for and cancelled by whom may upload there, without a body, a package or a lease.

use super::*;

const JOB: &str =
    "/stag/bkapps/applications/app_code/modules/default/source_package/link/0198c3a4-5f00-7abc-8def-0123456789ab/";
const CANONICAL_JOB: &str =
    "/bkapps/applications/app_code/modules/default/source_package/link/0198c3a4-5f00-7abc-8def-0123456789ab/";

fn changed(change: impl Fn(&mut Value)) -> Gate {
    let mut document = document();
    change(&mut document);
    gate_of(&document, &worker())
}

/// A good request for a job; a test changes one thing.
fn about<'a>(method: &'a str, target: &'a str) -> Pairs<'a> {
    vec![
        (b":method", method.as_bytes()),
        (b":path", target.as_bytes()),
        (b"accept", b"text/event-stream"),
        (b"x-bkapi-authorization", CREDENTIALS.as_bytes()),
        (b"x-request-id", b"id-1"),
    ]
}

fn without_credentials<'a>(method: &'a str, target: &'a str) -> Pairs<'a> {
    let mut pairs = about(method, target);
    pairs.retain(|(name, _)| *name != b"x-bkapi-authorization");
    pairs
}

/// Decided by the head alone.
fn at_once(gate: &Gate, pairs: &Pairs<'_>) -> Verdict {
    gate.on_headers(&Head::new(pairs, true, NOW, || [1; 16]))
}

fn forwarded(verdict: Verdict) -> Forward {
    match verdict {
        Verdict::Allow(forward) => forward,
        other => panic!("{:?}", refused(other).reply),
    }
}

#[test]
fn who_may_upload_may_ask_and_cancel_without_a_body() {
    let gate = gate();
    let operations = [
        ("GET", "get_source_package_job"),
        ("HEAD", "get_source_package_job"),
        ("DELETE", "cancel_source_package_job"),
    ];
    for (method, operation) in operations {
        let forward = forwarded(at_once(&gate, &about(method, JOB)));
        assert_eq!(forward.record.operation, operation);
        assert_eq!(forward.remove, ["x-bkapi-authorization"]);
        let names: Vec<_> = forward.set.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [":path", "x-bkapi-jwt", "x-bkapi-request-id"]);
        assert_eq!(forward.set[0].1, CANONICAL_JOB);
        assert!(forward.body.is_none() && forward.lease.is_none());
        let Record { app, user, application, module, decision, rule, .. } = &forward.record;
        assert_eq!([app, user, application, module], ["apigw-api-test", "admin", "app_code", "default"]);
        assert_eq!((*decision, rule.as_str()), ("OK", "grants.all"));
    }
}

#[test]
fn each_method_has_its_own_path() {
    let gate = gate();
    let status = |method: &str, target: &str| refused(at_once(&gate, &about(method, target))).reply.status;
    for method in ["DELETE", "PUT", "PATCH", "get"] {
        assert_eq!(status(method, PATH), 404, "{method}");
    }
    for method in ["POST", "PUT", "PATCH", "OPTIONS", "delete", "head", ""] {
        assert_eq!(status(method, JOB), 404, "{method}");
    }
    let upper = JOB.replace("abc", "ABC");
    let bad = [JOB.trim_end_matches('/'), &upper, &format!("{JOB}x/"), &JOB.replace("stag", "other")];
    for target in bad {
        let refusal = refused(at_once(&gate, &about("GET", target)));
        assert_eq!((refusal.reply.status, refusal.record.rule.as_str()), (404, "routes"), "{target}");
    }
}

#[test]
fn the_rules_on_who_asks_hold_for_a_job() {
    let stranger = refused(at_once(&gate(), &without_credentials("GET", JOB))).reply;
    assert_eq!(message(&stranger), "Parameters error [reason=\"app code cannot be empty\"]");
    let cases = [
        ("grants", json!([{"callers": ["*"], "targets": ["other"]}]), "grants"),
        ("grants", json!([{"callers": ["*"], "targets": ["*"], "modules": ["web"]}]), "grants"),
        ("grants", json!([{"callers": ["*"], "targets": ["*"], "actions": ["read", "delete"]}]), "grants"),
        ("restrictions", json!({"users": {"deny": ["admin"]}}), "restrictions.users"),
        ("restrictions", json!({"client_ips": {"allow": ["10.0.0.0/8"]}}), "restrictions.client_ips"),
    ];
    for (key, value, rule) in cases {
        let gate = changed(|d| d[key] = value.clone());
        for method in ["GET", "DELETE"] {
            let refusal = refused(at_once(&gate, &about(method, JOB)));
            assert_eq!((refusal.reply.status, refusal.record.rule.as_str()), (403, rule), "{method}");
        }
    }
}

#[test]
fn a_job_counts_for_rates_and_needs_no_place() {
    let gate = changed(|d| {
        d["limits"]["requests_per_app"] = json!({"per_second": 0.001, "burst": 4});
        d["limits"]["uploads_per_app"] = json!({"concurrent": 1});
    });
    let Verdict::Allow(upload) = judge(&gate, &pairs(), BODY.as_bytes()) else { panic!("refused") };
    assert!(upload.lease.is_some());
    assert_eq!(refused(judge(&gate, &pairs(), BODY.as_bytes())).record.rule, "limits.uploads_per_app");
    for method in ["GET", "DELETE"] {
        assert!(forwarded(at_once(&gate, &about(method, JOB))).lease.is_none());
    }
    assert_eq!(refused(at_once(&gate, &about("GET", JOB))).record.rule, "limits.requests_per_app");
}

#[test]
fn no_query_reaches_the_store_that_the_endpoint_does_not_read() {
    for query in ["?limit=1", "?", "?bk_token=t&say=x"] {
        let forward = forwarded(at_once(&gate(), &about("GET", &format!("{JOB}{query}"))));
        assert_eq!(forward.set[0], (":path", CANONICAL_JOB.to_owned()), "{query}");
    }
}

#[cfg(feature = "test-endpoint")]
#[test]
fn a_query_that_the_endpoint_reads_reaches_the_store_without_credentials() {
    const TARGET: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/test/query/";
    let gate = changed(|d| d["grants"][0]["actions"] = json!(["test"]));
    for method in ["GET", "HEAD"] {
        let target = format!("{TARGET}?say=a%20b&bk_token=t&say=%26&other=1");
        let forward = forwarded(at_once(&gate, &about(method, &target)));
        let canonical = TARGET.strip_prefix("/stag").unwrap();
        assert_eq!(forward.set[0], (":path", format!("{canonical}?say=a+b&say=%26")));
        assert_eq!(forward.record.operation, "show_test_query");
    }
    assert_eq!(refused(at_once(&super::gate(), &about("GET", TARGET))).reply.status, 403);
}

#[test]
fn rules_on_packages_are_not_for_a_job() {
    let gate = changed(|d| d["packages"] = json!({"allowed_hosts": [], "sha256": "required"}));
    assert_eq!(refused(judge(&gate, &pairs(), BODY.as_bytes())).reply.status, 400);
    assert_eq!(forwarded(at_once(&gate, &about("GET", JOB))).record.reported, "");
}

#[test]
fn a_job_has_no_body() {
    let gate = gate();
    let head = |pairs: &Pairs<'_>| gate.on_headers(&Head::new(pairs, false, NOW, || [1; 16]));
    for method in ["GET", "DELETE"] {
        let mut announced = about(method, JOB);
        announced.push((b"content-length", b"1"));
        let refusal = refused(head(&announced));
        assert_eq!((refusal.reply.status, refusal.record.rule.as_str()), (413, "limits.body_bytes"));
        // Not announced, it is refused by its first byte; one that turns out to be empty is none.
        let pairs = about(method, JOB);
        let Verdict::NeedBody(mut pending) = head(&pairs) else { panic!("decided before its end") };
        assert!(pending.hold(&gate, 0, Vec::new).is_none());
        assert_eq!(pending.hold(&gate, 1, Vec::new).unwrap().reply.status, 413);
        assert_eq!(refused(pending.on_body(&gate, b"x".to_vec(), NOW)).reply.status, 413);
        let Verdict::NeedBody(pending) = head(&pairs) else { panic!("decided before its end") };
        assert!(forwarded(pending.on_body(&gate, Vec::new(), NOW)).body.is_none());
    }
}

#[test]
fn credentials_for_a_job_stand_in_header_or_query_and_never_in_a_body() {
    let places = |places: Value| changed(|d| d["routes"]["authentication"] = json!({"credentials_from": places}));
    let query = format!("{JOB}?bk_app_code=apigw-api-test&bk_app_secret=s3cret&bk_ticket=t1cket");
    for gate in [places(json!(["header", "query"])), places(json!(["header", "query", "body"]))] {
        assert_eq!(forwarded(at_once(&gate, &without_credentials("GET", &query))).set[0].1, CANONICAL_JOB);
    }
    for gate in [places(json!(["header"])), places(json!(["header", "body"]))] {
        let reply = refused(at_once(&gate, &without_credentials("GET", &query))).reply;
        assert_eq!(message(&reply), format!("Parameters error [reason=\"{}\"]", Reason::MISPLACED_IN_QUERY.0));
    }
    // A form is a body like any other.
    let form = b"bk_app_code=apigw-api-test&bk_app_secret=s3cret&bk_ticket=t1cket";
    let mut pairs = without_credentials("DELETE", JOB);
    pairs.push((b"content-type", b"application/x-www-form-urlencoded"));
    assert!((400..500).contains(&refused(judge(&places(json!(["header", "body"])), &pairs, form)).reply.status));
}

#[test]
fn a_caller_who_uploaded_is_known_when_it_asks() {
    let gate = gate();
    forwarded(judge(&gate, &pairs(), BODY.as_bytes()));
    let signed = |counts: Vec<(String, u64)>| counts.iter().filter(|(name, _)| name.contains("signed")).count();
    assert_eq!(signed(gate.context.worker.take_counts().counters), 1);
    forwarded(at_once(&gate, &about("GET", JOB)));
    assert_eq!(signed(gate.context.worker.take_counts().counters), 0, "the token is that of the upload");
}
