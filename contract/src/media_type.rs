//! What a body is said to be.

/// What the caller says the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`, with any parameters.
    Json,
    /// Anything else, or nothing.
    Other,
}

impl MediaType {
    /// Reads a `Content-Type`.
    #[must_use]
    pub fn from_header(value: Option<&[u8]>) -> Self {
        if is_of_type(value, "application/json") { Self::Json } else { Self::Other }
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
        for other in ["text/plain", "application/jsonx", "application/x-www-form-urlencoded", ""] {
            assert_eq!(MediaType::from_header(Some(other.as_bytes())), MediaType::Other, "{other}");
        }
        assert_eq!(MediaType::from_header(None), MediaType::Other);
    }
}
