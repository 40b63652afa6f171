//! Whom the gateway turns away, whatever they were granted: by address and by user.

use std::net::IpAddr;

use ipnet::IpNet;
use linkgate_contract::Patterns;

use crate::denied::Denied;
use crate::reply::GatewayError;

/// Addresses that requests may come from.
#[derive(Debug, Default)]
pub(crate) struct ClientIps {
    pub(crate) allow: Vec<IpNet>,
    pub(crate) deny: Vec<IpNet>,
    pub(crate) report: bool,
}

impl ClientIps {
    /// Whether there is anything to judge by, so that the address must be asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// An address that is not known is on no list, so an allow-list refuses it, and so does a deny-list.
    pub(crate) fn judge(&self, source: Option<IpAddr>) -> Option<Denied> {
        if self.is_empty() {
            return None;
        }
        // `::ffff:10.0.0.1` is 10.0.0.1.
        let source = source.map(|address| address.to_canonical());
        let on = |list: &[IpNet]| source.is_some_and(|address| list.iter().any(|net| net.contains(&address)));
        let allowed = source.is_some() && (self.allow.is_empty() || on(&self.allow)) && !on(&self.deny);
        (!allowed).then(|| Denied::new("restrictions.client_ips", self.report, GatewayError::IpNotAllowed))
    }
}

/// Users who may call.
#[derive(Debug, Default)]
pub(crate) struct Users {
    pub(crate) allow: Patterns,
    pub(crate) deny: Patterns,
    pub(crate) report: bool,
}

impl Users {
    /// Judges a verified user; who has none was exempted on purpose.
    pub(crate) fn judge(&self, user: &str) -> Option<Denied> {
        let allowed = (self.allow.is_empty() || self.allow.matches(user)) && !self.deny.matches(user);
        (!allowed).then(|| Denied::new("restrictions.users", self.report, GatewayError::UserNotAllowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_address_is_judged_by_both_lists() {
        let client_ips =
            ClientIps { allow: nets(&["10.0.0.0/8", "fd00::/8"]), deny: nets(&["10.9.0.0/16"]), report: false };
        let refused = |text: &str| client_ips.judge(Some(text.parse().unwrap())).is_some();
        assert!(!refused("10.1.2.3") && !refused("::ffff:10.1.2.3") && !refused("fd00::1"));
        assert!(refused("10.9.0.1") && refused("::ffff:10.9.0.1") && refused("192.0.2.1") && refused("2001:db8::1"));
        assert!(client_ips.judge(None).is_some(), "an address that is not known");
        assert!(ClientIps { deny: nets(&["10.9.0.0/16"]), ..ClientIps::default() }.judge(None).is_some());
        assert!(ClientIps::default().judge(None).is_none());
    }

    #[test]
    fn a_user_is_judged_by_both_lists() {
        let patterns = |list: &[&str]| Patterns::new(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        let users = Users { allow: patterns(&["a*"]), deny: patterns(&["admin"]), report: true };
        assert!(users.judge("anna").is_none());
        assert!(users.judge("admin").is_some_and(|v| v.report_only) && users.judge("bob").is_some());
        assert!(Users::default().judge("anybody").is_none());
    }
}
