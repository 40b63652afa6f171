//! JSON that snapshots show.

use serde_json::Value;

/// The document with `…` in the place of what differs from run to run; fails if one of these pointers leads nowhere.
#[must_use]
pub fn redacted(mut document: Value, pointers: &[&str]) -> Value {
    for pointer in pointers {
        let value = document.pointer_mut(pointer).unwrap_or_else(|| panic!("there is no {pointer}"));
        assert!(!value.is_null(), "{pointer} is null");
        *value = "…".into();
    }
    document
}
