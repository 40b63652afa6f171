//! What a body is said to be.

use crate::Boundary;

/// What the caller says the body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`, with any parameters.
    Json,
    /// `application/x-www-form-urlencoded`, with any parameters.
    UrlEncoded,
    /// `multipart/form-data`, with its boundary if it names one that can be.
    Multipart(Option<Boundary>),
    /// Anything else, or nothing.
    Other,
}

impl MediaType {
    /// Reads a `Content-Type`.
    #[must_use]
    pub fn from_header(value: Option<&[u8]>) -> Self {
        if is_of_type(value, "application/json") {
            Self::Json
        } else if is_of_type(value, "application/x-www-form-urlencoded") {
            Self::UrlEncoded
        } else if is_of_type(value, "multipart/form-data") {
            Self::Multipart(value.and_then(Boundary::from_content_type))
        } else {
            Self::Other
        }
    }

    /// Whether it is that of a form.
    #[must_use]
    pub fn is_form(&self) -> bool {
        matches!(self, Self::UrlEncoded | Self::Multipart(_))
    }
}

/// Whether a `Content-Type` names this media type, with whatever parameters.
#[must_use]
pub fn is_of_type(value: Option<&[u8]>, media_type: &str) -> bool {
    let essence = value.and_then(|value| value.split(|&b| b == b';').next()).unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_compared_without_parameters_and_case() {
        for json in ["application/json", "Application/JSON; charset=utf-8", " application/json ;x"] {
            assert_eq!(MediaType::from_header(Some(json.as_bytes())), MediaType::Json, "{json}");
        }
        for other in ["text/plain", "application/jsonx", "multipart/mixed; boundary=a", ""] {
            assert_eq!(MediaType::from_header(Some(other.as_bytes())), MediaType::Other, "{other}");
        }
        let form = MediaType::from_header(Some(b"Application/X-WWW-Form-Urlencoded;charset=utf-8"));
        assert_eq!(form, MediaType::UrlEncoded);
        assert!(matches!(
            MediaType::from_header(Some(b"multipart/form-data; boundary=a")),
            MediaType::Multipart(Some(_))
        ));
        assert_eq!(MediaType::from_header(Some(b"multipart/form-data")), MediaType::Multipart(None));
        assert_eq!(MediaType::from_header(None), MediaType::Other);
    }
}
