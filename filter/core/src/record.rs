//! What the access log says of a request.

/// Nearly every value is a name, which JSON writes as it is; a serializer would look at each byte for longer.
fn push_json_text(json: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::to_string(text).unwrap_or_else(|_| "null".to_owned()));
    }
}

/// Who asked for what, and how it was decided; what is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The calling application. If it was refused, or the policy lets it call without a credential: the code that it
    /// claims, if that has the form of a code.
    pub app: String,
    /// The verified user.
    pub user: String,
    /// The application that the package is for, from the path.
    pub application: String,
    /// Its module.
    pub module: String,
    /// The operation id of the endpoint, like `upload_source_package_via_link`, `get_source_package_job` or
    /// `cancel_source_package_job`.
    pub operation: &'static str,
    /// The stage of the policy that the path's prefix belongs to; `default` for `routes.prefixes`.
    pub stage: String,
    /// `OK` for a request that was sent to the store, whatever the store answers; `PREFLIGHT` for one that the gate
    /// answered, `REDIRECT` for one that it sent on to the first page of the console; otherwise the name
    /// of the code, like `APP_NO_PERMISSION` or `VALIDATION_ERROR`.
    pub decision: &'static str,
    /// With `INVALID_ARGS`, why the gate does not know who calls, in the words that the caller got, like `app not
    /// found`. Only fixed words of ours are logged, not those of a service, nor reasons with a name in them.
    pub reason: &'static str,
    /// The rule that decided: the grant that allowed the request, or what denied it. Left out where only report-only grants
    /// let it pass.
    pub rule: String,
    /// How the gate knows who calls: `listed` (in the policy), `cached` (an answer of before), `fresh` (it called a service, or
    /// verified a `jwt`) or `stale` (an old answer, because the service does not answer); of several, the last of these.
    /// `signed_url` where a signed URL speaks for its maker.
    pub identity: &'static str,
    /// Report-only rules that would have refused the request, by comma.
    pub reported: String,
}

impl Record {
    /// Every field, by the names of docs/reference/LOGS.md.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, &str); 11] {
        [
            ("app", &self.app),
            ("user", &self.user),
            ("application", &self.application),
            ("module", &self.module),
            ("operation", self.operation),
            ("stage", &self.stage),
            ("decision", self.decision),
            ("reason", self.reason),
            ("rule", &self.rule),
            ("identity", self.identity),
            ("reported", &self.reported),
        ]
    }

    /// The fields that say something: what is not known is left out.
    pub fn filled_fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fields().into_iter().filter(|(_, value)| !value.is_empty())
    }

    /// The filled fields as one JSON object. One value for all of them, for each that a filter leaves with a request costs a
    /// call of the host.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Enough for the usual one.
        let mut json = String::with_capacity(384);
        for (name, value) in self.filled_fields() {
            json.push_str(if json.is_empty() { "{\"" } else { ",\"" });
            json.push_str(name);
            json.push_str("\":");
            push_json_text(&mut json, value);
        }
        json.push_str(if json.is_empty() { "{}" } else { "}" });
        json
    }

    pub(crate) fn add_reported(&mut self, rule: &str) {
        if !self.reported.is_empty() {
            self.reported.push(',');
        }
        self.reported.push_str(rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filled_fields_are_an_object_and_what_is_empty_is_left_out() {
        let record = Record { app: "my \"app\"\n".to_owned(), decision: "OK", ..Record::default() };
        assert_eq!(record.to_json(), r#"{"app":"my \"app\"\n","decision":"OK"}"#);
        assert_eq!(Record::default().to_json(), "{}");
    }
}
