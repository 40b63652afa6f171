//! The list of modules: about none of them, so its token says what its caller's grants are for.

use linkgate_contract::Extension;

use super::*;

const MODULES: &str = "/stag/bkapps/applications/";

fn with_grants(grants: &Value) -> Gate {
    let mut document = document();
    document["grants"] = grants.clone();
    gate_of(&document, &worker())
}

fn list(gate: &Gate, target: &str) -> Verdict {
    let pairs: Pairs<'_> = vec![
        (b":method", b"GET"),
        (b":path", target.as_bytes()),
        (b"x-bkapi-authorization", CREDENTIALS.as_bytes()),
        (b"x-request-id", b"id-1"),
    ];
    gate.on_headers(&Head::new(&pairs, true, NOW, || [1; 16]))
}

fn forwarded(verdict: Verdict) -> Forward {
    match verdict {
        Verdict::Allow(forward) => forward,
        other => panic!("{:?}", refused(other).reply),
    }
}

fn said(forward: &Forward) -> Extension {
    serde_json::from_value(claims_of(forward)["linkgate"].clone()).unwrap()
}

fn decision(verdict: Verdict) -> (u16, &'static str, String) {
    let Denial { reply, record } = refused(verdict);
    (reply.status, record.decision, message(&reply))
}

#[test]
fn whoever_may_read_anything_gets_a_token_that_says_what() {
    let gate = with_grants(&json!([
        {"name": "shops", "callers": ["*"], "targets": ["shop-*", "web"], "modules": ["default"], "actions": ["read", "pin"]},
        {"name": "others", "callers": ["other"], "targets": ["*"]},
    ]));
    let forward = forwarded(list(&gate, &format!("{MODULES}?limit=5&offset=1&search_term=a+b&page=1&bk_token=t")));
    let canonical = "/bkapps/applications/?limit=5&offset=1&search_term=a+b&unknown_parameter=page";
    assert_eq!(forward.set[0], (":path", canonical.to_owned()));
    let Record { application, module, operation, rule, decision, .. } = &forward.record;
    assert_eq!(
        [application.as_str(), module, operation, rule, decision],
        ["", "", "list_modules", "grants.shops", "OK"]
    );
    let grant = json!({"targets": ["shop-*", "web"], "modules": ["default"], "actions": ["read", "pin"]});
    let expected = json!({"action": "read", "grants": {"list": [grant]}});
    assert_eq!(claims_of(&forward)["linkgate"], expected);
}

#[test]
fn a_token_for_the_list_is_for_no_module_and_that_for_a_module_not_for_the_list() {
    let gate = gate();
    let listing = said(&forwarded(list(&gate, MODULES)));
    let upload = judge(&gate, &pairs(), BODY.as_bytes());
    let packages = forwarded(list(&gate, "/bkapps/applications/app_code/modules/default/source_package/"));
    let module = "app_code/default".parse().unwrap();
    assert!(listing.covers(None, Action::Read) && !listing.covers(Some(&module), Action::Read));
    for (forward, action) in [(forwarded(upload), Action::Upload), (packages, Action::Read)] {
        let of_module = said(&forward);
        assert!(of_module.covers(Some(&module), action) && !of_module.covers(None, action));
    }
    assert_eq!(said(&forwarded(list(&gate, MODULES))), listing, "not the token of the last request");
}

#[test]
fn whoever_may_read_nothing_is_refused() {
    let none = (403, "APP_NO_PERMISSION", "App has no permission to the resource");
    let over = "1970-01-01T00:00:01Z";
    for (grants, reason) in [
        (json!([]), "no permission"),
        (json!([{"callers": ["*"], "targets": ["*"], "actions": ["upload"]}]), "no permission"),
        (json!([{"callers": ["*"], "targets": ["*"], "users": ["root"]}]), "no permission"),
        (json!([{"callers": ["*"], "targets": ["*"], "until": over}]), "permission has expired"),
    ] {
        let message = format!("{} [reason=\"{reason}, bk_app_code=apigw-api-test\"]", none.2);
        assert_eq!(decision(list(&with_grants(&grants), MODULES)), (none.0, none.1, message), "{grants}");
    }
}

#[test]
fn a_report_only_grant_is_reported_and_lists_nothing() {
    let gate = with_grants(&json!([{"name": "trial", "callers": ["*"], "targets": ["*"], "mode": "report"}]));
    let forward = forwarded(list(&gate, MODULES));
    assert_eq!(forward.record.reported, "grants.trial");
    assert_eq!(said(&forward).grants, Some(linkgate_contract::GrantsClaim::default()));
}

#[test]
fn the_list_has_one_path_and_is_only_read() {
    let gate = gate();
    for path in ["/stag/bkapps/applications", "/stag/bkapps/applications/app_code/", "/stag/bkapps/applications/./"] {
        assert_eq!(decision(list(&gate, path)).0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let mut pairs = with(":method", method.as_bytes());
        pairs.retain(|(name, _)| *name != b":path");
        pairs.push((b":path", MODULES.as_bytes()));
        assert_eq!(decision(judge(&gate, &pairs, b"")).0, 404, "{method}");
    }
    let stranger: Pairs<'_> = vec![(b":method", b"GET"), (b":path", MODULES.as_bytes())];
    assert_eq!(refused(judge(&gate, &stranger, b"")).reply.status, 400);
}
