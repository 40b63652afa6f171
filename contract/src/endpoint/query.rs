//! What of a query reaches the store.
//!
//! Promises: the parameters that the endpoint's row lists, in the caller's order and as often as they came, written in one
//! form; nothing by a credential's name, whatever a row lists. Of what a row does not list no value goes on, and one name only
//! where the row asks for it, so that the store can refuse a caller who wants to be told of it.

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

/// By this name a row asks to be told of a parameter that it does not list; its value is that parameter's name. It is no
/// parameter for callers.
pub const UNKNOWN_PARAMETER: &str = "unknown_parameter";

/// The longest name that is told.
const MAX_TOLD_NAME: usize = 32;

impl Endpoint {
    /// The part of a query (what follows the `?`) that the endpoint reads; empty if it reads none of it. Names and values are
    /// decoded and written anew, so that the store cannot read them in another way.
    #[must_use]
    pub fn filter_query(&self, query: &str) -> String {
        if self.query.is_empty() || query.is_empty() {
            return String::new();
        }
        let is_wanted = |name: &str| self.query.contains(&name) && !CREDENTIAL_NAMES.contains(&name);
        let wanted = parse(query.as_bytes()).filter(|(name, _)| name != UNKNOWN_PARAMETER && is_wanted(name));
        let mut passed = Serializer::new(String::new());
        passed.extend_pairs(wanted);
        if self.query.contains(&UNKNOWN_PARAMETER)
            && let Some(name) = self.find_unknown(query)
        {
            passed.append_pair(UNKNOWN_PARAMETER, &name);
        }
        passed.finish()
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

    /// The first parameter that the row does not list and that is no credential; nameless if its name is not plain. One that was
    /// told already is told again.
    fn find_unknown(&self, query: &str) -> Option<String> {
        let is_known = |name: &str| self.query.contains(&name) || CREDENTIAL_NAMES.contains(&name);
        let mut all = parse(query.as_bytes());
        let told = all.find_map(|(name, value)| match &*name {
            UNKNOWN_PARAMETER => Some(value),
            "" => None,
            other => (!is_known(other)).then_some(name),
        })?;
        Some(if is_plain_name(&told) { told.into_owned() } else { String::new() })
    }
}

/// Who forgets the name of a parameter has its value in the place of it. No secret is made of small letters alone.
fn is_plain_name(name: &str) -> bool {
    name.len() <= MAX_TOLD_NAME && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
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

    #[test]
    fn a_row_that_asks_for_it_is_told_the_name_of_what_it_does_not_list_and_never_a_value() {
        let asking = Endpoint { query: &["limit", UNKNOWN_PARAMETER], ..ENDPOINT };
        let cases = [
            ("limit=1", "limit=1"),
            ("limit=1&bk_token=t&signature=s&bk_nonce=1", "limit=1"),
            ("page=secret&limit=1&size=2", "limit=1&unknown_parameter=page"),
            ("a%20b=secret", "unknown_parameter="),
            ("Limit=1", "unknown_parameter="),
            ("t0ken", "unknown_parameter="),
            ("=x&&", ""),
            ("unknown_parameter=page", "unknown_parameter=page"),
            ("unknown_parameter=a%20b&x=1", "unknown_parameter="),
        ];
        for (query, expected) in cases {
            let passed = asking.filter_query(query);
            assert_eq!(passed, expected, "{query}");
            assert_eq!(asking.filter_query(&passed), passed, "{query}");
        }
        assert_eq!(asking.filter_query(&format!("{}=1", "x".repeat(33))), "unknown_parameter=");
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
