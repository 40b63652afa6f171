//! Header names on the wire, in lower case as HTTP/2 and Envoy carry them.

/// The caller's credentials, a JSON object.
pub const AUTHORIZATION: &str = "x-bkapi-authorization";
/// The gate's signed word on who is calling.
pub const JWT: &str = "x-bkapi-jwt";
/// A caller's own credential for the source of a package: what the source is to get as `Authorization`.
pub const SOURCE_AUTHORIZATION: &str = "x-linkgate-source-authorization";
/// The same to the store, from a gate that judged it.
pub const JUDGED_SOURCE_AUTHORIZATION: &str = "x-bkapi-source-authorization";
/// The gateway's id of this request.
pub const REQUEST_ID: &str = "x-bkapi-request-id";
/// To the gate, the proxy's id of this request; to the store, the caller's own where there is one, else the same.
pub const X_REQUEST_ID: &str = "x-request-id";
/// Where the proxy puts the caller's own [`X_REQUEST_ID`] before it replaces it.
pub const CALLER_REQUEST_ID: &str = "x-bkapi-caller-request-id";
/// The address that a request came from, as the proxy knows it.
pub const CLIENT_ADDRESS: &str = "x-bkapi-client-address";
/// On whose account an upload is, for the proxy's rate limit filter; it does not go on to the store.
pub const LIMIT_APP: &str = "x-bkapi-limit-app";
/// The stage that it came by, for the same.
pub const LIMIT_STAGE: &str = "x-bkapi-limit-stage";
/// The tenant that a request is for: the caller's word to the gate, the gate's own to the store.
pub const TENANT_ID: &str = "x-bk-tenant-id";
/// To the proxy, the language in which somebody looks at a page, where it has to make one itself.
pub const PAGE_LANGUAGE: &str = "x-bkapi-page-language";
/// Numeric code of a reply that the gateway made itself.
pub const GATEWAY_ERROR_CODE: &str = "x-bkapi-error-code";
/// Message of a reply that the gateway made itself.
pub const GATEWAY_ERROR_MESSAGE: &str = "x-bkapi-error-message";
/// Name of the API's error, beside the body's `code`.
pub const API_ERROR_CODE: &str = "bkapi-error-code";
/// Number of the API's error, where it has one.
pub const API_ERROR_NUMBER: &str = "bkapi-error-code-num";
/// BlueKing's own way to choose the language of `detail`.
pub const LANGUAGE: &str = "blueking-language";
/// HTTP's way to choose the language of `detail`.
pub const ACCEPT_LANGUAGE: &str = "accept-language";
/// Of which page a browser sends a request.
pub const ORIGIN: &str = "origin";
/// What makes a request a preflight, beside its method and origin.
pub const REQUESTED_METHOD: &str = "access-control-request-method";
/// Media type of the body.
pub const CONTENT_TYPE: &str = "content-type";
/// What every header that the gate vouches for begins with; a caller's own copy is dropped.
pub const TRUSTED_PREFIX: &str = "x-bkapi-";
