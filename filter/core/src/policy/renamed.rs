//! Keys by the names that they had once.
//!
//! Promises: an old name is refused with the new one, all of them at once. A key that was simply unknown would send an
//! operator to the docs, and a key that was silently taken would never be changed.

use serde_json::Value;

use super::fault::Fault;

/// Where a key was, with `[]` for any place in a list, and what it is called now.
const RENAMED: [(&str, &str); 7] = [
    ("apps", "clients"),
    ("grants[].apps", "callers"),
    ("grants[].applications", "targets"),
    ("restrictions.sources", "client_ips"),
    ("packages.opaque", "allow_unknown_formats"),
    ("packages.hosts[].applications", "targets"),
    ("packages.hosts[].private", "allow_private_addresses"),
];

/// A fault for each key by an old name.
pub(super) fn renamed_keys(document: &Value) -> Vec<Fault> {
    RENAMED.iter().flat_map(|(pattern, name)| find_key(document, "", pattern, name)).collect()
}

/// The faults of one old name, below the value at this path.
fn find_key(value: &Value, path: &str, pattern: &str, name: &str) -> Vec<Fault> {
    let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match pattern.split_once('.') {
        None if value.get(pattern).is_some() => vec![Fault::new(at(pattern), format!("is now called `{name}`"))],
        None => Vec::new(),
        Some((key, rest)) => match (key.strip_suffix("[]"), value.get(key.trim_end_matches("[]"))) {
            (Some(key), Some(Value::Array(list))) => {
                let entries = list.iter().enumerate();
                entries.flat_map(|(n, entry)| find_key(entry, &format!("{}[{n}]", at(key)), rest, name)).collect()
            }
            (None, Some(table)) => find_key(table, &at(key), rest, name),
            _ => Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::Policy;

    fn refused(document: &Value) -> Vec<String> {
        Policy::from_value(document).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_old_key_is_refused_with_its_new_name() {
        let with =
            |key: &str, value: Value| json!({"version": 1, "gateway": "g", "routes": {"prefixes": [""]}, key: value});
        let grant = |key: &str| with("grants", json!([{"callers": ["*"], "targets": ["*"]}, {key: ["*"]}]));
        let host = |key: &str, value: Value| with("packages", json!({"hosts": [{"host": "example.com", key: value}]}));
        for (document, message) in [
            (with("apps", json!([])), "apps: is now called `clients`"),
            (grant("apps"), "grants[1].apps: is now called `callers`"),
            (grant("applications"), "grants[1].applications: is now called `targets`"),
            (with("restrictions", json!({"sources": {}})), "restrictions.sources: is now called `client_ips`"),
            (with("packages", json!({"opaque": []})), "packages.opaque: is now called `allow_unknown_formats`"),
            (host("applications", json!(["*"])), "packages.hosts[0].applications: is now called `targets`"),
            (host("private", json!(true)), "packages.hosts[0].private: is now called `allow_private_addresses`"),
        ] {
            assert_eq!(refused(&document), [message]);
        }
    }

    #[test]
    fn all_old_keys_are_named_at_once_also_beside_new_ones() {
        let document = json!({
            "version": 1,
            "clients": [],
            "apps": [],
            "grants": [{"callers": ["*"], "apps": ["*"]}, 7, {"apps": ["*"], "applications": ["*"]}],
            "nonsense": true,
        });
        let paths: Vec<_> = renamed_keys(&document).into_iter().map(|fault| fault.path).collect();
        assert_eq!(paths, ["apps", "grants[0].apps", "grants[2].apps", "grants[2].applications"]);
    }

    #[test]
    fn a_document_of_another_shape_has_no_old_keys() {
        for document in [json!(null), json!([]), json!("apps"), json!({"grants": {"apps": []}, "packages": ["opaque"]})]
        {
            assert!(renamed_keys(&document).is_empty(), "{document}");
        }
    }
}
