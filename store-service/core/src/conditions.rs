//! What a request wants to be true of the package that it is about, before anything is done (RFC 9110, section 13).
//!
//! Promises: judged against the row as it is in the transaction that changes it, so nothing comes in between. A package has two
//! tags: that of its row, `{id}.{revision}`, and that of its bytes, their SHA-256. A change takes either.

use linkgate_contract::{PackageId, Sha256};

/// Tags of a header, without their quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: whatever is there.
    Any,
    /// One of these.
    Of(Vec<Tag>),
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Whether it stands for what is alike, not equal.
    pub is_weak: bool,
    /// What is between its quotes.
    pub text: String,
}

/// What there is of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Existing {
    /// The row's number.
    pub id: PackageId,
    /// How often it was changed, and one.
    pub revision: i64,
    /// Of its bytes; `None` if it cannot be read.
    pub sha256: Option<Sha256>,
}

/// `If-Match` and `If-None-Match` of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// One of these must be there.
    pub if_match: Option<Tags>,
    /// None of these may be there.
    pub if_none_match: Option<Tags>,
}

/// They are not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the request wants to be true of the package is not")]
pub struct NotMet;

impl Existing {
    /// The tag of the row, without quotes.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("{}.{}", self.id, self.revision)
    }

    /// Whether one of its tags is this text.
    fn has_tag(&self, text: &str) -> bool {
        text == self.tag() || self.sha256.is_some_and(|sha256| text == sha256.to_string())
    }
}

impl Tags {
    /// Whether what is there is among them, where alike is enough.
    #[must_use]
    pub fn match_weakly(&self, existing: Option<&Existing>) -> bool {
        self.matches(existing, |_| true)
    }

    /// Whether what is there is among them, to the byte.
    #[must_use]
    pub fn match_strongly(&self, existing: Option<&Existing>) -> bool {
        self.matches(existing, |tag| !tag.is_weak)
    }

    fn matches(&self, existing: Option<&Existing>, counts: impl Fn(&Tag) -> bool) -> bool {
        match (self, existing) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Of(tags), Some(existing)) => tags.iter().any(|tag| counts(tag) && existing.has_tag(&tag.text)),
        }
    }
}

impl Conditions {
    /// Judges them by what is there now.
    ///
    /// # Errors
    /// [`NotMet`].
    pub fn judge(&self, existing: Option<&Existing>) -> Result<(), NotMet> {
        let is_wanted = self.if_match.as_ref().is_none_or(|tags| tags.match_strongly(existing));
        let is_unwanted = self.if_none_match.as_ref().is_some_and(|tags| tags.match_weakly(existing));
        if is_wanted && !is_unwanted { Ok(()) } else { Err(NotMet) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: Sha256 = Sha256::from_bytes([0xab; 32]);

    fn existing() -> Existing {
        Existing { id: PackageId::from_row(7), revision: 3, sha256: Some(DIGEST) }
    }

    fn tags(texts: &[&str]) -> Option<Tags> {
        let tag = |text: &&str| match text.strip_prefix("W/") {
            Some(text) => Tag { is_weak: true, text: text.to_owned() },
            None => Tag { is_weak: false, text: (*text).to_owned() },
        };
        Some(if texts == ["*"] { Tags::Any } else { Tags::Of(texts.iter().map(tag).collect()) })
    }

    #[test]
    fn either_tag_of_what_is_there_is_taken_and_no_other() {
        let digest = DIGEST.to_string();
        let met = |if_match: &[&str], existing: Option<&Existing>| {
            Conditions { if_match: tags(if_match), if_none_match: None }.judge(existing).is_ok()
        };
        for good in [&["*"][..], &["7.3"], &[&digest], &["7.2", "7.3"]] {
            assert!(met(good, Some(&existing())), "{good:?}");
            assert!(!met(good, None), "{good:?}: nothing is there");
        }
        for bad in [&["7.2"][..], &["7"], &["W/7.3"], &[""], &[]] {
            assert!(!met(bad, Some(&existing())), "{bad:?}");
        }
    }

    #[test]
    fn what_must_not_be_there_is_compared_weakly() {
        let met = |texts: &[&str], existing: Option<&Existing>| {
            Conditions { if_match: None, if_none_match: tags(texts) }.judge(existing).is_ok()
        };
        for there in [&["*"][..], &["7.3"], &["W/7.3"]] {
            assert!(!met(there, Some(&existing())), "{there:?}");
            assert!(met(there, None), "{there:?}: nothing is there");
        }
        assert!(met(&["7.2"], Some(&existing())));
        assert!(Conditions::default().judge(None).is_ok() && Conditions::default().judge(Some(&existing())).is_ok());
    }
}
