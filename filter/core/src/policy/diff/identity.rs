//! Who vouches for apps and users.

use std::collections::{BTreeMap, BTreeSet};

use super::Difference;
use crate::policy::compile::identity::TIMEOUT_MS;
use crate::policy::document::{Identity, JwtKey};

pub(super) fn compare(old: &Identity, new: &Identity, found: &mut Difference) {
    let all =
        [("bkauth", bkauth(old), bkauth(new)), ("login", login(old), login(new)), ("ticket", ticket(old), ticket(new))];
    for (name, old, new) in all {
        match (old, new) {
            (None, Some(new)) => found.gain(format!("identity service `{name}` is asked: {new}")),
            (Some(_), None) => found.lose(format!("identity service `{name}` is not asked any more")),
            (Some(old), Some(new)) if old != new => {
                found.change(format!("identity service `{name}`: {new} instead of {old}"));
            }
            _ => {}
        }
    }
    let [was, is] = [old, new].map(|part| part.timeout_ms.unwrap_or(TIMEOUT_MS));
    if was != is {
        found.change(format!("identity services have {is} ms to answer instead of {was} ms"));
    }
    jwt_keys(&old.jwt_keys, &new.jwt_keys, found);
    match (&old.inner_jwt_kid, &new.inner_jwt_kid) {
        (None, Some(kid)) => found.gain(format!("an `inner_jwt` of gateway `{kid}` is trusted")),
        (Some(kid), None) => found.lose(format!("an `inner_jwt` of gateway `{kid}` is no longer trusted")),
        (Some(was), Some(is)) if was != is => {
            found.change(format!("an `inner_jwt` is trusted from gateway `{is}` instead of `{was}`"));
        }
        _ => {}
    }
    gateway_tenant(old.tenant_id.as_deref(), new.tenant_id.as_deref(), found);
}

fn gateway_tenant(old: Option<&str>, new: Option<&str>, found: &mut Difference) {
    match (old, new) {
        (None, Some(tenant)) => found.lose(format!("only apps and users of tenant `{tenant}` are served")),
        (Some(tenant), None) => found.gain(format!("apps and users of other tenants than `{tenant}` are served")),
        (Some(was), Some(is)) if was != is => {
            found.change(format!("apps and users of tenant `{is}` are served instead of those of `{was}`"));
        }
        _ => {}
    }
}

fn place(cluster: &str, authority: Option<&str>) -> String {
    format!("cluster `{cluster}`, authority `{}`", authority.unwrap_or(cluster))
}

fn bkauth(part: &Identity) -> Option<String> {
    part.bkauth.as_ref().map(|service| place(&service.cluster, service.authority.as_deref()))
}

fn login(part: &Identity) -> Option<String> {
    part.login.as_ref().map(|login| {
        let tenants = if login.multi_tenant { ", with tenants" } else { "" };
        place(&login.cluster, login.authority.as_deref()) + tenants
    })
}

fn ticket(part: &Identity) -> Option<String> {
    let ticket = part.ticket.as_ref()?;
    Some(format!("{}, path `{}`", place(&ticket.cluster, ticket.authority.as_deref()), ticket.path))
}

fn jwt_keys(old: &[JwtKey], new: &[JwtKey], found: &mut Difference) {
    let (old, new) = (by_kid(old), by_kid(new));
    for (kid, keys) in &new {
        match old.get(kid) {
            None => found.gain(format!("tokens of gateway `{kid}` are trusted")),
            Some(had) if had != keys => found.change(format!("the public keys of gateway `{kid}` changed")),
            Some(_) => {}
        }
    }
    for kid in old.keys().filter(|kid| !new.contains_key(*kid)) {
        found.lose(format!("tokens of gateway `{kid}` are no longer trusted"));
    }
}

fn by_kid(list: &[JwtKey]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for key in list {
        keys.entry(&key.kid).or_default().insert(key.public_key.trim());
    }
    keys
}
