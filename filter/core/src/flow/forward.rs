//! What goes on to the store: the request with the gate's signed word on who calls, and nothing that the caller made up.

use std::rc::Rc;

use linkgate_contract::{Extension, headers};

use super::verdict::{FORWARDED, Forward};
use super::{Flow, record_decision};
use crate::caller_cache::Caller;
use crate::gate::Gate;
use crate::limit::Lease;
use crate::metrics::Metric;
use crate::time::Time;
use crate::token::{REUSE_S, Subject};

impl Flow {
    /// A token for the caller; one that depends on the caller alone stays with it.
    pub(super) fn issue_token(&self, gate: &Gate, now: Time) -> Option<Rc<str>> {
        let caller = self.caller.as_deref()?;
        let known = caller.token.try_borrow().ok().and_then(|token| token.clone());
        if let Some((token, _)) = known.filter(|(_, until)| (1..=REUSE_S).contains(&(until - now.seconds()))) {
            return Some(token);
        }
        let rules = self.package_rules(gate);
        let lasting = !gate.policy.packages.go_into_tokens();
        let Caller { app, user, .. } = caller;
        let extension = Extension {
            app_optional: !app.verified,
            user_optional: !user.verified,
            private_hosts: rules.private_hosts(),
            opaque: rules.allows_unknown_formats(),
        };
        let subject = Subject { kid: gate.policy.gateway.clone(), app: app.clone(), user: user.clone(), extension };
        let issued = gate.worker.tokens.issue(&gate.keys.signing, subject, now.seconds())?;
        if issued.signed {
            gate.worker.metrics.count(Metric::TokenSigned);
        }
        if let (true, Ok(mut token)) = (lasting, caller.token.try_borrow_mut()) {
            *token = Some((Rc::clone(&issued.text), issued.reuse_until));
        }
        Some(issued.text)
    }

    pub(super) fn build_forward(
        &mut self,
        gate: &Gate,
        token: Rc<str>,
        body: Option<Vec<u8>>,
        lease: Option<Lease>,
    ) -> Forward {
        let request = &mut self.request;
        let mut set = vec![
            // The store serves this one form and no query, so it cannot read the path another way.
            (":path", request.path.canonical()),
            (headers::JWT, token.as_ref().to_owned()),
        ];
        if !request.id_was_given {
            set.push((headers::X_REQUEST_ID, request.id.clone()));
        }
        if let Some(body) = &body {
            set.push(("content-length", body.len().to_string()));
            set.push((headers::CONTENT_TYPE, "application/json".to_owned()));
        }
        record_decision(gate, FORWARDED, &mut self.record);
        let remove = std::mem::take(&mut request.remove);
        Forward { remove, set, body, record: std::mem::take(&mut self.record), lease }
    }
}
