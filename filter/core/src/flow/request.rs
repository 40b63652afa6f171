//! What the head of a request says, and what is judged by it alone.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use linkgate_contract::{
    Action, BodyKind, Endpoint, ErrorCode, Field, Fields, InvalidCallerCredential, MediaType, NoEndpoint, Operation,
    Problem, Route, SIGNED_URL_PARAMETER, TenantId, headers, parse_body_fields, read_caller_credential,
};
use secrecy::SecretString;

use super::cross_site::find_fault;
use super::reader::Reader;
use crate::caller_cache::{Caller, CredentialFingerprint};
use crate::context::Context;
use crate::credentials::{Cookies, PRESENTING_NAMES, PresentedCredentials, decode_form, fields_of_form};
use crate::denied::Denied;
use crate::head::{Head, HeaderField};
use crate::identity::signature::{SignedParts, is_signed};
use crate::interrupt::{BODY_BYTES, IDENTITY, Interrupt};
use crate::policy::{Policy, Stage};
use crate::reason::Reason;
use crate::record::Record;
use crate::reply::GatewayError;
use crate::rules::cors::ReplyHeaders;
use crate::rules::grants::Access;
use crate::secret::Secret;
use crate::signed_url::{LinkError, may_be_signed};

/// The credentials of a request.
pub(super) enum Presented {
    /// The same as a moment ago.
    Cached(Rc<Caller>),
    /// Parsed; by the fingerprint the caller may be cached once it is authenticated.
    Parsed(PresentedCredentials, Option<CredentialFingerprint>),
    /// In the body.
    InBody,
    /// In the store's word: the token of a signed URL, and the address that it comes from.
    SignedUrl(Secret, Option<IpAddr>),
    /// Nowhere where they count, so that nobody is let in; whether they stand in the body decides about the words alone.
    Misplaced,
}

/// A request whose route is ours.
pub(super) struct Request {
    pub(super) route: Route,
    pub(super) stage: Rc<Stage>,
    pub(super) presented: Presented,
    /// What the caller would have the source believe.
    caller_credential: Result<Option<SecretString>, InvalidCallerCredential>,
    media_type: MediaType,
    /// Who reads what it is denied with.
    pub(super) reader: Reader,
    /// What there is against it if a cookie alone says who calls.
    cross_site: Option<&'static str>,
    pub(super) id: String,
    /// The `X-Request-ID` that the store gets: the caller's own, or ours where the proxy gave none.
    pub(super) forwarded_id: Option<String>,
    /// The tenant that the caller asks for, and once that was judged the one that the request is for.
    pub(super) tenant: Option<TenantId>,
    pub(super) remove: Vec<String>,
    /// What the reply says to pages of other sites.
    pub(super) reply_headers: ReplyHeaders,
    pub(super) announced_bytes: Option<u64>,
    /// Whether its caller sends the body once it is told to.
    holds_back: bool,
    /// As the caller wrote them: they are what is signed. Without a query nothing is, and no path is kept.
    raw_path: String,
    query: Vec<(String, String)>,
    /// What of the query the endpoint reads, as the store gets it.
    forwarded_query: String,
}

/// The rule that keeps pages of other sites from acting for their visitors.
const CROSS_SITE: &str = "cross_site";
/// `per_connection_buffer_limit_bytes` of the reference wiring: what of a body waits there until it may go on.
const PROXY_BUFFER_BYTES: usize = 1_114_112;
/// A body that its sender holds back counts for this part of what it would be.
const HELD_BACK: usize = 4;
/// The largest body that is looked at for credentials that do not count there.
const MISPLACED_BYTES: usize = 8 << 10;

/// What a body can say of who calls, where no header does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyUse {
    /// Nothing.
    None,
    /// Who calls.
    Counts,
    /// Only that its caller put credentials where they do not count.
    MayTell,
}

impl BodyUse {
    /// Nobody is let in for what a body tells. So one that is large, or held back by its sender, is not waited for.
    fn choose(stage: &Stage, head: &Head<'_>, announced_bytes: Option<u64>) -> Self {
        let is_large = announced_bytes.is_some_and(|length| length > MISPLACED_BYTES as u64);
        if stage.authentication.from_body {
            Self::Counts
        } else if is_large || head.first(HeaderField::Expect).is_some() {
            Self::None
        } else {
            Self::MayTell
        }
    }
}

fn deny(rule: &str, error: GatewayError) -> Box<Denied> {
    Box::new(Denied::enforced(rule, error))
}

impl Request {
    /// Reads a head; report-only denials go into the record, and what a denial says to pages of other sites into its headers.
    pub(super) fn from_head(
        context: &Context,
        head: &Head<'_>,
        record: &mut Record,
        reply_headers: &mut ReplyHeaders,
    ) -> Result<Self, Box<Denied>> {
        let policy = &context.policy;
        if head.first(HeaderField::Path).is_some_and(|target| target.len() > policy.uri_bytes) {
            return Err(deny("limits.uri_bytes", GatewayError::UriTooLarge));
        }
        let target = head.text(HeaderField::Path).unwrap_or_default();
        let not_found = || deny("routes", GatewayError::ApiNotFound);
        let (stage, route) = find_route(policy, head, target).ok_or_else(not_found)?;
        if let Some(cors) = &stage.cors {
            *reply_headers = cors.reply_headers(head.origin());
        }
        let route = route.map_err(|_| not_found())?;
        note_route(record, stage, &route);
        match policy.client_ips.judge(head.client_ip) {
            Some(denied) if denied.report_only => record.add_reported(&denied.rule),
            Some(denied) => return Err(Box::new(denied)),
            None => {}
        }
        let (path, raw_query) = target.split_once('?').unwrap_or_default();
        let query = decode_form(raw_query.as_bytes());
        let media_type = MediaType::from_header(head.first(HeaderField::ContentType));
        let announced_bytes = head.text(HeaderField::ContentLength).and_then(|length| length.parse().ok());
        let takes_fields = route.endpoint.body == BodyKind::Json && stage.console.is_none();
        let body = if takes_fields && media_type != MediaType::Other && !head.end_of_stream {
            BodyUse::choose(stage, head, announced_bytes)
        } else {
            BodyUse::None
        };
        let refuse = |Reason(reason)| deny(IDENTITY, GatewayError::NotAuthenticated { reason });
        let (presented, tenant) = match signed_url(&route, target, &query)? {
            Some(token) => (Presented::SignedUrl(token, head.client_ip), None),
            None => {
                let presented = read_credentials(context, stage, body, head, &query).map_err(refuse)?;
                (presented, requested_tenant(policy, head).map_err(refuse)?)
            }
        };
        let is_by_cookie = head.first(HeaderField::Cookie).is_some();
        let cross_site = if is_by_cookie && !route.method.is_safe() { find_fault(head, stage) } else { None };
        let is_streamed = route.endpoint.body == BodyKind::Stream;
        let remove = names_to_remove(head, is_streamed);
        Ok(Self {
            forwarded_query: route.endpoint.filter_query(raw_query),
            route,
            stage: Rc::clone(stage),
            presented,
            caller_credential: read_source_authorization(head),
            media_type,
            reader: Reader::of_head(context, head, Some(stage)),
            cross_site,
            id: head.request_id().to_owned(),
            forwarded_id: forwarded_id(head),
            tenant,
            remove,
            reply_headers: std::mem::take(reply_headers),
            announced_bytes,
            holds_back: head
                .first(HeaderField::Expect)
                .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue")),
            raw_path: path.to_owned(),
            query,
        })
    }

    /// Refuses what a page of another site would change on behalf of its visitor: by a cookie that its browser added, with no app
    /// that vouches for the request.
    pub(super) fn judge_site(&self, caller: &Caller) -> Result<(), Denied> {
        let is_by_cookie = matches!(&self.presented, Presented::Parsed(credentials, _) if credentials.is_by_cookie());
        match self.cross_site {
            Some(reason) if is_by_cookie && !caller.app.verified => {
                Err(Denied::enforced(CROSS_SITE, GatewayError::CrossSiteForbidden { reason }))
            }
            _ => Ok(()),
        }
    }

    /// Reads the credentials from the body, if that is where they are or might be.
    pub(super) fn read_body_credentials(&mut self, body: Option<&[u8]>) -> Result<(), Interrupt> {
        let fields = match &self.presented {
            Presented::InBody => self.presented_in_body(body.ok_or(Interrupt::NeedsBody)?)?,
            Presented::Misplaced if self.holds_misplaced(body.ok_or(Interrupt::NeedsBody)?) => {
                return Err(Reason::MISPLACED_IN_BODY.into());
            }
            Presented::Misplaced => Fields::default(),
            Presented::Cached(_) | Presented::Parsed(..) | Presented::SignedUrl(..) => return Ok(()),
        };
        let credentials = PresentedCredentials::from_fields(&fields, &Cookies::default())?;
        self.presented = Presented::Parsed(credentials, None);
        Ok(())
    }

    /// The fields of the body, and those of the query where they count.
    fn presented_in_body<'a>(&self, body: &'a [u8]) -> Result<Fields<'a>, Interrupt> {
        let mut fields: Fields<'a> = query_fields(&self.stage, &self.query);
        match self.body_fields(body) {
            Ok(of_body) => fields.extend(without_empty_credentials(of_body)),
            // A form has all that its caller has, who could not be told otherwise what is wrong with it.
            Err(problem) if self.is_form() => return Err(problem.into()),
            // JSON that cannot be read presents nothing; what is wrong with it is for those to know who are known.
            Err(_) => {}
        }
        check_query(&self.stage, &fields, &self.query)?;
        Ok(fields)
    }

    fn holds_misplaced(&self, body: &[u8]) -> bool {
        body.len() <= MISPLACED_BYTES
            && may_name_credentials(body)
            && self.body_fields(body).is_ok_and(|fields| fields.has_any(&PRESENTING_NAMES))
    }

    /// The denial of a body that is longer than its request has use for.
    pub(super) fn deny_large_body(&self, policy: &Policy, received: usize) -> Option<Denied> {
        match self.presented {
            Presented::Misplaced if received > MISPLACED_BYTES => {
                let is_app_missing = self.stage.authentication.app_required;
                Some(if is_app_missing { Reason::NO_APP_CODE } else { Reason::NO_USER }.into())
            }
            _ if received > self.body_limit(policy) => Some(Denied::enforced(BODY_BYTES, GatewayError::BodyTooLarge)),
            _ => None,
        }
    }

    /// The caller's own credential for the source, if it sent one.
    pub(super) fn caller_credential(&self) -> Result<Option<&SecretString>, InvalidCallerCredential> {
        self.caller_credential.as_ref().map(Option::as_ref).map_err(|invalid| *invalid)
    }

    pub(super) fn is_form(&self) -> bool {
        self.media_type.is_form()
    }

    /// Whether the body is passed on while it comes.
    pub(super) fn is_streamed(&self) -> bool {
        self.route.endpoint.body == BodyKind::Stream
    }

    /// What the proxy may hold of a body that nobody reads yet.
    pub(super) fn proxy_bytes(&self) -> usize {
        let announced = self.announced_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        match (self.is_streamed(), self.holds_back) {
            (false, _) => 0,
            (true, false) => announced.min(PROXY_BUFFER_BYTES),
            // Who says so may send it all the same.
            (true, true) => announced.min(PROXY_BUFFER_BYTES) / HELD_BACK,
        }
    }

    pub(super) fn is_signed(&self) -> bool {
        is_signed(&self.query)
    }

    pub(super) fn signed_parts<'a>(&'a self, body: Option<&'a [u8]>) -> SignedParts<'a> {
        let (method, is_streamed) = (self.route.method.name(), self.is_streamed());
        SignedParts { method, path: &self.raw_path, query: &self.query, is_streamed, body }
    }

    /// The largest body that the endpoint takes.
    pub(super) fn body_limit(&self, policy: &Policy) -> usize {
        match self.route.endpoint.body {
            BodyKind::None => 0,
            BodyKind::Json => policy.body_bytes,
            // The store limits packages.
            BodyKind::Stream => usize::MAX,
        }
    }

    /// Path and query as the store gets them: the one form of the path, and of the query what the endpoint reads.
    pub(super) fn canonical_target(&self) -> String {
        let path = self.route.canonical_path();
        if self.forwarded_query.is_empty() { path } else { [path.as_str(), "?", &self.forwarded_query].concat() }
    }

    /// What a grant is asked for.
    pub(super) fn access<'a>(&'a self, caller: &'a Caller, action: Action) -> Access<'a> {
        let (user, target) = (&caller.user.username, self.route.target.as_ref());
        Access { caller: caller.app.verified_code(), user, target, action }
    }

    /// What its token is good for.
    pub(super) fn token_action(&self) -> Action {
        self.route.endpoint.token_action(&self.forwarded_query)
    }

    /// What a grant must give for it.
    pub(super) fn actions(&self) -> Vec<Action> {
        self.route.endpoint.actions(&self.forwarded_query).collect()
    }

    pub(super) fn body_fields<'a>(&self, body: &'a [u8]) -> Result<Fields<'a>, Problem> {
        parse_body_fields(&self.media_type, body)
    }
}

/// Notes what is asked for.
fn note_route(record: &mut Record, stage: &Stage, route: &Route) {
    record.operation = route.endpoint.operation.id();
    stage.name.clone_into(&mut record.stage);
    if let Some(target) = &route.target {
        target.app.as_str().clone_into(&mut record.application);
        target.module.as_str().clone_into(&mut record.module);
    }
}

/// Whether a body can have a field of [`PRESENTING_NAMES`], which costs less than to read its fields. JSON and forms can write a
/// name in other ways, with a mark that is taken for one.
fn may_name_credentials(body: &[u8]) -> bool {
    const BEFORE_UNDERSCORE: [&[u8]; 4] = [b"app", b"bk", b"access", b"inner"];
    body.iter().enumerate().any(|(at, byte)| match byte {
        b'\\' | b'%' => true,
        b'_' => body.get(..at).is_some_and(|before| BEFORE_UNDERSCORE.iter().any(|word| before.ends_with(word))),
        b'j' => body.get(at..).is_some_and(|rest| rest.starts_with(b"jwt")),
        _ => false,
    })
}

/// The token of a signed URL, where the endpoint takes one; most requests cost a look at their target.
fn signed_url(route: &Route, target: &str, query: &[(String, String)]) -> Result<Option<Secret>, Box<Denied>> {
    let may_be_one = route.endpoint.operation == Operation::DownloadSourcePackage && may_be_signed(target);
    if may_be_one { read_signed_url(query) } else { Ok(None) }
}

/// The first stage below whose prefixes the path is known decides.
fn find_route<'a>(
    policy: &'a Policy,
    head: &Head<'_>,
    target: &str,
) -> Option<(&'a Rc<Stage>, Result<Route, NoEndpoint>)> {
    let method = head.text(HeaderField::Method)?;
    let found = policy.stages.iter().map(|stage| (stage, Endpoint::find_below(method, target, &stage.prefixes)));
    found.into_iter().find(|(_, found)| *found != Err(NoEndpoint::UnknownPath))
}

pub(super) fn forwarded_id(head: &Head<'_>) -> Option<String> {
    const MAX_BYTES: usize = 256;
    let is_plain = |id: &&str| (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let callers = head.text(HeaderField::CallerRequestId).filter(is_plain);
    let is_there = head.text(HeaderField::RequestId) == Some(head.request_id());
    callers.or((!is_there).then(|| head.request_id())).map(str::to_owned)
}

/// The tenant that the caller asks for, where there are any; an empty header asks for none.
fn requested_tenant(policy: &Policy, head: &Head<'_>) -> Result<Option<TenantId>, Reason> {
    if policy.tenants.is_none() {
        return Ok(None);
    }
    match head.first(HeaderField::TenantId) {
        _ if head.is_repeated(HeaderField::TenantId) => Err(Reason::BAD_TENANT),
        None | Some(b"") => Ok(None),
        Some(value) => {
            let tenant = std::str::from_utf8(value).ok().and_then(|value| TenantId::new(value).ok());
            tenant.map(Some).ok_or(Reason::BAD_TENANT)
        }
    }
}

/// The token of a signed URL, if there is one; with it no other credential counts.
fn read_signed_url(query: &[(String, String)]) -> Result<Option<Secret>, Box<Denied>> {
    let mut tokens = query.iter().filter(|(name, _)| name == SIGNED_URL_PARAMETER);
    match (tokens.next(), tokens.next()) {
        (token, None) => Ok(token.map(|(_, token)| Secret::new(token.as_str()))),
        (_, Some(_)) => Err(Box::new(LinkError::Refused(ErrorCode::SignatureInvalid).into())),
    }
}

/// A header that is there, even a broken one, shuts out every other place.
fn read_credentials(
    context: &Context,
    stage: &Stage,
    body: BodyUse,
    head: &Head<'_>,
    query: &[(String, String)],
) -> Result<Presented, Reason> {
    if stage.console.is_some() {
        return PresentedCredentials::from_cookies(head).map(|credentials| Presented::Parsed(credentials, None));
    }
    let fingerprint = fingerprint(context, stage, head, query);
    if let Some(caller) = fingerprint.and_then(|fingerprint| context.caller_cache.get_caller(fingerprint, head.now)) {
        return Ok(Presented::Cached(caller));
    }
    if let Some(credentials) = PresentedCredentials::from_header(head)? {
        return Ok(Presented::Parsed(credentials, fingerprint));
    }
    if body == BodyUse::Counts {
        return Ok(Presented::InBody);
    }
    let fields = query_fields(stage, query);
    check_query(stage, &fields, query)?;
    if body == BodyUse::MayTell && !fields.has_any(&PRESENTING_NAMES) {
        return Ok(Presented::Misplaced);
    }
    PresentedCredentials::from_fields(&fields, &Cookies::default())
        .map(|credentials| Presented::Parsed(credentials, None))
}

/// Says where credentials do not count, if they stand in the query and nowhere else.
fn check_query(stage: &Stage, fields: &Fields<'_>, query: &[(String, String)]) -> Result<(), Reason> {
    let is_misplaced = !stage.authentication.from_query
        && !fields.has_any(&PRESENTING_NAMES)
        && query.iter().any(|(name, _)| PRESENTING_NAMES.contains(&name.as_str()));
    if is_misplaced { Err(Reason::MISPLACED_IN_QUERY) } else { Ok(()) }
}

/// What the query says, where the policy lets it say anything.
fn query_fields(stage: &Stage, query: &[(String, String)]) -> Fields<'static> {
    if stage.authentication.from_query {
        without_empty_credentials(fields_of_form(query.to_vec())).collect()
    } else {
        Fields::default()
    }
}

/// A form has all of its fields, also those that its user left empty: they present nothing, and hide nothing that is elsewhere.
fn without_empty_credentials<'a>(fields: Fields<'a>) -> impl Iterator<Item = (Cow<'a, str>, Field<'a>)> {
    let is_empty = |name: &str, value: &Field<'_>| {
        matches!(value, Field::Text(text) if text.is_empty()) && PRESENTING_NAMES.contains(&name)
    };
    fields.into_iter().filter(move |(name, value)| !is_empty(name, value))
}

/// The fingerprint of a header that says all there is: no cookie beside it, and no signature that serves only once.
fn fingerprint(
    context: &Context,
    stage: &Stage,
    head: &Head<'_>,
    query: &[(String, String)],
) -> Option<CredentialFingerprint> {
    let header = head.first(HeaderField::Authorization).filter(|_| !head.is_repeated(HeaderField::Authorization))?;
    let alone = head.first(HeaderField::Cookie).is_none() && !is_signed(query);
    alone.then(|| context.caller_cache.fingerprint(&stage.name, header)).flatten()
}

/// What the caller would have the source believe.
fn read_source_authorization(head: &Head<'_>) -> Result<Option<SecretString>, InvalidCallerCredential> {
    read_caller_credential(head.all(HeaderField::SourceAuthorization)).map(|value| value.map(SecretString::from))
}

/// Credentials, which the store has no use for, and every header of a gateway that the caller made up. The tenant is one: it
/// says whose a request is, so the store gets what was judged. Who waits to be told that a body may come has sent one that is
/// here in full.
pub(super) fn names_to_remove(head: &Head<'_>, is_streamed: bool) -> Vec<String> {
    const NAMES: [&[u8]; 5] = [b"authorization", b"cookie", b"proxy-authorization", b"x-bk-tenant-id", b"expect"];
    let unwanted = if is_streamed { NAMES.get(..4) } else { NAMES.get(..) }.unwrap_or_default();
    let mut names = Vec::new();
    for (name, _) in head.pairs {
        let is_one = |known: &&[u8]| known.len() == name.len() && name.eq_ignore_ascii_case(known);
        if unwanted.iter().any(is_one) || is_ours(name) {
            names.extend(String::from_utf8(name.to_ascii_lowercase()).ok().filter(|name| !names.contains(name)));
        }
    }
    names
}

/// Back ends of the CGI kind read `x_bkapi_jwt` as `X-Bkapi-JWT`.
fn is_ours(name: &[u8]) -> bool {
    let own = headers::SOURCE_AUTHORIZATION;
    begins_with(name, headers::TRUSTED_PREFIX) || name.len() == own.len() && begins_with(name, own)
}

fn begins_with(name: &[u8], prefix: &str) -> bool {
    let plain = |b: &u8| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() };
    name.len() >= prefix.len() && name.iter().zip(prefix.as_bytes()).all(|(b, want)| plain(b) == *want)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_body_that_presents_credentials_is_passed_over() {
        for name in PRESENTING_NAMES {
            for body in [format!(r#"{{"{name}": "x"}}"#), format!("a=1&{name}=x"), format!("name=\"{name}\"\r\n\r\nx")]
            {
                assert!(may_name_credentials(body.as_bytes()), "{body}");
            }
        }
        assert!(may_name_credentials(br#"{"\u0062k_token": "x"}"#) && may_name_credentials(b"%62k_token=x"));
        let plain = br#"{"package_url": "https://example.com/a_b/jw.tar.gz", "allow_overwrite": true}"#;
        assert!(!may_name_credentials(plain) && !may_name_credentials(b""));
    }
}
