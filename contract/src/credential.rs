//! What proves to a source that a package may be had: credentials of the operator, by name, and a caller's own.
//!
//! Promises: the gate and the store judge names and values by the same rules. Refuses values that a header could not carry
//! or that somebody could read in two ways. Neither knows the secret behind a name: that is the store's alone.

use std::fmt;
use std::str::FromStr;

use crate::{Origin, Problem, Text};

/// The name of a credential that the store has: 1 to 64 letters, digits, `-`, `_` and `.`. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialName(String);

/// The text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} letters, digits, '-', '_' and '.'", CredentialName::MAX_BYTES)]
pub struct InvalidCredentialName;

impl CredentialName {
    /// The longest.
    pub const MAX_BYTES: usize = 64;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidCredentialName`].
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidCredentialName> {
        let name = name.into();
        let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let is_name = (1..=Self::MAX_BYTES).contains(&name.len()) && is_plain;
        if is_name { Ok(Self(name)) } else { Err(InvalidCredentialName) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CredentialName {
    type Err = InvalidCredentialName;

    fn from_str(name: &str) -> Result<Self, InvalidCredentialName> {
        Self::new(name)
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The largest value of a caller's own credential. Tokens of identity providers have up to 4 KiB.
pub const MAX_CALLER_CREDENTIAL_BYTES: usize = 8192;

/// The header with a caller's own credential, as documents write it.
const HEADER: &str = "X-Linkgate-Source-Authorization";

/// The refusal of a caller's own credential for a source to which none may be sent.
#[must_use]
pub fn caller_credential_refused(origin: &Origin) -> Problem {
    let Origin { host, port, .. } = origin;
    let text = Text::made(
        format!("不允许为主机 '{host}'（端口 {port}）使用调用方自己的凭证，请联系管理员。"),
        format!("A caller's own credential is not allowed for host '{host}' (port {port}). Ask the operator."),
    );
    Problem::field(HEADER, text)
}

/// Why what a caller sent as its own credential is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidCallerCredential {
    /// More than one.
    Several,
    /// Empty, too long, or with anything but visible ASCII and single blanks within.
    Value,
}

/// Reads a caller's own credential from all that it sent under the header's name; `None` if it sent none.
///
/// # Errors
/// [`InvalidCallerCredential`].
pub fn read_caller_credential<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<&'a str>, InvalidCallerCredential> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => std::str::from_utf8(value)
            .ok()
            .filter(|value| is_header_value(value))
            .map(Some)
            .ok_or(InvalidCallerCredential::Value),
        (Some(_), Some(_)) => Err(InvalidCallerCredential::Several),
    }
}

/// Words of visible ASCII, with one blank between two of them.
fn is_header_value(value: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
    value.len() <= MAX_CALLER_CREDENTIAL_BYTES && value.split(' ').all(is_word)
}

impl From<InvalidCallerCredential> for Problem {
    fn from(invalid: InvalidCallerCredential) -> Self {
        let text = match invalid {
            InvalidCallerCredential::Several => Text::fixed("请只发送一个该请求头。", "Send this header once."),
            InvalidCallerCredential::Value => Text::fixed(
                "请以 1 至 8192 个可见 ASCII 字符（单词之间以一个空格分隔）提供源站 Authorization 头的值。",
                "Give the value of the source's Authorization header, in 1 to 8192 visible ASCII characters with one blank between words.",
            ),
        };
        Self::field(HEADER, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for good in ["a", "Artifactory.team-1_x", &"a".repeat(64)] {
            assert_eq!(CredentialName::new(good).unwrap().to_string(), good);
        }
        for bad in ["", " ", "a b", "a/b", "é", "a\n", "*", &"a".repeat(65)] {
            assert_eq!(bad.parse::<CredentialName>(), Err(InvalidCredentialName), "{bad}");
        }
    }

    #[test]
    fn one_value_of_visible_ascii_is_a_credential() {
        let read = |values: &[&'static str]| read_caller_credential(values.iter().map(|value| value.as_bytes()));
        assert_eq!(read(&[]), Ok(None));
        for good in ["Basic dTpw", "token", "Digest a=\"b\", c=d"] {
            assert_eq!(read(&[good]), Ok(Some(good)));
        }
        assert_eq!(read(&["a", "a"]), Err(InvalidCallerCredential::Several));
        for bad in ["", " ", "a ", " a", "a  b", "a\tb", "a\u{7f}", "Bearer é", "a\r\nx: y"] {
            assert_eq!(read(&[bad]), Err(InvalidCallerCredential::Value), "{bad:?}");
        }
        assert_eq!(read_caller_credential([&b"\xff"[..]]), Err(InvalidCallerCredential::Value));
        let (longest, longer) = (vec![b'a'; MAX_CALLER_CREDENTIAL_BYTES], vec![b'a'; MAX_CALLER_CREDENTIAL_BYTES + 1]);
        assert!(read_caller_credential([longest.as_slice()]).is_ok());
        assert_eq!(read_caller_credential([longer.as_slice()]), Err(InvalidCallerCredential::Value));
    }
}
