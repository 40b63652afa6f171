//! What goes on to the store: the request with the gate's signed word on who calls, and nothing that the caller made up.

use std::rc::Rc;

use linkgate_contract::{Action, ConsoleClaim, Extension, ModuleRef, Sha256, SignedNonce, headers};
use secrecy::ExposeSecret as _;

use super::request::Request;
use super::source_access::SourceAccess;
use super::verdict::Forward;
use crate::caller_cache::{Caller, LastToken};
use crate::console::Console;
use crate::context::Context;
use crate::limit::Lease;
use crate::metrics::Metric;
use crate::record::Record;
use crate::time::Time;
use crate::token::{REUSE_S, Subject, sign_once};

/// A request that may go on.
#[derive(Default)]
pub(super) struct Admitted {
    /// Where the caller's may not go on as it came.
    pub(super) body: Option<Vec<u8>>,
    pub(super) lease: Option<Lease>,
    pub(super) access: SourceAccess,
    /// For a service that counts uploads.
    pub(super) limit_headers: Vec<(&'static str, String)>,
}

/// What a token says of its very request.
#[derive(Clone, Copy)]
pub(super) struct Binding {
    /// The bytes that a signed URL was made for.
    pub(super) expected_sha256: Option<Sha256>,
    /// The nonce that the request uses up. No other request may have such a token.
    pub(super) nonce: Option<SignedNonce>,
}

/// A token for the caller, good for this request's action on its module; one that depends on nothing else stays with the
/// caller for its next request.
pub(super) fn issue_token(
    context: &Context,
    caller: &Caller,
    request: &Request,
    access: &SourceAccess,
    binding: Binding,
    now: Time,
) -> Option<Rc<str>> {
    match last_token(caller, request.route.target.as_ref(), request.token_action(), now) {
        Some(token) if binding.nonce.is_none() => Some(token),
        _ => sign_token(context, caller, request, access, binding, now),
    }
}

/// The same for one who has none. Apart, so that it takes no stack of requests that have one.
#[cold]
fn sign_token(
    context: &Context,
    caller: &Caller,
    request: &Request,
    access: &SourceAccess,
    binding: Binding,
    now: Time,
) -> Option<Rc<str>> {
    let Binding { expected_sha256, nonce } = binding;
    let Caller { app, user, .. } = caller;
    // An application of all tenants says with each request for which one it is.
    let lasting = !context.policy.packages.go_into_tokens() && !app.is_global() && request.stage.console.is_none();
    let extension = Extension {
        app_optional: !app.verified,
        user_optional: !user.verified,
        tenant_id: request.tenant.as_ref().map(ToString::to_string),
        credentials: access.credentials.clone(),
        caller_credential: access.callers_own.is_some(),
        expected_sha256,
        nonce,
        console: request.stage.console.as_ref().map(|console| console_claim(context, caller, request, console, now)),
        ..scope(context, caller, request, now)
    };
    let (target, action) = (request.route.target.clone(), request.token_action());
    let subject = Subject { kid: context.policy.gateway.clone(), app: app.clone(), user: user.clone(), extension };
    let (tokens, signing) = (&context.worker.tokens, &context.keys.signing);
    if nonce.is_some() {
        let token = sign_once(signing, &subject, now.seconds())?;
        context.worker.metrics.count(Metric::TokenSigned);
        return Some(token);
    }
    let issued = tokens.issue(signing, subject, now.seconds())?;
    if issued.signed {
        context.worker.metrics.count(Metric::TokenSigned);
    }
    if let (true, Some(target), Ok(mut token)) = (lasting, target, caller.token.try_borrow_mut()) {
        let (text, until) = (Rc::clone(&issued.text), issued.reuse_until);
        *token = Some(LastToken { target, action, text, until });
    }
    Some(issued.text)
}

/// What the token is good for: the module, with what the policy says of its packages; or, where the request is about none, what
/// the caller's grants are for.
fn scope(context: &Context, caller: &Caller, request: &Request, now: Time) -> Extension {
    let (policy, action) = (&context.policy, Some(request.token_action()));
    let Some(target) = &request.route.target else {
        let grants = policy.grants.visible(caller.app.verified_code(), &caller.user.username, now.seconds());
        return Extension { action, grants: Some(grants), ..Extension::default() };
    };
    let rules = policy.packages.for_target(target.app.as_str());
    let (private_hosts, opaque) = (rules.private_hosts(), rules.allows_unknown_formats());
    Extension { target: Some(target.clone()), action, private_hosts, opaque, ..Extension::default() }
}

/// What pages show beside the reply, where the request comes from one.
#[cold]
fn console_claim(context: &Context, caller: &Caller, request: &Request, console: &Console, now: Time) -> ConsoleClaim {
    let access = request.access(caller, request.token_action());
    let is_of_module = access.target.is_some();
    let actions = if is_of_module { context.policy.grants.actions_on(&access, now.seconds()) } else { Vec::new() };
    ConsoleClaim { actions, contact: console.contact.clone() }
}

fn last_token(caller: &Caller, target: Option<&ModuleRef>, action: Action, now: Time) -> Option<Rc<str>> {
    let last = caller.token.try_borrow().ok()?;
    let last = last.as_ref().filter(|last| last.action == action && Some(&last.target) == target)?;
    (1..=REUSE_S).contains(&(last.until - now.seconds())).then(|| Rc::clone(&last.text))
}

/// How the request is changed for the store.
pub(super) fn build_forward(request: &mut Request, token: &str, admitted: Admitted, record: Record) -> Forward {
    let Admitted { body, lease, access, limit_headers } = admitted;
    let mut set = vec![
        // The store serves this one form, so it cannot read path or query another way.
        (":path", request.canonical_target()),
        (headers::JWT, token.to_owned()),
        (headers::REQUEST_ID, std::mem::take(&mut request.id)),
    ];
    // The cookie that may have said it does not go on.
    let language = || request.reader.language.tag().to_ascii_lowercase();
    set.extend(request.stage.console.as_ref().map(|_| (headers::LANGUAGE, language())));
    set.extend(request.reader.page_language().map(|language| (headers::PAGE_LANGUAGE, language)));
    set.extend(request.tenant.take().map(|tenant| (headers::TENANT_ID, tenant.to_string())));
    set.extend(request.forwarded_id.take().map(|id| (headers::X_REQUEST_ID, id)));
    set.extend(access.callers_own.map(|own| (headers::JUDGED_SOURCE_AUTHORIZATION, own.expose_secret().to_owned())));
    set.extend(limit_headers);
    if let Some(body) = &body {
        set.push(("content-length", body.len().to_string()));
        set.push((headers::CONTENT_TYPE, "application/json".to_owned()));
    }
    let (remove, reply_headers) = (std::mem::take(&mut request.remove), std::mem::take(&mut request.reply_headers));
    let ends_with_caller = request.is_streamed();
    Forward { remove, set, reply_headers, body, record, lease, ends_with_caller }
}
