//! The console: pages for people whom a cookie names, and nothing for pages of other sites.

use super::*;

const LIST: &str = "/console/bkapps/applications/";
const PACKAGES: &str = "/console/bkapps/applications/app_code/modules/default/source_package/";
const COOKIE: &str = "a=b; bk_token=t0ken; blueking_language=en";

fn console_document() -> Value {
    let mut document = document();
    document["routes"]["console"] =
        json!({"login_url": "https://login.example.com/?c_url={url}", "contact": "ops@example.com"});
    document
}

fn changed(change: impl Fn(&mut Value)) -> Gate {
    let mut document = console_document();
    change(&mut document);
    gate_of(&document, &worker())
}

/// A browser's request for a page; a test changes one thing.
struct Browser(Vec<(String, Vec<u8>)>);

impl Browser {
    fn asking(method: &str, path: &str) -> Self {
        let accept = "text/html,application/xhtml+xml,*/*;q=0.8";
        let pairs = [
            (":method", method),
            (":path", path),
            (":authority", "gw.example.com"),
            (":scheme", "https"),
            ("accept", accept),
            ("cookie", COOKIE),
            ("x-request-id", "id-1"),
        ];
        Self(pairs.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec())
    }

    fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    fn but(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).with(name, value)
    }

    fn send(&self, gate: &Gate, body: &[u8]) -> Verdict {
        let pairs: Pairs<'_> = self.0.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
        judge(gate, &pairs, body)
    }
}

fn forwarded(verdict: Verdict) -> Forward {
    match verdict {
        Verdict::Allow(forward) => forward,
        other => panic!("{:?}", refused(other).reply),
    }
}

fn header<'a>(headers: &'a [(&'static str, String)], wanted: &str) -> Option<&'a str> {
    headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
}

fn is_page(reply: &Reply) -> bool {
    header(&reply.headers, "content-type") == Some("text/html; charset=utf-8")
}

#[test]
fn a_page_goes_on_for_whom_the_cookie_names() {
    let gate = changed(|_| ());
    let forward = forwarded(Browser::asking("GET", PACKAGES).with("x-csrf-token", "c").send(&gate, b""));
    assert_eq!(forward.set[0].1, PACKAGES.strip_prefix("/console").unwrap());
    assert_eq!(header(&forward.set, headers::LANGUAGE), Some("en"));
    assert!(forward.remove.contains(&"cookie".to_owned()) && !forward.remove.contains(&"x-csrf-token".to_owned()));
    let claims = claims_of(&forward);
    assert_eq!((&claims["app"]["verified"], &claims["user"]["username"]), (&json!(false), &json!("admin")));
    let console = json!({"actions": ["upload", "read"], "contact": "ops@example.com"});
    assert_eq!((&claims["linkgate"]["console"], &claims["linkgate"]["target"]), (&console, &json!("app_code/default")));
    let Record { app, user, stage, operation, .. } = &forward.record;
    assert_eq!([app, user, stage, *operation], ["", "admin", "console", "list_source_packages"]);
    let list = claims_of(&forwarded(Browser::asking("GET", LIST).send(&gate, b"")));
    assert_eq!(list["linkgate"]["console"], json!({"contact": "ops@example.com"}));
    assert_eq!(list["linkgate"]["grants"]["list"][0]["targets"], json!(["*"]));
}

#[test]
fn other_stages_say_nothing_of_the_console() {
    let gate = changed(|_| ());
    let forward = forwarded(judge(&gate, &pairs(), BODY.as_bytes()));
    assert_eq!(claims_of(&forward)["linkgate"]["console"], Value::Null);
    assert_eq!(header(&forward.set, headers::LANGUAGE), None);
}

#[test]
fn the_language_is_that_of_the_header_then_of_the_cookie_then_the_browsers() {
    let gate = changed(|_| ());
    let language = |browser: Browser| {
        let forward = forwarded(browser.send(&gate, b""));
        header(&forward.set, headers::LANGUAGE).map(str::to_owned)
    };
    let browser = || Browser::asking("GET", LIST).with("accept-language", "en");
    assert_eq!(language(browser().with("blueking-language", "zh-cn")).as_deref(), Some("zh-cn"));
    assert_eq!(language(browser().but("cookie", "bk_token=t0ken; blueking_language=zh-cn")).as_deref(), Some("zh-cn"));
    assert_eq!(language(browser().but("cookie", "bk_token=t0ken")).as_deref(), Some("en"));
    assert_eq!(language(Browser::asking("GET", LIST).but("cookie", "bk_token=t0ken")).as_deref(), Some("zh-cn"));
}

#[test]
fn only_cookies_say_who_looks() {
    let gate = changed(|document| {
        document["routes"]["authentication"] = json!({"credentials_from": ["header", "query", "body"]});
    });
    let stranger = || Browser::asking("GET", LIST).without("cookie");
    let good = r#"{"bk_app_code": "apigw-api-test", "bk_app_secret": "s3cret", "bk_token": "t0ken"}"#;
    let asked = format!("{LIST}?bk_token=t0ken&bk_app_code=apigw-api-test&bk_app_secret=s3cret");
    for browser in [
        stranger(),
        stranger().with("x-bkapi-authorization", good),
        stranger().but(":path", asked),
        stranger().with("cookie", "bk_token=wrong"),
    ] {
        let Denial { reply, record } = refused(browser.send(&gate, b""));
        assert_eq!((reply.status, record.decision, is_page(&reply)), (401, "INVALID_ARGS", true));
        assert!(reply.body.contains("https://login.example.com/?c_url=https%3A%2F%2Fgw.example.com%2Fconsole%2F"));
    }
    let post =
        Browser::asking("POST", &format!("{PACKAGES}link/")).without("cookie").with("origin", "https://gw.example.com");
    let body = format!(r#"{{"bk_token": "t0ken", "package_url": "{}"}}"#, "https://example.com/a.tgz");
    let reply = refused(post.with("content-type", "application/json").send(&gate, body.as_bytes())).reply;
    assert_eq!((reply.status, is_page(&reply)), (401, false));
}

#[test]
fn programs_of_a_page_are_denied_as_programs_are() {
    let gate = changed(|_| ());
    let reply =
        refused(Browser::asking("GET", LIST).without("cookie").but("accept", "application/json").send(&gate, b""))
            .reply;
    assert_eq!(
        (reply.status, message(&reply).as_str()),
        (
            401,
            "Parameters error [reason=\"user authentication failed, please provide a valid user identity, such as bk_username, bk_token, access_token\"]"
        )
    );
    assert_eq!(header(&reply.headers, "x-bkapi-error-code"), Some("1640001"));
    let api = refused(judge(
        &gate,
        &vec![(b":method", b"GET"), (b":path", b"/bkapps/applications/"), (b"accept", b"text/html")],
        b"",
    ));
    assert_eq!((api.reply.status, is_page(&api.reply)), (400, false), "the API has no pages");
}

#[test]
fn every_denial_on_the_console_is_a_page_for_who_looks() {
    let no_grants = changed(|document| document["grants"] = json!([]));
    let reply = refused(Browser::asking("GET", LIST).send(&no_grants, b"")).reply;
    assert_eq!((reply.status, is_page(&reply)), (403, true));
    assert!(reply.body.contains("signed in as admin") && reply.body.contains("ops@example.com"), "{}", reply.body);
    let gate = changed(|_| ());
    let status = |path: &str| {
        let reply = refused(Browser::asking("GET", path).send(&gate, b"")).reply;
        assert!(is_page(&reply), "{path}: {}", reply.body);
        (reply.status, reply.body.matches("../").count())
    };
    assert_eq!(status("/console/elsewhere"), (404, 0));
    assert_eq!(status("/console/a/b/c"), (404, 4), "style sheet and first page lie two folders above");
    assert_eq!(status(&format!("{LIST}?{}", "a".repeat(512))).0, 414);
    let limited = changed(|document| document["limits"]["requests"] = json!({"per_second": 0.001, "burst": 1}));
    forwarded(Browser::asking("GET", LIST).send(&limited, b""));
    let reply = refused(Browser::asking("GET", LIST).send(&limited, b"")).reply;
    assert!(reply.status == 429 && is_page(&reply) && header(&reply.headers, "retry-after").is_some());
    let restricted = changed(|document| document["restrictions"] = json!({"users": {"deny": ["admin"]}}));
    let reply = refused(Browser::asking("GET", LIST).send(&restricted, b"")).reply;
    assert_eq!((reply.status, is_page(&reply)), (403, true));
    let outside = refused(Browser::asking("GET", "/consoles/").send(&gate, b"")).reply;
    assert_eq!((outside.status, is_page(&outside)), (404, false));
}

#[test]
fn without_a_console_nothing_is_there() {
    let gate = gate();
    for path in ["/console", "/console/", LIST, "/console/assets/console.css"] {
        let Denial { reply, record } = refused(Browser::asking("GET", path).send(&gate, b""));
        assert_eq!((reply.status, is_page(&reply), record.rule.as_str()), (404, false, "routes"), "{path}");
    }
}

#[test]
fn the_bare_prefix_leads_to_the_first_page() {
    let gate = changed(|document| document["routes"]["console"]["prefixes"] = json!(["/console", "/a/pages"]));
    for (path, status, location) in [
        ("/console", 308, "console/"),
        ("/console/", 302, "bkapps/applications/"),
        ("/a/pages?x=1", 308, "pages/"),
        ("/a/pages/", 302, "bkapps/applications/"),
    ] {
        let Denial { reply, record } = refused(Browser::asking("GET", path).without("cookie").send(&gate, b""));
        assert_eq!((reply.status, header(&reply.headers, "location")), (status, Some(location)), "{path}");
        assert_eq!((record.decision, record.stage.as_str()), ("REDIRECT", "console"));
    }
    for method in ["POST", "PUT", "OPTIONS"] {
        assert_eq!(refused(Browser::asking(method, "/console/").send(&gate, b"")).reply.status, 404, "{method}");
    }
    let restricted = changed(|document| document["restrictions"] = json!({"client_ips": {"allow": ["10.0.0.0/8"]}}));
    assert_eq!(refused(Browser::asking("GET", "/console/").send(&restricted, b"")).reply.status, 404);
}

#[test]
fn assets_are_for_everybody_and_take_nothing_of_the_request_along() {
    let gate = changed(|_| ());
    let browser = || Browser::asking("GET", "/console/assets/console.css?bk_token=t0ken").with("x-bkapi-jwt", "forged");
    let forward = forwarded(browser().without("cookie").send(&gate, b""));
    assert_eq!(forward.set[0], (":path", "/console/assets/console.css".to_owned()));
    assert!(header(&forward.set, headers::JWT).is_none() && forward.remove.contains(&headers::JWT.to_owned()));
    assert!(forwarded(browser().send(&gate, b"")).remove.contains(&"cookie".to_owned()));
    for path in
        ["/console/assets/", "/console/assets/..", "/console/assets/a/b", "/console/assets/%2e", "/assets/a.css"]
    {
        assert_eq!(refused(Browser::asking("GET", path).send(&gate, b"")).reply.status, 404, "{path}");
    }
    assert_eq!(refused(Browser::asking("POST", "/console/assets/a.css").send(&gate, b"x")).reply.status, 404);
    assert_eq!(refused(browser().send(&gate, b"x")).reply.status, 404, "a style sheet takes no body");
}

/// The decision and status of a request that would delete a package.
fn deletes(gate: &Gate, headers: &[(&str, &str)]) -> (u16, &'static str) {
    let mut browser = Browser::asking("DELETE", &format!("{PACKAGES}7/")).but("accept", "application/json");
    for (name, value) in headers {
        browser = browser.with(name, value);
    }
    match browser.send(gate, b"") {
        Verdict::Allow(forward) => (200, forward.record.decision),
        other => {
            let Denial { reply, record } = refused(other);
            (reply.status, record.decision)
        }
    }
}

fn deleting_gate(change: impl Fn(&mut Value)) -> Gate {
    changed(|document| {
        document["grants"][0]["actions"] = json!("*");
        change(document);
    })
}

#[test]
fn a_page_of_this_host_may_change_something() {
    let gate = deleting_gate(|_| ());
    for good in [
        &[("origin", "https://gw.example.com")][..],
        &[("origin", "https://gw.example.com:443")],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://gw.example.com"), ("sec-fetch-site", "same-origin")],
    ] {
        assert_eq!(deletes(&gate, good), (200, "OK"), "{good:?}");
    }
}

#[test]
fn no_page_of_another_site_changes_anything() {
    let gate = deleting_gate(|_| ());
    for bad in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "")],
        &[("origin", "gw.example.com")],
        &[("origin", "https://evil.example")],
        &[("origin", "https://a.gw.example.com")],
        &[("origin", "https://example.com")],
        &[("origin", "https://gw.example.com.evil.example")],
        &[("origin", "https://gw.example.com:8443")],
        &[("origin", "https://gw.example.com:80")],
        &[("origin", "http://gw.example.com")],
        &[("origin", "file://gw.example.com")],
        &[("origin", "https://user@gw.example.com")],
        &[("origin", "https://gw.example.com/")],
        &[("origin", "https://gw.example.com, https://evil.example")],
        &[("origin", "https://gw.example.com"), ("origin", "https://evil.example")],
        &[("origin", "https://gw.example.com"), ("origin", "https://gw.example.com")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "Same-Origin")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://gw.example.com"), ("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
    ] {
        assert_eq!(deletes(&gate, bad), (403, "CROSS_SITE_FORBIDDEN"), "{bad:?}");
    }
    let denial =
        Browser::asking("DELETE", &format!("{PACKAGES}7/")).with("origin", "https://evil.example").send(&gate, b"");
    let Denial { reply, record } = refused(denial);
    let expected = "Cross site forbidden [reason=\"the page that sends this request is of another origin, please send it from a page of this host\"]";
    assert_eq!(
        (message(&reply).as_str(), record.rule.as_str(), record.user.as_str()),
        (expected, "cross_site", "admin")
    );
}

#[test]
fn the_scheme_counts_where_it_is_known() {
    let gate = deleting_gate(|_| ());
    let behind_a_proxy = |origin: &str| {
        let browser = Browser::asking("DELETE", &format!("{PACKAGES}7/")).but(":scheme", "http").with("origin", origin);
        matches!(browser.send(&gate, b""), Verdict::Allow(_))
    };
    assert!(behind_a_proxy("https://gw.example.com") && behind_a_proxy("http://gw.example.com"));
    assert!(!behind_a_proxy("https://other.example.com") && !behind_a_proxy("http://gw.example.com:8080"));
    let nameless = Browser::asking("DELETE", &format!("{PACKAGES}7/")).without(":authority").with("origin", "https://");
    assert!(matches!(nameless.send(&gate, b""), Verdict::Deny(_)));
}

#[test]
fn to_read_takes_no_origin() {
    let gate = changed(|_| ());
    forwarded(Browser::asking("GET", LIST).with("sec-fetch-site", "cross-site").send(&gate, b""));
    forwarded(Browser::asking("HEAD", LIST).with("origin", "https://evil.example").send(&gate, b""));
}

#[test]
fn on_other_stages_a_cookie_counts_for_no_other_site_unless_cors_lets_it_act() {
    let gate = deleting_gate(|document| {
        document["routes"]["authentication"] = json!({"verified_app_required": false});
        document["routes"]["cors"] = json!({"allow_origins": ["https://page.example"], "allow_credentials": true});
    });
    let path = PACKAGES.strip_prefix("/console").unwrap();
    let delete = |authorization: &str, cookie: &str, headers: &[(&str, &str)]| {
        let mut browser = Browser::asking("DELETE", &format!("{path}7/"))
            .but("cookie", cookie)
            .with("x-bkapi-authorization", authorization);
        for (name, value) in headers {
            browser = browser.with(name, value);
        }
        match browser.send(&gate, b"") {
            Verdict::Allow(_) => 200,
            other => refused(other).reply.status,
        }
    };
    let (evil, friend) =
        ([("origin", "https://evil.example")], [("origin", "https://page.example"), ("sec-fetch-site", "cross-site")]);
    assert_eq!(delete("{}", COOKIE, &evil), 403);
    assert_eq!(delete("{}", COOKIE, &[("sec-fetch-site", "same-site")]), 403);
    assert_eq!(delete("{}", COOKIE, &friend), 200);
    assert_eq!(delete("{}", COOKIE, &[("origin", "https://gw.example.com")]), 200);
    assert_eq!(delete("{}", COOKIE, &[]), 200, "no browser, and no page could send this header");
    assert_eq!(delete(r#"{"bk_token": "t0ken"}"#, "a=b", &evil), 200, "the caller itself says who it is");
    let app = r#"{"bk_app_code": "apigw-api-test", "bk_app_secret": "s3cret"}"#;
    assert_eq!(delete(app, COOKIE, &evil), 200, "the app vouches for it");
}

#[test]
fn a_grant_can_be_for_people_alone_or_for_apps_alone() {
    let judged = |callers: &str| {
        let gate = changed(|document| document["grants"][0]["callers"] = json!([callers]));
        let page = matches!(Browser::asking("GET", LIST).send(&gate, b""), Verdict::Allow(_));
        (page, matches!(judge(&gate, &pairs(), BODY.as_bytes()), Verdict::Allow(_)))
    };
    assert_eq!(judged(""), (true, false));
    assert_eq!(judged("?*"), (false, true));
    assert_eq!(judged("*"), (true, true));
}
