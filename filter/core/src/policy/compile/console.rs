//! The console: a stage of its own, for people and their cookies.

use linkgate_contract::Patterns;

use super::{CONSOLE_STAGE, prefixes};
use crate::console::{Console, URL_PLACE};
use crate::policy::document::Console as ConsolePart;
use crate::policy::fault::Faults;
use crate::policy::{Authentication, Stage};

const MAX_LOGIN_URL: usize = 2_048;
const MAX_CONTACT: usize = 256;

pub(super) fn stage(part: &ConsolePart, seen: &mut Vec<linkgate_contract::PathPrefix>, faults: &mut Faults) -> Stage {
    const PREFIXES: &str = "routes.console.prefixes";
    if part.prefixes.is_empty() {
        faults.add(PREFIXES, "lists no prefix, so nothing would be served: leave it out for /console");
    }
    for (n, _) in part.prefixes.iter().enumerate().filter(|(_, prefix)| prefix.is_empty()) {
        faults
            .add(format!("{PREFIXES}[{n}]"), "must not be empty: below it would lie the prefixes of every other stage");
    }
    if let Err(fault) = check_login_url(&part.login_url) {
        faults.add("routes.console.login_url", fault);
    }
    if part.contact.as_deref().is_some_and(|contact| !is_contact(contact)) {
        faults.add("routes.console.contact", "must be 1 to 256 characters without line breaks, and not blank");
    }
    Stage {
        name: CONSOLE_STAGE.to_owned(),
        prefixes: prefixes(PREFIXES, &part.prefixes, seen, faults),
        authentication: Authentication {
            app_required: false,
            user_required: true,
            exempted_apps: Patterns::default(),
            from_query: false,
            from_body: false,
            only_cookies: true,
        },
        cors: None,
        console: Some(Console { login_url: part.login_url.clone(), contact: part.contact.clone() }),
    }
}

/// A page must not lead to a script, so the scheme is one of two, or that of the page.
fn check_login_url(text: &str) -> Result<(), &'static str> {
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let has_place = match rest {
        Some(rest) => rest.split(['/', '?', '#']).next().is_some_and(is_host),
        None => text.starts_with('/') && !text.starts_with("//"),
    };
    if !has_place {
        return Err("must be a URL with http:// or https://, or a path that begins with one `/`");
    }
    if text.len() > MAX_LOGIN_URL || !text.replacen(URL_PLACE, "", 1).bytes().all(plain) {
        return Err("must be at most 2048 characters that a URL may have, with `{url}` once at most");
    }
    Ok(())
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && !host.contains(['@', '{'])
}

fn is_contact(text: &str) -> bool {
    (1..=MAX_CONTACT).contains(&text.chars().count()) && !text.trim().is_empty() && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::policy::Policy;

    fn faults(routes: &Value) -> Vec<String> {
        let document = json!({"version": 1, "gateway": "g", "routes": routes});
        Policy::from_value(&document).map_or_else(|f| f.iter().map(ToString::to_string).collect(), |_| Vec::new())
    }

    fn console(part: &Value) -> Vec<String> {
        faults(&json!({"prefixes": [""], "console": part}))
    }

    #[test]
    fn the_console_is_off_unless_the_policy_has_it() {
        let document =
            |console: Value| json!({"version": 1, "gateway": "g", "routes": {"prefixes": [""], "console": console}});
        let off = json!({"version": 1, "gateway": "g", "routes": {"prefixes": [""]}});
        assert!(Policy::from_value(&off).unwrap().console.is_none());
        let on = Policy::from_value(&document(json!({"login_url": "/login/"}))).unwrap();
        let stage = on.console.as_ref().unwrap();
        assert_eq!((stage.name.as_str(), stage.prefixes[0].as_str(), on.stages.len()), ("console", "/console", 2));
        let rules = &stage.authentication;
        assert!(rules.only_cookies && rules.user_required && !rules.app_required && stage.cors.is_none());
        assert!(faults(&json!({"console": {"login_url": "/login/"}})).is_empty(), "alone");
    }

    #[test]
    fn a_login_url_leads_to_a_page() {
        for good in
            ["https://login.example.com", "http://login.example.com:8000/?c_url={url}", "/login/?to={url}#x", "/"]
        {
            assert_eq!(console(&json!({"login_url": good})), Vec::<String>::new(), "{good}");
        }
        let long = format!("/{}", "a".repeat(2_048));
        let bad = [
            ("", "must be a URL with http"),
            ("login", "must be a URL with http"),
            ("//evil.example", "must be a URL with http"),
            ("javascript:alert(1)", "must be a URL with http"),
            ("https://", "must be a URL with http"),
            ("https:///login", "must be a URL with http"),
            ("https://{url}", "must be a URL with http"),
            ("https://a@b", "must be a URL with http"),
            ("/a b", "must be at most 2048"),
            ("/\"", "must be at most 2048"),
            ("/é", "must be at most 2048"),
            ("/?{url}{url}", "must be at most 2048"),
            ("/?{page}", "must be at most 2048"),
            ("/\\evil.example", "must be at most 2048"),
            (&long, "must be at most 2048"),
        ];
        for (url, fault) in bad {
            let found = console(&json!({"login_url": url}));
            assert_eq!(found.len(), 1, "{url}: {found:?}");
            assert!(found[0].starts_with(&format!("routes.console.login_url: {fault}")), "{url}: {found:?}");
        }
    }

    #[test]
    fn every_other_fault_is_named_at_once() {
        let found = faults(&json!({
            "prefixes": ["/console"],
            "stages": [{"name": "console", "prefixes": ["/stag"]}],
            "console": {"login_url": "/", "contact": " ", "prefixes": ["/console", "", "pages"]},
        }));
        let paths: Vec<_> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
        let at = |key: &str| format!("routes.console.{key}");
        assert_eq!(paths[0], "routes.stages[0].name");
        assert_eq!(paths[1..], ["prefixes[1]", "contact", "prefixes[0]", "prefixes[2]"].map(at), "{found:?}");
        for contact in ["", "a\nb", &"x".repeat(257)] {
            assert_eq!(console(&json!({"login_url": "/", "contact": contact})).len(), 1, "{contact}");
        }
        assert_eq!(console(&json!({"login_url": "/", "prefixes": []})).len(), 1);
        assert_eq!(console(&json!({})).len(), 1);
        assert_eq!(console(&json!({"login_url": "/", "cors": {}})).len(), 1);
    }
}
