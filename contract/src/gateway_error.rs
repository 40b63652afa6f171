//! Errors in the form of BlueKing's gateway: what the gate answers about who asks, and the store where it judges in its place.

use serde::Serialize;

/// A row of the gateway's table of errors.
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

/// Why somebody is not known, in words that callers match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidArgs(pub &'static str);

impl InvalidArgs {
    /// Its row.
    pub const ROW: GatewayErrorRow =
        GatewayErrorRow { code: 1_640_001, name: "INVALID_ARGS", status: 400, message: "Parameters error" };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_envelope_of_the_gateway() {
        let message = InvalidArgs::ROW.message(Some("why"));
        assert_eq!(
            (message.as_str(), InvalidArgs::ROW.message(None).as_str()),
            (r#"Parameters error [reason="why"]"#, "Parameters error")
        );
        let want = r#"{"code":1640001,"code_name":"INVALID_ARGS","message":"Parameters error [reason=\"why\"]","result":false,"data":null}"#;
        assert_eq!(InvalidArgs::ROW.body(&message, false), want);
        let detail = r#","detail":"Parameters error [reason=\"why\"]"}"#;
        assert_eq!(InvalidArgs::ROW.body(&message, true), want.trim_end_matches('}').to_owned() + detail);
    }
}
