//! What the gateway or the store says when it refuses a request: one type for both of their forms.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use linkgate_contract::{GatewayErrorRow, JobError, headers};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

/// A refusal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refusal {
    /// The status of the reply; 0 for a job that failed after it was accepted.
    pub status: u16,
    /// The code, as `PACKAGE_ALREADY_EXISTS`, or the gateway's name, as `APP_NO_PERMISSION`.
    pub code: String,
    /// What is wrong.
    pub detail: String,
    /// The gateway's reason within its message, where there is one.
    pub reason: Option<String>,
    /// What is wrong with each field.
    pub fields: BTreeMap<String, Vec<String>>,
    /// What programs need to know of it.
    pub data: Option<Value>,
    /// By which name operators find the request.
    pub request_id: Option<String>,
    /// How long to wait before the same request is sent again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads a reply. One without a body, as to `HEAD`, says it in its headers; one that is neither form keeps its
    /// status.
    pub(crate) fn from_reply(status: u16, reply_headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| reply_headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let mut refusal = Self {
            status,
            request_id: header(headers::REQUEST_ID).map(Into::into),
            retry_after: reply_headers.get(RETRY_AFTER).and_then(|value| read_retry_after(value.to_str().ok()?)),
            ..Self::default()
        };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        refusal.code = text("code_name").or_else(|| text("code")).unwrap_or_else(|| name_of(status, &header));
        let message = text("message").or_else(|| header(headers::GATEWAY_ERROR_MESSAGE).map(Into::into));
        refusal.reason = message.as_deref().and_then(read_reason);
        refusal.detail = text("detail").or(message).unwrap_or_else(|| format!("the reply has the status {status}"));
        refusal.fields = serde_json::from_value(body["fields_detail"].clone()).unwrap_or_default();
        refusal.data = body.get("data").filter(|data| !data.is_null()).cloned();
        refusal
    }

    /// Why a job ended without a package.
    #[must_use]
    pub fn of_job(error: &JobError) -> Self {
        Self { code: error.code.clone(), detail: error.detail.clone(), data: error.data.clone(), ..Self::default() }
    }

    /// Whether the gateway or the store turned the request away before anything was done.
    pub(crate) fn is_before_anything(&self) -> bool {
        self.status == 429 || self.status == 503 && self.retry_after.is_some()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

/// The name of an error without a body: the gateway's reply has the number only.
fn name_of<'a>(status: u16, header: &impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>) -> String {
    if let Some(name) = header(headers::API_ERROR_CODE) {
        return name.into();
    }
    let number: Option<u32> = header(headers::GATEWAY_ERROR_CODE).and_then(|number| number.parse().ok());
    // One number has two names; the message of the other one speaks of tenants.
    let is_of_tenants = header(headers::GATEWAY_ERROR_MESSAGE).is_some_and(|message| message.contains("enant"));
    match GatewayErrorRow::ALL.iter().find(|row| Some(row.code) == number) {
        Some(&GatewayErrorRow::IP_NOT_ALLOWED) if is_of_tenants => {
            GatewayErrorRow::CROSS_TENANT_FORBIDDEN.name.to_owned()
        }
        Some(row) => row.name.to_owned(),
        None => format!("HTTP_{status}"),
    }
}

/// What stands in `[reason="…"]`.
fn read_reason(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("[reason=\"")?;
    rest.rsplit_once("\"]").map(|(reason, _)| reason.to_owned())
}

/// Seconds, or a date.
fn read_retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let when = httpdate::parse_http_date(value).ok()?;
    Some(when.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn headers_of(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_form_of_the_api_is_read() {
        let body = json!({
            "code": "VALIDATION_ERROR", "detail": "version: bad",
            "fields_detail": {"version": ["bad"]}, "data": {"pins": []},
        });
        let headers = headers_of(&[("x-bkapi-request-id", "ab12"), ("retry-after", "7")]);
        let refusal = Refusal::from_reply(400, &headers, body.to_string().as_bytes());
        assert_eq!(refusal.to_string(), "VALIDATION_ERROR: version: bad");
        assert_eq!(refusal.fields["version"], ["bad"]);
        assert_eq!(refusal.data, Some(json!({"pins": []})));
        assert_eq!((refusal.request_id.as_deref(), refusal.retry_after), (Some("ab12"), Some(Duration::from_secs(7))));
        assert_eq!(refusal.reason, None);
    }

    #[test]
    fn the_form_of_the_gateway_is_read_with_its_reason() {
        let message = "Parameters error [reason=\"bk_app_code or bk_app_secret is incorrect\"]";
        let body =
            json!({"code": 1_640_001, "code_name": "INVALID_ARGS", "message": message, "result": false, "data": null});
        let refusal = Refusal::from_reply(400, &HeaderMap::new(), body.to_string().as_bytes());
        assert_eq!((refusal.code.as_str(), refusal.detail.as_str()), ("INVALID_ARGS", message));
        assert_eq!(refusal.reason.as_deref(), Some("bk_app_code or bk_app_secret is incorrect"));
        assert_eq!(refusal.data, None);
    }

    #[test]
    fn a_reply_without_a_form_keeps_what_its_headers_say() {
        let refusal = Refusal::from_reply(410, &headers_of(&[("bkapi-error-code", "PACKAGE_DELETED")]), b"");
        assert_eq!((refusal.status, refusal.code.as_str()), (410, "PACKAGE_DELETED"));
        let message = "App has no permission to the resource [reason=\"no permission, bk_app_code=ci\"]";
        let headers = headers_of(&[("x-bkapi-error-code", "1640301"), ("x-bkapi-error-message", message)]);
        let refusal = Refusal::from_reply(403, &headers, b"");
        assert_eq!((refusal.code.as_str(), refusal.detail.as_str()), ("APP_NO_PERMISSION", message));
        assert_eq!(refusal.reason.as_deref(), Some("no permission, bk_app_code=ci"));
        let refusal = Refusal::from_reply(502, &HeaderMap::new(), b"<html>");
        assert_eq!(refusal.to_string(), "HTTP_502: the reply has the status 502");
    }

    #[test]
    fn a_date_says_how_long_to_wait_too() {
        assert_eq!(read_retry_after(" 3 "), Some(Duration::from_secs(3)));
        assert_eq!(read_retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(read_retry_after("soon"), None);
    }
}
