//! What changes, one thing at a time, and what is no change.

use serde_json::{Value, json};

use crate::policy::Policy;

fn document() -> Value {
    json!({
        "version": 1,
        "gateway": "linkgate",
        "routes": {
            "prefixes": ["", "/a"],
            "stages": [{"name": "prod", "prefixes": ["/prod"], "authentication": {"verified_user_exempted_apps": ["ci"]}}],
        },
        "identity": {"bkauth": {"cluster": "bkauth"}},
        "packages": {"allowed_hosts": ["a.com", "b.com"], "hosts": [{"host": "c.com", "targets": ["shop"]}]},
        "grants": [
            {"name": "ci", "callers": ["ci-1"], "targets": ["shop"], "until": "2030-01-01T00:00:00Z"},
            {"callers": ["x"], "targets": ["y"]},
        ],
        "limits": {"requests_per_app": {"per_second": 5, "burst": 10}},
        "clients": [{"app_code": "ci", "secret_sha256": ["a".repeat(64)]}],
        "users": [{"username": "anna", "bk_ticket_sha256": ["2".repeat(64)]}],
    })
}

/// `+` gains, `-` loses, `~` changes.
fn between(old: &Value, new: &Value) -> Vec<String> {
    let difference = Policy::difference(old, new).unwrap();
    let marked = |mark: char, list: &[String]| list.iter().map(|text| format!("{mark} {text}")).collect::<Vec<_>>();
    let all =
        [marked('+', &difference.gains), marked('-', &difference.loses), marked('~', &difference.changes)].concat();
    assert_eq!(difference.is_empty(), all.is_empty());
    all
}

fn to(change: impl Fn(&mut Value)) -> Vec<String> {
    let mut new = document();
    change(&mut new);
    between(&document(), &new)
}

fn from(change: impl Fn(&mut Value)) -> Vec<String> {
    let mut old = document();
    change(&mut old);
    between(&old, &document())
}

const NONE: [&str; 0] = [];

#[test]
fn order_defaults_and_spelling_are_no_difference() {
    let same = to(|d| {
        d["routes"]["prefixes"] = json!(["/a", ""]);
        d["routes"]["authentication"] = json!({"verified_app_required": true, "credentials_from": ["header"]});
        d["identity"]["bkauth"]["authority"] = json!("bkauth");
        d["identity"]["timeout_ms"] = json!(5_000);
        d["packages"]["allowed_hosts"] = json!(["B.com"]);
        d["packages"]["hosts"] = json!([{"host": "c.com", "targets": ["shop"]}, {"host": "a.com"}]);
        d["grants"] = json!([
            {"callers": ["x"], "users": ["*"], "targets": ["y"]},
            {"name": "ci", "callers": ["ci-1"], "targets": ["shop"], "until": "2030-01-01T00:00:00.0Z"},
        ]);
        d["limits"]["body_bytes"] = json!(65_536);
        d["clients"][0]["secret_sha256"] = json!(["A".repeat(64)]);
    });
    assert_eq!(same, NONE);
}

#[test]
fn a_wrong_policy_has_faults() {
    assert_eq!(Policy::difference(&json!([]), &document()).unwrap_err().len(), 1);
    assert_eq!(Policy::difference(&document(), &json!([])).unwrap_err().len(), 1);
}

#[test]
fn clients_and_users_come_and_go_without_their_digests() {
    let more = |d: &mut Value| {
        d["clients"] = json!([
            {"app_code": "ci", "secret_sha256": ["a".repeat(64), "b".repeat(64)]},
            {"app_code": "web", "secret_sha256": ["c".repeat(64)]},
        ]);
        d["users"] = json!([
            {"username": "anna", "bk_token_sha256": ["2".repeat(64)]},
            {"username": "bob", "bk_token_sha256": ["3".repeat(64)]},
        ]);
    };
    let changed = ["~ the secrets of client `ci` changed", "~ the logins of user `anna` changed"];
    assert_eq!(to(more), [["+ client `web` is listed", "+ user `bob` is listed"], changed].concat());
    assert_eq!(
        from(more),
        [["- client `web` is no longer listed", "- user `bob` is no longer listed"], changed].concat()
    );
}

#[test]
fn grants_are_known_by_name_or_by_what_they_say() {
    let found = to(|d| {
        d["grants"] = json!([
            {"name": "ci", "callers": ["ci-*"], "targets": ["other"], "users": ["anna"]},
            {"callers": ["x"], "targets": ["z"], "modules": ["m"], "mode": "report"},
        ]);
    });
    assert_eq!(
        found,
        [
            "+ grant `ci` covers callers `ci-*`",
            "+ grant `ci` covers targets `other`",
            "+ grant `ci` ends never instead of 2030-01-01T00:00:00Z",
            "+ a grant: callers `x` may upload and read for targets `z`, modules `m`, report-only",
            "- grant `ci` does not cover targets `shop` any more",
            "- grant `ci` does not cover users `*` any more",
            "- a grant: callers `x` may upload and read for targets `y`",
        ]
    );
    let found = to(|d| {
        d["grants"][0]["mode"] = json!("report");
        d["grants"][0]["until"] = json!("2029-01-01T00:00:00Z");
    });
    assert_eq!(
        found,
        [
            "- grant `ci` ends 2029-01-01T00:00:00Z instead of 2030-01-01T00:00:00Z",
            "~ grant `ci` is report-only: what only it allows still passes and is reported",
        ]
    );
}

#[test]
fn actions_are_gained_and_lost() {
    let changed = |d: &mut Value| d["grants"][0]["actions"] = json!(["read", "delete", "restore"]);
    assert_eq!(
        to(changed),
        ["+ grant `ci` lets its callers delete and restore", "- grant `ci` does not let its callers upload any more"]
    );
    assert_eq!(to(|d| d["grants"][0]["actions"] = json!(["read", "upload"])), NONE, "that is the default");
    let all = to(|d| d["grants"][1]["actions"] = json!("*"));
    let sentence = |what: &str| format!("a grant: callers `x` may {what} for targets `y`");
    assert_eq!(all, [format!("+ {}", sentence("do everything")), format!("- {}", sentence("upload and read"))]);
}

#[test]
fn prefixes_move_and_stages_ask_for_more_or_less() {
    let changed = |d: &mut Value| {
        d["routes"] = json!({
            "prefixes": ["", "/new"],
            "authentication": {"verified_app_required": false, "credentials_from": ["header", "query"]},
            "stages": [{"name": "prod", "prefixes": ["/prod", "/a"], "authentication": {"verified_user_required": false}}],
        });
    };
    assert_eq!(
        to(changed),
        [
            "+ stage `default` takes callers without a verified app",
            "+ stage `default` takes credentials from `query`",
            "+ prefix \"/a\" takes callers without a verified user",
            "+ prefix \"/new\" is served, by stage `default`, to callers with a verified user",
            "+ stage `prod` takes callers without a verified user",
            "- stage `prod` no longer exempts apps `ci` from a verified user",
            "~ prefix \"/a\" belongs to stage `prod` instead of `default`",
        ]
    );
    assert!(from(changed).contains(&"- prefix \"/new\" is not served any more".to_owned()));
    assert!(from(changed).contains(&"- stage `default` takes only callers with a verified app".to_owned()));
}

#[test]
fn hosts_and_the_checksum_are_compared_with_their_conditions() {
    let changed = |d: &mut Value| {
        d["packages"] = json!({
            "allowed_hosts": ["a.com", "d.com"],
            "hosts": [
                {"host": "b.com", "mode": "report"},
                {"host": "c.com", "targets": ["shop-*", "other"], "allow_private_addresses": true},
                {"host": "e.com", "targets": ["x"], "allow_private_addresses": true, "mode": "report"},
            ],
            "sha256": "required",
            "allow_unknown_formats": ["tool-*"],
        });
    };
    assert_eq!(
        to(changed),
        [
            "+ links to `c.com` for targets `other`, `shop-*`",
            "+ links to `c.com` at private addresses",
            "+ links to `d.com`",
            "+ links to `e.com`, for targets `x`, at private addresses too, report-only",
            "+ targets `tool-*` may have packages of unknown formats",
            "- links to `c.com` for targets `shop`",
            "- packages without `sha256` are refused",
            "~ links to `b.com` are report-only: they pass and are reported",
        ]
    );
    assert!(from(changed).contains(&"+ packages without `sha256` are taken".to_owned()));
    assert!(from(changed).contains(&"~ links to `b.com` are not report-only any more".to_owned()));
    let no_more = "- targets `tool-*` may not have packages of unknown formats any more".to_owned();
    assert!(from(changed).contains(&no_more));
    assert_eq!(to(|d| d["packages"]["sha256"] = json!("report")), ["~ packages without `sha256` are reported"]);
}

#[test]
fn credentials_of_hosts_are_gained_and_lost() {
    let changed = |d: &mut Value| {
        d["packages"]["hosts"] = json!([
            {"host": "c.com", "targets": ["shop"], "credential": "nexus", "allow_caller_credential": true},
            {"host": "f.com", "targets": ["x"], "credential": "nexus", "allow_caller_credential": true},
        ]);
    };
    let own = "links to `c.com` with credentials of callers";
    assert_eq!(
        to(changed),
        [
            "+ links to `c.com` with the credential `nexus`",
            &format!("+ {own}"),
            "+ links to `f.com`, for targets `x`, with the credential `nexus`, with credentials of callers",
        ]
    );
    assert!(from(changed).contains(&"- links to `c.com` with the credential `nexus`".to_owned()));
    assert!(from(changed).contains(&format!("- {own}")));
}

#[test]
fn restrictions_take_away_and_give_back() {
    let some = |d: &mut Value| {
        d["restrictions"] = json!({
            "client_ips": {"allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16"]}, "users": {"deny": ["bob"], "mode": "report"},
        });
    };
    assert_eq!(
        to(some),
        [
            "- client addresses other than `10.0.0.0/8` are refused",
            "- client addresses `10.1.0.0/16` are denied",
            "- users `bob` are denied",
            "~ restrictions on users are only reported for now",
        ]
    );
    assert_eq!(
        from(some),
        [
            "+ client addresses other than `10.0.0.0/8` are allowed",
            "+ client addresses `10.1.0.0/16` are not denied any more",
            "+ users `bob` are not denied any more",
        ]
    );
    let (mut old, mut new) = (document(), document());
    old["restrictions"] = json!({"users": {"allow": ["anna", "bob"]}});
    new["restrictions"] = json!({"users": {"allow": ["a*", "carl"], "mode": "report"}});
    assert_eq!(
        between(&old, &new),
        [
            "+ users `a*`, `carl` are allowed",
            "+ restrictions on users are only reported",
            "- users `bob` are not allowed any more",
        ]
    );
}

#[test]
fn limits_are_raised_and_lowered() {
    let found = to(|d| {
        d["limits"] = json!({
            "body_bytes": 1_024, "uri_bytes": 9_000,
            "requests": {"per_second": 0.5},
            "requests_per_stage": {"per_second": 9, "mode": "report"},
            "requests_per_app": {"per_second": 6, "burst": 10},
            "uploads_per_app": {"concurrent": 2},
        });
    });
    assert_eq!(
        found,
        [
            "+ paths with their query may have 9000 bytes instead of 8192",
            "+ requests of each app: 6 a second and 10 at once instead of 5 a second and 10 at once",
            "- bodies may have 1024 bytes instead of 65536",
            "- requests of all callers are limited to 0.5 a second and 1 at once",
            "- uploads of each app are limited to 2 at the same time",
            "~ requests of each stage over 9 a second and 9 at once are reported",
        ]
    );
    let app = |limit: Value| to(|d| d["limits"]["requests_per_app"] = limit.clone());
    let text = |now: &str| format!("requests of each app: {now} instead of 5 a second and 10 at once");
    let mixed = json!({"per_second": 9, "burst": 9});
    assert_eq!(app(mixed), [format!("~ {}", text("9 a second and 9 at once"))]);
    assert_eq!(app(json!({"per_second": 4, "burst": 10})), [format!("- {}", text("4 a second and 10 at once"))]);
    let reported = json!({"per_second": 5, "burst": 10, "mode": "report"});
    assert_eq!(app(reported), ["+ requests of each app over the limit are only reported"]);
    assert_eq!(to(|d| d["limits"] = json!({})), ["+ requests of each app are not limited any more"]);
}

#[test]
fn identity_services_and_keys_are_compared_without_the_keys() {
    let key = crate::keys::testing::ed25519;
    let changed = |d: &mut Value| {
        d["gateway"] = json!("other");
        d["identity"] = json!({
            "bkauth": {"cluster": "bkauth", "authority": "bkauth.internal"},
            "login": {"cluster": "login", "multi_tenant": true},
            "ticket": {"cluster": "ticket", "path": "/is_login/"},
            "timeout_ms": 1_000,
            "jwt_keys": [{"kid": "k", "public_key": key(1).public}],
            "inner_jwt_kid": "k",
            "tenant_id": "system",
        });
    };
    assert_eq!(
        to(changed),
        [
            "+ identity service `login` is asked: cluster `login`, authority `login`, with tenants",
            "+ identity service `ticket` is asked: cluster `ticket`, authority `ticket`, path `/is_login/`",
            "+ tokens of gateway `k` are trusted",
            "+ an `inner_jwt` of gateway `k` is trusted",
            "- only apps and users of tenant `system` are served",
            "~ tokens for the store are signed as `other` instead of `linkgate`: the store must know that name",
            "~ identity service `bkauth`: cluster `bkauth`, authority `bkauth.internal` instead of cluster `bkauth`, authority `bkauth`",
            "~ identity services have 1000 ms to answer instead of 5000 ms",
        ]
    );
    assert_eq!(to(|d| d["identity"] = json!({})), ["- identity service `bkauth` is not asked any more"]);
    let (mut old, mut new) = (document(), document());
    changed(&mut old);
    changed(&mut new);
    new["identity"]["jwt_keys"][0]["public_key"] = json!(key(2).public);
    assert_eq!(between(&old, &new), ["~ the public keys of gateway `k` changed"]);
    new = old.clone();
    new["identity"]["tenant_id"] = json!("other");
    assert_eq!(between(&old, &new), ["~ apps and users of tenant `other` are served instead of those of `system`"]);
    new["identity"].as_object_mut().unwrap().remove("tenant_id");
    assert_eq!(between(&old, &new), ["+ apps and users of other tenants than `system` are served"]);
}

#[test]
fn pages_of_other_sites_gain_and_lose() {
    let with = |cors: Value| {
        let mut document = document();
        document["routes"]["cors"] = cors;
        document
    };
    let (one, more) = (json!(["https://a.example"]), json!(["https://a.example", "https://*.b.example"]));
    let old = with(json!({"allow_origins": one}));
    assert_eq!(
        to(|d| d["routes"]["cors"] = json!({"allow_origins": one})),
        ["+ stage `default` lets pages of `https://a.example` call"]
    );
    assert_eq!(between(&old, &document()), ["- stage `default` no longer lets pages of `https://a.example` call"]);
    let new = with(json!({"allow_origins": more, "allow_credentials": true, "max_age_s": 60}));
    assert_eq!(
        between(&old, &new),
        [
            "+ stage `default` lets pages of `https://*.b.example` call",
            "+ stage `default` takes cookies with calls of other sites' pages",
            "~ stage `default` tells browsers of other headers, or for another time",
        ]
    );
    let headers = crate::policy::compile::cors::ALLOW_HEADERS.to_ascii_uppercase();
    let headers: Vec<&str> = headers.split(", ").collect();
    assert_eq!(
        between(&old, &with(json!({"allow_origins": one, "allow_headers": headers, "max_age_s": 600}))),
        [""; 0]
    );
}

#[test]
fn envoys_that_share_the_limits_come_and_go() {
    let three = |d: &mut Value| d["limits"]["instances"] = json!(3);
    assert_eq!(to(three), ["~ each Envoy lets 1/3 of every limit through instead of all"]);
    assert_eq!(from(three), ["~ each Envoy lets all of every limit through instead of 1/3"]);
    assert_eq!(to(|d| d["limits"]["instances"] = json!(1)), NONE);
}

#[test]
fn who_counts_uploads_is_said() {
    let service = |d: &mut Value| d["limits"]["upload_rates"] = json!("service");
    assert_eq!(to(service), ["~ rates of new uploads are counted by the service, no longer by each Envoy"]);
    assert_eq!(from(service), ["~ rates of new uploads are counted by each Envoy, no longer by the service"]);
    assert_eq!(to(|d| d["limits"]["upload_rates"] = json!("gate")), NONE);
}

#[test]
fn a_console_is_a_stage_for_people() {
    let console = |login_url: &str, contact: Option<&str>| json!({"login_url": login_url, "contact": contact});
    let on = |d: &mut Value| d["routes"]["console"] = console("/login/", None);
    assert_eq!(to(on), ["+ prefix \"/console\" is served, by stage `console`, to callers with a verified user"]);
    assert_eq!(from(on), ["- prefix \"/console\" is not served any more"]);
    let (mut old, mut new) = (document(), document());
    old["routes"]["console"] = console("/login/", None);
    new["routes"]["console"] = console("/login/?to={url}", Some("ops"));
    let expected = [
        "~ the console sends people to sign in to /login/?to={url} instead of /login/",
        "~ the console names ops as whom to ask",
    ];
    assert_eq!(between(&old, &new), expected);
    assert_eq!(between(&new, &new), NONE);
}
