//! Errors in the form of BlueKing's gateway: what the gate answers about who asks, and the store where it judges in its place.

use serde::Serialize;

/// A row of the gateway's table of errors: the only one, for the gate, the store, the client and the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayErrorRow {
    /// Its number.
    pub code: u32,
    /// Its name.
    pub name: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What it says, before a reason.
    pub message: &'static str,
}

/// The gateway's envelope, its fields in the order of the gateway.
#[derive(Serialize)]
struct Envelope<'a> {
    code: u32,
    code_name: &'static str,
    message: &'a str,
    result: bool,
    data: Option<()>,
    /// The message once more, for callers of this API, who look for it here; not a key of the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl GatewayErrorRow {
    /// Who asks could not be established.
    pub const NOT_AUTHENTICATED: Self = row(1_640_001, "INVALID_ARGS", 400, "Parameters error");
    /// The request did not come in time.
    pub const NOT_IN_TIME: Self = row(1_640_001, "INVALID_ARGS", 408, "Parameters error");
    /// The headers are too large or too many.
    pub const HEADERS_TOO_LARGE: Self = row(1_640_001, "INVALID_ARGS", 431, "Parameters error");
    /// No grant allows it.
    pub const APP_NO_PERMISSION: Self =
        row(1_640_301, "APP_NO_PERMISSION", 403, "App has no permission to the resource");
    /// The address is restricted.
    pub const IP_NOT_ALLOWED: Self = row(1_640_302, "IP_NOT_ALLOWED", 403, "Request rejected by ip restriction");
    /// The app, the user or the gateway belongs to another tenant.
    pub const CROSS_TENANT_FORBIDDEN: Self = row(1_640_302, "CROSS_TENANT_FORBIDDEN", 403, "Cross tenant forbidden");
    /// The user is restricted.
    pub const USER_NOT_ALLOWED: Self =
        row(1_640_303, "BK_USER_NOT_ALLOWED", 403, "Request rejected by bk-user restriction");
    /// A page of another site would change something.
    pub const CROSS_SITE_FORBIDDEN: Self = row(1_640_304, "CROSS_SITE_FORBIDDEN", 403, "Cross site forbidden");
    /// No such route, or another method on it.
    pub const API_NOT_FOUND: Self = row(1_640_401, "API_NOT_FOUND", 404, "API not found");
    /// The body is over a limit.
    pub const BODY_TOO_LARGE: Self = row(1_641_301, "BODY_SIZE_LIMIT_EXCEED", 413, "Request body size too large.");
    /// The request target is over a limit.
    pub const URI_TOO_LARGE: Self = row(1_641_401, "URI_SIZE_LIMIT_EXCEED", 414, "Request uri size too large.");
    /// More requests than a rate admits.
    pub const RATE_LIMITED: Self =
        row(1_642_902, "RATE_LIMIT_RESTRICTION", 429, "API rate limit exceeded by stage strategy");
    /// More at the same time than are admitted.
    pub const CONCURRENCY_LIMITED: Self =
        row(1_642_904, "CONCURRENCY_LIMIT_RESTRICTION", 429, "Request concurrency exceeds");
    /// The gateway, or a service that it needs, failed.
    pub const INTERNAL: Self = row(1_650_001, "INTERNAL_SERVER_ERROR", 500, "Internal Server Error");
    /// What stands behind the gateway did not answer, or broke off.
    pub const BAD_GATEWAY: Self = row(1_650_200, "BAD_GATEWAY", 502, "Bad Gateway");
    /// Nothing stands behind the gateway, or it has no space for one more request.
    pub const UNAVAILABLE: Self = row(1_650_300, "SERVICE_UNAVAILABLE", 503, "Service Unavailable");
    /// What stands behind the gateway did not answer in time.
    pub const BACKEND_TIMEOUT: Self = row(1_650_401, "REQUEST_BACKEND_TIMEOUT", 504, "Request backend service timeout");

    /// All of them. Where several share a number, the commonest stands first.
    pub const ALL: [Self; 17] = [
        Self::NOT_AUTHENTICATED,
        Self::NOT_IN_TIME,
        Self::HEADERS_TOO_LARGE,
        Self::APP_NO_PERMISSION,
        Self::IP_NOT_ALLOWED,
        Self::CROSS_TENANT_FORBIDDEN,
        Self::USER_NOT_ALLOWED,
        Self::CROSS_SITE_FORBIDDEN,
        Self::API_NOT_FOUND,
        Self::BODY_TOO_LARGE,
        Self::URI_TOO_LARGE,
        Self::RATE_LIMITED,
        Self::CONCURRENCY_LIMITED,
        Self::INTERNAL,
        Self::BAD_GATEWAY,
        Self::UNAVAILABLE,
        Self::BACKEND_TIMEOUT,
    ];

    /// `Content-Type` of the envelope.
    pub const CONTENT_TYPE: &'static str = "application/json; charset=utf-8";

    /// The message with why, if that is known.
    #[must_use]
    pub fn message(&self, reason: Option<&str>) -> String {
        let message = self.message;
        reason.map_or_else(|| message.to_owned(), |reason| format!("{message} [reason=\"{reason}\"]"))
    }

    /// The body of a reply with this message, with `detail` beside the gateway's keys or without.
    #[must_use]
    pub fn body(&self, message: &str, with_detail: bool) -> String {
        let detail = with_detail.then_some(message);
        let envelope = Envelope { code: self.code, code_name: self.name, message, result: false, data: None, detail };
        serde_json::to_string(&envelope).unwrap_or_default()
    }
}

const fn row(code: u32, name: &'static str, status: u16, message: &'static str) -> GatewayErrorRow {
    GatewayErrorRow { code, name, status, message }
}

/// Why somebody is not known, in words that callers match on: the reason of [`GatewayErrorRow::NOT_AUTHENTICATED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidArgs(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_envelope_of_the_gateway() {
        let message = GatewayErrorRow::NOT_AUTHENTICATED.message(Some("why"));
        assert_eq!(
            (message.as_str(), GatewayErrorRow::NOT_AUTHENTICATED.message(None).as_str()),
            (r#"Parameters error [reason="why"]"#, "Parameters error")
        );
        let want = r#"{"code":1640001,"code_name":"INVALID_ARGS","message":"Parameters error [reason=\"why\"]","result":false,"data":null}"#;
        assert_eq!(GatewayErrorRow::NOT_AUTHENTICATED.body(&message, false), want);
        let detail = r#","detail":"Parameters error [reason=\"why\"]"}"#;
        assert_eq!(
            GatewayErrorRow::NOT_AUTHENTICATED.body(&message, true),
            want.trim_end_matches('}').to_owned() + detail
        );
    }
}
