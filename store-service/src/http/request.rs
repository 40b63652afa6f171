//! A request, as far as it is read before its endpoint is known, and as its handler gets it.

use linkgate_contract::{
    Endpoint, ErrorCode, Fields, JobId, Language, MediaType, ModuleRef, PackageId, Problem, Route, headers,
    parse_body_fields,
};
use linkgate_store_core::budget::Permit;
use linkgate_store_core::ingest::ports::{Actor, Change, Services};
use warp::http::{HeaderMap, HeaderValue, Method};

use super::Api;
use super::auth::Caller;
use super::body::{BodyError, IncomingBody};
use super::conditions::read_conditions;
use super::preferences::accepts_pages;

/// What of a request is read besides its body.
pub(super) struct RequestHead {
    pub(super) method: Method,
    /// As it stands: what would need decoding is not ours.
    pub(super) path: String,
    /// Without the `?`. It is not logged: callers put secrets there.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
}

impl RequestHead {
    fn header_text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn language(&self) -> Language {
        Language::choose(self.header_text(headers::LANGUAGE), self.header_text(headers::ACCEPT_LANGUAGE))
    }

    /// The proxy's; behind a gateway that has one of its own, that.
    pub(super) fn given_id(&self) -> Option<&HeaderValue> {
        self.headers.get(headers::REQUEST_ID).or_else(|| self.headers.get(headers::X_REQUEST_ID))
    }

    pub(super) fn request_id(&self) -> &str {
        self.given_id().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }

    /// Where the request came from, as the gate saw it; empty if it does not say.
    pub(super) fn client_address(&self) -> &str {
        self.header_text(headers::CLIENT_ADDRESS).unwrap_or_default()
    }
}

/// A request for an endpoint, from a caller whom the gate vouches for.
pub(super) struct Request<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) route: &'a Route,
    pub(super) caller: Caller,
    pub(super) body: IncomingBody,
}

impl Request<'_> {
    /// Whose packages it is about.
    pub(super) fn target(&self) -> Result<&ModuleRef, Problem> {
        module_of(self.route)
    }

    /// Whether it is somebody's browser that wants a page of the console to show.
    pub(super) fn wants_page(&self) -> bool {
        self.caller.console.is_some() && self.head.method.is_safe() && accepts_pages(&self.head.headers)
    }

    /// The job that the path names.
    pub(super) fn job_id(&self) -> Result<JobId, Problem> {
        self.route.params.job_id.ok_or_else(|| Problem::new(ErrorCode::NotFound))
    }

    /// The package that the path names.
    pub(super) fn package_id(&self) -> Result<PackageId, Problem> {
        self.route.params.package_id.ok_or_else(|| Problem::new(ErrorCode::NotFound))
    }

    /// The package that the path names, and who wants to change it.
    pub(super) fn change(&self) -> Result<Change, Problem> {
        let (id, conditions) = (self.package_id()?, read_conditions(&self.head.headers)?);
        Ok(Change { target: self.target()?.clone(), id, conditions, actor: self.actor() })
    }

    /// Who calls, as events have it.
    pub(super) fn actor(&self) -> Actor {
        Actor {
            app: self.caller.app.clone(),
            operator: Some(self.caller.operator.clone()),
            request_id: self.head.request_id().to_owned(),
            client_address: self.head.client_address().to_owned(),
        }
    }

    /// Reads a body of fields, on its caller's account as long as the permit lives.
    pub(super) async fn read_small_body<V: Services>(self, api: &Api<V>) -> Result<(SmallBody, Permit), Problem> {
        let media_type = MediaType::from_header(self.head.headers.get(headers::CONTENT_TYPE).map(|v| v.as_bytes()));
        let mut share = api.shares.body(self.caller.owner()).map_err(BodyError::from)?;
        let bytes = self.body.read_whole(api.max_body_bytes, api.body_timeout, &mut share).await?;
        Ok((SmallBody { media_type, bytes }, share))
    }

    /// Whether its query asks for what this parameter stands for.
    pub(super) fn asks_for(&self, parameter: &str) -> bool {
        Endpoint::asks_for(&self.query(), parameter)
    }

    /// The part of the query that the endpoint reads.
    pub(super) fn query(&self) -> String {
        self.route.endpoint.filter_query(&self.head.query)
    }
}

/// Whose packages a request is about.
pub(super) fn module_of(route: &Route) -> Result<&ModuleRef, Problem> {
    route.target.as_ref().ok_or_else(|| Problem::new(ErrorCode::NotFound))
}

/// A body that was read whole.
pub(super) struct SmallBody {
    media_type: MediaType,
    bytes: Vec<u8>,
}

impl SmallBody {
    /// Its fields; none if it is empty.
    pub(super) fn fields(&self) -> Result<Fields<'_>, Problem> {
        parse_body_fields(&self.media_type, &self.bytes)
    }
}
