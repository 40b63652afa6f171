//! Where the API is served, and what callers must show there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Difference, beyond, cors, quoted};
use crate::policy::compile::{CONSOLE_STAGE, DEFAULT_STAGE};
use crate::policy::document::{Authentication, Console, Cors, Place, Routes};

/// By prefix: the stage's name, what it asks of callers, and which pages of other sites may call.
type Served<'a> = BTreeMap<&'a str, (&'a str, Rules<'a>)>;
type Rules<'a> = (&'a Authentication, Option<&'a Cors>);

pub(super) fn compare(old: &Routes, new: &Routes, found: &mut Difference) {
    if old.error_detail != new.error_detail {
        let detail = if new.error_detail { "have" } else { "do not have" };
        found.change(format!("errors in the gateway's form {detail} `detail`"));
    }
    console(old.console.as_ref(), new.console.as_ref(), found);
    let (old, new) = (served(old), served(new));
    let mut stages = BTreeSet::new();
    for (prefix, (stage, rules)) in &new {
        match old.get(prefix) {
            None => {
                let needs = needs(rules.0);
                found.gain(format!("prefix {prefix:?} is served, by stage `{stage}`, to callers with {needs}"));
                cors::compare(&format!("prefix {prefix:?}"), None, rules.1, found);
            }
            Some((was, old_rules)) if was == stage => {
                if stages.insert(*stage) {
                    compare_rules(&format!("stage `{stage}`"), *old_rules, *rules, found);
                }
            }
            Some((was, old_rules)) => {
                found.change(format!("prefix {prefix:?} belongs to stage `{stage}` instead of `{was}`"));
                compare_rules(&format!("prefix {prefix:?}"), *old_rules, *rules, found);
            }
        }
    }
    for prefix in old.keys().filter(|prefix| !new.contains_key(*prefix)) {
        found.lose(format!("prefix {prefix:?} is not served any more"));
    }
}

fn served(routes: &Routes) -> Served<'_> {
    let default = (&routes.authentication, routes.cors.as_ref());
    let default = routes.prefixes.iter().map(|prefix| (prefix.as_str(), (DEFAULT_STAGE, default)));
    let stages = routes.stages.iter().flat_map(|stage| {
        let rules = (&stage.authentication, stage.cors.as_ref());
        stage.prefixes.iter().map(move |prefix| (prefix.as_str(), (stage.name.as_str(), rules)))
    });
    let console = routes.console.iter().flat_map(|console| {
        let rules = (&console.authentication, None);
        console.prefixes.iter().map(move |prefix| (prefix.as_str(), (CONSOLE_STAGE, rules)))
    });
    default.chain(stages).chain(console).collect()
}

/// What pages say; that there are any, their prefixes say.
fn console(old: Option<&Console>, new: Option<&Console>, found: &mut Difference) {
    let (Some(old), Some(new)) = (old, new) else { return };
    if old.login_url != new.login_url {
        found.change(format!("the console sends people to sign in to {} instead of {}", new.login_url, old.login_url));
    }
    if old.contact != new.contact {
        let contact = new.contact.as_deref().unwrap_or("nobody");
        found.change(format!("the console names {contact} as whom to ask"));
    }
}

fn compare_rules(what: &str, old: Rules<'_>, new: Rules<'_>, found: &mut Difference) {
    authentication(what, old.0, new.0, found);
    cors::compare(what, old.1, new.1, found);
}

fn needs(rules: &Authentication) -> &'static str {
    match (rules.verified_app_required, rules.verified_user_required) {
        (true, true) => "a verified app and a verified user",
        (true, false) => "a verified app",
        (false, _) => "a verified user",
    }
}

fn authentication(what: &str, old: &Authentication, new: &Authentication, found: &mut Difference) {
    let all = [
        ("app", old.verified_app_required, new.verified_app_required),
        ("user", old.verified_user_required, new.verified_user_required),
    ];
    for (who, was, is) in all {
        match (was, is) {
            (true, false) => found.gain(format!("{what} takes callers without a verified {who}")),
            (false, true) => found.lose(format!("{what} takes only callers with a verified {who}")),
            _ => {}
        }
    }
    let (was, is) = (&old.verified_user_exempted_apps, &new.verified_user_exempted_apps);
    if let Some(apps) = beyond(is, was) {
        found.gain(format!("{what} takes apps {apps} without a verified user"));
    }
    if let Some(apps) = beyond(was, is) {
        found.lose(format!("{what} no longer exempts apps {apps} from a verified user"));
    }
    let beyond = |list: &[Place], other: &[Place]| {
        let names: Vec<String> = list
            .iter()
            .filter(|place| !other.contains(place))
            .map(|place| format!("{place:?}").to_lowercase())
            .collect();
        (!names.is_empty()).then(|| quoted(&names))
    };
    if let Some(places) = beyond(&new.credentials_from, &old.credentials_from) {
        found.gain(format!("{what} takes credentials from {places}"));
    }
    if let Some(places) = beyond(&old.credentials_from, &new.credentials_from) {
        found.lose(format!("{what} takes no credentials from {places} any more"));
    }
}
