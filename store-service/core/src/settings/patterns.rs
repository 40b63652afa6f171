//! Names by pattern: `*` stands for any run of characters, `?` for one; everything else for itself. As in the policy.

use wildmatch::WildMatch;

/// Patterns of which one must match.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<WildMatch>);

impl Patterns {
    /// Takes them.
    #[must_use]
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(texts.into_iter().map(WildMatch::new).collect())
    }

    /// Whatever the name is.
    #[must_use]
    pub fn any() -> Self {
        Self::new(["*"])
    }

    /// Whether one of them matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_them_must_match_all_of_the_name() {
        let patterns = Patterns::new(["release-*", "v?"]);
        for good in ["release-", "release-1.0", "v1"] {
            assert!(patterns.matches(good), "{good}");
        }
        for bad in ["", "release", "a-release-1", "v", "v12", "V1"] {
            assert!(!patterns.matches(bad), "{bad}");
        }
        assert!(Patterns::any().matches("") && !Patterns::default().matches(""));
    }
}
