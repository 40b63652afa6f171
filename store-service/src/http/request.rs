//! A request, as far as it is read before its endpoint is known, and as its handler gets it.

use linkgate_contract::{ErrorCode, JobId, Language, ModuleRef, PackageId, Problem, Route, headers};
use warp::http::{HeaderMap, HeaderValue, Method};

use super::auth::Caller;
use super::body::IncomingBody;

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
    pub(super) fn target(&self) -> &ModuleRef {
        &self.route.target
    }

    /// The job that the path names.
    pub(super) fn job_id(&self) -> Result<JobId, Problem> {
        self.route.params.job_id.ok_or_else(|| Problem::new(ErrorCode::NotFound))
    }

    /// The package that the path names.
    pub(super) fn package_id(&self) -> Result<PackageId, Problem> {
        self.route.params.package_id.ok_or_else(|| Problem::new(ErrorCode::NotFound))
    }

    /// The part of the query that the endpoint reads.
    pub(super) fn query(&self) -> String {
        self.route.endpoint.filter_query(&self.head.query)
    }
}
