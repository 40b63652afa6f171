//! In which language a caller reads `detail`: Chinese unless English is asked for.

use std::borrow::Cow;

/// A language that the API speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// `zh`, what the API document shows.
    #[default]
    Chinese,
    /// `en`.
    English,
}

impl Language {
    /// Chooses by `blueking-language` and, where that says nothing we speak, by `Accept-Language`.
    #[must_use]
    pub fn choose(blueking_language: Option<&str>, accept_language: Option<&str>) -> Self {
        blueking_language
            .and_then(Self::from_tag)
            .or_else(|| accept_language.and_then(Self::preferred))
            .unwrap_or_default()
    }

    /// Its tag, as pages and headers name it (RFC 5646).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }

    fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "zh" => Some(Self::Chinese),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// The language of the highest `q` in an `Accept-Language` list; the earlier one on a tie.
    fn preferred(list: &str) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        for item in list.split(',') {
            let mut parts = item.split(';');
            let Some(language) = parts.next().and_then(Self::from_tag) else { continue };
            let weight = parts.find_map(|p| p.trim().strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            if weight > best.map_or(0.0, |(w, _)| w) {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }
}

/// One sentence in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    zh: Cow<'static, str>,
    en: Cow<'static, str>,
}

impl Text {
    /// A fixed sentence.
    #[must_use]
    pub const fn fixed(zh: &'static str, en: &'static str) -> Self {
        Self { zh: Cow::Borrowed(zh), en: Cow::Borrowed(en) }
    }

    /// A sentence that carries values.
    #[must_use]
    pub fn made(zh: String, en: String) -> Self {
        Self { zh: Cow::Owned(zh), en: Cow::Owned(en) }
    }

    /// The sentence as the caller reads it.
    #[must_use]
    pub fn in_language(&self, language: Language) -> &str {
        match language {
            Language::Chinese => &self.zh,
            Language::English => &self.en,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_chosen_by_its_own_tag() {
        for language in [Language::Chinese, Language::English] {
            assert_eq!(Language::from_tag(language.tag()), Some(language));
        }
    }

    #[test]
    fn the_language_is_chinese_unless_english_is_asked_for() {
        let cases: [(Option<&str>, Option<&str>, Language); 9] = [
            (None, None, Language::Chinese),
            (Some("en"), None, Language::English),
            (Some("en"), Some("zh-CN"), Language::English),
            (Some("zh-cn"), Some("en"), Language::Chinese),
            (Some("fr"), Some("en-US,en;q=0.9"), Language::English),
            (None, Some("zh-CN,zh;q=0.9,en;q=0.8"), Language::Chinese),
            (None, Some("fr, en;q=0.5, zh;q=0.4"), Language::English),
            (None, Some("*"), Language::Chinese),
            (None, Some("en;q=0, zh;q=0"), Language::Chinese),
        ];
        for (own, accept, want) in cases {
            assert_eq!(Language::choose(own, accept), want, "{own:?} {accept:?}");
        }
    }
}
