//! Each warning, and what comes close to one and is none.

use serde_json::{Value, json};

use crate::policy::Policy;
use crate::time::Time;

/// 2026-07-01.
const NOW: Time = Time::from_seconds(1_782_864_000);

/// A policy without any warning.
fn document() -> Value {
    json!({
        "version": 1,
        "gateway": "linkgate",
        "routes": {"prefixes": [""]},
        "packages": {"allowed_hosts": ["example.com"]},
        "grants": [{"callers": ["ci"], "targets": ["shop-*"]}],
        "clients": [{"app_code": "ci", "secret_sha256": ["1".repeat(64)]}],
        "users": [{"username": "anna", "bk_ticket_sha256": ["2".repeat(64)]}],
    })
}

fn of(key: &str, value: Value) -> Vec<String> {
    let mut document = document();
    document[key] = value;
    Policy::warnings(&document, NOW).unwrap().iter().map(ToString::to_string).collect()
}

fn grants(list: Value) -> Vec<String> {
    of("grants", list)
}

fn packages(part: Value) -> Vec<String> {
    of("packages", part)
}

const NONE: [&str; 0] = [];

#[test]
fn a_good_policy_has_none_and_a_wrong_one_has_faults_instead() {
    assert_eq!(of("version", json!(1)), NONE);
    assert_eq!(Policy::warnings(&json!({"version": 1}), NOW).unwrap_err().len(), 1);
    let mut document = document();
    document["version"] = json!(2);
    assert_eq!(Policy::warnings(&document, NOW).unwrap_err()[0].path, "version");
}

#[test]
fn what_lets_nobody_in_is_said() {
    assert_eq!(grants(json!([])), ["grants: lists none, so every request is refused"]);
    assert_eq!(packages(json!({})), ["packages.allowed_hosts: lists no host, so every link is refused"]);
    assert_eq!(packages(json!({"hosts": [{"host": "example.com"}]})), NONE);
    assert_eq!(
        of("clients", json!([])),
        ["clients: lists no application and no identity service knows any, so no caller can be verified"]
    );
}

#[test]
fn a_grant_that_has_ended_is_named() {
    let until = |until: &str| json!({"callers": ["ci"], "targets": ["a"], "until": until});
    let ended = "grants[0].until: has passed, so the grant allows nothing any more: remove it";
    let forever = json!({"callers": ["other"], "targets": ["*"]});
    assert_eq!(grants(json!([until("2026-07-01T00:00:00Z"), forever])), [ended]);
    assert_eq!(grants(json!([until("2026-07-01T00:00:01Z"), forever])), NONE);
    let all = "grants: every one has ended, so every request is refused";
    assert_eq!(grants(json!([until("2020-01-01T00:00:00Z")])), [all, ended]);
}

#[test]
fn a_grant_within_an_earlier_one_adds_nothing() {
    let adds_nothing = ["grants[1]: adds nothing: all of it is allowed by grants[0], without end"];
    let wide = json!({"callers": ["ci-*", "web"], "targets": ["*"]});
    let narrow = json!({"callers": ["web", "ci-1"], "users": ["anna"], "targets": ["shop-?"], "modules": ["m"]});
    assert_eq!(grants(json!([wide, narrow])), adds_nothing);
    assert_eq!(grants(json!([narrow, wide])), NONE, "the first one gives the rule its name");
    assert_eq!(grants(json!([wide, {"callers": ["ci-*"], "targets": ["a"]}])), adds_nothing);
    let same = json!({"callers": ["*"], "targets": ["*"], "actions": ["upload", "read", "delete"]});
    assert_eq!(grants(json!([same, narrow])), adds_nothing);
    let close = [
        json!({"callers": ["ci-*", "web"], "targets": ["*"], "until": "2030-01-01T00:00:00Z"}),
        json!({"callers": ["ci-*", "web"], "targets": ["*"], "mode": "report"}),
        json!({"callers": ["ci-?", "we"], "targets": ["*"]}),
        json!({"callers": ["*"], "users": ["bob"], "targets": ["*"]}),
        json!({"callers": ["*"], "targets": ["shop-1"]}),
        json!({"callers": ["*"], "targets": ["*"], "modules": ["other"]}),
        json!({"callers": ["*"], "targets": ["*"], "actions": ["read"]}),
    ];
    for wide in close {
        assert_eq!(grants(json!([wide, narrow])), NONE, "{wide}");
    }
    assert_eq!(grants(json!([{"callers": ["ci-?"], "targets": ["*"]}, {"callers": ["ci-*"], "targets": ["*"]}])), NONE);
}

#[test]
fn a_report_only_grant_within_another_is_never_reported() {
    let report_only = json!({"callers": ["ci"], "targets": ["shop"], "mode": "report"});
    let found = grants(json!([report_only, {"callers": ["*"], "targets": ["*"]}]));
    assert_eq!(found, ["grants[0]: is never reported: all of it is allowed by grants[1], without end"]);
}

#[test]
fn an_allow_entry_within_a_deny_entry_allows_nobody() {
    let part = json!({
        "client_ips": {"allow": ["10.1.0.0/16", "10.0.0.0/7", "192.0.2.1"], "deny": ["10.0.0.0/8", "192.0.2.1"]},
        "users": {"allow": ["anna", "b*", "c*"], "deny": ["a*", "b*", "c?"]},
    });
    let text = |part: &str, n: u8, deny: &str| {
        format!(
            "restrictions.{part}.allow[{n}]: allows nobody: all of it is within `{deny}` of restrictions.{part}.deny, which takes precedence"
        )
    };
    let want = [
        text("client_ips", 0, "10.0.0.0/8"),
        text("client_ips", 2, "192.0.2.1"),
        text("users", 0, "a*"),
        text("users", 1, "b*"),
    ];
    assert_eq!(of("restrictions", part), want);
}

#[test]
fn hosts_that_are_listed_again_are_named() {
    let found =
        packages(json!({"allowed_hosts": ["a.com", "A.com", "a.com:443", "a.com:80", "a.com:8080", "b.com:80"]}));
    assert_eq!(
        found,
        [
            "packages.allowed_hosts[1]: is packages.allowed_hosts[0] again",
            "packages.allowed_hosts[2]: only adds http links to port 443: packages.allowed_hosts[0] allows the rest",
            "packages.allowed_hosts[3]: only adds https links to port 80: packages.allowed_hosts[0] allows the rest",
        ]
    );
}

#[test]
fn conditions_on_a_host_that_all_may_use_never_matter() {
    let with = |entry: Value| packages(json!({"allowed_hosts": ["b.com", "a.com"], "hosts": [entry]}));
    let anyway = "packages.allowed_hosts[1] allows the host to the same targets anyway";
    let nothing = [format!("packages.hosts[0]: adds nothing: {anyway}")];
    assert_eq!(with(json!({"host": "a.com", "targets": ["shop"]})), nothing);
    assert_eq!(with(json!({"host": "a.com", "mode": "report"})), nothing);
    let reports = [format!("packages.hosts[0].mode: never reports: {anyway}")];
    assert_eq!(with(json!({"host": "a.com", "mode": "report", "allow_private_addresses": true})), reports);
    assert_eq!(with(json!({"host": "a.com", "targets": ["shop"], "allow_private_addresses": true})), NONE);
    assert_eq!(with(json!({"host": "a.com:8080", "targets": ["shop"]})), NONE);
}

#[test]
fn a_credential_that_no_target_narrows_is_open_to_all() {
    let with = |entry: Value| packages(json!({"allowed_hosts": ["a.com"], "hosts": [entry]}));
    let open = [
        "packages.hosts[0].credential: is open to every target: whoever may upload for any application fetches with it; list `targets`",
    ];
    assert_eq!(with(json!({"host": "a.com", "credential": "nexus"})), open);
    assert_eq!(with(json!({"host": "a.com", "credential": "nexus", "targets": ["shop", "*"]})), open);
    assert_eq!(with(json!({"host": "a.com", "credential": "nexus", "targets": ["shop-*"]})), NONE);
    assert_eq!(with(json!({"host": "a.com", "allow_caller_credential": true})), NONE);
}

#[test]
fn of_two_entries_of_a_host_the_wider_one_stays() {
    let hosts = |list: Value| packages(json!({"hosts": list}));
    let (all, shop) = (json!({"host": "a.com"}), json!({"host": "a.com", "targets": ["shop"]}));
    let text = |n: u8, wide: u8| {
        [format!(
            "packages.hosts[{n}]: adds nothing: packages.hosts[{wide}] allows the host to the same targets anyway"
        )]
    };
    assert_eq!(hosts(json!([all, shop])), text(1, 0));
    assert_eq!(hosts(json!([shop, all])), text(0, 1));
    assert_eq!(hosts(json!([shop, shop])), text(1, 0));
    assert_eq!(hosts(json!([shop, {"host": "a.com", "targets": ["other"]}])), NONE);
    assert_eq!(hosts(json!([{"host": "a.com", "mode": "report"}, shop])), NONE);
}

#[test]
fn placeholders_and_vain_exemptions_are_named() {
    let zeros = "0".repeat(64);
    let told = "is the placeholder, the digest of no secret: make one with `linkgate secret hash`";
    let apps = json!([{"app_code": "ci", "secret_sha256": ["1".repeat(64), zeros]}]);
    assert_eq!(of("clients", apps), [format!("clients[0].secret_sha256[1]: {told}")]);
    let users = json!([{"username": "u", "bk_token_sha256": [zeros]}]);
    assert_eq!(of("users", users), [format!("users[0].bk_token_sha256[0]: {told}")]);
    let exempting = json!({"verified_user_required": false, "verified_user_exempted_apps": ["ci"]});
    let path = "routes.authentication.verified_user_exempted_apps";
    let routes = json!({"prefixes": [""], "authentication": exempting});
    assert_eq!(of("routes", routes), [format!("{path}: has no effect: no app needs a verified user here")]);
}

#[test]
fn a_limit_that_is_less_than_the_envoys_that_share_it_is_said() {
    let limits = |instances: u64| {
        json!({
            "instances": instances,
            "requests": {"per_second": 4}, "requests_per_stage": {"per_second": 0.5, "burst": 3},
            "requests_per_app": {"per_second": 100, "burst": 2}, "uploads_per_app": {"concurrent": 3},
        })
    };
    assert_eq!((of("limits", limits(1)), of("limits", limits(2))), (vec![], vec![]));
    assert_eq!(
        of("limits", limits(3)),
        [concat!(
            "limits.requests_per_app.burst: is less than limits.instances: no Envoy's share is below 1, ",
            "so 3 pass at once, not 2"
        )]
    );
    let paths: Vec<_> =
        of("limits", limits(5)).iter().map(|text| text.split(": ").next().unwrap().to_owned()).collect();
    let want = ["requests", "requests_per_stage.burst", "requests_per_app.burst", "uploads_per_app.concurrent"];
    assert_eq!(paths, want.map(|name| format!("limits.{name}")));
    assert!(of("limits", limits(5))[3].ends_with("so 5 pass at the same time, not 3"));
    assert_eq!(of("limits", json!({"instances": 9})), NONE, "nothing is shared");
}

#[test]
fn a_service_that_has_nothing_to_count_by_is_said() {
    let without = json!({"upload_rates": "service", "uploads_per_app": {"concurrent": 3}});
    let want = "limits.upload_rates: has no effect: there is no rate that the service could count by";
    assert_eq!(of("limits", without), [want]);
    assert_eq!(of("limits", json!({"upload_rates": "service", "requests_per_app": {"per_second": 1}})), NONE);
}

#[test]
fn a_grant_to_everybody_is_one_to_people_of_the_console() {
    let with_console = |grant: Value| {
        let mut document = document();
        document["routes"]["console"] = json!({"login_url": "/login/"});
        document["grants"] = json!([grant]);
        Policy::warnings(&document, NOW).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let wide = "grants[0].callers: is also everybody who signs in to the console: write `?*` for verified apps alone, or list `users`";
    assert_eq!(with_console(json!({"callers": ["*"], "targets": ["a"]})), [wide]);
    assert_eq!(with_console(json!({"callers": ["ci", "**"], "targets": ["a"], "users": ["x", "*"]})), [wide]);
    for meant in [
        json!({"callers": ["?*"], "targets": ["a"]}),
        json!({"callers": [""], "targets": ["a"]}),
        json!({"callers": ["*", ""], "targets": ["a"]}),
        json!({"callers": ["*"], "targets": ["a"], "users": ["anna"]}),
        json!({"callers": ["ci"], "targets": ["a"]}),
    ] {
        assert_eq!(with_console(meant.clone()), NONE, "{meant}");
    }
    assert_eq!(grants(json!([{"callers": ["*"], "targets": ["a"]}])), NONE);
}

#[test]
fn a_grant_to_people_alone_needs_a_stage_that_lets_them_in() {
    let grant = json!([{"callers": [""], "targets": ["a"]}]);
    let nobody = "grants[0].callers: matches nobody: every stage needs a verified app, and there is no console";
    assert_eq!(grants(grant.clone()), [nobody]);
    let mut document = document();
    document["grants"] = grant;
    document["routes"]["stages"] =
        json!([{"name": "people", "prefixes": ["/people"], "authentication": {"verified_app_required": false}}]);
    assert!(Policy::warnings(&document, NOW).unwrap().is_empty());
}
