//! The services and keys by which others vouch for apps and users.

use linkgate_contract::TenantId;

use super::{NAME_RULE, is_name};
use crate::jwt::{JwtKey, JwtKeys};
use crate::keys::PublicKey;
use crate::policy::document::Identity;
use crate::policy::fault::Faults;
use crate::rules::tenants::Tenants;
use crate::services::{Login, Service, Services, Ticket};

/// How long a service is waited for, in milliseconds, unless the policy says otherwise.
pub(in crate::policy) const TIMEOUT_MS: u32 = 5_000;
const TIMEOUTS_MS: std::ops::RangeInclusive<u32> = 100..=30_000;
const MAX_KEYS: usize = 16;
/// Each is tried for a token of its name: the key in use, and the one that takes its place.
const MAX_KEYS_PER_KID: usize = 2;

pub(super) fn identity(part: &Identity, faults: &mut Faults) -> (Services, JwtKeys) {
    let timeout_ms = part.timeout_ms.unwrap_or(TIMEOUT_MS);
    if !TIMEOUTS_MS.contains(&timeout_ms) {
        faults.add("identity.timeout_ms", "must be from 100 to 30000 milliseconds");
    }
    let bkauth = part.bkauth.as_ref();
    let services = Services {
        bkauth: bkauth.map(|s| service("identity.bkauth", &s.cluster, s.authority.as_deref(), faults)),
        login: part.login.as_ref().map(|login| Login {
            service: service("identity.login", &login.cluster, login.authority.as_deref(), faults),
            multi_tenant: login.multi_tenant,
        }),
        ticket: part.ticket.as_ref().map(|ticket| {
            check_path(&ticket.path, faults);
            let service = service("identity.ticket", &ticket.cluster, ticket.authority.as_deref(), faults);
            Ticket { service, path: ticket.path.clone() }
        }),
        timeout_ms,
    };
    (services, jwt_keys(part, faults))
}

/// The rules of a platform with tenants, if it is one.
pub(super) fn tenants(part: &Identity, faults: &mut Faults) -> Option<Tenants> {
    let has_tenants = part.login.as_ref().is_some_and(|login| login.multi_tenant);
    let gateway = part.tenant_id.as_deref();
    if gateway.is_some() && !has_tenants {
        faults.add(
            "identity.tenant_id",
            "needs `identity.login.multi_tenant: true`: without tenants nobody belongs to one",
        );
    }
    let gateway = gateway.and_then(|id| faults.take_ok("identity.tenant_id", TenantId::new(id)));
    has_tenants.then_some(Tenants { gateway })
}

/// Names of clusters differ from mesh to mesh; what they have in common is that they are visible ASCII.
fn service(path: &str, cluster: &str, authority: Option<&str>, faults: &mut Faults) -> Service {
    let visible = |text: &str| (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !visible(cluster) {
        faults.add(format!("{path}.cluster"), "must be the name of a cluster of the proxy, visible ASCII");
    }
    let authority = authority.unwrap_or(cluster);
    if !visible(authority) {
        faults.add(format!("{path}.authority"), "must be a host name, visible ASCII");
    }
    Service { cluster: cluster.to_owned(), authority: authority.to_owned() }
}

fn check_path(path: &str, faults: &mut Faults) {
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b));
    if !path.starts_with('/') || !plain {
        faults.add("identity.ticket.path", "must begin with `/` and hold neither a query nor white space");
    }
}

fn jwt_keys(part: &Identity, faults: &mut Faults) -> JwtKeys {
    faults.check_length("identity.jwt_keys", &part.jwt_keys, MAX_KEYS);
    let mut keys = Vec::new();
    for (n, entry) in part.jwt_keys.iter().enumerate() {
        let path = format!("identity.jwt_keys[{n}]");
        if !is_name(&entry.kid) {
            faults.add(format!("{path}.kid"), NAME_RULE);
        }
        if part.jwt_keys[..n].iter().filter(|other| other.kid == entry.kid).count() >= MAX_KEYS_PER_KID {
            faults.add(
                format!("{path}.kid"),
                format!("has more than {MAX_KEYS_PER_KID} keys: list the one in use and the one that takes its place"),
            );
        }
        let Some(key) = faults.take_ok(format!("{path}.public_key"), PublicKey::parse(&entry.public_key)) else {
            continue;
        };
        keys.push(JwtKey { kid: entry.kid.clone(), key, fingerprint: entry.public_key.trim().to_owned() });
    }
    let inner_kid = part.inner_jwt_kid.clone();
    if inner_kid.as_ref().is_some_and(|kid| !part.jwt_keys.iter().any(|entry| entry.kid == *kid)) {
        faults.add("identity.inner_jwt_kid", "names no key of identity.jwt_keys");
    }
    JwtKeys { keys, inner_kid }
}
