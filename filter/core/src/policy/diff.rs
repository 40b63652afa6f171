//! Two policies in words: who gains and who loses when one takes the place of the other.
//!
//! Promises: what means the same is no difference, whatever the order of lists and whether defaults are written out; no
//! digest and no key is printed. A pattern that another one covers is neither gained nor lost.

mod cors;
mod identity;
mod limits;
mod routes;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use linkgate_contract::pattern_covers;

use super::document::{Client, Document, User};

/// Sentences about a change, sorted by whom it is good for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// What is allowed now and was not.
    pub gains: Vec<String>,
    /// What was allowed and is not any more.
    pub loses: Vec<String>,
    /// What is otherwise than before, for better or worse.
    pub changes: Vec<String>,
}

impl Difference {
    /// Whether both mean the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gains.is_empty() && self.loses.is_empty() && self.changes.is_empty()
    }

    fn gain(&mut self, sentence: impl Into<String>) {
        self.gains.push(sentence.into());
    }

    fn lose(&mut self, sentence: impl Into<String>) {
        self.loses.push(sentence.into());
    }

    fn change(&mut self, sentence: impl Into<String>) {
        self.changes.push(sentence.into());
    }
}

/// Everything that differs between two documents that compile.
pub(super) fn difference(old: &Document, new: &Document) -> Difference {
    let mut difference = Difference::default();
    let found = &mut difference;
    if old.gateway != new.gateway {
        let names = format!("`{}` instead of `{}`", new.gateway, old.gateway);
        found.change(format!("tokens for the store are signed as {names}: the store must know that name"));
    }
    routes::compare(&old.routes, &new.routes, found);
    identity::compare(&old.identity, &new.identity, found);
    rules::grants(&old.grants, &new.grants, found);
    rules::restrictions(&old.restrictions, &new.restrictions, found);
    limits::compare(&old.limits, &new.limits, found);
    rules::packages(&old.packages, &new.packages, found);
    rules::url_keys(&old.signed_urls, &new.signed_urls, found);
    people("client", "secrets", &clients(&old.clients), &clients(&new.clients), found);
    people("user", "logins", &users(&old.users), &users(&new.users), found);
    difference
}

/// Names and digests of their secrets; two digests of one secret may be written differently.
type People<'a> = BTreeMap<&'a str, BTreeSet<(&'static str, String)>>;

fn clients(list: &[Client]) -> People<'_> {
    let digests = |client: &Client| client.secret_sha256.iter().map(|text| ("", text.to_ascii_lowercase())).collect();
    list.iter().map(|client| (client.app_code.as_str(), digests(client))).collect()
}

fn users(list: &[User]) -> People<'_> {
    let mut people = People::new();
    for user in list {
        let digests = people.entry(user.username.as_str()).or_default();
        digests.extend(user.bk_token_sha256.iter().map(|text| ("token", text.to_ascii_lowercase())));
        digests.extend(user.bk_ticket_sha256.iter().map(|text| ("ticket", text.to_ascii_lowercase())));
    }
    people
}

fn people(what: &str, secrets: &str, old: &People<'_>, new: &People<'_>, found: &mut Difference) {
    for (name, has) in new {
        match old.get(name) {
            None => found.gain(format!("{what} `{name}` is listed")),
            Some(had) if had != has => found.change(format!("the {secrets} of {what} `{name}` changed")),
            Some(_) => {}
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        found.lose(format!("{what} `{name}` is no longer listed"));
    }
}

/// Names in quotes, in order, once each.
fn quoted<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: BTreeSet<&String> = names.into_iter().collect();
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What of one list the other one does not cover; `None`: nothing.
fn beyond(list: &[String], other: &[String]) -> Option<String> {
    let rest: Vec<&String> = list.iter().filter(|name| !other.iter().any(|wide| pattern_covers(wide, name))).collect();
    (!rest.is_empty()).then(|| quoted(rest))
}

fn is_anybody(list: &[String]) -> bool {
    list.iter().any(|name| name == "*")
}

#[cfg(test)]
mod tests;
