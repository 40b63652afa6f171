//! Versions of programs that are found on this machine.

/// Major and minor version in what a program prints for `--version`: the first `1.2.3` in it.
pub fn find_version(text: &str) -> Option<(u32, u32)> {
    text.split(['/', ' ', '\n', '-']).find_map(|part| {
        let mut numbers = part.trim_start_matches('v').split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(_)), None) => Some((major, minor)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_print() {
        for (text, want) in [
            ("2.20.3\n", Some((2, 20))),
            ("v2.3.1-desktop.1", Some((2, 3))),
            ("5.6.1", Some((5, 6))),
            ("\nenvoy  version: 6bb5b5/1.40.0/Clean/RELEASE/BoringSSL\n", Some((1, 40))),
            ("envoy  version: 6bb5b5/1.36.0-dev/Modified/DEBUG/BoringSSL", Some((1, 36))),
            ("something else 1.2", None),
            ("dev", None),
            ("", None),
        ] {
            assert_eq!(find_version(text), want, "{text:?}");
        }
    }
}
