//! Which release a program is: version, commit and day. `cargo xtask images` and `dist` say them when they build; any other build
//! does not know its commit.

use std::sync::LazyLock;

/// The version of all that is ours.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit.
pub const COMMIT: &str = or_unknown(option_env!("LINKGATE_BUILD_COMMIT"));
/// The day of the commit.
pub const DATE: &str = or_unknown(option_env!("LINKGATE_BUILD_DATE"));

const fn or_unknown(given: Option<&'static str>) -> &'static str {
    match given {
        Some(given) => given,
        None => "unknown",
    }
}

/// All of it, for `--version`.
pub fn describe() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} ({COMMIT}, {DATE})"));
    &TEXT
}
