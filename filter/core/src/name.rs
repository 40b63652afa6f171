//! Names of apps and users, whoever says them.

/// A name that can stand in a log line and a token.
pub(crate) fn is_printable_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_has_no_control_characters() {
        assert!(is_printable_name("admin") && is_printable_name("管理员") && is_printable_name(&"x".repeat(128)));
        for bad in ["", "a\nb", "a\u{7f}", &"x".repeat(129)] {
            assert!(!is_printable_name(bad), "{bad:?}");
        }
    }
}
