//! What of a query reaches the store.
//!
//! Promises: the parameters that the endpoint's row lists, in the caller's order and as often as they came, written in one
//! form; nothing by a credential's name, whatever a row lists.

use url::form_urlencoded::{Serializer, parse};

use super::Endpoint;
use crate::{Action, SIGNED_URL_PARAMETER};

/// Fields and parameters that are credentials wherever they stand; none of them reaches the store.
pub const CREDENTIAL_NAMES: [&str; 16] = [
    "bk_app_code",
    "app_code",
    "bk_app_secret",
    "app_secret",
    "bk_username",
    "username",
    "bk_token",
    "bk_ticket",
    "access_token",
    "jwt",
    "inner_jwt",
    "bk_signature",
    "signature",
    "bk_nonce",
    "bk_timestamp",
    SIGNED_URL_PARAMETER,
];

impl Endpoint {
    /// The part of a query (what follows the `?`) that the endpoint reads; empty if it reads none of it. Names and values are
    /// decoded and written anew, so that the store cannot read them in another way.
    #[must_use]
    pub fn filter_query(&self, query: &str) -> String {
        if self.query.is_empty() || query.is_empty() {
            return String::new();
        }
        let is_wanted = |name: &str| self.query.contains(&name) && !CREDENTIAL_NAMES.contains(&name);
        let wanted = parse(query.as_bytes()).filter(|(name, _)| is_wanted(name));
        Serializer::new(String::new()).extend_pairs(wanted).finish()
    }

    /// Whether a query asks for what this parameter stands for. Gate and store read it here, so no request asks for more at
    /// the store than it was judged for.
    #[must_use]
    pub fn asks_for(query: &str, parameter: &str) -> bool {
        parse(query.as_bytes()).any(|(name, value)| name == parameter && value == "true")
    }

    /// The action that a token names for a request with this query: the last of those that were judged. It stands for all of
    /// them, for nobody gets it without the others.
    #[must_use]
    pub fn token_action(&self, query: &str) -> Action {
        self.actions(query).last().unwrap_or(self.action)
    }

    /// What a grant must give for a request with this query: the endpoint's action, then what the query asks for besides.
    pub fn actions(&self, query: &str) -> impl Iterator<Item = Action> {
        let asked = self.extra.iter().filter(move |extra| Self::asks_for(query, extra.parameter));
        std::iter::once(self.action).chain(asked.map(|extra| extra.action))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BodyKind, ExtraAction, Method, Operation, ReplyKind};

    /// A row that lists a credential, too.
    const ENDPOINT: Endpoint = Endpoint {
        operation: Operation::GetSourcePackageJob,
        method: Method::Get,
        path: "",
        route: "",
        action: Action::Read,
        body: BodyKind::None,
        query: &["limit", "order_by", "bk_token"],
        extra: &[ExtraAction { parameter: "limit", action: Action::Delete }],
        reply: ReplyKind::Job,
    };

    #[test]
    fn what_the_row_lists_is_passed_on_in_order_and_as_often_as_it_came() {
        let cases = [
            ("limit=10", "limit=10"),
            ("order_by=a&limit=1&order_by=b", "order_by=a&limit=1&order_by=b"),
            ("limit=1&limit=1", "limit=1&limit=1"),
            ("%6Cimit=1", "limit=1"),
            ("limit", "limit="),
            ("limit=a+b%20c", "limit=a+b+c"),
            ("limit=%E5%8C%85", "limit=%E5%8C%85"),
            ("limit=1;bk_app_secret=x", "limit=1%3Bbk_app_secret%3Dx"),
            ("limit=%26offset=1", "limit=%26offset%3D1"),
            ("limit=%0d%0aX: y#", "limit=%0D%0AX%3A+y%23"),
        ];
        for (query, expected) in cases {
            assert_eq!(ENDPOINT.filter_query(query), expected, "{query}");
        }
    }

    #[test]
    fn anything_else_is_left_out_and_credentials_whatever_the_row_lists() {
        for query in ["", "&", "x=1", "Limit=1", "limit[]=1", "limit%00=1", "bk_token=t", "%62k_token=t", "=limit"] {
            assert_eq!(ENDPOINT.filter_query(query), "", "{query}");
        }
        assert_eq!(ENDPOINT.filter_query("bk_token=t&limit=1&bk_app_secret=s&x"), "limit=1");
        for endpoint in Endpoint::ALL.iter().filter(|endpoint| endpoint.query.is_empty()) {
            assert_eq!(endpoint.filter_query("limit=1&order_by=a"), "");
        }
    }

    #[test]
    fn a_parameter_asks_for_more_by_one_word() {
        let actions = |query: &str| ENDPOINT.actions(query).collect::<Vec<_>>();
        for more in ["limit=true", "a=b&limit=true", "limit=false&limit=true", "%6cimit=tr%75e"] {
            assert_eq!(actions(more), [Action::Read, Action::Delete], "{more}");
            assert_eq!(ENDPOINT.token_action(more), Action::Delete);
        }
        for no_more in ["", "limit", "limit=", "limit=false", "limit=1", "limit=True", "Limit=true", "xlimit=true"] {
            assert_eq!(actions(no_more), [Action::Read], "{no_more}");
            assert_eq!(ENDPOINT.token_action(no_more), Action::Read);
        }
    }

    proptest! {
        #[test]
        fn what_is_passed_on_reads_as_what_was_sent(query in "([&=;%#+]|limit|order_by|bk_token|%6C|é|[ -~]){0,12}") {
            let passed = ENDPOINT.filter_query(&query);
            let read = |query: &str| -> Vec<_> {
                parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
            };
            let mut sent = read(&query);
            sent.retain(|(name, _)| name == "limit" || name == "order_by");
            prop_assert_eq!(read(&passed), sent);
            prop_assert!(passed.bytes().all(|b| b.is_ascii_graphic() && b != b'#'));
            prop_assert_eq!(ENDPOINT.filter_query(&passed), passed.clone());
        }
    }
}
