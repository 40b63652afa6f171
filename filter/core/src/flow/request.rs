//! What the head of a request says, and what is judged by it alone.

use std::rc::Rc;

use linkgate_contract::{Fields, Language, LinkPath, MediaType, Problem, headers, is_of_type, read_fields};

use crate::credentials::{Cookies, Credentials, Reason, form_fields, form_pairs};
use crate::gate::Gate;
use crate::head::Head;
use crate::identity::signature::{SignedParts, is_signed};
use crate::policy::{Policy, Stage};
use crate::recent::{self, Caller};
use crate::record::Record;
use crate::reply::GatewayError;
use crate::rules::Violation;

/// Where the caller says who it is.
pub(super) enum Shown {
    /// Just as somebody did a moment ago.
    Known(Rc<Caller>),
    /// Read; under the hash the caller may be remembered once it is established.
    Read(Credentials, Option<recent::Shown>),
    /// In the body.
    InBody,
}

/// A request whose route is ours.
pub(super) struct Request {
    method: &'static str,
    pub(super) path: LinkPath,
    pub(super) stage: Rc<Stage>,
    pub(super) shown: Shown,
    pub(super) is_form: bool,
    media_type: MediaType,
    pub(super) language: Language,
    pub(super) id: String,
    pub(super) id_was_given: bool,
    pub(super) remove: Vec<String>,
    pub(super) announced_bytes: Option<u64>,
    /// As the caller wrote them: they are what is signed. Without a query nothing is, and no path is kept.
    raw_path: String,
    query: Vec<(String, String)>,
}

const FORM: &str = "application/x-www-form-urlencoded";

type Refused = Box<Violation>;

fn refused(rule: &str, error: GatewayError) -> Refused {
    Box::new(Violation::new(rule, false, error))
}

impl Request {
    /// Reads a head; a rule on trial is noted in the record.
    pub(super) fn read(gate: &Gate, head: &Head<'_>, record: &mut Record) -> Result<Self, Refused> {
        let policy = &gate.policy;
        if head.all(":path").next().is_some_and(|target| target.len() > policy.uri_bytes) {
            return Err(refused("limits.uri_bytes", GatewayError::UriTooLarge));
        }
        let (stage, method, path) = route(policy, head).ok_or_else(|| refused("routes", GatewayError::ApiNotFound))?;
        let from_body = stage.authentication.from_body && path.job.is_none();
        stage.name.clone_into(&mut record.stage);
        path.upload.app_code.as_str().clone_into(&mut record.application);
        path.upload.module.as_str().clone_into(&mut record.module);
        match policy.client_ips.judge(head.source) {
            Some(violation) if violation.report => record.report(&violation.rule),
            Some(violation) => return Err(Box::new(violation)),
            None => {}
        }
        let (raw_path, query) = target(head);
        let shown = shown(gate, stage, from_body, head, &query)
            .map_err(|Reason(reason)| refused("identity", GatewayError::NotAuthenticated { reason }))?;
        let content_type = head.all(headers::CONTENT_TYPE).next();
        Ok(Self {
            method,
            path,
            stage: Rc::clone(stage),
            shown,
            is_form: from_body && is_of_type(content_type, FORM),
            media_type: MediaType::from_header(content_type),
            language: Language::choose(head.text(headers::LANGUAGE), head.text(headers::ACCEPT_LANGUAGE)),
            id: head.request_id().to_owned(),
            id_was_given: head.text(headers::X_REQUEST_ID) == Some(head.request_id()),
            remove: names_to_remove(head),
            announced_bytes: head.text("content-length").and_then(|length| length.parse().ok()),
            raw_path,
            query,
        })
    }

    pub(super) fn is_signed(&self) -> bool {
        is_signed(&self.query)
    }

    pub(super) fn signed_parts<'a>(&'a self, body: &'a [u8]) -> SignedParts<'a> {
        SignedParts { method: self.method, path: &self.raw_path, query: &self.query, body }
    }

    /// The largest body. Nothing is to be said about an upload that has begun.
    pub(super) fn body_limit(&self, policy: &Policy) -> usize {
        if self.path.job.is_some() { 0 } else { policy.body_bytes }
    }

    /// What the query says, where the policy lets it say anything.
    pub(super) fn query_fields(&self) -> Fields<'static> {
        query_fields(&self.stage, &self.query)
    }

    pub(super) fn body_fields<'a>(&self, body: &'a [u8]) -> Result<Fields<'a>, Problem> {
        if self.is_form { Ok(form_fields(form_pairs(body))) } else { read_fields(self.media_type, body) }
    }
}

/// An upload begins with POST; one that has begun is asked for with GET and cancelled with DELETE.
fn route<'a>(policy: &'a Policy, head: &Head<'_>) -> Option<(&'a Rc<Stage>, &'static str, LinkPath)> {
    let given = head.text(":method")?;
    let method = ["POST", "GET", "DELETE"].into_iter().find(|method| *method == given)?;
    let target = head.text(":path")?;
    let read = |stage: &'a Rc<Stage>| Some((stage, method, LinkPath::read(target, &stage.prefixes)?));
    policy.stages.iter().find_map(read).filter(|(_, _, path)| path.job.is_none() == (method == "POST"))
}

fn target(head: &Head<'_>) -> (String, Vec<(String, String)>) {
    match head.text(":path").unwrap_or_default().split_once('?') {
        Some((path, query)) => (path.to_owned(), form_pairs(query.as_bytes())),
        None => (String::new(), Vec::new()),
    }
}

/// A header that is there, even a broken one, shuts out every other place.
fn shown(
    gate: &Gate,
    stage: &Stage,
    from_body: bool,
    head: &Head<'_>,
    query: &[(String, String)],
) -> Result<Shown, Reason> {
    let hash = hash(gate, stage, head, query);
    if let Some(caller) = hash.and_then(|hash| gate.recent.find(hash, head.now)) {
        return Ok(Shown::Known(caller));
    }
    if let Some(credentials) = Credentials::from_header(head)? {
        return Ok(Shown::Read(credentials, hash));
    }
    if from_body {
        return Ok(Shown::InBody);
    }
    let fields = query_fields(stage, query);
    Credentials::from_fields(&fields, &Cookies::default()).map(|credentials| Shown::Read(credentials, None))
}

fn query_fields(stage: &Stage, query: &[(String, String)]) -> Fields<'static> {
    if stage.authentication.from_query { form_fields(query.to_vec()) } else { Fields::default() }
}

/// The hash of a header that says all there is: no cookie beside it, and no signature that serves only once.
fn hash(gate: &Gate, stage: &Stage, head: &Head<'_>, query: &[(String, String)]) -> Option<recent::Shown> {
    let mut copies = head.all(headers::AUTHORIZATION);
    let header = copies.next().filter(|_| copies.next().is_none())?;
    let alone = head.all("cookie").next().is_none() && !is_signed(query);
    alone.then(|| gate.recent.shown(&stage.name, header)).flatten()
}

/// Credentials, which the store has no use for, and every header of ours that the caller made up.
fn names_to_remove(head: &Head<'_>) -> Vec<String> {
    const CREDENTIALS: [&[u8]; 3] = [b"authorization", b"cookie", b"proxy-authorization"];
    let mut names = Vec::new();
    for (name, _) in head.pairs {
        if CREDENTIALS.iter().any(|credential| name.eq_ignore_ascii_case(credential)) || is_ours(name) {
            names.extend(String::from_utf8(name.to_ascii_lowercase()).ok().filter(|name| !names.contains(name)));
        }
    }
    names
}

/// Back ends of the CGI kind read `x_bkapi_jwt` as `X-Bkapi-JWT`.
fn is_ours(name: &[u8]) -> bool {
    let plain = |b: &u8| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() };
    let prefix = headers::TRUSTED_PREFIX.as_bytes();
    name.len() >= prefix.len() && name.iter().zip(prefix).all(|(b, want)| plain(b) == *want)
}
