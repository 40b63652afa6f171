//! What the gate answers by itself: the gateway's envelope for who asks and for the gateway, the store's form for the
//! request.

use std::borrow::Cow;

use linkgate_contract::{GatewayErrorRow, Language, Problem, headers};

/// A refusal in the gateway's envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayError {
    /// Who asks could not be established.
    NotAuthenticated {
        /// One that callers match on, or an identity service's own word.
        reason: Cow<'static, str>,
    },
    /// No grant allows it.
    AppNoPermission {
        /// In the words of BlueKing's gateway.
        reason: String,
    },
    /// The address is restricted.
    IpNotAllowed,
    /// The user is restricted.
    UserNotAllowed,
    /// The app, the user or the gateway belongs to another tenant.
    CrossTenantForbidden {
        /// In the words of BlueKing's gateway.
        reason: String,
    },
    /// A page of another site would change something on behalf of its visitor.
    CrossSiteForbidden {
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// No such route, or another method on it.
    ApiNotFound,
    /// The body is over the policy's limit.
    BodyTooLarge,
    /// The body that the gate needs did not come in time.
    NotInTime,
    /// The request target is over the policy's limit.
    UriTooLarge,
    /// More requests than a rate admits.
    RateLimited {
        /// When one more may come.
        retry_after_s: u64,
    },
    /// More uploads at the same time than are admitted.
    ConcurrencyLimited {
        /// When to try again.
        retry_after_s: u64,
    },
    /// The gate has no space for one more request.
    Unavailable {
        /// When to try again.
        retry_after_s: u64,
    },
    /// The gate or a service that it needs failed.
    Internal {
        /// What failed, if the caller may know.
        reason: Option<String>,
    },
}

impl GatewayError {
    fn row(&self) -> GatewayErrorRow {
        match self {
            Self::NotAuthenticated { .. } => GatewayErrorRow::NOT_AUTHENTICATED,
            Self::AppNoPermission { .. } => GatewayErrorRow::APP_NO_PERMISSION,
            Self::IpNotAllowed => GatewayErrorRow::IP_NOT_ALLOWED,
            Self::UserNotAllowed => GatewayErrorRow::USER_NOT_ALLOWED,
            Self::CrossTenantForbidden { .. } => GatewayErrorRow::CROSS_TENANT_FORBIDDEN,
            Self::CrossSiteForbidden { .. } => GatewayErrorRow::CROSS_SITE_FORBIDDEN,
            Self::ApiNotFound => GatewayErrorRow::API_NOT_FOUND,
            Self::BodyTooLarge => GatewayErrorRow::BODY_TOO_LARGE,
            Self::NotInTime => GatewayErrorRow::NOT_IN_TIME,
            Self::UriTooLarge => GatewayErrorRow::URI_TOO_LARGE,
            Self::RateLimited { .. } => GatewayErrorRow::RATE_LIMITED,
            Self::ConcurrencyLimited { .. } => GatewayErrorRow::CONCURRENCY_LIMITED,
            Self::Unavailable { .. } => GatewayErrorRow::UNAVAILABLE,
            Self::Internal { .. } => GatewayErrorRow::INTERNAL,
        }
    }

    /// The code's name.
    pub(crate) fn code_name(&self) -> &'static str {
        self.row().name
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::NotAuthenticated { reason } => Some(reason),
            Self::AppNoPermission { reason } | Self::CrossTenantForbidden { reason } => Some(reason),
            Self::CrossSiteForbidden { reason } => Some(reason),
            Self::Internal { reason } => reason.as_deref(),
            Self::NotInTime => Some("the request was not received in time"),
            _ => None,
        }
    }

    /// For the access log, why somebody is not known: only in words of ours, for of a service's there is no end.
    pub(crate) fn own_reason(&self) -> &'static str {
        match self {
            Self::NotAuthenticated { reason: Cow::Borrowed(reason) } => reason,
            _ => "",
        }
    }

    /// What callers read.
    pub(crate) fn message(&self) -> String {
        self.row().message(self.reason())
    }

    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_s }
            | Self::ConcurrencyLimited { retry_after_s }
            | Self::Unavailable { retry_after_s } => Some(*retry_after_s),
            _ => None,
        }
    }
}

/// A reply that the gate sends itself, ready for the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers beside those that the proxy adds.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

impl Reply {
    /// The envelope of BlueKing's gateway, with `detail` beside its keys or without; an empty id is left to the proxy.
    #[must_use]
    pub fn gateway(error: &GatewayError, request_id: &str, with_detail: bool) -> Self {
        let row = error.row();
        let message = error.message();
        let body = row.body(&message, with_detail);
        let mut list = vec![
            (headers::CONTENT_TYPE, GatewayErrorRow::CONTENT_TYPE.to_owned()),
            (headers::GATEWAY_ERROR_CODE, row.code.to_string()),
            (headers::GATEWAY_ERROR_MESSAGE, message),
        ];
        list.extend(error.retry_after_s().map(|seconds| ("retry-after", seconds.to_string())));
        Self::new(row.status, list, body, request_id)
    }

    /// The answer to a preflight: headers alone.
    #[must_use]
    pub(crate) fn preflight(headers: Vec<(&'static str, String)>, request_id: &str) -> Self {
        Self::new(204, headers, String::new(), request_id)
    }

    /// Sends a browser on; browsers are not to remember where to, for a policy may change.
    #[must_use]
    pub(crate) fn redirect(status: u16, location: &str, request_id: &str) -> Self {
        let list = vec![("location", location.to_owned()), ("cache-control", "no-store".to_owned())];
        Self::new(status, list, String::new(), request_id)
    }

    /// The store's own form, for a fault of the request.
    #[must_use]
    pub fn problem(problem: &Problem, language: Language, request_id: &str) -> Self {
        let code = problem.code();
        Self::new(code.status(), problem.headers(), problem.body(language), request_id)
    }

    fn new(status: u16, mut list: Vec<(&'static str, String)>, body: String, request_id: &str) -> Self {
        if !request_id.is_empty() {
            list.push((headers::REQUEST_ID, request_id.to_owned()));
            list.push((headers::X_REQUEST_ID, request_id.to_owned()));
        }
        Self { status, headers: list, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_that_of_the_gateway() {
        let cases = [
            (
                GatewayError::NotAuthenticated { reason: "app code cannot be empty".into() },
                400,
                1_640_001,
                "INVALID_ARGS",
                "Parameters error [reason=\"app code cannot be empty\"]",
            ),
            (GatewayError::ApiNotFound, 404, 1_640_401, "API_NOT_FOUND", "API not found"),
            (GatewayError::BodyTooLarge, 413, 1_641_301, "BODY_SIZE_LIMIT_EXCEED", "Request body size too large."),
            (GatewayError::UriTooLarge, 414, 1_641_401, "URI_SIZE_LIMIT_EXCEED", "Request uri size too large."),
            (GatewayError::Internal { reason: None }, 500, 1_650_001, "INTERNAL_SERVER_ERROR", "Internal Server Error"),
            (
                GatewayError::Internal { reason: Some("failed to request third-party api, bkauth".into()) },
                500,
                1_650_001,
                "INTERNAL_SERVER_ERROR",
                "Internal Server Error [reason=\"failed to request third-party api, bkauth\"]",
            ),
            (
                GatewayError::AppNoPermission { reason: "no permission, bk_app_code=ci".into() },
                403,
                1_640_301,
                "APP_NO_PERMISSION",
                "App has no permission to the resource [reason=\"no permission, bk_app_code=ci\"]",
            ),
            (GatewayError::IpNotAllowed, 403, 1_640_302, "IP_NOT_ALLOWED", "Request rejected by ip restriction"),
            (
                GatewayError::UserNotAllowed,
                403,
                1_640_303,
                "BK_USER_NOT_ALLOWED",
                "Request rejected by bk-user restriction",
            ),
        ];
        for (error, status, code, name, message) in cases {
            let reply = Reply::gateway(&error, "id-1", true);
            let quoted = serde_json::to_string(message).unwrap();
            let want = format!(
                r#"{{"code":{code},"code_name":"{name}","message":{quoted},"result":false,"data":null,"detail":{quoted}}}"#
            );
            assert_eq!((reply.status, reply.body), (status, want));
            let five = Reply::gateway(&error, "id-1", false);
            assert!(five.body.ends_with(r#""result":false,"data":null}"#), "{}", five.body);
            let want = [
                ("content-type", "application/json; charset=utf-8".to_owned()),
                ("x-bkapi-error-code", code.to_string()),
                ("x-bkapi-error-message", message.to_owned()),
                ("x-bkapi-request-id", "id-1".to_owned()),
                ("x-request-id", "id-1".to_owned()),
            ];
            assert_eq!(reply.headers, want);
            let reason = if code == 1_640_001 { "app code cannot be empty" } else { "" };
            assert_eq!((error.code_name(), error.own_reason()), (name, reason));
        }
    }

    #[test]
    fn a_page_of_another_site_reads_what_to_do() {
        let reply = Reply::gateway(&GatewayError::CrossSiteForbidden { reason: "why" }, "", true);
        let begin =
            r#"{"code":1640304,"code_name":"CROSS_SITE_FORBIDDEN","message":"Cross site forbidden [reason=\"why\"]","#;
        assert!(reply.status == 403 && reply.body.starts_with(begin), "{}", reply.body);
    }

    #[test]
    fn a_limit_says_when_to_come_back() {
        let cases = [
            (
                GatewayError::RateLimited { retry_after_s: 7 },
                429,
                1_642_902,
                "API rate limit exceeded by stage strategy",
            ),
            (GatewayError::ConcurrencyLimited { retry_after_s: 7 }, 429, 1_642_904, "Request concurrency exceeds"),
            (GatewayError::Unavailable { retry_after_s: 7 }, 503, 1_650_300, "Service Unavailable"),
        ];
        for (error, status, code, message) in cases {
            let reply = Reply::gateway(&error, "", true);
            assert_eq!(reply.status, status);
            assert!(
                reply.body.contains(&format!("\"code\":{code},")) && reply.body.contains(message),
                "{}",
                reply.body
            );
            assert_eq!(reply.headers.last(), Some(&("retry-after", "7".to_owned())));
        }
    }

    #[test]
    fn a_services_own_words_stay_out_of_the_access_log() {
        let error = GatewayError::NotAuthenticated { reason: "words of a service".to_owned().into() };
        assert_eq!(error.own_reason(), "");
    }
}
